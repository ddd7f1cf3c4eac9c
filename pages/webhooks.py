"""Notifications: who is told when settings change."""

from ui.navigation import begin_page
from ui.webhooks import listing
from ui.webhooks.dialogs import DIALOGS

actor = begin_page(
    "webhooks",
    "Who is told when settings change, within seconds: programs of yours, channels of Slack, people by e-mail.",
)
DIALOGS.start_afresh()
listing.draw(actor)
