"""A call with everything: another model, embeddings, a provider that stands in, tags and what belongs together."""

import json
from typing import Any

import pytest

from core import ai, logs, resolve
from core.actors import COMMAND_LINE
from core.ai import Tokens
from core.errors import CallFailed, Invalid, ProviderInactive, ProviderMissing
from core.manage import providers
from core.store import db
from tests.calls import WAYS, configure, logged, settle
from tests.conftest import run_async
from tests.vendors import TEXT, Status, Vendor

pytest_plugins = ["tests.calls"]


def change(name: str, **values: Any) -> None:
    """Change a provider, and wait until that is in force."""
    with db.transaction() as session:
        found = providers.get_by_name(session, name)
        assert found.id
        providers.update(session, COMMAND_LINE, found.id, values)
    settle()


@pytest.mark.parametrize("way", WAYS)
def test_another_model(store: str, vendor: Vendor, way: str) -> None:
    """It is what is asked, logged and said."""
    done = WAYS[way]("Hello", model="m2")

    assert done.model == vendor.asked[-1].body["model"] == "m2"
    assert [row["model"] for row in logged(store)] == ["m2"]


@pytest.mark.parametrize("way", [ai.embed, lambda *a, **k: run_async(ai.embed_async(*a, **k))])
@pytest.mark.parametrize(
    ("kind", "usage"), [("openai", Tokens(12, 0)), ("openai_compatible", Tokens(12, 0)), ("google", None)]
)
def test_embeddings(store: str, vendor: Vendor, kind: str, usage: Tokens | None, way: Any) -> None:
    """A vector for each text, in their order; one row of the log, which says what it is."""
    done = way(["a", "bcd"], provider=kind, model="m2", user_id=7, tags=["night"])

    assert done.vectors == [[1.0, 0.5], [3.0, 0.5]]
    assert (done.usage, done.cost, done.attempts, done.provider, done.model) == (usage, None, 1, kind, "m2")
    (row,) = logged(store)
    assert (row["operation"], row["status"], row["tags"], row["user_id"]) == ("embed", "ok", ["night"], "7")
    assert (row["input_tokens"], json.loads(row["prompt"])) == (usage and usage.input, ["a", "bcd"])
    assert row["parameters"] == {"model": "m2"}
    assert row["correlation_id"] == done.correlation_id
    assert "temperature" not in vendor.asked[0].body


@pytest.mark.usefixtures("store")
def test_what_cannot_be_embedded(vendor: Vendor) -> None:
    """A kind without embeddings, and what are no texts, are refused by name; fewer vectors than texts are no answer."""
    for texts, provider, field in (
        (["a"], "anthropic", "provider"),
        ([], "openai", "texts"),
        (["a", ""], "openai", "texts"),
        ("abc", "openai", "texts"),
        (["\ud83d"], "openai", "texts"),
    ):
        with pytest.raises(Invalid) as caught:
            ai.embed(texts, provider=provider)
        assert list(caught.value.fields) == [field]
    assert vendor.asked == []
    vendor.fail(Status(200, {}, {"object": "list", "data": [], "model": "m1"}))
    with pytest.raises(CallFailed) as failed:
        ai.embed(["a"])
    assert failed.value.reason == "not_understood"


@pytest.mark.parametrize("way", WAYS)
def test_a_provider_stands_in(store: str, vendor: Vendor, way: str) -> None:
    """After the retries of the first; every attempt is in the log, and all of it belongs together."""
    configure(max_retries=1, retry_backoff_ms=100)
    vendor.fail(503, 503)

    done = WAYS[way]("Hello", fallback=["anthropic", "google"], correlation_id="job-1")

    assert (done.text, done.provider, done.attempts) == (TEXT, "anthropic", 1)
    rows = logged(store)
    assert [(row["provider"], row["status"], row["attempts"]) for row in rows] == [
        ("openai", "error", 2),
        ("anthropic", "ok", 1),
    ]
    assert {row["correlation_id"] for row in rows} == {"job-1"}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("fault", "stands_in"),
    [
        (429, True),
        (500, True),
        ("reset", True),
        (401, True),
        (400, False),
        (404, False),
        (413, False),
        (422, False),
        ("html", False),
    ],
)
def test_when_another_is_asked(vendor: Vendor, fault: Any, stands_in: bool) -> None:
    """When the provider is unavailable; never for what the caller sent, which another would refuse as well."""
    configure(max_retries=0)
    vendor.fail(fault)

    if stands_in:
        assert ai.complete("Hello", fallback=["anthropic"]).provider == "anthropic"
        return
    with pytest.raises(CallFailed):
        ai.complete("Hello", fallback=["anthropic"])
    assert len(vendor.asked) == 1


