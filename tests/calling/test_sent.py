"""Which parameters a request has: the settings', this call's own, and the options, each thing by one name."""

import json
from typing import Any, get_type_hints

import pytest

from api.names import camel
from core import ai
from core.ai import OMIT
from core.calling import request, sent
from core.errors import Invalid
from core.kinds import KINDS
from core.parameters import PARAMETERS, SENDABLE
from core.testing import override
from tests.calls import WAYS, configure, logged
from tests.vendors import Vendor

pytest_plugins = ["tests.calls"]

LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def body_of(vendor: Vendor, kind: str) -> dict[str, Any]:
    """The parameters of the last request."""
    found: dict[str, Any] = vendor.asked[-1].body
    return found["generationConfig"] if kind == "google" else found


def test_every_parameter_can_be_given_for_one_call() -> None:
    """The arguments of a call have each parameter that can be sent, and every spelling of it is known as it."""
    assert set(SENDABLE) <= set(get_type_hints(request.How))
    assert set(sent.SPELLINGS.values()) == set(SENDABLE)
    for kind in KINDS.values():
        for ours, theirs in kind.names.items():
            for name in (ours, theirs or ours):
                assert (sent.SPELLINGS[name], sent.SPELLINGS[camel(name)]) == (ours, ours)


@pytest.mark.parametrize("name", SENDABLE)
def test_a_value_that_does_not_fit_is_told_the_rule(name: str) -> None:
    """The same words as on the pages and in REST: a limit is written out, never as 1e+06."""
    with pytest.raises(Invalid) as caught:
        sent.check_given({name: object()}, None)

    assert caught.value.fields[name] == f"must be {PARAMETERS[name].rule}, or OMIT"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_of_this_call(vendor: Vendor, kind: str, way: str) -> None:
    """It counts more than the settings', goes out by the vendor's name, and OMIT leaves one out."""
    configure(kind, temperature=0.5, max_tokens=77, omitted_parameters=["frequency_penalty", "presence_penalty"])

    WAYS[way]("Hello", provider=kind, temperature=0.25, max_tokens=50, top_p=OMIT)

    body, theirs = body_of(vendor, kind), KINDS[kind].names["max_tokens"]
    wire = "maxOutputTokens" if kind == "google" else theirs
    assert (body["temperature"], body[wire or ""]) == (0.25, 50)
    assert not {"top_p", "topP", *LENGTHS} - {wire} & set(body)


@pytest.mark.usefixtures("store")
def test_what_settings_omit_is_not_sent(vendor: Vendor) -> None:
    """Also a parameter that the vendor calls by another name, as request_options() has it; a call may send it all the same."""
    configure("openai", max_tokens=500, omitted_parameters=["max_tokens", "temperature"])

    done = ai.complete("Hello")
    assert not {*LENGTHS, "temperature"} & set(vendor.asked[-1].body)
    assert done.adjustments == ()

    done = ai.complete("Hello", max_tokens=70)
    assert vendor.asked[-1].body["max_completion_tokens"] == 70
    assert [(each.parameter, each.what, each.to) for each in done.adjustments] == [
        ("max_tokens", "renamed", "max_completion_tokens")
    ]
    ai.complete("Hello", max_tokens=OMIT)
    assert not set(LENGTHS) & set(vendor.asked[-1].body)


