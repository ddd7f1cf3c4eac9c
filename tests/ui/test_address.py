"""The address of a page: what it keeps, and what of it is explained because there is no such thing."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.access import tokens
from core.actors import COMMAND_LINE, Actor
from core.audit.record import Target, record
from core.manage import providers, settings
from tests.conftest import ROOT
from tests.govern.test_usage import log
from tests.screens import PAGES, click, everything, open_page
from ui.feedback import plain
from ui.navigation import SCREENS, names_for

PARAMETERS = {name: screen.parameters for name, screen in SCREENS.items() if screen.parameters}
ODD = {
    "empty": "",
    "spaces": "   ",
    "nul": "a\x00b",
    "lone surrogate": "\ud800".encode("utf-8", "replace").decode(),
    "markdown": "![x](http://evil.example/a.png) :red[w] $e$",
    "script": "<script>alert(1)</script>",
    "sql": "'; DROP TABLE users; --",
    "long": "x" * 3_000,
    "lines": "a\nb",
    "right to left": "\u202e\u0633\u0644",
    "number": "-1",
    "huge": "9" * 40,
    "date": "2026-02-30",
    "far date": "0001-01-01",
    "place": "2-99999999999999999-1",
    "several": ["a", "b"],
}
"""Name -> what no page has."""


@pytest.fixture
def some(session: Session) -> Session:
    """More than a page of everything."""
    data = {"name": "acme", "display_name": "Acme", "kind": "openai", "available_models": ["m"]}
    providers.create(session, COMMAND_LINE, data)
    log(session, *({"user_id": str(n), "provider": ("acme", "zeta")[n % 2]} for n in range(55)))
    for number in range(55):
        record(session, COMMAND_LINE, "test", Target("provider", number, f"p{number}"))
        tokens.create(session, COMMAND_LINE, {"name": f"program {number}", "role": "analyst"})
    session.flush()
    return session


def _places(node: Any, above: tuple[int, ...] = ()) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The parameter of each widget that stands in the address, and where in the page it is: the numbers of the blocks around it."""
    for place, child in getattr(node, "children", {}).items():
        if parameter := getattr(child.proto, "query_param_key", ""):
            yield parameter, (*above, place)
        yield from _places(child, (*above, place))


def _a_provider_is_gone(at: AppTest, session: Session) -> None:
    session.execute(text("DELETE FROM llm_providers"))
    click(at, "edit_acme")
    assert "Acme is gone" in at.warning[0].value


def _none_is_active(at: AppTest, session: Session) -> None:
    session.execute(text("UPDATE llm_providers SET is_active = false"))
    at.run()
    assert "Your programs ask here" in at.markdown[0].value


def _one_is_chosen(at: AppTest, _: Session) -> None:
    at.selectbox(key="provider").set_value("acme").run()
    assert at.selectbox(key="provider").value == "acme"


@pytest.mark.parametrize(
    ("page", "happens"),
    [("providers", _a_provider_is_gone), ("providers", _none_is_active), ("usage", _one_is_chosen)],
    ids=["a message", "first steps", "links"],
)
def test_what_comes_above_moves_no_filter(
    some: Session, admin: Actor, page: str, happens: Callable[[AppTest, Session], None]
) -> None:
    """A widget of the address that moves is drawn twice for a while, and Streamlit 1.67 then no more writes it there."""
    some.execute(text("UPDATE llm_providers SET is_active = true"))
    settings.upsert_global(some, COMMAND_LINE, None, {"temperature": 0.3})
    at = open_page(page, admin)
    before = dict(_places(at.main))

    happens(at, some)

    after = dict(_places(at.main))
    assert before
    assert {name: after[name] for name in before if name in after} == before


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("page", PARAMETERS)
def test_odd_values(admin: Actor, page: str) -> None:
    """Whatever stands in the address, the page is drawn, shows it as text, and never as nothing at all."""
    for value in ODD.values():
        at = at_once(page, admin, **dict.fromkeys(PARAMETERS[page], value))

        shown = everything(at)
        assert at.title[0].value == SCREENS[page].title
        assert len(shown) > len(SCREENS[page].title) + 80
        for raw in ("![x]", "](http", ":red[w", "<script>", "$e$"):
            assert raw not in shown


def at_once(page: str, actor: Actor, /, **query: Any) -> AppTest:
    """Return the page as a link opens it: its run is the first of the session."""
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = actor
    at.switch_page(f"pages/{page}.py")
    at.query_params.update(query)
    at.run()
    assert not at.exception
    return at


EXPLAINED = [
    ("usage", "span", "tomorrow"),
    ("usage", "by", "Colour"),
    ("usage", "status", "fine"),
    ("usage", "chart", "Pie"),
    ("usage", "model", "x" * 300),
    ("usage", "page", "two"),
    ("usage", "page", "0-1-1"),
    ("users", "since", "ever"),
    ("users", "page", "7"),
    ("users", "page", "x"),
    ("tokens", "page", "99"),
    ("audit", "action", "eat"),
    ("audit", "from", "2026-02-30"),
    ("audit", "to", "20260102"),
    ("audit", "since", "1 year"),
    ("audit", "who", "x" * 300),
]


