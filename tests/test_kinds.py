"""The kinds of provider: one row each, and everything that has to know a kind knows each of them."""

import tomllib
from dataclasses import replace
from typing import Any, get_args

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from core import kinds
from core.actors import Actor
from core.calling.adapters import ADAPTERS
from core.commands.app import app as command_line
from core.kinds import KINDS, KeyFormat, KindFacts, facts_of
from core.manage import env_import, provider_keys, providers
from core.models import catalogue
from core.parameters import PARAMETERS, SENDABLE
from core.store import db
from core.store.schemas import ProviderInput
from core.testing import override
from tests.conftest import ROOT
from tests.parameters import another, arrives
from tests.rest import serving, token
from tests.screens import html_texts
from tests.vendors import KEY, Vendor
from ui.preview.table import python_snippet

NEWER = "newest"
"""A kind that a newer version has stored."""
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def _stored(session: Session, kind: str, base_url: str | None) -> None:
    session.execute(
        text(
            "INSERT INTO llm_providers (name, display_name, kind, api_base_url, available_models, default_model, is_active)"
            " VALUES ('acme', 'Acme', :kind, :url, '[\"m\"]', 'm', true)"
        ),
        {"kind": kind, "url": base_url},
    )


def _docs_row(kind: KindFacts) -> str:
    """The row of administration.md that says what a kind is."""
    key = kind.key_format
    begins = " or ".join(f"`{prefix}`" for prefix in key.prefixes) if key else ""
    variables = ", ".join(f"`{name}`" for name in kind.key_variables)
    ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in kind.ranges.items())
    private = "yes" if kind.self_hosted else "if listed"
    cells = (kind.label, kind.name, kind.base_url or "has to be given", private, begins, variables, ranges)
    return f"| {' | '.join(cell or 'none' for cell in cells)} |"


def test_the_type_names_the_rows() -> None:
    """What a type checker and the validator take for a kind is what has a row."""
    assert get_args(kinds.Kind) == tuple(KINDS)
    assert {kind.sdk for kind in KINDS.values()} <= set(get_args(kinds.Sdk))
    assert ProviderInput.model_fields["kind"].description == f"one of {', '.join(KINDS)}"


@each_kind
def test_a_row_holds_together(kind: KindFacts) -> None:
    """It says of each parameter what the vendor calls it, or that the vendor has none; the rest fits to that."""
    accepted = [theirs for theirs in kind.names.values() if theirs]

    assert set(kind.names) == set(SENDABLE)
    assert len(set(accepted)) == len(accepted)
    assert not kind.required & kind.never_accepted
    for name, (low, high) in kind.ranges.items():
        ours = PARAMETERS[name]
        assert ours.minimum is not None
        assert ours.maximum is not None
        assert ours.minimum <= low < high <= ours.maximum
        assert (low, high) != (ours.minimum, ours.maximum)
    if kind.key_format is not None:
        assert all(kind.key_format.prefixes)
        assert kind.key_format.min_length > max(map(len, kind.key_format.prefixes), default=0)
        assert kind.key_format.source


@each_kind
def test_database_takes_the_kind(session: Session, kind: KindFacts) -> None:
    """The CHECKs that the migrations made know each kind, and which of them need a base URL."""
    if kind.base_url is None:
        with pytest.raises(IntegrityError, match="api_base_url_present"), session.begin_nested():
            _stored(session, kind.name, None)
    _stored(session, kind.name, None if kind.base_url else "https://host.example")


def test_database_takes_no_other_kind(session: Session) -> None:
    with pytest.raises(IntegrityError, match="kind"), session.begin_nested():
        _stored(session, NEWER, None)


def test_each_kind_has_an_adapter() -> None:
    """It is what calls the vendor; none is left over."""
    assert set(ADAPTERS) == set(KINDS)


@each_kind
def test_each_kind_has_a_snippet(kind: KindFacts) -> None:
    """The lines for a program import the kind's own SDK, and are Python."""
    snippet = python_snippet("acme", kind.name)

    compile(snippet, "snippet", "exec")
    assert kind.sdk is not None
    package, _, module = kind.sdk.partition(".")
    assert snippet.startswith(f"from {package} import {module}\n" if module else f"import {package}\n")


