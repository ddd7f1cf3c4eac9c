"""A parameter is one row of core/parameters.py: whatever has to know of it, here or in the docs, knows each of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from psycopg.types.json import Json
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from api import wire
from api.names import camel
from core import kinds
from core.actors import Actor
from core.calling import sent
from core.calling.request import How, Omitted
from core.errors import Invalid
from core.kinds import KINDS
from core.manage import providers, settings
from core.models.adapt import adapt
from core.parameters import PARAMETERS, SENDABLE, Parameter
from core.resolving.columns import SETTINGS
from core.resolving.effective import EffectiveSettings
from core.resolving.words import state_of, value_text, warnings_of
from core.store.schemas import SettingsInput, validate
from core.store.tables import LlmSettings
from core.testing import override
from tests.conftest import ROOT
from tests.parameters import RULES, SENT, another

each_parameter = pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS)
EXAMPLES = {
    "core/govern/importers/librechat.py",
    "core/govern/importers/litellm.py",
    "core/models/refused.py",
    "docs/models.md",
    "core/models/catalogue.py",
    "core/models/rules.py",
    "tests/models/test_adapt.py",
    "tests/manage/test_omissions.py",
    "tests/test_what_is_sent.py",
    "tests/resolving/test_words.py",
    "tests/models/test_catalogue.py",
    "tests/models/test_known_facts.py",
    "tests/models/test_refusals.py",
    "tests/resolving/test_decision.py",
    "tests/calling/test_sent.py",
    "tests/test_ai.py",
}
"""What is said there of some parameters by name need not be said of a new one."""
COLUMNS = {float: "double precision", int: "integer", bool: "boolean", str: "text", list: "jsonb"}
TYPESCRIPT = {float: "number", int: "number", bool: "boolean", str: "string"}
GO = {float: "float64", int: "int", bool: "bool", str: "string"}


def _docs(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _lines_are_in(lines: list[str], name: str) -> bool:
    """Whether the document has each of these lines; a failure names the lines, not the document."""
    missing = [line for line in lines if line not in _docs(name).splitlines()]
    assert not missing, f"docs/{name} has no line {missing}"
    return True


def _type_of(annotation: Any) -> tuple[Any, bool]:
    """Return what an annotation says: the type, or the choices of a Literal; and whether it may be None."""
    parts = [annotation] if get_origin(annotation) is Literal else (get_args(annotation) or [annotation])
    (one,) = [part for part in parts if part is not NoneType]
    if get_origin(one) in {list, tuple}:
        assert get_args(one)[0] is str
        return list, NoneType in parts
    return get_args(one) or one, NoneType in parts


def _expected(parameter: Parameter) -> Any:
    return parameter.choices or parameter.value_type


def _may_be_set(session: Session, name: str, value: object) -> bool:
    """Whether the migrated database takes the value."""
    try:
        with session.begin_nested() as attempt:
            stored = Json(value) if isinstance(value, list) else value
            session.connection().exec_driver_sql(f"INSERT INTO llm_settings ({name}) VALUES (%s)", (stored,))
            attempt.rollback()
    except (IntegrityError, DataError):
        return False
    return True


def test_the_tests_know_the_same_parameters() -> None:
    """What other tests compare with is complete, and says the same."""
    assert list(RULES) == list(PARAMETERS)
    assert SENT == SENDABLE
    assert {name: default for name, (default, _) in RULES.items()} == {n: p.default for n, p in PARAMETERS.items()}
    for name, (_, in_range) in RULES.items():
        parameter = PARAMETERS[name]
        if parameter.minimum is not None and parameter.maximum is not None:
            around = (parameter.minimum - 1, parameter.minimum, parameter.maximum, parameter.maximum + 1)
            assert [in_range(value) for value in around] == [False, True, True, False]


@each_parameter
def test_a_row_holds_together(parameter: Parameter) -> None:
    """Its default and limits are of its type; a number has a range and a step, a text has choices, and no other has."""
    number = parameter.value_type in {int, float}
    limits = (parameter.minimum, parameter.maximum, parameter.step)

    assert parameter.default is None or parameter.fits(parameter.default)
    assert parameter.fits(parameter.first)
    assert all((limit is not None) == number for limit in limits)
    assert not number or all(type(limit) is parameter.value_type for limit in limits)
    assert (parameter.value_type is str) == bool(parameter.choices or parameter.pattern)
    assert (parameter.value_type is list) == bool(parameter.most) == bool(parameter.longest)
    assert [p.label for p in PARAMETERS.values()].count(parameter.label) == 1
    assert parameter.help.endswith(".")
    assert parameter.default is not None or parameter.sendable  # the code of a service relies on the others


@each_parameter
def test_what_fits_is_exact(parameter: Parameter) -> None:
    """True is no number, 3.0 no whole number, a text no choice that is not offered; NaN and infinity fit nowhere."""
    odd = (True, 0, 1, 3.0, 0.5, "full", "x", None, [], ["x"], float("nan"), float("inf"))
    types = {type(value) for value in odd if parameter.fits(value)}

    assert types <= {bool: {bool}, str: {str}, list: {list}, int: {int}, float: {int, float}}[parameter.value_type]
    assert parameter.value_type is not int or not parameter.fits(float(str(parameter.first)))
    for wrong in ([], ["x"] * 17, [""], ["x" * 101], ["\0"], ["\ud800"], [1], "x" * 21, "a b", "A", "low\n", ""):
        assert not parameter.fits(wrong)


@each_parameter
def test_the_rule_in_words(parameter: Parameter) -> None:
    """It says the limits as people write them, and is what the validator says."""
    rule = parameter.rule

    assert SettingsInput.model_fields[parameter.name].description == rule
    assert "e+" not in rule
    if parameter.minimum is not None and parameter.maximum is not None:
        low, high = re.fullmatch(r"a (?:whole )?number from (\S+) to (\S+)", rule).groups()  # type: ignore[union-attr]
        assert (float(low), float(high)) == (parameter.minimum, parameter.maximum)


@pytest.mark.parametrize(
    ("value", "text"), [(1e6, "1000000"), (-1e9, "-1000000000"), (1e-7, "0.0000001"), (0.7, "0.7")]
)
def test_no_number_has_an_exponent(value: float, text: str) -> None:
    """Neither in a rule, nor on a page, nor in a warning of the vendor's range."""
    low, high = sorted((value, value + 1))
    wide = replace(PARAMETERS["top_p"], minimum=value, maximum=value)

    assert (wide.rule, value_text("top_p", value)) == (f"a number from {text} to {text}", text)
    known = replace(KINDS["openai"], ranges={"top_p": (low, high)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "KINDS", {**KINDS, "openai": known})
        (said,) = adapt("openai", "unheard-of", {"top_p": 2e9}, ["top_p"]).adjustments
    assert said.why.startswith(f"it takes {text} to ")


@each_parameter
def test_column(session: Session, parameter: Parameter) -> None:
    """The migrated database has a column of its type, which may be NULL and has no default, and a CHECK of its range."""
    field = LlmSettings.model_fields.get(parameter.name)
    assert field is not None, f"core/store/tables.py: LlmSettings has no {parameter.name}"
    assert _type_of(field.annotation) == (parameter.value_type, True)
    row = session.execute(
        text(
            "SELECT data_type, is_nullable, column_default FROM information_schema.columns"
            " WHERE table_name = 'llm_settings' AND column_name = :name"
        ),
        {"name": parameter.name},
    ).one_or_none()

    assert row is not None, f"no migration for llm_settings.{parameter.name}"
    assert tuple(row) == (COLUMNS[parameter.value_type], "YES", None)
    if parameter.minimum is not None and parameter.maximum is not None:
        for value in (parameter.minimum, parameter.maximum):
            assert _may_be_set(session, parameter.name, value)
        for value in (parameter.minimum - 1, parameter.maximum + 1):
            assert not _may_be_set(session, parameter.name, value)
    for choice in parameter.choices:
        assert _may_be_set(session, parameter.name, choice)
    assert not parameter.choices or not _may_be_set(session, parameter.name, "x")
    if parameter.pattern or parameter.most:
        assert _may_be_set(session, parameter.name, parameter.first)
        for value in ("A", "", "a" * 21) if parameter.pattern else ([], ["x"] * 17, Json({}), Json("x")):
            assert not _may_be_set(session, parameter.name, value)


@each_parameter
def test_input_model(parameter: Parameter) -> None:
    """It is validated by its type: what does not fit is refused by a rule that says what would."""
    good, bad = another(parameter.name), 0.5 if parameter.value_type is not float else 1e9

    assert getattr(validate(SettingsInput, {parameter.name: good}), parameter.name) == good
    with pytest.raises(Invalid) as refused:
        validate(SettingsInput, {parameter.name: bad})
    what = {int: "a whole number from", float: "a number from", bool: "true or false", str: "one of", list: "a list of"}
    rule = parameter.shape or what[parameter.value_type]
    assert rule in refused.value.fields[parameter.name]


@each_parameter
def test_attribute_and_wire(parameter: Parameter) -> None:
    """Services and programs see it with its type: None only where it may be unset."""
    attribute = get_type_hints(EffectiveSettings)[parameter.name]
    in_force = wire.Effective.model_fields[parameter.name].annotation
    row = wire.SettingsRow.model_fields[parameter.name].annotation

    assert _type_of(attribute) == (_expected(parameter), parameter.default is None)
    assert _type_of(in_force) == (_expected(parameter), parameter.default is None)
    assert _type_of(row) == (_expected(parameter), True)


@each_parameter
def test_a_call_may_set_it(parameter: Parameter) -> None:
    """Type checkers know it as an argument of a call by core.ai, if it goes to the model."""
    hints = get_type_hints(How)
    assert (parameter.name in hints) == parameter.sendable
    if parameter.sendable:
        value_type = list[str] if parameter.value_type is list else parameter.value_type
        assert set(get_args(hints[parameter.name])) == {value_type, Omitted}


@each_parameter
def test_resolver_reads_it(parameter: Parameter) -> None:
    """The line of a settings row has it, and its text is read as its type."""
    value = another(parameter.name)
    stored = json.dumps(value) if isinstance(value, list) else str(value)
    stored = {True: "t", False: "f"}[value] if isinstance(value, bool) else stored
    read = SETTINGS[parameter.name](stored)

    assert (read, type(read)) == (value, parameter.value_type)


@each_parameter
def test_vendors_names_are_in_the_docs(parameter: Parameter) -> None:
    """calls.md says what each kind's API calls it, and leaves blank what it does not have."""
    if parameter.sendable:
        names = [kind.names[parameter.name] for kind in KINDS.values()]
        cells = "".join(f" `{name}` |" if name else " |" for name in names)
        assert _lines_are_in([f"| `{parameter.name}` |{cells}"], "calls.md")


def test_docs_list_the_kinds_in_our_order() -> None:
    """The columns of that table are the kinds."""
    assert _lines_are_in([f"| parameter | {' | '.join(kind.label for kind in KINDS.values())} |"], "calls.md")


@each_parameter
def test_docs_say_type_range_and_default(parameter: Parameter) -> None:
    """administration.md has a row for it."""
    default = (
        "none: not sent unless set" if parameter.default is None else value_text(parameter.name, parameter.default)
    )
    if parameter.choices:
        values = ", ".join(parameter.choices)
    elif parameter.pattern or parameter.most:
        values = parameter.rule
    elif parameter.value_type is bool:
        values = "on or off"
    else:
        low, high = (value_text(parameter.name, limit) for limit in (parameter.minimum, parameter.maximum))
        values = f"{low} to {high}"
    row = f"| {parameter.label} | `{parameter.name}` | {values} | {default} |"
    assert _lines_are_in([row], "administration.md")


def test_recipe_names_every_file_with_a_list_of_them() -> None:
    """CONTRIBUTING, "A new parameter", has at most 12 files, and every file that names all parameters that are sent."""
    recipe = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## A new parameter\n")[2].partition("\n## ")[0]
    named = {path for path in re.findall(r"`([\w./]+\.(?:py|md))`", recipe) if (ROOT / path).exists()}
    folders = ("core", "ui", "api", "web", "pages", "docs", "tests")
    files = {path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in {".py", ".md"}}
    lists = {
        str(path.relative_to(ROOT))
        for path in files
        if all(re.search(rf"\b({name}|{camel(name)})\b", path.read_text("utf-8")) for name in SENDABLE)
    }

    assert lists <= named | EXAMPLES
    assert len(named - {"tests/test_parameters.py"}) + 1 <= 12  # and the migration


@each_parameter
def test_clients_in_the_docs_need_nothing(parameter: Parameter) -> None:
    """What goes to the model the clients of docs/clients have in `request`, whatever comes; what a caller acts on is a field."""
    name, typescript, go = camel(parameter.name), _docs("clients/settings.ts"), _docs("clients/settings.go")
    assert all("request" in re.findall(r"\b\w+\b", text) for text in (typescript, go))
    if parameter.sendable:
        assert not re.search(rf"\b{name}\b", typescript + go)
    elif parameter.group == "Retries and timeout":
        assert _lines_are_in([f"  {name}: {TYPESCRIPT[parameter.value_type]};"], "clients/settings.ts")
        field = rf"^\t{name[0].upper()}{name[1:]}\s+{GO[parameter.value_type]}\s+`json:\"{name}\"`$"
        assert re.search(field, go, re.MULTILINE)


def test_form_has_a_row_for_each(admin: Actor) -> None:
    """On Defaults each can inherit and have a value, and can be held back if it goes to the model."""
    at = _page(admin, "defaults")
    for name in PARAMETERS:
        at.segmented_control(key=f"{name}_mode").set_value("value")
    at.run()
    assert not at.exception
    drawn = {
        w.key for kind in ("slider", "number_input", "toggle", "selectbox", "multiselect") for w in getattr(at, kind)
    }

    assert set(PARAMETERS) <= drawn
    for name, parameter in PARAMETERS.items():
        options = at.segmented_control(key=f"{name}_mode").options
        assert options == ["Inherit", "Value", "Don't send"][: 3 if parameter.sendable else 2]


def _page(actor: Actor, name: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = actor
    at.run()
    at.switch_page(f"pages/{name}.py").run()
    assert not at.exception
    return at


@pytest.fixture(params=["temperature", "max_tokens"])
def unset(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A parameter that has no default, for this test."""
    name: str = request.param
    monkeypatch.setitem(PARAMETERS, name, replace(PARAMETERS[name], default=None, is_amount=False))  # type: ignore[misc]
    return name


def named(options: dict[str, Any]) -> dict[str, Any]:
    """What is sent with a request, wherever the SDK takes it."""
    inner = {**options.pop("config", {}), **options.pop("extra_body", {})}
    return {**options, **inner}


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_without_a_default_it_is_not_sent_unless_set(unset: str, kind: str) -> None:
    """It has no value and no warning until somebody sets it; then it is sent like any other, and can be omitted."""
    value = another(unset)
    theirs = KINDS[kind].names[unset]
    with override("a", kind=kind, base_url="https://host.example", model="m") as nobody:
        assert getattr(nobody, unset) is None
        assert theirs not in named(nobody.request_options())
        assert theirs not in sent.parameters(nobody)[0]
        assert unset not in {each.parameter for each in nobody.adjustments}
        item = next(item for item in nobody.explain() if item.name == unset)
        assert (item.sent, state_of(item), value_text(unset, item.value)) == (False, "not set", "not set")
        assert not [warning for warning in warnings_of(nobody) if unset in warning]
        assert json.loads(json.dumps(nobody.as_dict()))[unset] is None
    with override("a", kind=kind, base_url="https://host.example", model="m", **{unset: value}) as somebody:
        if theirs:
            assert named(somebody.request_options())[theirs] == value
        assert sent.parameters(somebody)[0][theirs] == value
        assert state_of(next(item for item in somebody.explain() if item.name == unset)) == "sent"


def test_without_a_default_pages_say_that_it_is_not_set(session: Session, admin: Actor, unset: str) -> None:
    """Defaults and Effective Preview show it as not set, not as a value; a value starts within its range."""
    made: Mapping[str, Any] = {
        "display_name": "Acme",
        "kind": "openai",
        "available_models": ["m"],
        "default_model": "m",
    }
    scope = providers.create(session, admin, {"name": "acme", **made})
    session.flush()
    table = _page(admin, "effective_preview").table[0].value
    (row,) = [row for row in table.to_numpy().tolist() if str(row[0]).startswith(PARAMETERS[unset].label)]
    assert str(row[1]).startswith("not set")
    assert ":gray[:small[not set]]" in row[2]

    at = _page(admin, "defaults")
    assert any(caption.value.startswith("not set · built") for caption in at.caption)
    at.segmented_control(key=f"{unset}_mode").set_value("value").run()
    assert not at.exception
    at.button(key="save").click().run()
    assert not at.exception
    row = settings.get_global(session, None)
    assert row is not None
    assert getattr(row, unset) == PARAMETERS[unset].minimum
    assert scope.id is not None
    assert settings.get_global(session, scope.id) is None