@pytest.mark.parametrize("way", WAYS)
def test_what_the_model_of_a_call_refuses(store: str, vendor: Vendor, way: str) -> None:
    """It is left out and said with its reason, also where the call names the model, the value, or that it does not reason."""
    vendor.models.append("gpt-5.4")
    done = WAYS[way]("Hello", model="gpt-5.4", temperature=0.25, presence_penalty=0.5)
    body = vendor.asked[-1].body
    assert (body["model"], body["temperature"]) == ("gpt-5.4", 0.25)
    assert "presence_penalty" not in body
    assert done.not_sent == ("frequency_penalty", "presence_penalty")
    assert [each.asked_for for each in done.adjustments if each.what == "left_out"] == [False, True]

    done = WAYS[way]("Hello", model="gpt-5.4", temperature=0.25, options={"reasoning_effort": "low"})
    assert not {"temperature", "top_p"} & set(vendor.asked[-1].body)
    assert {"temperature", "top_p"} < set(done.not_sent)
    assert json.loads(json.dumps(done.as_dict()))["adjustments"][0]["why"] == (
        "it takes it only while it does not reason"
    )
    assert [row["adjusted"] for row in logged(store)] == [1, 1]  # what somebody chose; a built-in default is none


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("openai", {"max_tokens": 50}, {"max_completion_tokens": 50}),
        ("openai", {"max_completion_tokens": 50}, {"max_completion_tokens": 50}),
        ("openai_compatible", {"max_completion_tokens": 50}, {"max_completion_tokens": 50}),
        ("openai_compatible", {"max_tokens": 50}, {"max_tokens": 50}),
        ("anthropic", {"max_tokens": 50}, {"max_tokens": 50}),
        ("openai", {"max_tokens": None}, {}),
        ("openai", {"max_tokens": OMIT}, {}),
    ],
)
def test_options_name_one_thing_once(
    vendor: Vendor, kind: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    """An option takes the place of the parameter that it is, whatever it is called; None and OMIT leave it out."""
    ai.complete("Hello", provider=kind, options=options)

    body = vendor.asked[-1].body
    assert {name: body[name] for name in LENGTHS if name in body} == expected
    assert "temperature" in body


@pytest.mark.usefixtures("store")
def test_options_without_a_parameter_of_ours(vendor: Vendor) -> None:
    """None takes a parameter out of the request: it is not sent as null."""
    ai.complete("Hello", options={"temperature": None, "reasoning_effort": "low", "seed": None})

    body = vendor.asked[-1].body
    assert body["reasoning_effort"] == "low"
    assert "temperature" not in body
    assert "seed" not in body


@pytest.mark.parametrize(
    ("kind", "how", "field"),
    [
        ("openai", {"temperature": 9}, "temperature"),
        ("openai", {"max_tokens": "many"}, "max_tokens"),
        ("openai", {"max_tokens": 50, "options": {"max_completion_tokens": 60}}, "options"),
        ("openai", {"options": {"max_completion_tokens": 60, "max_tokens": 50}}, "options"),
        ("anthropic", {"max_tokens": OMIT}, "max_tokens"),
        ("anthropic", {"presence_penalty": 0.5}, "presence_penalty"),
        ("openai", {"tags": ["x"] * 17}, "tags"),
        ("openai", {"tags": "x"}, "tags"),
        ("openai", {"tags": [7]}, "tags"),
        ("openai", {"fallback": "anthropic"}, "fallback"),
        ("openai", {"model": ""}, "model"),
        ("openai", {"model": 7}, "model"),
        ("openai", {"deadline": "5"}, "deadline"),
        ("openai", {"options": "reasoning"}, "options"),
        ("openai", {"options": ["reasoning"]}, "options"),
        ("openai", {"tags": ["x" * 65]}, "tags"),
        ("openai", {"tags": ["a\nb"]}, "tags"),
        ("openai", {"correlation_id": ""}, "correlation_id"),
        ("openai", {"response_format": {"type": "json_object"}}, "response_format"),
    ],
    ids=str,
)
def test_what_is_refused(vendor_of_its_own: Vendor, kind: str, how: dict[str, Any], field: str) -> None:
    """By name and rule, before anything is dialled."""
    with override(kind, kind=kind, base_url=vendor_of_its_own.base_url(kind)), pytest.raises(Invalid) as caught:
        ai.complete("Hello", provider=kind, **how)

    assert list(caught.value.fields) == [field]
    assert vendor_of_its_own.asked == []


def test_an_argument_that_does_not_exist() -> None:
    """A misspelt one is a TypeError, as of any function."""
    for call in (ai.complete, ai.stream, ai.embed):
        with pytest.raises(TypeError, match="temprature"):
            call(["Hello"], temprature=1)  # type: ignore[call-arg]  # that is the point


@pytest.fixture
def vendor_of_its_own() -> Any:
    """A vendor, without a store."""
    with Vendor() as vendor:
        yield vendor
