"""Rate limits: how many calls go to vendors a minute and at once, how near they came to that, and who waited."""

from ui.navigation import begin_page
from ui.rate_limits import rows
from ui.rate_limits.dialogs import DIALOGS

actor = begin_page(
    "rate_limits", "How many calls go to vendors a minute and at once, how near they came to that, and who waited."
)
DIALOGS.start_afresh()
rows.draw(actor)
