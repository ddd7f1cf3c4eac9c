"""Extra request parameters are sent as they are; what is one of our own obeys the rules of that one."""

from typing import Any

import pytest
from google.genai.types import GenerateContentConfig
from sqlalchemy import text
from sqlmodel import Session

from core import ai
from core.actors import Actor
from core.errors import Invalid
from core.kinds import KINDS
from core.manage import providers, settings
from core.resolving.extra import RESERVED, split, twice
from core.resolving.words import state_of, warnings_of
from core.store.schemas import SettingsInput, validate
from core.testing import override
from tests.vendors import KEY, Vendor

HOST = "https://host.example"
ACME = {
    "name": "acme",
    "display_name": "Acme",
    "kind": "openai_compatible",
    "api_base_url": HOST,
    "available_models": ["m"],
    "default_model": "m",
}


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        ({"model": "m"}, "may not have model: it has a row of its own"),
        ({"messages": []}, "the program writes what is asked"),
        ({"systemInstruction": "x"}, "the program writes what is asked"),
        ({"stream": True}, "each call decides it"),
        ({"api_key": "x"}, "keys, headers, query parameters and addresses are the provider's"),
        ({"Extra-Headers": {}}, "keys, headers, query parameters and addresses are the provider's"),
        ({"extra_body": {}}, "write what stands in it here"),
        ({"temperature": 9}, "has temperature, which must be a number from 0 to 2"),
        ({"maxOutputTokens": "many"}, "has maxOutputTokens, which must be a whole number from 1 to 1000000"),
        ({"seed": 7, "temperature": 9}, "has temperature, which must be a number from 0 to 2"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "which are the same parameter: name it once"),
        ({"": 1}, "must have names of 1 to 100 printable characters"),
        ({" a": 1}, "must have names of 1 to 100 printable characters"),
        ({"a ": 1}, "must have names of 1 to 100 printable characters"),
        ({"a\nb": 1}, "must have names of 1 to 100 printable characters"),
        ({"a" * 101: 1}, "must have names of 1 to 100 printable characters"),
        ({"a": "x" * 16_384}, "must be at most 16 KB"),
        ({"a": {"b": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}}, "must be at most 20 levels deep"),
        ({"a": float("nan")}, "must hold JSON only"),
        ([], "must be a JSON object"),
    ],
)
def test_what_is_refused(extra: object, rule: str) -> None:
    """By the field and the rule, with the reason."""
    with pytest.raises(Invalid) as refused:
        validate(SettingsInput, {"extra_parameters": extra})

    assert rule in refused.value.fields["extra_parameters"]
    assert list(refused.value.fields) == ["extra_parameters"]


@pytest.mark.parametrize(
    "extra", [{}, {"seed": 7}, {"a": None}, {"temperature": None}, {"max_tokens": 5}, {"a" * 100: 1}, None]
)
def test_what_is_accepted(extra: object) -> None:
    """Any name that nobody else decides; null takes back what is inherited."""
    assert validate(SettingsInput, {"extra_parameters": extra}).extra_parameters == extra


def test_one_parameter_has_one_place_in_a_row(session: Session, admin: Actor) -> None:
    """A row with a temperature takes none among its extra parameters, whichever came first."""
    row = settings.upsert_global(session, admin, None, {"temperature": 0.5})
    with pytest.raises(Invalid) as refused:
        settings.update(session, admin, row.id or 0, {"extra_parameters": {"temperature": 0.2}})
    assert "name it once" in refused.value.fields["extra_parameters"]

    settings.update(session, admin, row.id or 0, {"temperature": None, "extra_parameters": {"temperature": 0.2}})
    with pytest.raises(Invalid):
        settings.update(session, admin, row.id or 0, {"temperature": 0.5})


@pytest.mark.parametrize(
    ("extra", "row", "rule"),
    [
        ({"seed": 1}, {"temperature": 0.5, "seed": 1}, None),
        ({"temperature": 0.2}, {}, None),
        ({"temperature": 0.2}, {"temperature": None, "top_p": 0.5}, None),
        ({"temperature": None}, {"temperature": 0.5}, None),
        ({"temperature": 0.2}, {"temperature": 0.0}, "has temperature, which is Temperature, and that has a value"),
        ({"seed": 1, "maxOutputTokens": 5}, {"max_tokens": 9}, "has maxOutputTokens, which is Max tokens"),
    ],
)
def test_what_stands_in_two_places(extra: dict[str, Any], row: dict[str, Any], rule: str | None) -> None:
    """A value in both is one too many, 0 too; null, and what is no parameter of ours, is none."""
    broken = twice(extra, row)

    assert (broken or "").startswith(rule or "")
    assert (broken is None) is (rule is None)


def test_layers_merge_by_key(session: Session, admin: Actor) -> None:
    """The provider's own entry counts more, null takes one back, and every entry says where it comes from."""
    provider = providers.create(session, admin, ACME)
    for scope, extra in ((None, {"seed": 1, "user": "all", "top_k": 3}), (provider.id, {"seed": 2, "user": None})):
        settings.upsert_global(session, admin, scope, {"extra_parameters": extra})

    found = settings.effective(session, "acme")
    items = {item.name: item for item in found.explain()}

    assert found.extra_parameters == found.as_dict()["extra_parameters"] == {"seed": 2, "top_k": 3, "user": None}
    assert found.request_options()["extra_body"] == {"seed": 2, "top_k": 3}
    assert items["extra_parameters.seed"].source.layer == "provider"
    assert [value for _, value in items["extra_parameters.seed"].shadows] == [1]
    assert [state_of(items[f"extra_parameters.{name}"]) for name in ("seed", "user")] == ["sent", "not set"]