@pytest.mark.usefixtures("store")
def test_settings_that_are_not_ready(vendor: Vendor) -> None:
    """An inactive provider is passed over; a name that does not exist is a mistake. Without fallback nothing is."""
    change("openai", is_active=False)

    assert ai.complete("Hello", fallback=["anthropic"]).provider == "anthropic"
    with pytest.raises(ProviderInactive):
        ai.complete("Hello")
    with pytest.raises(ProviderMissing):
        ai.complete("Hello", provider="nonesuch", fallback=["anthropic"])
    assert len(vendor.asked) == 1


@pytest.mark.usefixtures("store")
def test_the_last_one_fails_with_its_own_error(vendor: Vendor) -> None:
    """What stands in has no other to ask; a parameter that it does not have is no reason to fail."""
    configure(max_retries=0)
    vendor.fail(503, 400)
    with pytest.raises(CallFailed) as caught:
        ai.complete("Hello", fallback=["anthropic"])
    assert (caught.value.provider, caught.value.status) == ("anthropic", 400)

    vendor.fail(503)
    done = ai.complete("Hello", model="m2", presence_penalty=0.5, fallback=["anthropic"])
    assert (done.model, done.not_sent[-1]) == ("m1", "presence_penalty")


@pytest.mark.usefixtures("store")
def test_a_stream_that_has_begun_has_nobody_to_stand_in(vendor: Vendor) -> None:
    """After the first part the answer cannot be another's."""
    vendor.fail("half")
    parts = ai.stream("Hello", fallback=["anthropic"])
    with pytest.raises(CallFailed):
        list(parts)
    assert len(vendor.asked) == 1


def test_tags_and_what_belongs_together(store: str, vendor: Vendor) -> None:
    """They are in the answer and in the row; without any, each call has an id of its own."""
    first = ai.complete("Hello", tags=["night", "eu-1"])
    second = run_async(ai.complete_async("Hello"))

    assert first.tags == ("night", "eu-1")
    assert first.correlation_id != second.correlation_id
    assert [(row["tags"], row["correlation_id"], row["operation"]) for row in logged(store)] == [
        (["night", "eu-1"], first.correlation_id, "chat"),
        (None, second.correlation_id, "chat"),
    ]
    assert len(vendor.asked) == 2


def test_calls_of_ones_own_client(store: str) -> None:
    """`logs.record` writes what core.ai would: by the same levels and scrubbing, with cost, tokens and error."""
    settings = resolve.resolve("openai")
    key = settings.api_key()

    made = logs.record(
        settings,
        latency_ms=120.4,
        prompt=[{"role": "user", "content": f"my key is {key}"}],
        response="Hi.",
        usage={"input": 12, "output": 9},
        tags=["own"],
        user_id=3,
    )
    logs.record(settings, latency_ms=5, error=TimeoutError("it took too long"), usage={"input": 12, "output": 2.5})
    logs.record(settings, latency_ms=5, cancelled=True, operation="embed")
    configure("openai", enable_logging=False)
    logs.record(resolve.resolve("openai"), latency_ms=5)

    one, two, three = logged(store)
    assert (one["status"], one["latency_ms"], one["response"], one["input_tokens"]) == ("ok", 120, "Hi.", 12)
    assert (one["tags"], one["user_id"], one["correlation_id"], one["model"]) == (["own"], "3", made, "m1")
    assert key not in one["prompt"]
    assert one["cost"] is None
    assert (two["status"], two["error"], two["token_usage"]) == ("error", "TimeoutError: it took too long", None)
    assert (three["status"], three["operation"]) == ("cancelled", "embed")


def test_what_cannot_be_recorded(store: str) -> None:
    """It is refused by name: a row that the database would refuse is never queued."""
    settings = resolve.resolve("openai")
    for how, field in (
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": 1, "attempts": -1}, "latency_ms"),
        ({"latency_ms": 1, "operation": "poem"}, "operation"),
    ):
        with pytest.raises(Invalid) as caught:
            logs.record(settings, **how)  # type: ignore[arg-type]  # that is the point
        assert list(caught.value.fields) == [field]
    assert logged(store) == []


@pytest.mark.usefixtures("store")
def test_embeddings_that_nobody_counted(vendor: Vendor) -> None:
    """Servers leave the usage out, or give null (Prism-Shadow/agenthub#144): it is not known."""
    row = {"object": "embedding", "index": 0, "embedding": [0.5]}
    for usage in ({}, {"usage": None}, {"usage": {"prompt_tokens": None}}):
        vendor.fail(Status(200, {}, {"object": "list", "data": [row], "model": "m1", **usage}))
        done = ai.embed(["a"])
        assert (done.vectors, done.usage, done.cost) == ([[0.5]], None, None)
