"""The answer: values, where each comes from, the key, and what is sent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from core.crypto import Box
from core.errors import ApiKeyUnavailable, Invalid
from core.kinds import KINDS
from core.parameters import PARAMETERS, SENDABLE
from core.resolving.carried import NOTHING, Carried
from core.resolving.effective import CURES, NOT_NEEDED, Status
from core.resolving.explanation import BUILT_IN, Source
from core.resolving.layers import Layer
from core.resolving.merge import build
from core.resolving.personal_data import PersonalDataRules
from core.resolving.words import state_of
from tests.parameters import RULES, SENT, another, nested
from tests.resolving.facts import ADA, CANARY, box, everyone_layer, own_layer, provider, unreadable


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


def test_source_of_an_unknown_name_is_refused() -> None:
    """A misspelt name is refused, and the names there are, are named."""
    answer = build(provider(), [own_layer(custom_settings={"a": 1})])

    for name in ("temprature", "custom_settings", "custom_settings.b", "", "api_key"):
        with pytest.raises(Invalid, match=r"temperature.*custom_settings\.a"):
            answer.source(name)


def test_explain_names_what_is_hidden() -> None:
    """Explain has every value once, nearest shadow first, down to the built-in default."""
    answer = build(provider(), [everyone_layer(temperature=0.1), own_layer(temperature=0.3)])
    explained = {e.name: e for e in answer.explain()}

    assert list(explained) == ["model", *PARAMETERS, *(f"personal_data.{name}" for name in PersonalDataRules._fields)]
    assert explained["temperature"].value == 0.3
    assert explained["temperature"].shadows == ((Source("all_providers", 1, 9), 0.1), (BUILT_IN, 0.7))
    assert explained["top_p"].shadows == ()


def test_explanation_is_json() -> None:
    """Each value with who set it and when, what it hides, who omits it and how it is adjusted; null where there is nobody."""
    own = Layer(
        "provider", 2, 4, {"temperature": 0.3, "top_p": 0.5, "omitted_parameters": ["top_p"]}, {"temperature": ADA}
    )
    explained = {e.name: e.as_dict() for e in build(provider(default_model="gpt-5"), [own]).explain()}
    nobody = {"row_id": None, "version": None, "changed_at": None, "changed_by": None, "scope": None}

    assert json.loads(json.dumps(explained)) == explained
    adjusted = explained["temperature"].pop("adjusted")
    assert (adjusted["what"], adjusted["to"]) == ("left_out", None)
    assert explained["temperature"] == {
        "name": "temperature",
        "value": 0.3,
        "sent": False,
        "source": {
            "layer": "provider",
            "row_id": 2,
            "version": 3,
            "changed_at": "2026-01-02T03:04:05+00:00",
            "changed_by": "ada",
            "scope": None,
        },
        "shadows": [{"source": {"layer": "built_in", **nobody}, "value": 0.7}],
        "omitted_by": None,
        "passed_over": [],
        "limited_by": None,
        "wanted": None,
        "put_out": [],
        "omission_limited_by": None,
        "omission_wanted": None,
    }
    omitted = {**nobody, "layer": "provider", "row_id": 2, "version": 4}
    assert (explained["top_p"]["omitted_by"], explained["model"]["sent"]) == (omitted, True)
    assert (explained["max_retries"]["sent"], explained["max_retries"]["adjusted"]) == (False, None)


def test_answers_differ_by_what_is_in_force_alone() -> None:
    """Two with equal values are equal, whoever set them; what is carried, the key and the way to it do not count."""
    mine, all_of_us = (build(provider(), [layer(temperature=0.3)]) for layer in (own_layer, everyone_layer))
    carrying = build(provider(open_carried=lambda: Carried([("header", "X", CANARY)])), [own_layer(temperature=0.3)])

    assert mine == all_of_us == carrying
    assert (mine.carried(), carrying.carried().headers) == (NOTHING, (("X", CANARY),))
    assert not [shown for each in (mine, carrying) if CANARY in (shown := repr(each))]
    assert carrying.client_options()["default_headers"] == {"X": CANARY}
    assert build(provider(is_active=False, open_carried=unreadable), []).carried() == NOTHING


def test_program_says_what_is_left_out() -> None:
    """None leaves one of our parameters out; the model of a request, and None for it: the settings' own."""
    answer = build(provider(), [own_layer(temperature=0.3)])

    assert "temperature" not in answer.request_options(temperature=None)
    assert answer.request_options(temperature=None)["model"] == answer.request_options(model=None)["model"] == "m1"
    assert answer.request_options(model="m2")["model"] == "m2"


