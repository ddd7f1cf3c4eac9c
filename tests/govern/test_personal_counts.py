"""What was found in calls, by kind and day: of one organisation too, and bounded."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import Actor
from core.errors import Forbidden, NotFound
from core.govern import personal_counts
from core.govern.personal_counts import found_by_day
from core.manage import organizations
from core.store.table import id_of
from core.store.tables import MEMBER
from tests.conftest import make_user
from tests.govern.test_usage import log

NOON = datetime.now(UTC).replace(hour=12, minute=0) - timedelta(days=1)


def test_found_by_day(session: Session, admin: Actor, analyst: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added up by kind and day in UTC; an organisation's alone; what is no count is none; members and strangers are refused."""
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    said = [
        (NOON, '{"EMAIL": 2, "IBAN": 1}', acme),
        (NOON, '{"EMAIL": 1}', None),
        (NOON - timedelta(days=3), '{"CARD": 4}', acme),
        (NOON - timedelta(days=40), '{"CARD": 9}', acme),
        (NOON, '{"EMAIL": "many"}', acme),
        (NOON, "[1]", acme),
    ]
    for at, pii, organization in said:
        log(session, {"at": at, "organization_id": organization})
        session.execute(text("UPDATE llm_logs SET pii = CAST(:pii AS jsonb) WHERE pii IS NULL"), {"pii": pii})
    first, other = NOON.date(), (NOON - timedelta(days=3)).date()

    found = found_by_day(session, analyst)

    assert found.days == {first: {"EMAIL": 3, "IBAN": 1}, other: {"CARD": 4}}
    assert (list(found.totals.items()), found.since) == ([("CARD", 4), ("EMAIL", 3), ("IBAN", 1)], None)
    assert found_by_day(session, analyst, organization_id=acme).days[first] == {"EMAIL": 2, "IBAN": 1}
    assert found_by_day(session, analyst, 60).totals["CARD"] == 13
    monkeypatch.setattr(personal_counts, "MOST_CALLS", 4)
    assert found_by_day(session, analyst).days.keys() == {first}
    assert found_by_day(session, analyst).since == NOON
    stranger = make_user("mel", MEMBER)
    with pytest.raises(Forbidden):
        found_by_day(session, stranger)
    with pytest.raises(NotFound):
        found_by_day(session, stranger, organization_id=acme)