@pytest.mark.usefixtures("some")
def test_what_there_is_not_is_explained(admin: Actor) -> None:
    """The page says which parameter it left out, and shows the rest."""
    for page, name, value in EXPLAINED:
        at = at_once(page, admin, **{name: value})

        (warning,) = (each.value for each in at.warning)
        assert plain(f"The address says {name}=") in warning, (page, name, value)
        assert "It is left out, and the rest is shown" in warning


@pytest.mark.usefixtures("some")
def test_filters_of_the_address(admin: Actor) -> None:
    """What the address chooses is chosen in the fields, and narrows the list, and on Usage the figures."""
    at = at_once("usage", admin, provider="zeta", span="7 days", by="Model", status="ok", user="3")
    assert {metric.label: metric.value for metric in at.metric}["Calls"] == "27"
    assert (at.segmented_control(key="span").value, at.segmented_control(key="by").value) == ("week", "model")
    assert len(at.expander) == 1

    at = at_once("audit", admin, provider="p7", since="24 hours")
    assert [line.label for line in at.expander] == ["**command line** test **p7**"]
    at = at_once("tokens", admin, search="GRAM 4")
    assert everything(at).count("**program 4") == 11
    at = at_once("tokens", admin, page="3")
    assert "51 to 55 of 55" in everything(at)


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("name", ["usage", "audit"])
def test_places_of_a_list(admin: Actor, name: str) -> None:
    """The address of the third page shows it in a session that has seen no other; Newer leads from there to the first."""
    at = open_page(name, admin)
    pages = [[line.label for line in at.expander]]
    for _ in range(2):
        at.button(key=f"{name}_older").click().run()
        pages.append([line.label for line in at.expander])
    place = at.query_params["page"]
    assert pages[0] != pages[1] != pages[2]

    at = at_once(name, admin, page=place)
    assert [line.label for line in at.expander] == pages[2]
    assert "51 to" in everything(at)
    at.button(key=f"{name}_newer").click().run()
    assert [line.label for line in at.expander] == pages[1]
    at.button(key=f"{name}_newer").click().run()
    assert [line.label for line in at.expander] == pages[0]
    assert "page" not in at.query_params
    at = at_once(name, admin, page="5-1-1")
    assert not at.exception
    at.button(key=f"{name}_newest").click().run()
    assert [line.label for line in at.expander] == pages[0]


@pytest.mark.usefixtures("some")
def test_what_an_earlier_visit_left_is_not_in_the_next_page(admin: Actor) -> None:
    """A page shows what its address says, and nothing that was chosen on another one, or on it before."""
    at = open_page("usage", admin, provider="zeta", page="2-1764148000000000-1")
    for page in ("audit", "usage"):
        at.query_params.clear()
        at.switch_page(f"pages/{page}.py").run()

        assert not at.exception
        assert at.selectbox(key="provider").value is None
        assert not at.query_params


def test_analyst_with_an_admins_link(analyst: Actor) -> None:
    """Whatever the link, an analyst is told whom to ask where a page is not theirs to see."""
    others = PARAMETERS.keys() - set(names_for("analyst"))
    assert others >= {"providers", "defaults", "organization"}
    for page in others:
        names = PARAMETERS[page]
        assert "Ask an admin" in everything(at_once(page, analyst, **dict.fromkeys(names, "acme")))


def _bound(tree: ast.Module) -> Iterator[ast.Call]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and any(word.arg == "bind" for word in call.keywords):
            yield call


def test_each_bound_widget_is_in_the_table() -> None:
    """A widget that writes to the address without being in the table would follow a person to the next page."""
    known = {name for names in PARAMETERS.values() for name in names}
    found = set[str]()
    for path in [*PAGES, *(ROOT / "ui").rglob("*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        names = _constants(tree)
        for call in _bound(tree):
            (key,) = (word.value for word in call.keywords if word.arg == "key")
            value = key.value if isinstance(key, ast.Constant) else names.get(getattr(key, "id", ""), "")
            assert value in known, f"{path.name}: {ast.unparse(key)}"
            found.add(value)

    assert len(found) >= 8


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the strings that a module gives names to, also several in a line."""
    names: dict[str, Any] = {}
    for each in ast.walk(tree):
        if isinstance(each, ast.ImportFrom) and (path := ROOT / f"{str(each.module).replace('.', '/')}.py").exists():
            whole = _constants_of(path)
            names |= {name.asname or name.name: whole.get(name.name) for name in each.names}
        elif isinstance(each, (ast.Assign, ast.AnnAssign)) and each.value is not None:
            target = each.targets[0] if isinstance(each, ast.Assign) else each.target
            keys = target.elts if isinstance(target, ast.Tuple) else [target]
            given = names.get(each.value.id) if isinstance(each.value, ast.Name) else _literal(each.value)
            values = given if isinstance(given, tuple) else (given,) * len(keys)
            names |= {getattr(key, "id", ""): value for key, value in zip(keys, values, strict=False)}
    return names


@cache
def _constants_of(path: Path) -> dict[str, Any]:
    return _constants(ast.parse(path.read_text("utf-8")))


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
