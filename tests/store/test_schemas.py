"""The only validator: what it lets through can be stored, what it refuses is refused in words."""

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session

from core.errors import Invalid
from core.kinds import KINDS, base_url_of, origin_of
from core.parameters import PARAMETERS, SENDABLE
from core.store.schemas import (
    ApiKeyInput,
    PasswordInput,
    ProviderInput,
    SettingsInput,
    UserInput,
    could_be_provider,
    parse_json_object,
    parse_models,
    validate,
)
from core.store.tables import LlmProvider, LlmSettings
from core.store.values import normalised

CANARY = "sk-canary-0123456789abcdef"
GOOD: Mapping[type[BaseModel], Mapping[str, Any]] = {
    ProviderInput: {"name": "openai", "display_name": "OpenAI", "kind": "openai", "available_models": ["m"]},
    ApiKeyInput: {"api_key": CANARY},
    UserInput: {"username": "ada", "role": "admin"},
    PasswordInput: {"password": "correct horse battery"},
    SettingsInput: {},
}
MODELS = pytest.mark.parametrize("model", GOOD, ids=lambda model: model.__name__)
NUMBERS = [name for name, parameter in PARAMETERS.items() if parameter.minimum is not None]
BOOLEANS = [name for name, parameter in PARAMETERS.items() if parameter.value_type is bool]


def _model_of(field: str) -> type[BaseModel]:
    return next(model for model in GOOD if field in model.model_fields)


def _accepted(field: str, value: object) -> Any:
    model = _model_of(field)
    return _plain(getattr(validate(model, {**GOOD[model], field: value}), field))


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _refused(field: str, value: object) -> str:
    """Return the rule that *value* breaks: the field is named, the value is not shown."""
    model = _model_of(field)
    with pytest.raises(Invalid) as caught:
        validate(model, {**GOOD[model], field: value})
    assert list(caught.value.fields) == [field]
    return caught.value.fields[field]


@MODELS
def test_least_that_is_needed_is_enough(model: type[BaseModel]) -> None:
    """What has a default need not be named."""
    found = validate(model, GOOD[model]).model_dump(exclude_unset=True)
    assert {name: _plain(value) for name, value in found.items()} == GOOD[model]


@MODELS
def test_missing_fields_are_named(model: type[BaseModel]) -> None:
    """Everything that is missing is named at once."""
    needed = {name for name, field in model.model_fields.items() if field.is_required()}
    if needed:
        with pytest.raises(Invalid) as caught:
            validate(model, {})
        assert caught.value.fields == dict.fromkeys(needed, "is needed")


@MODELS
@pytest.mark.parametrize(
    "extra",
    ["role_", "is_admin", "id", "version", "api_key_encrypted", "updated_by", "organization_id", "__class__", "\ud800"],
)
def test_extra_fields_are_refused(model: type[BaseModel], extra: str) -> None:
    """CHECKS 25: a field that is not of this input is refused, whatever it is called."""
    with pytest.raises(Invalid, match="is not a field here"):
        validate(model, {**GOOD[model], extra: "x"})


@MODELS
def test_secret_is_not_echoed(model: type[BaseModel]) -> None:
    """CHECKS 32: with a sibling missing, an unknown field or a wrong type, no error shows a value, nor its causes."""
    for field in (*model.model_fields, "api_key", "unknown"):
        for value in (CANARY, f"\x00{CANARY}", [CANARY], {CANARY: CANARY}, CANARY * 1000, CANARY.encode()):
            try:
                validate(model, {field: value})
            except Invalid as error:
                seen: BaseException | None = error
                while seen is not None:
                    assert CANARY not in f"{seen} {seen!r}"
                    seen = seen.__cause__ or seen.__context__


def test_secrets_are_not_in_the_repr() -> None:
    """CHECKS 35: a key or password that was accepted is not shown by its input's repr."""
    assert CANARY not in repr(validate(ApiKeyInput, {"api_key": CANARY}))
    assert "horse" not in repr(validate(PasswordInput, GOOD[PasswordInput]))


