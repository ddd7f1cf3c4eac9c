"""Who cannot see, or has no mouse, reaches everything: axe-core's rules, names that differ, the keyboard alone."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.store import db
from tests.browser.filled import app_with, fill
from tests.conftest import PASSWORD
from tests.processes import App
from tests.vendors import Vendor
from ui.navigation import SCREENS

pytestmark = pytest.mark.browser

RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
CONTRAST: Final = ("color-contrast", "link-in-text-block")
"""The rules whose answer the theme may change."""
AXE: Final = """([rules, known]) => axe.run(document, {runOnly: rules, preload: false, iframes: false}).then(found =>
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


KNOWN: Final[tuple[Known, ...]] = ()
"""One that is not met any more fails the test, so that it is taken out. There is none: ui/frame.css cures the colours."""

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


class Visit:
    """A page looked at in both themes: what axe-core finds, and names that two things have."""

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

    def at_rest(self) -> None:
        """Return when what is there is what the last run has drawn."""
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()

    def judge(self, what: str) -> None:
        """Have it judged in both themes."""
        self.at_rest()
        twice = [
            f"{count} times {role} “{name}”" for (role, name), count in self._names().items() if count > 1 or not name
        ]
        if twice and what != "providers":
            self.faults[f"{what}, names"] = twice
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(f"{AXE_SCRIPT};0")
        for scheme, rules in (("light", RULES), ("dark", CONTRAST)):
            self._show(scheme)
            found = self.page.evaluate(AXE, [rules, [known[:2] for known in KNOWN]])
            self.met |= {which for which, _ in found}
            ours = [text for which, text in found if which < 0]
            self.faults |= {f"{what}, {scheme}": ours} if ours else {}

    def _show(self, scheme: Literal["light", "dark"]) -> None:
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_function(
            "scheme => getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme === scheme",
            arg=scheme,
        )

    def _names(self) -> Counter[tuple[str, str]]:
        nodes = self._tree.send("Accessibility.getFullAXTree")["nodes"]
        seen = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
        return Counter((role, name) for role, name in seen if role in OPERATED and name not in STREAMLITS)


DIALOGS: Final = {"providers": "Add provider", "users": "Add user", "tokens": "Make a token"}
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
        visit.at_rest()
        for line in page.locator("main summary").all()[:2]:
            line.click()
        visit.judge(name)
        for number, tab in enumerate(page.get_by_role("tab").all()[1:]):
            tab.click()
            visit.judge(f"{name}, tab {number}")
        if name in DIALOGS:
            page.get_by_role("button", name=DIALOGS[name]).click()
            expect(page.get_by_role("dialog")).to_be_visible()
            visit.judge(f"{name}, dialog")
            page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
            expect(page.get_by_role("dialog")).to_have_count(0)
    page.close()

    assert visit.faults == {}
    assert visit.met - {-1} == set(range(len(KNOWN))), "a known fault is not met any more: take it out"
