"""What is decided for the whole store: changed by admins alone, on record, and by nobody who has not seen what is there."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.manage import installation
from core.store.records import AuditEvent


def test_open_and_closed(session: Session, admin: Actor, analyst: Actor) -> None:
    """Each change is one event with both values; the same again is none; a stale one is told both."""
    row = installation.get(session, admin)
    assert (row.organizations, row.version) == ("closed", 1)
    row = installation.update(session, admin, {"organizations": "open"}, version=1)
    assert (row.organizations, row.version, row.updated_by) == ("open", 2, "ada")
    assert installation.update(session, admin, {"organizations": "open"}).version == 2
    with pytest.raises(Conflict) as told:
        installation.update(session, COMMAND_LINE, {"organizations": "closed"}, version=1)
    assert told.value.changes == {"organizations": ("open", "closed")}
    (event,) = session.exec(select(AuditEvent).where(col(AuditEvent.action) == "installation.update"))
    assert event.changes["organizations"] == {"before": "closed", "after": "open"}
    for act in (installation.get, lambda s, a: installation.update(s, a, {"organizations": "closed"})):
        with pytest.raises(Forbidden):
            act(session, analyst)
    assert installation.get(session, admin).organizations == "open"


@pytest.mark.parametrize("patch", [{"organizations": "ajar"}, {"organizations": None}, {"surprise": 1}])
def test_what_is_no_choice_is_refused(session: Session, admin: Actor, patch: dict[str, Any]) -> None:
    """The field is named, and nothing changes."""
    with pytest.raises(Invalid) as told:
        installation.update(session, admin, patch)

    assert list(told.value.fields) == list(patch)
    assert installation.get(session, admin).version == 1


def test_a_row_that_is_gone(session: Session, admin: Actor) -> None:
    """Deleted by raw SQL it is missed in words."""
    session.execute(text("DELETE FROM installation"))

    with pytest.raises(NotFound, match="row of the installation"):
        installation.get(session, admin)