LENGTHS = [
    ("name", 1, 50),
    ("display_name", 1, 100),
    ("description", 0, 2000),
    ("default_model", 0, 200),
    ("preferred_model", 0, 200),
    ("api_key", 1, 8192),
    ("username", 1, 64),
    ("password", 15, 64),
]


@pytest.mark.parametrize(("field", "least", "most"), LENGTHS)
def test_length_of_text(field: str, least: int, most: int) -> None:
    """The longest and the shortest text pass, one character more or less does not, and the rule is said."""
    for size in {max(least, 1), most}:
        wanted = {"default_model": {"available_models": ["x" * size]}}.get(field, {})
        model = _model_of(field)
        text = (
            "k7 Quartz-elbow.Monday;violin_ocean!Basket?plume=42 tern+fjord&mix"[:size]
            if field == "password"
            else "x" * size
        )
        assert _plain(getattr(validate(model, {**GOOD[model], **wanted, field: text}), field)) == text
    sizes = [most + 1, 10_001, 10_000_000] + ([least - 1] if least else [])
    for size in sizes:
        assert re.search(r"\d+ (to|characters|of the)|at most", _refused(field, "x" * size))


@pytest.mark.parametrize("field", ["description", "default_model", "preferred_model", "api_base_url"])
@pytest.mark.parametrize("blank", ["", "   ", "\u200b", None])
def test_blank_is_nothing(field: str, blank: str | None) -> None:
    """Where a field may be left empty, blank text is nothing, not text."""
    assert _accepted(field, blank) is None


def test_description_keeps_its_lines() -> None:
    """A description may have line breaks of any kind; blank lines around it are dropped."""
    assert _accepted("description", "\r\n  one \r\n\ttwo\u2028three\n\n") == "one\ntwo\nthree"
    assert _accepted("description", "\n \n") is None
    assert "control characters" in _refused("description", "nul \x00 inside")


@pytest.mark.parametrize("field", [name for model in GOOD for name in model.model_fields])
def test_wrong_type_is_refused(field: str) -> None:
    """No field turns one type into another: not 1 into true, not "1" into 1, not bytes into text."""
    known = _model_of(field).model_fields[field]
    kinds: dict[str, list[object]] = {
        "text": [0, 1.5, True, ["x"], {"a": "b"}, b"bytes bytes bytes"],
        "flag": [0, 1, "true", "yes", 1.0, [True], {}],
        "list": ["m", {"a": 1}, ("m",), 5, True, [1], [None], [["m"]], [b"m"]],
        "object": ["{}", [], [1], 5, True, b"{}"],
        "number": ["0.7", "1", True, False, [1], {"a": 1}, b"1", 1j],
    }
    kind = (
        "list"
        if field in {"available_models", "omitted_parameters", "stop"}
        else "object"
        if field in {"custom_settings", "extra_parameters"}
        else "number"
        if field in NUMBERS
        else "flag"
        if field in {*BOOLEANS, "is_active", "needs_key"}
        else "text"
    )
    for value in kinds[kind]:
        assert _refused(field, value)
    if known.is_required():
        assert _refused(field, None)


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        1e308,
        -1e308,
        10**400,
        -(10**400),
        10**4999,
        2**63,
        2**31,
        "0.7",
        "1" * 5000,
        True,
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_odd_numbers_are_refused(field: str, value: object) -> None:
    """CHECKS 53: NaN, infinities, huge numbers, numbers in quotes and true are refused by the rule of the field."""
    parameter = PARAMETERS[field]
    low, high = parameter.minimum, parameter.maximum
    rule = (
        f"a whole number from {low} to {high}" if parameter.value_type is int else f"a number from {low:g} to {high:g}"
    )

    assert _refused(field, value) == f"must be {rule}"


