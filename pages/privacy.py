"""Privacy: what becomes of personal data, what of a text would be found, and how long calls, audit and history are kept."""

from core.access import authority
from core.store import db
from ui.navigation import begin_page
from ui.privacy import course, dialogs, extras, keeping, masked, trying
from ui.privacy.choice import pick
from ui.privacy.dialogs import DIALOGS
from ui.widgets import coming_and_going

actor = begin_page(
    "privacy",
    "What becomes of personal data in calls, and how long prompts and answers, the audit and the history are kept.",
)
DIALOGS.start_afresh()
with db.transaction() as session:
    role = authority.role_of(session, actor)
with coming_and_going():
    dialogs.take_presses(actor)
chosen = pick(actor, is_admin=role == "admin")
if chosen.is_clear:
    masked.draw(actor, chosen)
    course.draw(actor, chosen)
    trying.draw(actor, chosen)
    if role in authority.ENOUGH["analyst"]:
        extras.draw()
        keeping.draw(actor, may_change=role == "admin")
dialogs.draw(chosen)