def test_a_parameter_of_our_own_obeys_its_rules() -> None:
    """It is renamed, brought into the range, left out and omitted as if it stood in its own row."""
    with override(
        "a", kind="anthropic", model="claude-3-7-sonnet-latest", extra_parameters={"temperature": 1.5}
    ) as found:
        assert (found.temperature, found.source("temperature").layer) == (1.5, "provider")
        assert found.adapted().sent["temperature"] == 1.0
        assert "temperature 1.5 is sent to" in warnings_of(found)[0]
    with override("a", kind="openai", model="gpt-6.1-sol", extra_parameters={"max_tokens": 9, "top_p": 0.1}) as found:
        assert found.request_options() == {"model": "gpt-6.1-sol", "max_completion_tokens": 9}
        assert "top_p 0.1 is not sent" in warnings_of(found)[0]
    omitted: dict[str, Any] = {"extra_parameters": {"topP": 0.1}, "omitted_parameters": ["top_p"]}
    with override("a", kind="openai_compatible", base_url=HOST, model="m", **omitted) as found:
        assert "top_p" not in found.request_options()


def test_another_parameter_counts_for_what_depends_on_it() -> None:
    """With reasoning turned off there a temperature is sent, and without it is not."""
    for extra, is_sent in (({}, False), ({"thinking": {"type": "disabled"}}, True)):
        with override(
            "a", kind="openai_compatible", base_url="https://api.deepseek.com", model="deepseek-v4-pro",
            temperature=0.5, extra_parameters=extra,
        ) as found:  # fmt: skip
            assert ("temperature" in found.request_options()) == is_sent
            assert found.request_options().get("extra_body", {}) == extra


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_counts_more(kind: str) -> None:
    """What a call adds by the same name takes its place; None leaves it out."""
    with override("a", kind=kind, base_url=HOST, model="m", extra_parameters={"seed": 7, "odd": 1}) as found:
        flat = [_flat(found.request_options(**more)) for more in ({}, {"seed": 8}, {"seed": None, "odd": 2})]

    assert [(one.get("seed"), one.get("odd")) for one in flat] == [(7, 1), (8, 1), (None, 2)]


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    config = options.pop("config", {})
    body = {**config.pop("http_options", {}).get("extra_body", {}), **options.pop("extra_body", {})}
    return {**options, **config, **body}


@pytest.mark.parametrize("kind", KINDS)
def test_every_sdk_sends_it(kind: str) -> None:
    """What the vendor receives has the entry that its SDK has an argument for, and the one that it has not."""
    with (
        Vendor(models=("m",)) as vendor,
        override(
            "a", kind=kind, base_url=vendor.base_url(kind), model="m", api_key=KEY, extra_parameters=_EXTRA
        ) as found,
    ):
        ai.complete("Hello", provider="a")
        body = vendor.asked[-1].body
        kept = found.request_options()

    place = body["generationConfig"] if kind == "google" else body
    assert {**body, **place}["odd_one"] == {"a": 1}
    assert (
        place["seed" if kind != "anthropic" else "service_tier"]
        == _EXTRA["seed" if kind != "anthropic" else "service_tier"]
    )
    assert kept == found.request_options()


_EXTRA: dict[str, Any] = {"seed": 7, "odd_one": {"a": 1}, "service_tier": "standard"}


def test_googles_fields_are_those_of_its_sdk() -> None:
    """An entry that it has no field for goes into the body: the SDK would refuse it."""
    assert KINDS["google"].config == GenerateContentConfig.model_fields.keys() - {"http_options"}


@pytest.mark.parametrize(
    "stored", ['{"model": "x", "seed": 1}', '{"temperature": "hot", "seed": 1}', '{"messages": 1, "seed": 1}']
)
def test_what_raw_sql_stored_breaks_nothing(session: Session, admin: Actor, stored: str) -> None:
    """A reserved name, or a value that a parameter cannot have, counts as not there."""
    providers.create(session, admin, ACME)
    session.execute(text("INSERT INTO llm_settings (extra_parameters) VALUES (CAST(:e AS jsonb))"), {"e": stored})

    options = settings.effective(session, "acme").request_options()

    assert options["extra_body"] == {"seed": 1}
    assert options["model"] != "x"
    assert options["temperature"] == 0.7


def test_reserved_names_are_found_however_they_are_written() -> None:
    """Each is in the table by its letters alone."""
    assert all(name == "".join(filter(str.isalnum, name.lower())) for name in RESERVED)
    assert split({"API-Key": 1, "x": 1, "topP": 0.5, "stop_sequences": ["END"]}) == (
        {"top_p": 0.5, "stop": ["END"]},
        {"x": 1},
    )
    assert split([1]) == split(None) == ({}, {})
