"""All who send or show a request say the same: what core.ai sends, request_options(), REST and the reasons."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from api import wire
from api.names import camel
from core import ai
from core.kinds import facts_of
from core.models import apis, catalogue
from core.models.facts import known
from core.resolving.options import body as body_of
from core.resolving.words import EXTRA
from core.store.tables import LlmProvider
from core.testing import override
from tests.vendors import KEY, Vendor

KIND_OF = {"openai": "openai", "anthropic": "anthropic", "google": "google", "azure": "azure_openai"}
SEEDED = [(vendor.kind, model) for vendor in catalogue.SEEDED for model in vendor.models]
MOST = 300
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 1.7, "top_p": 0.4, "presence_penalty": 0.5, "max_tokens": 900_000},
    {"top_p": 0.4, "omitted_parameters": ["max_tokens", "frequency_penalty"]},
    {"temperature": 0.2, "custom_settings": {"reasoning_effort": "low", "thinking": {"type": "enabled"}}},
    {"top_p": 0.4, "extra_parameters": {"top_k": 5, "maxOutputTokens": 77, "presencePenalty": 0.5, "gone": None}},
    {"reasoning_effort": "low", "stop": ["END", "\n", "a", "b", "c", "d"], "temperature": 0.3},
    {"reasoning_effort": "none", "temperature": 0.3},
    {"extra_parameters": {"seed": 7, "max_tokens": 900_000, "temperature": 1.9}},
)
"""What an admin may have set; each model is tried with one of them."""
NOT_PARAMETERS = {"messages", "contents", "model", "stream", "safetySettings", "systemInstruction"}


def _catalogue() -> list[tuple[str, str]]:
    rows = [(api, name) for api, models in known().catalogue.rows.items() for name in models]
    return random.Random(20).sample(sorted(rows), min(MOST, len(rows)))


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor that has every model, and whose host can be taken for any vendor's."""
    monkeypatch.setattr(apis, "_EXACT", dict(apis._EXACT))
    with Vendor(models=tuple({name for _, name in (*SEEDED, *_catalogue())})) as found:
        yield found
    apis.api_of.cache_clear()


def _body(vendor: Vendor, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = vendor.asked[-1].body
    beside = {name: value for name, value in found.items() if name != "generationConfig"}
    return {**beside, **found.get("generationConfig", {})} if kind == "google" else found


@pytest.mark.long
@pytest.mark.parametrize("models", [SEEDED, _catalogue()], ids=["seeded", "catalogue"])
def test_all_say_the_same(vendor: Vendor, models: list[tuple[str, str]]) -> None:
    """For every model that is seeded, and for hundreds of the catalogue, whatever an admin has set."""
    wrong = []
    for number, (api, model) in enumerate(models):
        kind = KIND_OF.get(api, "openai_compatible")
        apis._EXACT["127.0.0.1"] = api
        apis.api_of.cache_clear()
        values = SETTINGS[number % len(SETTINGS)]
        with override("acme", kind=kind, model=model, base_url=vendor.base_url(kind), api_key=KEY, **values) as answer:
            done = ai.complete("Hello", provider="acme")
            body = {name: value for name, value in _body(vendor, kind).items() if name not in NOT_PARAMETERS}
            options = answer.request_options()
            shown = wire.effective(answer, _ROW, brief=True, explain=True)
        spell = camel if kind == "google" else str
        config = options.pop("config", {})
        beside = {**options.pop("extra_body", {}), **config.pop("http_options", {}).get("extra_body", {})}
        flat = {**config, **beside, **options}
        assert flat.pop("model") == shown["request"]["model"] == model
        request = {spell(name): value for name, value in shown["request"].items() if name != "model"}
        sent = {item.name for item in answer.explain() if item.sent} - {"model"}
        theirs = {name: facts_of(kind).names.get(name) or name.removeprefix(EXTRA) for name in sent}
        renamed = {each.parameter: each.to for each in answer.adjustments if each.what == "renamed"}
        shown_body = {**(_shown := body_of(kind, answer.request_options())[1]), **_shown.get("generationConfig", {})}
        shown_body = {n: v for n, v in shown_body.items() if n not in NOT_PARAMETERS and n != "generationConfig"}
        reasons = {spell(str(renamed.get(name, theirs[name])).partition(".")[0]) for name in sent}
        if not (
            body == shown_body
            and _plain(body) == {spell(name): _plain(value) for name, value in flat.items()}
            and _plain(body) == {name: _plain(value) for name, value in request.items()}
            and reasons == set(body)
        ):
            wrong.append((api, model, values, body, flat, request, reasons))
        if done.adjustments != answer.adjustments or len(shown["adjustments"]) != len(answer.adjustments):
            wrong.append((api, model, values, done.adjustments, answer.adjustments))

    assert wrong == []
    assert len(vendor.calls()) == len(models)


def _plain(value: Any) -> Any:
    """Return a value without the capitals in which Google's SDK writes a level of thinking."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value.lower() if isinstance(value, str) else value


_ROW: dict[str, Any] = {**dict.fromkeys(LlmProvider.model_fields), "id": 1, "name": "acme", "is_active": True}
