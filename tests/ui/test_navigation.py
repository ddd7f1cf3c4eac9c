"""The table of the pages: what follows from it, and that nobody keeps a second one."""

import ast
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.manage import providers
from core.store import db
from core.store.tables import MEMBER, ROLES
from tests.conftest import ROOT, make_user
from tests.screens import PAGES, everything, open_page
from ui.navigation import HOME, SCREENS, names_for

ADDING = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## A new page\n")[2].partition("\n## ")[0]
CANARY = {
    "name": "acme",
    "display_name": "Acme",
    "kind": "openai_compatible",
    "api_base_url": "https://canary.example/v1",
    "api_key": "cnry-kk-0123456789abcdefghij",
    "available_models": ["m"],
    "default_model": "m",
}
DOCS = ("README.md", "docs/administration.md")


def test_table_has_each_page_of_the_folder() -> None:
    """A file in pages/ without a row, and a row without a file, are mistakes."""
    assert sorted(SCREENS) == [path.stem for path in PAGES]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_begins_with_its_own_row(path: Path) -> None:
    """The first statement after the imports and constants guards the page, by the row with the file's own name."""
    body = ast.parse(path.read_text("utf-8")).body[1:]
    first = next(node for node in body if not isinstance(node, ast.Import | ast.ImportFrom) and _is_work(node))
    call = getattr(first, "value", None)

    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    assert isinstance(call.args[0], ast.Constant)
    assert (call.func.id, call.args[0].value) == ("begin_page", path.stem)


def _is_work(node: ast.stmt) -> bool:
    """Constants alone do nothing."""
    return not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper())


@pytest.mark.parametrize("role", [*ROLES, MEMBER])
def test_first_page_of_the_menu_opens_by_itself(role: str, admin: Actor, analyst: Actor) -> None:
    """The address without a page leads to the first one that the role may see, the query with it."""
    first = names_for(role)[0]
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = {"admin": admin, "analyst": analyst, MEMBER: make_user("eve", MEMBER)}[role]
    at.query_params["kept"] = "so"
    at.run()

    assert [title.value for title in at.title] == [SCREENS[first].title]
    assert at.query_params["kept"] == "so"
    assert not at.exception


def test_roles_see_what_the_table_says(admin: Actor, analyst: Actor) -> None:
    """An admin sees every page, an analyst those of an analyst, who is only a member their organisations and their account: each opens, with the title of its row."""
    assert names_for("admin") == list(SCREENS)
    assert set(names_for("analyst")) == {
        name for name, screen in SCREENS.items() if screen.role not in {"admin", "manager"}
    }
    own = [
        "organization",
        "hierarchy",
        "limits",
        "history",
        "document",
        "usage",
        "costs",
        "privacy",
        "alerts",
        "account",
    ]
    assert names_for("member") == own
    for actor, role in ((admin, "admin"), (analyst, "analyst"), (make_user("eve", "member"), "member")):
        for name in names_for(role):
            assert [title.value for title in open_page(name, actor).title] == [SCREENS[name].title]


def test_titles_are_told_apart() -> None:
    """No two pages have one title or one icon, and none is called as the app."""
    assert len({screen.title for screen in SCREENS.values()} | {HOME}) == len(SCREENS) + 1
    assert len({screen.icon for screen in SCREENS.values()}) == len(SCREENS)


def test_readme_lists_the_pages() -> None:
    """README's table has a line for each page, in the order of the menu, and says who may see it."""
    lines = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| ((?:admin|analyst)[^|]*) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )

    roles = {
        "admin": "admin",
        "manager": "admin, member",
        "analyst": "admin, analyst",
        "member": "admin, analyst, member",
    }
    assert lines == [(screen.title, roles[screen.role]) for screen in SCREENS.values()]


@pytest.mark.parametrize("name", names_for("analyst"))
def test_analysts_see_no_address_and_no_mask(name: str, admin: Actor, analyst: Actor) -> None:
    """Of a provider an analyst's pages show neither where it is nor any part of its key."""
    with db.transaction() as session:
        providers.create(session, admin, CANARY)
    at = open_page(name, analyst)

    shown = everything(at) + "".join(str(frame.value) for frame in [*at.dataframe, *at.table])
    for secret in ("canary.example", CANARY["api_key"][:7]):
        assert secret not in shown


@pytest.mark.parametrize("name", SCREENS)
def test_administration_describes_the_page(name: str) -> None:
    """docs/administration.md has a section on each page, or speaks of *its title* as a page."""
    text, title = (ROOT / "docs" / "administration.md").read_text("utf-8"), re.escape(SCREENS[name].title)

    assert re.search(
        rf"^#+ (The )?{title}$|(\*\*{title}\*\*|\*{title}\*|{title}) page|page \*\*?{title}",
        text,
        re.MULTILINE | re.IGNORECASE,
    )


def test_contributing_says_which_files_a_new_page_touches() -> None:
    """At most four files beside the page's own, each of which there is, and each of which names every page."""
    named = re.findall(r"^- `([^`]+)`", ADDING, re.MULTILINE)

    assert 1 <= len(named) <= 4
    for file in named:
        text = (ROOT / file).read_text("utf-8")
        if file != "CHANGELOG.md":
            assert [s.title for s in SCREENS.values() if s.title not in text] == [], file
    assert set(DOCS) <= set(named)


@pytest.mark.long
def test_nobody_keeps_a_second_list_of_pages() -> None:
    """No code, and no test, lists pages by hand: a literal with the names or titles of most of them is such a list."""
    known = {*SCREENS, *(screen.title for screen in SCREENS.values())}
    kept = []
    for folder in ("ui", "pages", "web", "api", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                parts = {ast.Dict: "keys", ast.Tuple: "elts", ast.List: "elts", ast.Set: "elts"}.get(type(node))
                if isinstance(node, ast.Dict) and folder == "tests":
                    continue  # what a test does on some page is no list of them
                values = {getattr(part, "value", None) for part in getattr(node, parts)} if parts else set()
                if len(known & {value for value in values if isinstance(value, str)}) > len(SCREENS) / 2:
                    kept.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")

    assert [place.partition(":")[0] for place in kept] == ["ui/navigation.py"], kept