def test_basis_knows_what_somebody_has_set() -> None:
    """What is decided anew for a request goes by the values that are no built-in default, and by the request's own model."""
    answer = build(provider(), [everyone_layer(top_p=0.5), own_layer(temperature=0.3)])

    assert (sorted(answer.basis().explicit), answer.basis().model) == (["temperature", "top_p"], "m1")
    assert answer.basis("m2").model == "m2"


STATUSES: list[tuple[Status, dict[str, Any] | None]] = [
    ("disabled", {"is_active": False, "default_model": None, "open_box": None}),
    ("disabled", {"is_active": False, "open_box": unreadable}),
    ("disabled", {"is_active": False}),
    ("no_model", {"default_model": None, "open_box": None}),
    ("no_model", {"default_model": None, "open_box": unreadable}),
    ("no_model", {"default_model": ""}),
    ("no_key", {"open_box": None}),
    ("key_unreadable", {"open_box": unreadable}),
    ("ok", {}),
    ("disabled", {"is_active": False, "needs_key": False}),
    ("no_model", {"default_model": None, "needs_key": False}),
    ("unknown_provider", None),
    ("store_unavailable", None),
]


@pytest.mark.parametrize(("status", "facts"), STATUSES)
def test_status_is_the_first_that_holds(status: Status, facts: dict[str, Any] | None) -> None:
    """Of several things that stand in the way the first is named; no key comes with any but ok, and the cure is said."""
    if facts is None:
        answer = build(None, [own_layer(temperature=0.1)], name="openai", missing=status)
        assert (answer.temperature, answer.model, answer.base_url, answer.kind) == (0.7, None, None, None)
    else:
        answer = build(provider(**facts), [own_layer(temperature=0.1)])
        assert answer.temperature == 0.1

    assert answer.status == status
    assert answer.provider == "openai"
    if status == "ok":
        assert answer.api_key() == answer.client_options()["api_key"] == CANARY
        assert answer.cure is None
        return
    cure = "Enter the API key again" if status == "key_unreadable" else CURES[status]
    for ask in (answer.api_key, answer.client_options):
        with pytest.raises(ApiKeyUnavailable) as caught:
            ask()
        assert (caught.value.provider, caught.value.status) == ("openai", status)
        assert "'openai'" in str(caught.value)
        assert cure in str(caught.value)
        assert cure in (answer.cure or "")


@pytest.mark.parametrize("open_box", [None, unreadable])
def test_without_need_of_a_key_nothing_is_opened(open_box: Any) -> None:
    """A provider that needs no key is ok, and gives the word that stands for none, whatever is stored."""
    answer = build(provider(needs_key=False, open_box=open_box), [])

    assert (answer.status, answer.cure, answer.key_problem) == ("ok", None, None)
    assert answer.api_key() == answer.client_options()["api_key"] == NOT_NEEDED == "not-needed"


def test_every_status_has_a_cure() -> None:
    """No status but ok is without a cure."""
    of_organizations = {
        "no_provider",
        "unknown_organization",
        "organization_disabled",
        "not_allowed",
    }  # tests of scopes
    assert {status for status, _ in STATUSES} | of_organizations == {*CURES, "ok"}


