"""A second key beside the current one: added, promoted and retired without an outage, and all of it on record."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core import redaction
from core.actors import COMMAND_LINE, Actor
from core.crypto import get_ring
from core.errors import Conflict, Invalid, KeyUnreadable, NotFound
from core.manage import next_keys, provider_secrets, providers
from core.resolve import Resolver
from core.store import db
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmProvider

OLD = "sk-canary-0123456789abcdef-0123456789abcdef"
NEW = "sk-canary-fedcba9876543210-fedcba9876543210"
THIRD = "sk-canary-00112233445566778899aabbccddeeff"


def _data(**more: Any) -> dict[str, Any]:
    data = {"name": "openai", "display_name": "OpenAI", "kind": "openai", "available_models": ["m1"]}
    return data | {"default_model": "m1", "api_key": OLD} | more


@pytest.fixture
def provider(session: Session, admin: Actor) -> LlmProvider:
    return providers.create(session, admin, _data())


def _events(session: Session) -> list[tuple[str, dict[str, Any]]]:
    found = select(AuditEvent).where(col(AuditEvent.action).like("provider.%key")).order_by(col(AuditEvent.id))
    return [(event.action, event.changes) for event in session.exec(found)]


def _shown(plain: str) -> str:
    return f"sk-cana...**** #{get_ring().fingerprint(plain)}"


def test_add_promote_retire_is_an_exchange(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """At each step the current key is the one expected, and the audit tells by both fingerprints which it was."""
    number = id_of(provider)
    entered, version = provider.api_key_set_at, provider.version
    row = next_keys.add(session, admin, number, NEW)
    assert (row.name, providers.open_api_key(session, number)) == ("next", OLD)

    promoted = next_keys.promote(session, admin, number, version=row.version)
    assert (providers.open_api_key(session, number), promoted.version) == (NEW, version + 1)
    second = next_keys.get(session, number)
    assert second is not None
    assert (second.name, second.value_set_at, second.version) == ("former", entered, 2)
    assert provider_secrets.open_value(promoted, second) == OLD

    next_keys.retire(session, admin, number, version=second.version)
    assert next_keys.get(session, number) is None
    assert providers.open_api_key(session, number) == NEW
    assert _shown(OLD) != _shown(NEW)
    assert _events(session) == [
        ("provider.add_key", {"next key": {"before": None, "after": _shown(NEW)}}),
        (
            "provider.promote_key",
            {
                "api_key": {"before": _shown(OLD), "after": _shown(NEW)},
                "former key": {"before": None, "after": _shown(OLD)},
            },
        ),
        ("provider.retire_key", {"former key": {"before": _shown(OLD), "after": None}}),
    ]


def test_a_promotion_can_be_taken_back(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """The new key does not work after all: promoting once more has the former one in force again."""
    next_keys.add(session, admin, id_of(provider), NEW)
    next_keys.promote(session, admin, id_of(provider))
    next_keys.promote(session, admin, id_of(provider))

    assert providers.open_api_key(session, id_of(provider)) == OLD
    second = next_keys.get(session, id_of(provider))
    assert second is not None
    assert provider_secrets.open_value(provider, second) == NEW


def test_what_makes_no_sense_is_refused_with_the_way_out(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Each refusal names the step that is to come first, and changes nothing."""
    number = id_of(provider)

    def refused(words: str, attempt: Any, *args: Any) -> None:
        with pytest.raises(Invalid, match=words):
            attempt(session, admin, number, *args)

    refused("only key", next_keys.retire)
    refused("no next key", next_keys.promote)
    refused("current key", next_keys.add, f" {OLD} ")
    refused("mask", next_keys.add, "sk-cana...****")
    refused("10 to 8,192", next_keys.add, "short")
    row = next_keys.add(session, admin, number, NEW)
    row = next_keys.add(session, admin, number, THIRD)  # one that was never in force is exchanged
    assert row.version == 2
    refused("promote that one, or retire it first", providers.remove_api_key)
    next_keys.promote(session, admin, number)
    refused("retire that one first", next_keys.add, NEW)
    assert providers.open_api_key(session, number) == THIRD

    bare = providers.create(session, admin, _data(name="bare", api_key=None))
    number = id_of(bare)
    refused("no current key", next_keys.add, NEW)
    number = 999_999
    for attempt in (next_keys.promote, next_keys.retire):
        with pytest.raises(NotFound):
            attempt(session, admin, number)


def test_a_stale_step_is_not_taken(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Somebody was faster: the second key is not the one that was looked at any more."""
    number = id_of(provider)
    row = next_keys.add(session, admin, number, NEW)
    next_keys.add(session, admin, number, THIRD)

    for step in (next_keys.promote, next_keys.retire):
        with pytest.raises(Conflict):
            step(session, admin, number, version=row.version - 1)
    assert providers.open_api_key(session, number) == OLD


def test_a_key_that_cannot_be_opened_is_not_exchanged(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Neither half of an exchange is lost: it is refused with the reason, and both stay as they are."""
    number = id_of(provider)
    next_keys.add(session, admin, number, NEW)
    session.execute(text("UPDATE llm_provider_secrets SET provider_id = provider_id, value_key_id = 'ffffffff'"))
    session.expire_all()

    with pytest.raises(KeyUnreadable, match="the next key"):
        next_keys.promote(session, admin, number)
    assert providers.open_api_key(session, number) == OLD
    next_keys.retire(session, admin, number)


def test_retiring_forgets_the_key_in_this_process(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """What keeps secrets out of the log holds the key no longer."""
    number = id_of(provider)
    next_keys.add(session, admin, number, NEW)
    next_keys.promote(session, admin, number)
    assert OLD in redaction._passing
    next_keys.retire(session, admin, number)

    assert OLD not in redaction._passing
    assert not any(OLD in needle for needle in redaction._needles(redaction._pinned + redaction._passing))
    assert NEW in redaction._passing


@pytest.mark.long
def test_promoted_while_eight_threads_call(committed: str) -> None:
    """Every call has one of the two keys, whole, and from some moment on the new one alone."""
    with db.transaction() as session:
        number = id_of(providers.create(session, COMMAND_LINE, _data()))
        next_keys.add(session, COMMAND_LINE, number, NEW)
    resolver = Resolver(committed)
    assert resolver.resolve("openai").api_key() == OLD
    stop, seen, failed = threading.Event(), [[] for _ in range(8)], []

    def call(mine: list[str]) -> None:
        try:
            while not stop.is_set():
                key = resolver.resolve("openai").client_options()["api_key"]
                if not mine or mine[-1] != key:
                    mine.append(key)
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    crew = [threading.Thread(target=call, args=(mine,)) for mine in seen]
    for thread in crew:
        thread.start()
    with db.transaction() as session:
        next_keys.promote(session, COMMAND_LINE, number)
    with psycopg.connect(committed) as connection:
        row = connection.execute("SELECT generation FROM settings_generation").fetchone()
    assert row is not None
    is_there = resolver.wait_for(row[0], 15)
    with db.transaction() as session:
        next_keys.retire(session, COMMAND_LINE, number)
    stop.wait(0.1)
    stop.set()
    for thread in crew:
        thread.join()
    last = resolver.resolve("openai").api_key()
    resolver.close()

    assert (is_there, failed, last) == (True, [], NEW)
    assert all(mine in ([OLD, NEW], [NEW]) for mine in seen), "back and forth, or neither"
