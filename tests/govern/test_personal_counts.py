"""What was found in calls, by kind and day: of one organisation too, and bounded."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import Actor
from core.errors import Forbidden, NotFound
from core.govern import personal_counts
from core.govern.personal_counts import CountScope, counts_as_csv, look_through
from core.manage import organizations
from core.store.table import id_of
from core.store.tables import MEMBER
from tests.conftest import make_user
from tests.govern.test_usage import log

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def test_look_through(session: Session, admin: Actor, analyst: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added up by kind and step in UTC, narrowed; what is no count is none; members and strangers are refused; the file has the same."""
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    said = [
        (NOON, '{"EMAIL": 2, "IBAN": 1}', acme, "chat", "openai"),
        (NOON, '{"EMAIL": 1}', None, "chat", "other"),
        (NOON - timedelta(days=3), '{"CARD": 4}', acme, "mail", "openai"),
        (NOON - timedelta(days=40), '{"CARD": 9}', acme, "mail", "openai"),
        (NOON, '{"EMAIL": "many"}', acme, "chat", "openai"),
        (NOON, "[1]", acme, "chat", "openai"),
    ]
    for at, pii, organization, feature, provider in said:
        log(session, {"at": at, "organization_id": organization, "feature": feature, "provider": provider})
        session.execute(text("UPDATE llm_logs SET pii = CAST(:pii AS jsonb) WHERE pii IS NULL"), {"pii": pii})
    first = NOON.replace(hour=0)
    other = first - timedelta(days=3)
    whole = [(other, "CARD", 4), (first, "EMAIL", 3), (first, "IBAN", 1)]

    found = look_through(session, analyst, "month")

    assert [tuple(point) for point in found.points] == whole
    assert (list(found.totals.items()), found.since) == ([("CARD", 4), ("EMAIL", 3), ("IBAN", 1)], None)
    assert (len(found.steps), found.steps[-2], found.ends - found.steps[-1]) == (30, first, timedelta(days=1))
    assert look_through(session, analyst, "quarter").totals["CARD"] == 13
    hours = look_through(session, analyst, "day")
    assert (len(hours.steps), hours.steps[1] - hours.steps[0]) == (24, timedelta(hours=1))
    assert look_through(session, analyst, "month", CountScope(feature="chat")).totals == {"EMAIL": 3, "IBAN": 1}
    assert look_through(session, analyst, "month", CountScope(provider="other")).totals == {"EMAIL": 1}
    assert look_through(session, analyst, "month", CountScope(acme, "chat")).totals == {"EMAIL": 2, "IBAN": 1}
    lines = list(counts_as_csv(session, analyst, "month", CountScope(acme, "mail")))
    assert lines == ['"from","type","found"\r\n', f'"{other:%Y-%m-%d}T00:00Z","CARD","4"\r\n']
    monkeypatch.setattr(personal_counts, "MOST_CALLS", 4)
    assert look_through(session, analyst, "month").totals == {"EMAIL": 3, "IBAN": 1}
    assert look_through(session, analyst, "month").since == NOON
    stranger = make_user("mel", MEMBER)
    with pytest.raises(Forbidden):
        look_through(session, stranger, "month")
    with pytest.raises(NotFound):
        look_through(session, stranger, "month", CountScope(acme))
