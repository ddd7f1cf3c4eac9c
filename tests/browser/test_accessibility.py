"""Who cannot see, or has no mouse, reaches everything: axe-core's rules, names that differ, the keyboard alone."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Locator, Page, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.manage import providers, seed
from core.store import db
from tests.browser.conftest import settled
from tests.browser.filled import app_with, fill
from tests.browser.test_looks import schemes, show
from tests.conftest import PASSWORD
from tests.processes import App, running_app
from tests.vendors import Vendor
from ui.navigation import SCREENS

pytestmark = pytest.mark.browser

RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
CONTRAST: Final = ("color-contrast", "link-in-text-block")
"""The rules whose answer the theme may change."""
AXE: Final = """([rules, known]) => axe.run(document, {
    runOnly: rules, preload: false, iframes: false, resultTypes: ["violations"],
}).then(found =>
    found.violations.flatMap(rule => rule.nodes.map(node => {
        const element = document.querySelector(node.target[0])
        const which = known.findIndex(([name, selector]) => name === rule.id && element?.matches(selector))
        const why = [...node.any, ...node.all, ...node.none].map(check => check.message).join(" ")
        return [which, `${rule.id}: ${node.html.slice(0, 160)} ${why.slice(0, 200)}`]
    })))"""
"""What axe-core finds: which of the known faults it is, or -1; and what it says."""


class Known(NamedTuple):
    """A fault of Streamlit's own that no setting of ours cures."""

    rule: str
    selector: str
    """Of the elements that have it."""
    why: str


KNOWN: Final[tuple[Known, ...]] = (
    Known(
        "presentation-role-conflict",
        "[data-testid=stFileUploaderDropzone]",
        "the place where files are dropped says that it is nothing, and has a name; its button is all that a keyboard needs",
    ),
)
"""One that is not met any more fails the test, so that it is taken out. ui/frame.css cures the colours."""

OPERATED: Final = (
    "button",
    "checkbox",
    "combobox",
    "link",
    "radiogroup",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "textbox",
)
"""Roles of what a person presses or fills in."""
STREAMLITS: Final = {
    "Clear value",  # the cross of a select box, beside the field that has the name
    "Choose date",  # the calendar's button, beside the field that has the name
    "Copy to clipboard",
    "Copy Vega-Lite spec",
    "Download as PNG",
    "Fullscreen",
    "Help",  # the question mark beside a label: Streamlit gives it no other name
    "Open",  # the arrow of a select box, beside the field that has the name
    "Show data",
    "Show password",
}
"""Names that Streamlit gives to a part of something which has a name of its own."""


