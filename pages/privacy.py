"""Privacy: what becomes of personal data, what of a text would be found, and how long calls, audit and history are kept."""

from ui.navigation import begin_page
from ui.privacy import counts, dialogs, keeping, masked, trying
from ui.privacy.dialogs import DIALOGS

actor = begin_page(
    "privacy",
    "What becomes of personal data in calls, and how long prompts and answers, the audit and the history are kept.",
)
DIALOGS.start_afresh()
may_change = dialogs.take_presses(actor)
masked.draw(actor, may_change=may_change)
counts.draw(actor)
trying.draw()
keeping.draw(actor, may_change=may_change)
dialogs.draw()
