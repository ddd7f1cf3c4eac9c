"""Alerts: what somebody is to look at, and who does."""

from ui.alerts import listing
from ui.alerts.dialogs import DIALOGS
from ui.navigation import begin_page

actor = begin_page(
    "alerts", "What somebody is to look at: budgets that run low, spend out of the ordinary, calls without a price."
)
DIALOGS.start_afresh()
listing.draw(actor)