@pytest.fixture(scope="module")
def app(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app with something on each page, and a user who has to choose a password."""
    with Vendor() as vendor:

        def filled() -> None:
            fill(vendor)
            with db.transaction() as session:
                users.add(session, COMMAND_LINE, "newcomer", PASSWORD, "analyst").must_change_password = True

        with app_with(server, tmp_path_factory.mktemp("log") / "app", filled) as app:
            yield app


FADED: Final = """() => !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')
    && !document.getAnimations().some(one => one instanceof CSSTransition)"""
"""Nothing of the run before is there any more, nor on its way: it is pale."""


def at_rest(page: Page) -> None:
    """Return when what is there is what the last run has drawn."""
    settled(page)
    page.wait_for_function(FADED, polling=50)


class Visit:
    """Pages looked at in both themes: what axe-core finds, and names that two things have."""

    def __init__(self, browser: Browser, app: App) -> None:
        self.page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light")
        self.app = app
        self.faults: dict[str, list[str]] = {}
        self.met: set[int] = set()
        self._tree = self.page.context.new_cdp_session(self.page)

    def open(self, path: str = "") -> None:
        """Load an address."""
        self.page.goto(self.app.url + path)
        self.page.add_style_tag(content="* { transition: none !important; animation: none !important }")

    def sign_in(self, username: str) -> None:
        """Sign in; the page that follows is another one."""
        self.page.get_by_label("Username").fill(username)
        self.page.get_by_role("textbox", name="Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()

    def judge(self, what: str) -> None:
        """Have it judged in both themes, or in the one in which the look before was not."""
        at_rest(self.page)
        twice = [
            f"{count} times {role} “{name}”" for (role, name), count in self._names().items() if count > 1 or not name
        ]
        if twice:
            self.faults[f"{what}, names"] = twice
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(f"{AXE_SCRIPT};0")
        for number, scheme in enumerate(schemes(self.page)):
            show(self.page, scheme)
            rules = CONTRAST if number else RULES
            found = self.page.evaluate(AXE, [rules, [known[:2] for known in KNOWN]])
            self.met |= {which for which, _ in found}
            ours = [text for which, text in found if which < 0]
            self.faults |= {f"{what}, {scheme}": ours} if ours else {}

    def _names(self) -> Counter[tuple[str, str]]:
        nodes = self._tree.send("Accessibility.getFullAXTree")["nodes"]
        seen = [
            (node["role"]["value"], node.get("name", {}).get("value", ""), _address(node))
            for node in nodes
            if not node["ignored"]
        ]
        once = {each for each in seen if each[2]}  # links of one name to one place are no two things
        things = [*once, *(each for each in seen if not each[2])]
        return Counter((role, name) for role, name, _ in things if role in OPERATED and name not in STREAMLITS)


def _address(node: dict[str, Any]) -> str:
    """Return where a link leads; empty for anything else."""
    return next((str(each["value"].get("value")) for each in node.get("properties", ()) if each["name"] == "url"), "")


DIALOGS: Final = {
    "providers": "Add provider",
    "models": "Change to it",
    "organizations": "Add organisation",
    "features": "Register feature",
    "limits": "Add limit",
    "users": "Add user",
    "tokens": "Make token",
    "privacy": "Change how long",
    "webhooks": "Add receiver",
}
"""Page -> the button that opens its dialog."""


def test_no_page_keeps_anybody_out(app: App, browser: Browser) -> None:
    """No page, dialog or part that opens has a fault by WCAG 2.2 AA in a theme, nor two buttons of one name."""
    visit = Visit(browser, app)
    page = visit.page
    visit.open()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    visit.judge("sign-in")
    visit.sign_in("newcomer")
    expect(page.get_by_role("button", name="Set password")).to_be_visible()
    visit.judge("first password")
    page.context.clear_cookies()
    visit.open()
    visit.sign_in("admin")
    expect(page.get_by_text("Signed in as")).to_be_visible()
    visit.open("/effective_preview?provider=openai")  # the one page that needs a provider which is ready
    for name, screen in sorted(SCREENS.items(), key=lambda item: item[0] != "effective_preview"):
        page.get_by_role("link", name=screen.title, exact=True).click()
        expect(page.get_by_role("heading", name=screen.title, exact=True)).to_be_visible()
        at_rest(page)
        for line in page.locator("main summary").all()[:2]:
            line.click()
        visit.judge(name)
        for number, tab in enumerate(page.get_by_role("tab").all()[1:]):
            tab.click()
            visit.judge(f"{name}, tab {number}")
        if name in DIALOGS:
            page.get_by_role("button", name=DIALOGS[name]).first.click()
            expect(page.get_by_role("dialog")).to_be_visible()
            visit.judge(f"{name}, dialog")
            page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
            expect(page.get_by_role("dialog")).to_have_count(0)
    for section in ("Settings", "Providers+and+keys", "Feature+overrides", "Members"):
        visit.open(f"/organization?organization=acme&section={section}")
        expect(page.get_by_text("Services ask for acme")).to_be_visible()
        at_rest(page)
        visit.judge(f"organization, {section}")
    visit.open("/models?show=What+is+known&model=gpt-5")
    expect(page.get_by_role("row", name=re.compile("^Temperature"))).to_be_visible()
    visit.judge("models, what is known")
    for view in ("Corrections", "Catalogue"):
        visit.open(f"/models?show={view}")
        expect(page.get_by_role("button", name=re.compile("Correct something|See what it changes"))).to_be_visible()
        visit.judge(f"models, {view}")
    visit.open("/hierarchy?provider=openai&organization=initech&feature=translate")
    expect(page.get_by_role("row", name=re.compile("^Temperature"))).to_be_visible()
    visit.judge("hierarchy, of an organisation")
    page.close()

    assert visit.faults == {}
    assert visit.met - {-1} == set(range(len(KNOWN))), "a known fault is not met any more: take it out"


def reach(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press *key* until *target*, or something in it, has the focus, as who has no mouse does; fail if it never gets it."""
    expect(target).to_be_visible()
    for _ in range(150):
        if target.evaluate("element => element.contains(document.activeElement)"):
            return
        page.keyboard.press(key)
    pytest.fail(f"{target} is not reached by {key}")


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Reach a button and press it, once nothing is being drawn any more."""
    reach(page, target)
    page.keyboard.press(key)


def give_key(page: Page, provider: str, api_key: str) -> None:
    """Give a provider its key, in the dialog of its row."""
    press(page, page.locator(f".st-key-edit_{provider} button"))
    dialog = page.get_by_role("dialog")
    reach(page, dialog.get_by_role("textbox", name="API key"))
    page.keyboard.type(api_key)
    press(page, dialog.get_by_role("button", name="Save", exact=True))
    expect(dialog).to_have_count(0)
    at_rest(page)


def stored(provider: str) -> tuple[str | None, bool]:
    """Return a provider's mask, and whether it is active."""
    with db.transaction() as session:
        row = providers.get_by_name(session, provider)
        return row.api_key_masked, row.is_active


def add_provider(page: Page, name: str, api_key: str) -> None:
    """Add a provider with one model and its key."""
    press(page, page.get_by_role("button", name="Add provider"))
    dialog = page.get_by_role("dialog")
    for label, text in {"Display name": name, "Name": name}.items():
        reach(page, dialog.get_by_role("textbox", name=label, exact=True))
        page.keyboard.type(text)
    reach(page, dialog.get_by_role("combobox", name="Models"))
    page.keyboard.type("m1")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")  # closes the list, and not the dialog
    reach(page, dialog.get_by_role("textbox", name="API key"))
    page.keyboard.type(api_key)
    at_rest(page)
    press(page, dialog.get_by_role("button", name="Add provider"))
    expect(dialog).to_have_count(0)
    at_rest(page)


def set_temperature(page: Page, provider: str) -> None:
    """Set a provider's temperature a step below what it inherits."""
    press(page, page.get_by_role("link", name="Defaults", exact=True))
    expect(page.get_by_role("heading", name="Defaults", exact=True)).to_be_visible()
    at_rest(page)
    reach(page, page.get_by_role("combobox", name="Scope"))
    page.keyboard.type(provider)
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-row_preferred_model")).to_be_visible()
    at_rest(page)
    modes = page.locator(".st-key-temperature_mode")
    reach(page, modes.get_by_role("radiogroup"))
    reach(page, modes.get_by_role("radio", name="Value", exact=True), "ArrowRight")
    page.keyboard.press("Space")
    reach(page, page.get_by_role("slider"))
    page.keyboard.press("ArrowLeft")
    at_rest(page)
    press(page, page.get_by_role("button", name="Save", exact=True))
    press(page, page.get_by_role("button", name="Save all the same"))  # its model does nothing with it
    expect(page.get_by_text("Saved 1 change")).to_be_visible()


def test_five_tasks_by_the_keyboard_alone(committed: str, tmp_path: Path, browser: Browser) -> None:
    """Add a provider, give one its key, set a temperature, see why it holds, rotate a key, disable: no mouse is needed."""
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
        seed.seed(session, COMMAND_LINE)
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(app.url)
        expect(page.get_by_label("Username")).to_be_focused()  # by itself
        page.keyboard.type("admin")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Providers")).to_be_visible()
        at_rest(page)

        add_provider(page, "acme", f"sk-proj-{'k1K2' * 10}")
        assert stored("acme") == ("sk-proj...****", True)
        give_key(page, "google", f"AIza{'a1B2' * 9}xyz")
        assert stored("google")[0] is not None
        give_key(page, "acme", f"sk-new-{'k1K2' * 10}")
        assert stored("acme") == ("sk-new-...****", True)
        press(page, page.locator("[class*=st-key-active_acme] input"), "Space")
        expect(page.get_by_text("acme is inactive.")).to_be_visible()
        assert stored("acme") == ("sk-new-...****", False)
        set_temperature(page, "Google")
        press(page, page.get_by_role("link", name="Effective Preview"))
        reach(page, page.get_by_role("combobox", name="Provider", exact=True))
        page.keyboard.type("Google")
        page.keyboard.press("Enter")
        expect(page.get_by_role("row", name=re.compile("^Temperature"))).to_contain_text(
            re.compile(r"this provider, version \d+ · admin")
        )
        page.close()
