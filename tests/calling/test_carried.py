"""Headers, query parameters and a changed key, on the wire: by core.ai, by each SDK and by the connection test alike."""

import logging
import pickle
import time
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from core import ai, redaction, resolve
from core.actors import COMMAND_LINE
from core.calling.clients import clients
from core.errors import KeyNotReadable
from core.kinds import KINDS, facts_of
from core.manage import connection, next_keys, provider_secrets, providers
from core.resolving import snapshot_file
from core.store import db
from tests.calls import logged, settle
from tests.clusters import soon
from tests.vendors import Asked, Status, Vendor

pytest_plugins = ["tests.calls"]

SECRET = "gw-canary-fedcba9876543210"
NEW = "sk-proj-next-0123456789abcdefghijklmnopqrstuvwxyz"


def carry(kind: str) -> None:
    """Give the provider of that name a plain header, a sealed one, and where the SDK takes one a query parameter."""
    with db.transaction() as session:
        number = providers.get_by_name(session, kind).id or 0
        put = provider_secrets.set_value
        put(session, COMMAND_LINE, number, "header", "X-Team", value="blue", sealed=False)
        put(session, COMMAND_LINE, number, "header", "Ocp-Apim-Subscription-Key", value=SECRET, sealed=True)
        if facts_of(kind).takes_query:
            put(session, COMMAND_LINE, number, "query", "api-version", value="2099-01-01", sealed=False)
            put(session, COMMAND_LINE, number, "query", "sig", value=SECRET, sealed=True)
    settle()


def has_all(asked: Asked, kind: str) -> bool:
    """Whether a request has what `carry` gave, and each once."""
    there = asked.headers["x-team"] == "blue" and asked.headers["ocp-apim-subscription-key"] == SECRET
    if facts_of(kind).takes_query:
        there &= asked.path.count("api-version=2099-01-01") == asked.path.count(f"sig={SECRET}") == 1
        there &= asked.path.count("api-version=") == 1
    return there


def _google(client: genai.Client) -> None:
    list(client.models.list())  # the client closes once nobody holds it


CLIENTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "OpenAI": lambda options: openai.OpenAI(**options).models.list(),
    "AzureOpenAI": lambda options: openai.AzureOpenAI(**options).chat.completions.create(
        model="m1", messages=[{"role": "user", "content": "Hi"}]
    ),
    "Anthropic": lambda options: anthropic.Anthropic(**options).models.list(),
    "Client": lambda options: _google(genai.Client(**options)),
}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_it_arrives_each_way(vendor: Vendor, kind: str) -> None:
    """core.ai, also asynchronous and streamed; the real SDK by client_options(); the connection test: each request has all."""
    carry(kind)
    ai.complete("Hi", provider=kind)
    assert "".join(ai.stream("Hi", provider=kind))
    with db.transaction() as session:
        target = connection.prepare(session, COMMAND_LINE, providers.get_by_name(session, kind).id)
    assert connection.run(target).state == "verified"
    options = resolve.resolve(kind).client_options()
    CLIENTS[str(facts_of(kind).client)](options)

    assert len(vendor.asked) >= 4
    assert [has_all(asked, kind) for asked in vendor.asked] == [True] * len(vendor.asked)


@pytest.mark.usefixtures("store")
def test_a_changed_header_is_sent_with_the_next_call(vendor: Vendor) -> None:
    """No client of before goes on with the old value; a removed one is not sent any more."""
    carry("openai")
    ai.complete("Hi", provider="openai")
    with db.transaction() as session:
        number = providers.get_by_name(session, "openai").id or 0
        provider_secrets.set_value(session, COMMAND_LINE, number, "header", "x-team", value="red", sealed=False)
        provider_secrets.remove_value(session, COMMAND_LINE, number, "header", "ocp-apim-subscription-key")
    settle()
    ai.complete("Hi", provider="openai")

    last = vendor.asked[-1].headers
    assert (last["x-team"], "ocp-apim-subscription-key" in last) == ("red", False)


