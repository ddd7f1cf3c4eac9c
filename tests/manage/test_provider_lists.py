"""What the list of providers asks and does: last use in one query, and copies without anything secret."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, text

from core.actors import Actor
from core.errors import Forbidden, NotFound
from core.manage import provider_lists, provider_secrets, providers, settings
from tests.govern.test_usage import log
from tests.pages.test_providers import KEY, add


def test_last_use_is_the_newest_call_of_each(session: Session, admin: Actor) -> None:
    """Of several calls the newest counts; who has none, and who was not asked for, is missing."""
    for name in ("acme", "idle", "other"):
        add(session, admin, name=name)
    now = datetime.now(UTC)
    old = {"provider": "acme", "at": now - timedelta(days=90)}
    log(session, old, {"provider": "acme", "at": now - timedelta(hours=1)}, {"provider": "other", "at": now})

    found = provider_lists.last_used(session, ["acme", "idle"])

    assert list(found) == ["acme"]
    assert abs(found["acme"] - (now - timedelta(hours=1))) < timedelta(seconds=1)
    assert provider_lists.last_used(session, []) == {}


def test_a_copy_has_everything_but_what_is_secret(session: Session, admin: Actor) -> None:
    """Fields, settings and plain headers are copied; the copy is inactive, without key and without what is sealed."""
    provider_id = add(session, admin, api_key=KEY, description="ours")
    settings.upsert_global(session, admin, provider_id, {"top_p": 0.5})
    provider_secrets.set_value(session, admin, provider_id, "header", "X-Plain", value="1", sealed=False)
    provider_secrets.set_value(session, admin, provider_id, "header", "X-Secret", value="hidden-0123", sealed=True)

    made = provider_lists.duplicate(session, admin, provider_id)
    again = provider_lists.duplicate(session, admin, provider_id)

    assert (made.name, made.display_name, made.is_active, made.description) == ("acme-copy", "Acme copy", False, "ours")
    assert (again.name, again.display_name) == ("acme-copy-2", "Acme copy 2")
    assert (made.api_key_encrypted, made.available_models) == (None, ["m1", "m2"])
    row = settings.get_global(session, made.id)
    assert row is not None
    assert row.top_p == 0.5
    assert [each.name for each in provider_secrets.list_of(session, made.id or 0)] == ["X-Plain"]
    recorded = session.execute(
        text("SELECT action FROM audit_events WHERE target = 'acme-copy' ORDER BY action")
    ).scalars()
    assert list(recorded) == ["provider.create", "provider.set_header", "settings.create"]


def test_a_copy_of_a_long_name_fits(session: Session, admin: Actor) -> None:
    """Names of the greatest length are cut, so that copies of copies fit and are told apart."""
    provider_id = add(session, admin, name="a" * 50, display_name="b" * 100)
    first, second = (provider_lists.duplicate(session, admin, provider_id) for _ in range(2))

    assert (first.name, second.name) == ("a" * 45 + "-copy", "a" * 43 + "-copy-2")
    assert {len(first.display_name), len(second.display_name)} == {100}


def test_who_may_not_add_may_not_copy(session: Session, admin: Actor, analyst: Actor) -> None:
    """An analyst copies nothing; of what is gone there is no copy."""
    provider_id = add(session, admin)
    with pytest.raises(Forbidden):
        provider_lists.duplicate(session, analyst, provider_id)
    with pytest.raises(NotFound):
        provider_lists.duplicate(session, admin, 2**40)


def test_what_changed_since(session: Session, admin: Actor) -> None:
    """Who was changed at that time or later is listed and counted, nobody else."""
    add(session, admin)
    now = datetime.now(UTC)
    for since, number in ((None, 1), (now - timedelta(minutes=5), 1), (now + timedelta(minutes=5), 0)):
        assert len(providers.list_all(session, since=since)) == providers.count(session, since=since) == number