@pytest.mark.parametrize("field", [name for name in NUMBERS if PARAMETERS[name].value_type is int])
def test_whole_numbers_take_no_fraction(field: str) -> None:
    """A whole number is an int: 3.5 and 3.0 are refused."""
    middle = float(PARAMETERS[field].first)
    assert _refused(field, middle)
    assert _refused(field, middle + 0.5)


def test_minus_zero_is_zero() -> None:
    """CHECKS 53: -0.0 is stored as 0.0."""
    for field in ("temperature", "top_p", "presence_penalty"):
        assert str(_accepted(field, -0.0)) == "0.0"
    assert str(_accepted("temperature", 1)) == "1.0"


def _insert(session: Session, column: str, literal: str) -> bool:
    """Whether the database itself takes the literal: by raw SQL, past every rule in Python."""
    try:
        with session.begin_nested() as attempt:
            session.execute(text("INSERT INTO organizations (id, slug, name) VALUES (7, 'seven', 'Seven')"))
            session.execute(text(f"INSERT INTO llm_settings (organization_id, {column}) VALUES (7, {literal})"))
            attempt.rollback()
    except (IntegrityError, DataError):  # the latter beyond what fits into the column
        return False
    return True


@pytest.mark.parametrize("field", NUMBERS)
def test_range_is_the_same_in_the_database(session: Session, field: str) -> None:
    """CHECKS 53: just inside the range both take a number, just outside both refuse it, and both refuse NaN."""
    parameter = PARAMETERS[field]
    assert parameter.minimum is not None
    assert parameter.maximum is not None
    step = 1 if parameter.value_type is int else 1e-9
    for inside in (parameter.minimum, parameter.maximum, parameter.minimum + step, parameter.maximum - step):
        assert _accepted(field, inside) == inside
        assert _insert(session, field, repr(inside)), inside
    for outside in (parameter.minimum - step, parameter.maximum + step):
        assert _refused(field, outside)
        assert not _insert(session, field, repr(outside)), outside
    if step != 1:
        for literal in ("'NaN'", "'Infinity'", "'-Infinity'"):
            assert not _insert(session, field, literal), literal
    assert _insert(session, field, "NULL")


def test_choices_are_the_same_in_the_database(session: Session) -> None:
    """Log levels, kinds and names that one refuses, the other refuses."""
    for level in PARAMETERS["log_level"].choices:
        assert _accepted("log_level", level) == level
        assert _insert(session, "log_level", f"'{level}'")
    for level in ("FULL", "", "debug", "full "):
        assert _refused("log_level", level)
        assert not _insert(session, "log_level", f"'{level}'")