@pytest.mark.parametrize(
    ("kind", "renamed"),
    [(kind, None) for kind in KINDS.values()]
    + [(kind, name) for kind in KINDS.values() if kind.sdk in {*KINDS} - {kind.name} for name in SENDABLE],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_snippet_calls_the_vendor(monkeypatch: pytest.MonkeyPatch, kind: KindFacts, renamed: str | None) -> None:
    """As people copy it: the vendor gets each parameter by its own name, also one that another vendor's SDK does not know."""
    if renamed:
        kind = replace(kind, names={**kind.names, renamed: "random_seed"})
        monkeypatch.setattr(kinds, "KINDS", {**KINDS, kind.name: kind})
    values: dict[str, Any] = {name: another(name) for name in SENDABLE}
    with Vendor() as vendor:
        names = {"messages": [{"role": "user", "content": "Hello"}], "prompt": "Hello"}
        url = vendor.base_url(kind.name)
        with override(
            "acme",
            model=vendor.models[0],
            kind=kind.name,
            base_url=url,
            api_key=KEY,
            **values,
        ):
            exec(python_snippet("acme", kind.name), names)
        body = vendor.asked[-1].body

    got = body["generationConfig"] if kind.sdk == "google.genai" else body
    expected = arrives(kind.names, values, of_google=kind.sdk == "google.genai")
    assert {name: got.get(name) for name in expected} == expected
    assert not set(got) & {ours for ours, theirs in kind.names.items() if theirs != ours}


@each_kind
def test_the_extra_brings_the_sdk(kind: KindFacts) -> None:
    """What an error tells people to install holds the SDK of the kind."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert kind.sdk is not None

    wanted = kind.sdk.replace(".", "-")
    assert any(line.startswith(f"{wanted}>=") for line in project["optional-dependencies"][kind.extra])


@each_kind
def test_docs_have_a_row_of_the_kind(kind: KindFacts) -> None:
    """The table of administration.md says what the row here says."""
    assert _docs_row(kind) in (ROOT / "docs/administration.md").read_text().splitlines()


def test_keys_come_from_the_variables_of_the_kinds(session: Session, admin: Actor) -> None:
    """`import-env` moves the first variable of each vendor that is seeded, names all, and says so in its help."""
    by_vendor = {vendor.name: KINDS[vendor.kind].key_variables for vendor in catalogue.SEEDED}
    everything = [variable for variables in by_vendor.values() for variable in variables]
    outcomes = env_import.import_env(session, admin, {name: f"{name}-0123456789abcdef" for name in everything})
    shown = CliRunner().invoke(command_line, ["import-env", "--help"], env={"COLUMNS": "200"}).stdout

    assert all(by_vendor.values())
    assert len(set(everything)) == len(everything)
    assert [o.name for o in outcomes] == everything
    assert [o.name for o in outcomes if o.action == "created"] == [names[0] for names in by_vendor.values()]
    assert all(name in shown for name in everything)


@pytest.mark.parametrize(
    ("prefixes", "key", "warned"),
    [
        ((), "Ab3d5" * 4, False),
        ((), "Ab3d5" * 2, True),
        (("a-", "b-"), "b-" + "Ab3d5" * 4, False),
        (("a-",), "Ab3d5" * 4, True),
    ],
)
def test_a_key_may_begin_with_anything(
    monkeypatch: pytest.MonkeyPatch, prefixes: tuple[str, ...], key: str, warned: bool
) -> None:
    """A kind whose keys have no prefix has a format too: their length."""
    known = replace(KINDS["openai"], key_format=KeyFormat(prefixes, 12, "this test"))
    monkeypatch.setattr(kinds, "KINDS", {**KINDS, "openai": known})

    assert (provider_keys.validate_api_key_format("openai", key) is not None) == warned


@each_kind
def test_values_beyond_the_vendors_range_are_brought_into_it(kind: KindFacts) -> None:
    """A value that we take and the vendor does not is sent as the nearest, with both limits named; ours fit by themselves."""
    for name, (low, high) in kind.ranges.items():
        for value, sent in ((high, high), (high + 0.5, high)):
            with override("acme", kind=kind.name, base_url="https://host.example", model="m", **{name: value}) as found:
                assert found.adapted().sent[kind.names[name] or ""] == sent
                said = [each.why for each in found.adjustments if each.parameter == name]
            assert said == ([] if sent == value else [f"it takes {low:g} to {high:g}"])
    with override("acme", kind=kind.name, base_url="https://host.example", model="m") as found:
        assert {each.what for each in found.adjustments} <= {"renamed", "left_out"}
        assert {each.parameter for each in found.adjustments if each.what == "left_out"} == kind.never_accepted


def test_what_is_known_of_a_kind_of_a_newer_version() -> None:
    """Asking never raises: it is called by its own name, and nothing is known of it."""
    row = facts_of(NEWER)

    assert (row.label, row.base_url, row.self_hosted, row.key_format, row.sdk) == (NEWER, None, False, None, None)
    assert set(row.names) == set(SENDABLE)
    assert facts_of(None).label == ""
    compile(python_snippet("acme", NEWER), "snippet", "exec")


def test_pages_and_rest_show_a_kind_of_a_newer_version(
    session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While services and app are of two versions, a provider of an unknown kind is shown like any other, and can be edited."""
    session.execute(text("ALTER TABLE llm_providers DROP CONSTRAINT llm_providers_kind_check"))
    _stored(session, NEWER, "https://host.example/v1")
    session.commit()
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = admin
    at.run()
    for page in ("pages/providers.py", "pages/effective_preview.py", "pages/defaults.py"):
        at.switch_page(page).run()
        assert not at.exception
    at.switch_page("pages/providers.py").run()
    assert any(f"acme · {NEWER}" in told for told in html_texts(at))
    at.button(key="edit_acme").click().run()
    assert not at.exception
    assert at.selectbox(key="provider_kind").value == NEWER

    with serving(monkeypatch) as client:
        answer = client.get("/api/llm/providers", headers=token("admin"))
    assert answer.status_code == 200
    assert [row["kind"] for row in answer.json()["data"]] == [NEWER]
    with db.transaction() as other:
        assert providers.get_by_name(other, "acme").kind == NEWER