@pytest.mark.parametrize(
    ("kind", "base_url", "expected"),
    [
        ("openai", None, "https://api.openai.com/v1"),
        ("openai", "", "https://api.openai.com/v1"),
        ("anthropic", None, "https://api.anthropic.com"),
        ("google", None, "https://generativelanguage.googleapis.com"),
        ("openai", "https://proxy.example/v1", "https://proxy.example/v1"),
        ("openai_compatible", "http://localhost:8000", "http://localhost:8000"),
        ("azure_openai", "https://x.openai.azure.com", "https://x.openai.azure.com"),
    ],
)
def test_client_options_name_the_address(kind: str, base_url: str | None, expected: str) -> None:
    """What the SDK is given always names the base URL, and the timeout in seconds."""
    answer = build(provider(kind=kind, base_url=base_url), [own_layer(request_timeout_ms=1500, max_retries=0)])
    common = {"timeout": 1.5, "max_retries": 0}
    forms: dict[str, dict[str, Any]] = {
        "google": {
            "vertexai": False,
            "http_options": {"base_url": expected, "timeout": 1500, "retry_options": {"attempts": 1}},
        },
        "azure_openai": {"azure_endpoint": expected, "api_version": "2024-10-21", **common},
    }

    assert answer.client_options() == {"api_key": CANARY, **forms.get(kind, {"base_url": expected, **common})}


def test_request_options_are_what_is_sent() -> None:
    """The request has the model and every sendable parameter that is not omitted, and nothing of ours."""
    answer = build(provider(), [own_layer(omitted_parameters=["top_p"], temperature=0.0, max_retries=1)])

    names = KINDS["openai"].names
    sent = {names[name]: RULES[name][0] for name in SENT if RULES[name][0] is not None and name != "top_p"}
    assert answer.request_options() == {"model": "m1", **sent, "temperature": 0.0}
    assert SENDABLE == SENT


@pytest.mark.parametrize("kind", KINDS)
def test_request_options_leave_out_what_the_vendor_never_accepts(kind: str) -> None:
    """Its SDK would raise a TypeError, whoever set the value; the reasons say the same, and nothing else is left out."""
    values = {name: another(name) for name in SENDABLE}
    answer = build(provider(kind=kind, base_url="https://host.example"), [own_layer(**values)])
    expected = {name: value for name, value in values.items() if name not in KINDS[kind].never_accepted}
    named = nested({KINDS[kind].names[name] or "": value for name, value in expected.items()})
    beside = {name: named.pop(name) for name in KINDS[kind].beside}
    form = {"config": named} if kind == "google" else named | ({"extra_body": beside} if beside else {})
    states = {item.name: state_of(item) for item in answer.explain()}

    assert answer.request_options() == {"model": "m1", **form}
    assert {item.name for item in answer.explain() if item.sent} == {"model", *expected}
    assert {name: states[name] for name in SENDABLE} == {n: "sent" if n in expected else "not sent" for n in SENDABLE}


def test_plain_form_is_json_without_a_key() -> None:
    """The plain form holds every parameter and no key, sealed or open; it has no way back to one."""
    answer = build(provider(), [own_layer(custom_settings={"a": [1]})], generation=12)
    text = json.dumps(answer.as_dict())

    assert CANARY not in text
    assert json.loads(text)["generation"] == 12
    assert set(PARAMETERS) < set(answer.as_dict())


def test_answers_are_equal_by_value() -> None:
    """Two answers with the same values are equal and hash alike; other values make another answer."""
    first, second = (build(provider(), [own_layer(temperature=0.3)]) for _ in range(2))

    assert first == second
    assert hash(first) == hash(second)
    assert first != build(provider(), [own_layer(temperature=0.4)])


def test_box_is_opened_for_the_caller_only() -> None:
    """Building verifies the key once and keeps no plain text: each call opens it anew."""
    opened = []

    def open_box() -> Box:
        opened.append(1)
        return box()

    answer = build(provider(open_box=open_box), ())
    assert answer.api_key() == answer.api_key() == CANARY
    assert len(opened) == 1
    assert CANARY not in repr(answer)