NAMES = ["a", "a-b_c9", "x" * 50, "", "x" * 51, "A", "ä", "a b", "a.b", "a\n", "a/b", "-", "\uff41", "a'--"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_the_same_in_the_database(session: Session, name: str) -> None:
    """A provider's name passes both rules or neither; so does the question whether a name could be one."""
    insert = text(
        "INSERT INTO llm_providers (name, display_name, kind, available_models) VALUES (:n, 'A', 'openai', '[\"m\"]')"
    )
    stored = True
    try:
        with session.begin_nested() as attempt:
            session.execute(insert, {"n": name})
            attempt.rollback()
    except IntegrityError:
        stored = False

    assert could_be_provider(name) == stored
    if name == name.strip():
        try:
            assert (_accepted("name", name) == name) == stored
        except Invalid:
            assert not stored


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (" padded ", "padded"),
        ("e\u0301", "\u00e9"),
        ("e\u200b\u0301", "\u00e9"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("soft\u00adhyphen", "softhyphen"),
        ("😀 emoji", "😀 emoji"),
        ("\u3000wide spaces\u00a0", "wide spaces"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("'; DROP TABLE llm_providers; --", "'; DROP TABLE llm_providers; --"),
        (":red[x] ![](http://x) =cmd()", ":red[x] ![](http://x) =cmd()"),
    ],
)
def test_text_is_normalised(typed: str, stored: str) -> None:
    """CHECKS 54: NFC, trimmed, without zero-width characters; doing it again changes nothing; markup stays text."""
    assert _accepted("display_name", typed) == stored
    assert normalised(stored) == stored


@pytest.mark.parametrize("field", ["name", "display_name", "description", "api_base_url", "api_key", "username"])
@pytest.mark.parametrize("bad", ["\x00", "\ud83d", "\x1b", "\x7f", "\x9f"])
def test_characters_that_cannot_be_stored_are_refused(field: str, bad: str) -> None:
    """CHECKS 54: NUL, lone surrogates and control characters are refused in words, in every text field."""
    good = {"api_base_url": "https://h/", "api_key": CANARY}.get(field, "abc")

    assert _refused(field, f"{good}{bad}{good}")


@given(st.text(st.characters(exclude_categories=())))
@example("e\u200b\u0301")
@example("\u200b \u0301")
@settings(max_examples=300, deadline=None)
def test_normalising_twice_changes_nothing(value: str) -> None:
    """CHECKS 54: what was normalised is normal."""
    try:
        once = normalised(value)
    except ValueError:
        return
    assert normalised(once) == once


@pytest.mark.parametrize(
    ("patch", "field", "rule"),
    [
        ({"available_models": []}, "available_models", "a list of 1 to 5,000 model names"),
        ({"available_models": ["a", "a"]}, "available_models", "each model once; twice: a"),
        ({"available_models": ["a", " a "]}, "available_models", "each model once; twice: a"),
        ({"available_models": ["e\u0301", "\u00e9"]}, "available_models", "each model once"),
        ({"available_models": ["a", ""]}, "available_models", "1 to 200 characters; number 2 is not"),
        ({"available_models": ["a", "x" * 201]}, "available_models", "1 to 200 characters; number 2 is not"),
        ({"available_models": ["a", None]}, "available_models", "number 2 is not"),
        ({"available_models": ["a", "b\x00"]}, "available_models", "control characters"),
        ({"available_models": [str(n) for n in range(5001)]}, "available_models", "a list of 1 to 5,000"),
        ({"available_models": [f"{n:0200}" for n in range(801)]}, "available_models", "at most 160,000 characters"),
        ({"available_models": ["a"] * 1_000_000}, "available_models", "a list of 1 to 5,000"),
        ({"default_model": "b"}, "default_model", "one of the available models"),
        ({"default_model": "M"}, "default_model", "one of the available models"),
    ],
)
def test_models_that_do_not_fit_are_refused(patch: dict[str, Any], field: str, rule: str) -> None:
    """CHECKS 56: an empty list, duplicates (also after normalising), and a default that is not among them."""
    with pytest.raises(Invalid) as caught:
        validate(ProviderInput, {**GOOD[ProviderInput], **patch})

    assert list(caught.value.fields) == [field]
    assert rule in caught.value.fields[field]


def test_models_that_fit() -> None:
    """CHECKS 56: 500 models pass, and the default may be named with spaces around it."""
    models = [f"m{n}" for n in range(500)]
    wanted = validate(ProviderInput, {**GOOD[ProviderInput], "available_models": models, "default_model": " m499 "})

    assert (wanted.available_models, wanted.default_model) == (models, "m499")


def test_every_fault_is_told_at_once() -> None:
    """Faults of several fields are told together."""
    with pytest.raises(Invalid) as caught:
        validate(ProviderInput, {"name": "A B", "display_name": "", "kind": "azure", "available_models": []})
    assert set(caught.value.fields) == {"name", "display_name", "kind", "available_models"}
    assert caught.value.fields["kind"] == f"must be one of {', '.join(KINDS)}"
    with pytest.raises(Invalid) as caught:
        validate(ProviderInput, {**GOOD[ProviderInput], "kind": "openai_compatible", "default_model": "x"})
    assert set(caught.value.fields) == {"api_base_url", "default_model"}


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://localhost:8000",
        "http://127.0.0.1:11434/v1/",
        "https://host.example:443",
        "https://host.example.:8443/a/b/../c",
        "http://[::1]:8080/v1",
        "http://[::ffff:127.0.0.1]/",
        "https://" + "h" * 60 + ".example/" + "p" * 400,
        "https://host/%20%2F",
    ],
)
def test_urls_that_are_taken(session: Session, url: str) -> None:
    """A base URL is taken as it is typed, by the database too, and has an origin."""
    assert _accepted("api_base_url", f" {url} ") == url
    session.add(LlmProvider(**{**GOOD[ProviderInput], "name": "u", "api_base_url": url}))
    session.flush()
    assert re.fullmatch(r"https?://[^/]+:\d+", origin_of("openai", url))


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://user:password@host/", "user name"),
        ("https://user@host/", "user name"),
        ("https://@host/", "user name"),
        ("https://host\\@evil/", "backslash"),
        ("https://host/\\evil", "backslash"),
        ("https://host/?key=1", "no ?"),
        ("https://host/?", "no ?"),
        ("https://host/#top", "no #"),
        ("https://host#@evil/", "no #"),
        ("https://host#", "no #"),
        ("HTTPS://host", "begin with https://"),
        ("ftp://host", "begin with https://"),
        ("file:///etc/passwd", "begin with https://"),
        ("javascript:alert(1)", "begin with https://"),
        ("//host", "begin with https://"),
        ("https:/host", "begin with https://"),
        ("https:host", "begin with https://"),
        ("host.example", "begin with https://"),
        ("https://", "name a host"),
        ("https:///v1", "name a host"),
        ("https://:443", "name a host"),
        ("https://.host", "name a host"),
        ("https://-host", "name a host"),
        ("https://ho st/", "name a host"),
        ("https://host/a b", "name a host"),
        ("https://host%2fevil/", "name a host"),
        ("https://h\u00f6st/", "in ASCII"),
        ("https://host/\u00f6", "in ASCII"),
        ("https://\uff48ost/", "in ASCII"),
        ("https://host:0", "name a host"),
        ("https://host:65536", "a port"),
        ("https://host:-1", "a port"),
        ("https://host:abc", "a port"),
        ("https://host:" + "9" * 300, "a port"),
        ("https://[::1", "name a host"),
        ("https://::1/", "name a host"),
        ("https://[1.2.3.4]/", "name a host"),
        ("https://[fe80::1%25eth0]/", "name a host"),
        ("https://[evil]/", "name a host"),
        ("https://host/\t", None),
        ("https://ho\tst/", "control"),
        ("https://host/\nx", "control"),
        ("https://host/" + "x" * 500, "at most 500"),
        ("https://host/" + "x" * 10_000_000, "at most 10000"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_urls_that_are_refused(url: str, rule: str | None) -> None:
    """User info, queries, backslashes, other schemes, odd hosts and ports are refused by the rule they break."""
    if rule is None:
        assert _accepted("api_base_url", url) == url.strip()
    else:
        assert rule in _refused("api_base_url", url)


def test_origin_is_what_the_key_goes_to() -> None:
    """The origin is scheme, host and port of the effective address; spelling alone does not change it."""
    assert {
        origin_of("openai", url) for url in (None, "", "https://API.openai.com./", "https://api.openai.com:443")
    } == {"https://api.openai.com:443"}
    assert origin_of("openai_compatible", None) == origin_of("nonsense", None) == ""
    assert origin_of("openai", "http://h:99999") == origin_of("openai", "ftp://h") == origin_of("openai", "h") == ""
    assert origin_of("google", None) == f"{KINDS['google'].base_url}:443"
    assert base_url_of("anthropic", "") == KINDS["anthropic"].base_url
    assert base_url_of("anthropic", "https://proxy") == "https://proxy"


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"": ""},
        {"a": {"b": [1, 2.5, None, True, "\\u0000", "\\"]}},
        {"a": "x" * 16_370},
        {"é": "😀" * 4000},
        {"a": 10**4000},
        {"a": 1e308, "b": 5e-324, "c": -0.0, "d": [1e22] * 600},
        {"a": list(range(2500))},
        _nested(20),
        {"x": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]},
    ],
    ids=itertools.count(),
)
def test_custom_settings_that_are_taken_can_be_stored(session: Session, value: dict[str, Any]) -> None:
    """Up to 16 KB and 20 levels, whatever is taken the database takes as well."""
    row = LlmSettings(custom_settings=_accepted("custom_settings", value))
    session.add(row)
    session.flush()
    session.refresh(row)

    assert _numbers_as_float(row.custom_settings) == _numbers_as_float(value)


