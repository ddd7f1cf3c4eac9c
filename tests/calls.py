"""What tests of calls share: a vendor, a database with a provider of each kind at it, and each way to call.

A test file takes the fixtures by ``pytest_plugins = ["tests.calls"]``.
"""

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlmodel import Session

from core import ai, config, logs, resolve
from core.actors import COMMAND_LINE
from core.ai import Completion
from core.calling import gates, log_writer, teller
from core.crypto import Place
from core.kinds import KINDS, origin_of
from core.manage import providers
from core.manage import settings as rows
from core.resolve import Resolver
from core.store import db
from tests.clusters import RING, connect
from tests.conftest import ENCRYPTION_KEY, fresh_database, run_async
from tests.databases import databases_of
from tests.stores import sealing_with
from tests.vendors import KEY, Vendor


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor that serves."""
    with Vendor() as vendor:
        yield vendor


@pytest.fixture(scope="session")
def of_kinds(server: str) -> Iterator[str]:
    """Name of a database in which each kind has a provider of its name; the store of each test of calls is a copy of it."""
    with fresh_database(server) as url:
        engine = db.make_engine(url)
        with sealing_with(ENCRYPTION_KEY), Session(engine) as session, session.begin():
            for kind in KINDS:
                made = {"name": kind, "display_name": kind, "kind": kind, "api_base_url": f"https://{kind}.invalid"}
                models = {"available_models": ["m1", "gone"], "default_model": "m1", "api_key": KEY}
                providers.create(session, COMMAND_LINE, {**made, **models})
            values = {"retry_backoff_ms": 100, "max_retries": 2, "request_timeout_ms": 10_000}
            rows.upsert_global(session, COMMAND_LINE, None, values)
        engine.dispose()
        name = url.partition("?")[0].rpartition("/")[2]
        yield name
        databases_of(server).forget(name)


@pytest.fixture
def store(server: str, of_kinds: str, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database in which each kind has a provider of its name, at the vendor; yields its URL. Calls are logged there."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    with fresh_database(server, of_kinds) as url:
        _move_to(vendor, url)
        engine = db.make_engine(url)
        monkeypatch.setattr(db, "get_engine", lambda: engine)
        resolver, writer, telling = Resolver(url), log_writer.Writer(url), teller.Teller(url)
        monkeypatch.setattr(resolve, "resolver", resolver)
        monkeypatch.setattr(log_writer, "_writer", writer)
        monkeypatch.setattr(teller, "teller", telling)
        monkeypatch.setattr(gates, "gates", gates.Gates())
        settle()
        yield url
        resolver._stop.set()  # its thread ends by itself within half a second: nobody waits for it here
        writer.close()
        telling.close()
        engine.dispose()


def _move_to(vendor: Vendor, url: str) -> None:
    with connect(url) as connection, connection.transaction():
        for number, kind in connection.execute("SELECT id, kind FROM llm_providers").fetchall():
            at = vendor.base_url(kind)
            sealed = RING.seal(KEY, Place("llm_providers", number, "api_key", origin_of(kind, at)))
            connection.execute(
                "UPDATE llm_providers SET api_base_url = %s, api_key_encrypted = %s, api_key_key_id = %s,"
                " api_key_binding = %s WHERE id = %s",
                [at, *sealed, number],
            )


def configure(kind: str | None = None, **values: Any) -> None:
    """Change the settings of a provider, or of all, and wait until they are in force here."""
    with db.transaction() as session:
        provider_id = None if kind is None else providers.get_by_name(session, kind).id
        rows.upsert_global(session, COMMAND_LINE, provider_id, values)
    settle()


def settle() -> None:
    """Wait until what is stored is in force here."""
    with psycopg.connect(str(resolve.resolver._url)) as connection:
        found = connection.execute("SELECT generation FROM settings_generation").fetchone()
    assert found
    assert resolve.resolver.wait_for(found[0], 10)


def are_gone(loops: Iterable[weakref.ref[Any]]) -> bool:
    """Tell whether nothing holds these event loops any more, once their circles are collected.

    Ask until it is so: a collection that another thread makes at the same time lets this one do nothing. What other tests
    have left in this process is not asked for.
    """
    gc.collect()
    return all(loop() is None for loop in loops)


def logged(url: str) -> list[dict[str, Any]]:
    """The request log, once all is written."""
    assert logs.flush(10)
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM llm_logs ORDER BY id").fetchall()


def spent(url: str) -> list[dict[str, Any]]:
    """What calls have cost, once all is told: a row for each combination, in their order."""
    assert logs.told(10), logs.untold()
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(
            "SELECT * FROM llm_spend ORDER BY slot, organization_id, feature, provider, model, outcome, cost_centre"
        ).fetchall()


def _sync(prompt: Any, **how: Any) -> Completion:
    return ai.complete(prompt, **how)


def _async(prompt: Any, **how: Any) -> Completion:
    return run_async(ai.complete_async(prompt, **how))


def _stream(prompt: Any, **how: Any) -> Completion:
    stream = ai.stream(prompt, **how)
    parts = list(stream)
    assert stream.completion is not None
    assert "".join(parts) == stream.completion.text
    assert len(parts) > 1
    return stream.completion


def _stream_async(prompt: Any, **how: Any) -> Completion:
    async def read() -> Completion:
        stream = ai.stream_async(prompt, **how)
        parts = [part async for part in stream]
        assert stream.completion is not None
        assert "".join(parts) == stream.completion.text
        return stream.completion

    return run_async(read())


WAYS: Mapping[str, Callable[..., Completion]] = {
    "sync": _sync,
    "async": _async,
    "stream": _stream,
    "stream_async": _stream_async,
}
