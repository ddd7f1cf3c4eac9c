"""Models: which of those in use end, what comes after them, and what is known of any model."""

from core.access import users
from core.store import db
from ui.models import board, bundle, corrections, lookup
from ui.models.head import BOARD, CATALOGUE, LOOKUP, draw_age, pick_view
from ui.navigation import begin_page
from ui.widgets import coming_and_going

actor = begin_page(
    "models", "Which models in use their vendors take away and what comes after, and what is known of each."
)
with db.transaction() as session:
    is_admin = users.get(session, actor.own_id()).role == "admin"
view = pick_view()
with coming_and_going():
    draw_age()
if view == BOARD:
    board.draw(actor, for_admin=is_admin)
elif view == LOOKUP:
    lookup.draw()
elif view == CATALOGUE:
    bundle.draw(actor, for_admin=is_admin)
else:
    corrections.draw(actor, for_admin=is_admin)