def _numbers_as_float(value: object) -> object:
    """JSONB keeps a number's value, not its type: 1e16 comes back as an int."""
    return json.loads(json.dumps(value), parse_int=float)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"a": "x" * 16_384}, "at most 16 KB"),
        ({"a": "é" * 8_190}, "at most 16 KB"),
        ({"a": "x" * 10_000_000}, "at most 16 KB"),
        ({"a": [1e308] * 200}, "at most 16 KB"),
        ({"a": [5e-324] * 200}, "at most 16 KB"),
        (_nested(21), "at most 20 levels"),
        (_nested(100_000), "at most 20 levels"),
        ({"a": float("nan")}, "no NaN"),
        ({"a": [float("inf")]}, "no infinity"),
        ({"a": "\ud800"}, "no half characters"),
        ({"\udfff": 1}, "no half characters"),
        ({"a": "\x00"}, "NUL"),
        ({"a": {"b\x00": 1}}, "NUL"),
        ({"a": "\\\x00"}, "NUL"),
        ({"a": 10**5000}, "must hold JSON only"),
        ({"a": {1, 2}}, "must hold JSON only"),
        ({"a": b"x"}, "must hold JSON only"),
        ({1: 2}, "a JSON object"),
    ],
    ids=itertools.count(),
)
def test_custom_settings_that_are_refused(value: object, rule: str) -> None:
    """CHECKS 53, 54, 55: too large (as it is stored), too deep, or no JSON: refused by the rule it breaks."""
    assert rule in _refused("custom_settings", value)


