"""API keys that get old: who is named, when, and that somebody is told of each once."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core import config
from core.actors import COMMAND_LINE, Actor
from core.crypto import get_ring
from core.errors import BadConfig, Forbidden
from core.govern import figures, jobs, key_ages, outbox_words
from core.manage import notifications, organization_keys, organizations, providers
from core.store.table import id_of
from tests.screens import everything, open_page

KEY = "sk-proj-canary-0123456789abcdefghijklmnop"


def age(session: Session, table: str, days: float, where: str = "true") -> None:
    session.execute(
        text(f"UPDATE {table} SET api_key_set_at = clock_timestamp() - make_interval(secs => :s) WHERE {where}"),
        {"s": days * 86_400},
    )
    session.expire_all()


@pytest.fixture
def keys(session: Session, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A provider with a key, one without, and an organisation's own key; at most 100 days old."""
    monkeypatch.setenv("LLM_KEY_MAX_AGE_DAYS", "100")
    config.get_config.cache_clear()
    facts: dict[str, Any] = {"display_name": "A", "kind": "openai", "available_models": ["m"], "is_active": True}
    found = {}
    for name, key in (("acme", KEY), ("bare", None)):
        row = providers.create(session, COMMAND_LINE, {"name": name, **facts, "api_key": key})
        found[name] = id_of(row)
    found["emea"] = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "emea", "name": "EMEA"}))
    organization_keys.set_api_key(session, COMMAND_LINE, found["emea"], found["acme"], KEY)
    return found


def told(session: Session) -> list[tuple[str, str | None]]:
    rows = session.execute(text("SELECT payload FROM notification_deliveries WHERE event = 'key.age' ORDER BY id"))
    return [(row.payload["data"]["provider"], row.payload["data"].get("organization")) for row in rows]


def test_the_border(session: Session, admin: Actor, keys: dict[str, int]) -> None:
    """At the day and not a moment before; of organisations too; without a key nothing; changing it begins anew; for admins alone."""
    assert keys
    named = lambda: [(key.provider, key.organization) for key in key_ages.too_old(session, admin)]  # noqa: E731 - asked four times
    age(session, "llm_providers", 99.99)
    age(session, "organization_providers", 100.01)
    assert named() == [("acme", "emea")]
    age(session, "llm_providers", 100.02)
    assert named() == [("acme", None), ("acme", "emea")]
    assert figures.read(session, get_ring()).keys_too_old == 2
    providers.set_api_key(session, COMMAND_LINE, keys["acme"], KEY + "2")
    session.flush()
    assert named() == [("acme", "emea")]
    organization_keys.remove_api_key(session, COMMAND_LINE, keys["emea"], keys["acme"])
    session.flush()
    assert named() == []
    with pytest.raises(Forbidden):
        key_ages.too_old(session, Actor("nobody", 999_999, 1))


def test_somebody_is_told_once_a_key(session: Session, keys: dict[str, int]) -> None:
    """14 days before, not earlier; once; a changed key again in its time; only who hears of it, and never the key."""
    for name, more in (("all", {}), ("other", {"events": ["spend.spike"]})):
        notifications.create(session, COMMAND_LINE, {"name": name, "url": f"https://{name}.example/x", **more})
    age(session, "llm_providers", 85.9)
    age(session, "organization_providers", 1)
    assert jobs.run("key-ages") == 0
    age(session, "llm_providers", 86.1)
    assert jobs.run("key-ages") == 1
    assert jobs.run("key-ages") == 0
    assert told(session) == [("acme", None)]
    providers.set_api_key(session, COMMAND_LINE, keys["acme"], KEY + "2")
    age(session, "organization_providers", 500)
    assert jobs.run("key-ages") == 1
    age(session, "llm_providers", 87)
    assert jobs.run("key-ages") == 1
    assert told(session) == [("acme", None), ("acme", "emea"), ("acme", None)]
    payloads = session.scalars(text("SELECT payload::text FROM notification_deliveries")).all()
    assert not any("sk-" in payload for payload in payloads)
    assert session.scalar(text("SELECT count(*) FROM key_notices")) == 2


def test_it_is_said_on_pages_and_in_words(session: Session, admin: Actor, keys: dict[str, int]) -> None:
    """Health has a row with the cure, Providers a note; a message says which key, since when and what to do."""
    assert keys
    age(session, "llm_providers", 101)
    health, listed = (
        everything(page(admin)) for page in (partial(open_page, "health"), partial(open_page, "providers"))
    )
    assert "API key of acme" in health
    assert "Too old" in health
    assert "older than 100 days: exchange it" in listed
    data = {
        "provider": "acme",
        "organization": "emea",
        "set": "2026-01-01T00:00:00+00:00",
        "ends": "2026-04-11T00:00:00+00:00",
    }
    words = outbox_words.of("key.age", {"data": {**data, "max_age_days": 100}})
    assert words.subject == "emea's own API key of acme gets too old: 2026-04-11"
    assert words.lines[0] == "It was set on 2026-01-01, and is older than 100 days from 2026-04-11 on."


def test_unset_no_key_is_too_old(
    session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch, keys: dict[str, int]
) -> None:
    """Nothing is named or told, and Health says why the work is not done; a wrong number ends a start."""
    assert keys
    age(session, "llm_providers", 5_000)
    monkeypatch.delenv("LLM_KEY_MAX_AGE_DAYS")
    config.get_config.cache_clear()
    assert key_ages.too_old(session, admin) == []
    assert jobs.run("key-ages") == 0
    assert "key-ages" in [state.job.name for state in jobs.states(session) if state.off]
    for wrong in ("0", "x", "-1", "3651"):
        with pytest.raises(BadConfig, match="LLM_KEY_MAX_AGE_DAYS must be a whole number from 1 to 3650"):
            config.check_at_start(config.Config.read({"LLM_KEY_MAX_AGE_DAYS": wrong}))
