"""Webhooks: who is told when settings change."""

from ui.navigation import begin_page
from ui.webhooks import listing
from ui.webhooks.dialogs import DIALOGS

actor = begin_page("webhooks", "Who is told when settings change: a signed message to a URL of yours, within seconds.")
DIALOGS.start_afresh()
listing.draw(actor)