def test_custom_settings_that_hold_themselves_are_refused() -> None:
    """An object that contains itself is refused, and nothing recurses."""
    value: dict[str, Any] = {}
    value["a"] = value

    assert "levels" in _refused("custom_settings", value)


@pytest.mark.parametrize(
    ("typed", "value"),
    [("", None), ("  \n ", None), ("{}", {}), (' {"a": [1, {"b": null}]} ', {"a": [1, {"b": None}]})],
)
def test_json_that_a_person_typed(typed: str, value: object) -> None:
    """A JSON object is read; nothing typed is None."""
    assert parse_json_object(typed, "custom_settings") == value


@pytest.mark.parametrize(
    ("typed", "rule"),
    [
        ('{"a": 1', "line 1, column"),
        ('{\n"a": 1,\n}', "line 3, column|line 2, column"),
        ("[1]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"x": {"a": 1, "a": 1}}', "stands twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON that can be stored"),
        ("[" * 100_000, "levels deep"),
        ('{"a":' * 100_000, "levels deep"),
        ("\x00", "is not JSON"),
        ("{'a': 1}", "is not JSON"),
    ],
    ids=itertools.count(),
)
def test_json_that_cannot_be_read(typed: str, rule: str) -> None:
    """CHECKS 53, 55: the fault and its place are named; duplicate keys, NaN, 5000 digits and depth are faults."""
    with pytest.raises(Invalid) as caught:
        parse_json_object(typed, "custom_settings")

    assert re.search(rule, caught.value.fields["custom_settings"])


@pytest.mark.parametrize(
    ("typed", "models"),
    [
        ("", []),
        (" \n, ,\n", []),
        ("a, b\nc\r\n d ", ["a", "b", "c", "d"]),
        ('["a", "b, c"]', ["a", "b, c"]),
        (" []", []),
        ("- gpt-4o\n- o3\n\u2022 x", ["gpt-4o", "o3", "x"]),
        ('"gpt-4o","o3", \'x\'', ["gpt-4o", "o3", "x"]),
        ('"Qwen3 30B A3B, thinking"\nb', ["Qwen3 30B A3B, thinking", "b"]),
        ('- "a"\n- b, c', ["a", "b", "c"]),
        ("-x\n*", ["-x", "*"]),
        (
            "ft:gpt-4o:org:name:id,accounts/x/models/y,m[1m],@cf/x",
            ["ft:gpt-4o:org:name:id", "accounts/x/models/y", "m[1m]", "@cf/x"],
        ),
        ("it's, that's", ["it's", "that's"]),
        ('"half, b', ['"half', "b"]),
    ],
)
def test_models_that_a_person_pasted(typed: str, models: list[str]) -> None:
    """Model names come as a JSON array, one a line, with commas between, in quotes or as a list of YAML."""
    assert parse_models(typed) == models


@pytest.mark.parametrize("typed", ['["a"', "[1]", '["a", null]', "[" * 100_000, '[["a"]]', '["a"] b', "[NaN]"])
def test_models_that_cannot_be_read(typed: str) -> None:
    """What begins like a JSON array must be one, of names."""
    with pytest.raises(Invalid, match="available_models"):
        parse_models(typed)


def test_omitted_parameters_are_names_in_order() -> None:
    """Omitted parameters are known names, each once, in the order of the screen; a list may be empty."""
    assert _accepted("omitted_parameters", ["top_p", "temperature", "top_p"]) == ["temperature", "top_p"]
    assert _accepted("omitted_parameters", []) == []
    for wrong in (["max_retries"], ["Temperature"], ["temperature", None], [["top_p"]]):
        assert ", ".join(SENDABLE) in _refused("omitted_parameters", wrong)


@pytest.mark.parametrize(
    ("typed", "rule"),
    [
        ("é" * 40, "takes 80 bytes; at most 72"),
        ("😀" * 19, "takes 76 bytes; at most 72"),
        ("correct horse \x00 battery", "NUL"),
        ("correct horse \ud800 battery", "half a character"),
        (" correct horse battery", "begin or end with a space"),
        ("correct horse batt\n", "begin or end with a space"),
        (" " * 20, "begin or end with a space"),
    ],
)
def test_passwords_that_are_refused(typed: str, rule: str) -> None:
    """CHECKS 21: what bcrypt would cut, or the sign-in form would change, is refused before."""
    assert rule in _refused("password", typed)


@pytest.mark.parametrize(
    "common",
    ["passwordpassword", "P@ssw0rdP@ssw0rd", "123456789012345", "qwertyuiopasdfgh", "a" * 64, "llmsettingsllmsettings"],
)
def test_common_passwords_are_refused(common: str) -> None:
    """Long is not enough: common ones, rows of keys and repetitions are refused, and the product's own name."""
    assert "easy to guess" in _refused("password", common)


def test_passwords_are_not_changed() -> None:
    """A password is kept as typed: not trimmed inside, not normalised, in any script."""
    for good in (
        "correct  horse  battery",
        "e\u0301tude pre\u0300s du lac",
        "密码很长而且没有规律的句子在这里",
        "\u200bjars of red plums",
    ):
        assert _accepted("password", good) == good


def test_usernames() -> None:
    """A user name is folded to lowercase; other characters are refused."""
    assert _accepted("username", " Ada@Example.ORG ") == "ada@example.org"
    for wrong in ("-ada", "a b", "ada\nx", "äda", "a/b", "a'b"):
        assert "1 to 64 of the characters" in _refused("username", wrong) or "line breaks" in _refused(
            "username", wrong
        )
    assert _refused("role", "root") == "must be one of admin, analyst, member"


def test_api_key_is_trimmed_and_nothing_else() -> None:
    """A pasted key loses spaces and line breaks around it; one inside, or an invisible character, is refused."""
    assert _accepted("api_key", f"  {CANARY}\r\n") == CANARY
    for wrong in (f"{CANARY}\n{CANARY}", f"{CANARY}\u200b", f"{CANARY}\u00ad", f"sk\t{CANARY}"):
        assert "copy it again" in _refused("api_key", wrong)
    assert _refused("api_key", " " * 20) == "must be 1 to 8,192 characters"


ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\x00", "\ud800", "e\u0301", "😀" * 50, "x" * 501, "1e400", "https://h", "https://h:1/😀", "[", "{}", "-0.0"]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_anything_is_a_model_or_invalid(data: st.DataObject) -> None:
    """CHECKS 54: any value in any field gives a model or Invalid, never another error."""
    model = data.draw(st.sampled_from(list(GOOD)))
    field = data.draw(st.sampled_from([*model.model_fields, "extra"]))
    value = data.draw(ANY_JSON)
    faults = {"": "none"}
    try:
        validate(model, {**GOOD[model], field: value})
    except Invalid as error:
        faults = error.fields
    assert faults
    assert all(faults.values())


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "display_name": ANY_TEXT,
            "description": ANY_TEXT,
            "available_models": st.lists(ANY_TEXT, max_size=3),
            "default_model": ANY_TEXT,
            "api_base_url": ANY_TEXT | st.from_regex(r"\Ahttps?://[!-~]{1,20}\Z"),
            "name": st.from_regex(r"\A[a-z0-9_-]{1,50}\Z") | ANY_TEXT,
        },
    )
)
@settings(
    max_examples=250,
    deadline=None,
    # one transaction for all examples is what we want: each example rolls back to its own savepoint
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_provider_that_is_accepted_can_be_stored(session: Session, patch: dict[str, Any]) -> None:
    """CHECKS 54: whatever text passes the rules of a provider is stored, and read back the same."""
    try:
        wanted = validate(ProviderInput, {**GOOD[ProviderInput], **patch}).model_dump()
    except Invalid:
        return
    with session.begin_nested() as attempt:
        row = LlmProvider(**wanted)
        session.add(row)
        session.flush()
        session.refresh(row)
        assert row.model_dump(include=set(wanted)) == wanted
        attempt.rollback()


@pytest.mark.long
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: st.integers() | st.floats() | st.floats(0, 2) | st.integers(0, 10_000) for name in NUMBERS},
            **dict.fromkeys(BOOLEANS, st.booleans() | st.none()),
            "preferred_model": ANY_TEXT,
            "log_level": st.sampled_from(["full", "minimal", "errors_only", None]),
            "omitted_parameters": st.lists(st.sampled_from(SENDABLE), max_size=7),
            "custom_settings": st.dictionaries(ANY_TEXT, ANY_JSON, max_size=5),
        },
    )
)
@settings(
    max_examples=250,
    deadline=None,
    # one transaction for all examples is what we want: each example rolls back to its own savepoint
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_settings_that_are_accepted_can_be_stored(session: Session, patch: dict[str, Any]) -> None:
    """CHECKS 53, 54: whatever passes the rules of a settings row is stored, and read back the same."""
    wanted = {}
    for name, value in patch.items():  # the fields that pass, so that most examples store something
        try:
            wanted |= validate(SettingsInput, {name: value}).model_dump(include={name})
        except Invalid:
            continue
    with session.begin_nested() as attempt:
        provider = LlmProvider(**GOOD[ProviderInput])
        session.add(provider)
        session.flush()
        row = LlmSettings(provider_id=provider.id, **wanted)
        session.add(row)
        session.flush()
        session.refresh(row)
        assert _numbers_as_float(row.model_dump(include=set(wanted))) == _numbers_as_float(wanted)
        attempt.rollback()
