"""What the tables give to those who read rows."""

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden
from core.store.table import id_of
from core.store.tables import LlmProvider, User


def test_row_that_is_not_written_has_no_id(session: Session, admin: Actor) -> None:
    """A missing id is an error, not row 0; a stored row gives its own, and so does an actor who is a user."""
    row = session.get(User, admin.user_id)
    assert row is not None
    assert id_of(row) == admin.own_id() == admin.user_id
    with pytest.raises(ValueError, match="LlmProvider has no id"):
        id_of(LlmProvider(name="acme"))


@pytest.mark.parametrize("actor", [COMMAND_LINE, Actor("token:billing", token_id=1)])
def test_actor_that_is_no_user_has_no_id_of_its_own(actor: Actor) -> None:
    """The command line and a token are no user: what only a user can do is refused, in words."""
    with pytest.raises(Forbidden, match="Only a user who has signed in"):
        actor.own_id()