@pytest.mark.usefixtures("store")
def test_a_header_that_cannot_be_opened_stops_the_call(vendor: Vendor) -> None:
    """Moved by SQL to another name: nothing is sent, the status and the connection test say which one, and why."""
    carry("openai")
    with db.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE llm_provider_secrets SET name = 'X-Echo' WHERE use = 'header' AND value_encrypted IS NOT NULL"
        )
    settle()
    settings = resolve.resolve("openai")
    assert settings.status == "key_unreadable"
    assert "header X-Echo cannot be opened: it belongs to another row" in str(settings.cure)
    for attempt in (settings.client_options, lambda: ai.complete("Hi", provider="openai")):
        with pytest.raises(KeyNotReadable, match="X-Echo"):
            attempt()
    with db.transaction() as session:
        target = connection.prepare(session, COMMAND_LINE, providers.get_by_name(session, "openai").id)
    report = connection.run(target)

    assert report.state != "verified"
    assert "X-Echo" in next(stage.words for stage in report.stages if stage.name == "key")
    assert vendor.asked == []


def test_a_sealed_header_is_nowhere_else(
    store: str, vendor: Vendor, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """CHECKS 34: the canary is in no log, error, report, row, pickle or snapshot file, though the vendor repeats it."""
    caplog.set_level(logging.DEBUG)
    carry("openai_compatible")
    vendor.fail(*[Status(400, {}, {"error": {"message": f"bad header {SECRET}", "type": "x"}})] * 2)
    seen = []
    for how in (ai.complete, lambda *a, **k: list(ai.stream(*a, **k))):
        try:
            how("Hi", provider="openai_compatible")
        except Exception as error:  # noqa: BLE001 - its texts are looked at
            seen.append(f"{error!r} {error} {error.__dict__} {error.__cause__!r} {error.__context__!r}")
    ai.complete("Hi", provider="openai_compatible")
    settings = resolve.resolve("openai_compatible")
    for thing in (settings, settings.carried(), resolve.resolver._snapshot):
        try:
            seen.append(pickle.dumps(thing).decode("latin-1"))
        except TypeError as error:
            seen.append(str(error))
    seen += [repr(settings), str(settings.as_dict()), repr(settings.carried()), str(settings.explain())]
    with db.transaction() as session:
        row = providers.get_by_name(session, "openai_compatible")
        report = connection.run(connection.prepare(session, COMMAND_LINE, row.id))
        seen.append(repr(report))
        tables = session.connection().exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables.all():
            rows = session.connection().exec_driver_sql(f"SELECT to_jsonb(t)::text FROM {table} t")
            seen += [text for (text,) in rows]
    assert resolve.resolver._snapshot is not None
    snapshot_file.write(tmp_path / "snapshot", resolve.resolver._snapshot, time.time())
    seen += [(tmp_path / "snapshot").read_text(), str(logged(store)), redaction.scrub(caplog.text)]

    assert sum(SECRET in asked.headers.values() for asked in vendor.asked) >= 4
    hits = [text[max(0, text.find(SECRET) - 60) :][:160] for text in seen if SECRET in text]
    assert hits == []


@pytest.mark.usefixtures("store")
def test_a_promoted_key_takes_the_old_one_out_of_memory(vendor: Vendor) -> None:
    """Its client goes with its last call, and what keeps secrets out of the log forgets it: within a second."""
    old = "".join(["sk-proj-", "older-", "0123456789abcdef" * 2])
    vendor.keys[:] = [old, NEW]
    with db.transaction() as session:
        number = providers.get_by_name(session, "openai").id or 0
        providers.set_api_key(session, COMMAND_LINE, number, old)
        next_keys.add(session, COMMAND_LINE, number, NEW)
    settle()
    ai.complete("Hi", provider="openai")
    assert any(wanted.key == old for wanted in clients.shared)
    with db.transaction() as session:
        next_keys.promote(session, COMMAND_LINE, number)
    settle()
    with db.transaction() as session:
        next_keys.retire(session, COMMAND_LINE, number)
    settle()

    soon(lambda: not any(wanted.key == old for wanted in clients.shared) and old not in redaction._passing, 20)
    assert not any(old in needle for needle in redaction._needles(redaction._pinned + redaction._passing))
    vendor.asked.clear()
    ai.complete("Hi", provider="openai")
    assert [asked.headers["authorization"] for asked in vendor.asked] == [f"Bearer {NEW}"]
