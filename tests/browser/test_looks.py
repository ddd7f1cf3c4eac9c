"""How the pages look: each page, empty, filled and with an error, at 1440 and 420 pixels, light and dark.

What a machine can judge is asserted. Where LLM_TEST_PICTURES names a folder, pictures are kept in it for people to open.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect  # noqa: A004 - Playwright's name
from playwright.sync_api import TimeoutError as Late

from tests.browser.conftest import CHOSEN, enter, give_cookie, settled
from tests.browser.filled import add_admin, app_with, fill, working_on
from tests.processes import App
from tests.shares import share
from tests.vendors import KEY, Vendor
from ui.navigation import SCREENS

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("LLM_TEST_PICTURES", "")
"""A folder in which each look is kept as a picture: drawing them takes half as long again."""
BOTH_THEMES = bool(PICTURES) or os.environ.get("LLM_TEST_LOOKS") == "all"
"""Whether each look is judged in both themes, or each one in the other theme than the one before."""
SIZES = {1440: 1000, 420: 900}
MAIL = {"LLM_SMTP_URL": "smtp://mail.corp.example:587", "LLM_SMTP_FROM": "llm@corp.example"}


CUT = """() => [...document.querySelectorAll('[data-testid="stMetricValue"] *, [data-testid="stMetricLabel"] *')]
    .filter(part => part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflow !== "visible")
    .map(part => part.innerText)"""
"""The figures whose value or label is wider than its box."""
ON_ITS_WAY = """() => [
    ...[...document.querySelectorAll("[data-stale=true], [data-testid=stSkeleton]")].map(each => `stale: ${each.outerHTML.slice(0, 300)}`),
    ...document.getAnimations().filter(each => each instanceof CSSTransition && each.playState !== "finished").map(each =>
        `${each.transitionProperty} ${each.playState} ${each.currentTime}: ${each.effect.target?.outerHTML.slice(0, 300)}`)]"""
"""What is there of the run before, waits for its own script, or moves."""
AT_REST = f"() => !({ON_ITS_WAY})().length"
BROKEN = """() => innerWidth < 700 ? [] : [...document.querySelectorAll("[class*=st-key-card_], [class*=st-key-user_], [class*=st-key-token_]")]
    .filter(row => {
        const boxes = [...row.querySelectorAll(":is(.stButton, .stMenuButton) button")].map(b => b.getBoundingClientRect());
        const tops = boxes.filter(box => box.height).map(box => box.top + box.height / 2);
        return tops.length > 1 && Math.max(...tops) - Math.min(...tops) > 12;
    }).map(row => row.className)"""
"""The rows of a list whose buttons are not in one line."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    """A vendor whose connection is tested."""
    with Vendor() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def apps(server: str, tmp_path_factory: pytest.TempPathFactory, vendor: Vendor) -> Iterator[dict[str, App]]:
    """An app on an empty database, and one on a filled one, with a long name among the providers."""
    if PICTURES:
        Path(PICTURES).mkdir(exist_ok=True)
    log = tmp_path_factory.mktemp("log")
    with (
        app_with(server, log / "empty", add_admin) as empty,
        app_with(server, log / "filled", partial(fill, vendor), **MAIL) as filled,
    ):
        yield {"empty": empty, "filled": filled}


def _provider_error(page: Page) -> None:
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("Not A Name")
    dialog.get_by_role("button", name="Add provider").click()
    expect(dialog.get_by_text("Must be 1 to 100 characters")).to_be_visible()


def _defaults_error(page: Page) -> None:
    box = page.get_by_role("textbox", name="Custom settings")
    box.fill('{"a": 1')
    box.press("Tab")
    expect(page.get_by_text("Is not JSON").first).to_be_visible()


def _preview_error(page: Page) -> None:
    page.get_by_role("combobox", name="Provider", exact=True).click()
    page.get_by_role("option", name="Google").click()
    expect(page.get_by_text("Not ready: ").first).to_be_visible()


def _models_error(page: Page) -> None:
    page.get_by_role("button", name="Change to it").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="New model").fill("grok-3")
    expect(dialog.get_by_text("retired")).to_be_visible()
    dialog.get_by_role("button", name="Change it").click()
    expect(dialog.get_by_text("the one that ends")).to_be_visible()


def _users_error(page: Page) -> None:
    page.get_by_role("button", name="Add user").click()
    page.get_by_role("dialog").get_by_role("textbox", name="Username").fill("ada")
    page.locator(".st-key-user_save button").click()
    expect(page.get_by_text("Must be 15 to 64 characters")).to_be_visible()


def _tokens_error(page: Page) -> None:
    page.get_by_role("button", name="Make token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Make token").click()
    expect(dialog.get_by_text("Must be 1 to 100 characters")).to_be_visible()


def _webhooks_error(page: Page) -> None:
    page.get_by_role("button", name="Add receiver").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="URL").fill("http://hooks.example.com/x")
    dialog.locator(".st-key-webhook_save button").click()
    expect(dialog.get_by_text("Must be 1 to 100 characters")).to_be_visible()


def _health_error(page: Page) -> None:
    expect(page.get_by_text("Something does not work: old receiver.")).to_be_visible()


def _account_error(page: Page) -> None:
    page.get_by_role("textbox", name="Current password").fill("not my password")
    # A fit one: an unfit one is refused before the current one is compared, for that is no guess.
    page.get_by_role("textbox", name="New password").fill(CHOSEN)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Is not your password")).to_be_visible()


def _usage_error(page: Page) -> None:
    page.get_by_role("textbox", name="User").fill("nobody")
    page.get_by_role("textbox", name="User").press("Enter")
    expect(page.get_by_text("No call fits these filters")).to_be_visible()


def _organizations_error(page: Page) -> None:
    page.get_by_role("button", name="Add organisation").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Slug").fill("Not A Slug")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_text("Must be 1 to 63 of the characters")).to_be_visible()


def _organization_error(page: Page) -> None:
    page.get_by_role("button", name="Acme GmbH").click()
    expect(page.get_by_text("Hidden by 2 features").first).to_be_visible()
    row = page.locator(".st-key-row_max_tokens")
    row.get_by_role("spinbutton").fill("0")
    row.get_by_role("spinbutton").press("Tab")
    expect(page.get_by_text("1 change, unsaved")).to_be_visible()


def _features_error(page: Page) -> None:
    page.get_by_role("button", name="Register feature").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("Not A Name")
    dialog.locator(".st-key-feature_save button").click()
    expect(dialog.get_by_text("Must be 1 to 100 of the characters")).to_be_visible()


def _hierarchy_error(page: Page) -> None:
    page.get_by_role("textbox", name="Organisation").fill("nowhere")
    expect(page.get_by_text("There is no organisation")).to_be_visible()


def _limits_error(page: Page) -> None:
    page.get_by_role("button", name="Add limit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Organisation or template").fill("acme")
    dialog.get_by_role("combobox", name="What it limits").click()
    page.get_by_role("option", name="Max tokens").click()
    dialog.get_by_role("combobox", name="What it limits").press("Escape")
    dialog.get_by_role("spinbutton", name="Max tokens: at most").fill("500")
    dialog.get_by_role("textbox", name="Why").fill("contract 4711")
    dialog.get_by_role("textbox", name="Why").press("Tab")  # Enter would press Add limit
    expect(dialog.get_by_text("Puts 3 rows of 1 organisation out of force")).to_be_visible()


def _document_error(page: Page) -> None:
    page.get_by_role("textbox", name="Or paste it").fill(
        "version: 1\nproviders: {openai: {kind: no}}\ndefaults: {temperature: 9}\n"
    )
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Nothing was changed").first).to_be_visible()


ERRORS: dict[str, Callable[[Page], None]] = {
    "hierarchy": _hierarchy_error,
    "document": _document_error,
    "limits": _limits_error,
    "account": _account_error,
    "providers": _provider_error,
    "defaults": _defaults_error,
    "effective_preview": _preview_error,
    "models": _models_error,
    "organizations": _organizations_error,
    "organization": _organization_error,
    "features": _features_error,
    "users": _users_error,
    "tokens": _tokens_error,
    "webhooks": _webhooks_error,
    "usage": _usage_error,
    "health": _health_error,
}


@pytest.mark.parametrize("state", ["empty", "filled"])
def test_pages_fit_and_show_no_fault(apps: dict[str, App], browser: Browser, state: str) -> None:
    """No page is wider than the window, wide or narrow, in either theme, none shows an exception, and each one has its title; filled, also with an error."""
    page = browser.new_page(viewport={"width": 1440, "height": SIZES[1440]}, color_scheme="light")
    app = apps[state]
    page.goto(app.url)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    width = _both(page, "sign_in", 1440)
    _enter(page, app)
    for name in SCREENS if PICTURES else share(f"looks {state}", SCREENS):
        _open(page, name, width)
        width = _both(page, f"{name}-{state}", width)
        if state == "filled" and name in ERRORS:
            ERRORS[name](page)
            width = _both(page, f"{name}-error", width)
        if page.get_by_role("dialog").count():
            page.get_by_role("button", name="Cancel").click()
            expect(page.get_by_role("dialog")).to_have_count(0)
    page.close()


def _both(page: Page, name: str, width: int) -> int:
    """Judge what is drawn at its *width*, then at the other one; return that, at which the page is left."""
    (other,) = SIZES.keys() - {width}
    for each in (width, other):
        page.set_viewport_size({"width": each, "height": SIZES[each]})
        _fold_menu(page, each)
        _pictures(page, f"{name}-{each}")
    return other


@pytest.mark.parametrize("width", list(SIZES))
def test_connection_test(apps: dict[str, App], vendor: Vendor, browser: Browser, width: int) -> None:
    """The stages fit, verified with models to add and to take away, and refused."""
    page = browser.new_page(viewport={"width": width, "height": SIZES[width]}, color_scheme="light")
    vendor.keys[:] = [KEY]
    _enter(page, apps["filled"])
    page.locator(".st-key-more_local button").click()
    page.get_by_role("menuitem", name="Test connection").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("It works: the model has answered.")).to_be_visible()
    expect(dialog.get_by_text("New in the vendor's list (2)")).to_be_visible()
    _pictures(page, f"connection_verified-{width}")
    vendor.keys.clear()
    dialog.get_by_role("button", name="Test again").click()
    expect(dialog.get_by_text("Key refused: 401 Incorrect API key provided")).to_be_visible()
    _pictures(page, f"connection_refused-{width}")
    dialog.get_by_role("button", name="Close").last.click()
    expect(dialog).to_have_count(0)
    page.locator(".st-key-more_openai button").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_text("Programs use it")).to_be_visible()
    _pictures(page, f"delete-{width}")
    page.close()


def test_hierarchy(apps: dict[str, App], browser: Browser) -> None:
    """An organisation is found by how it begins; the address has what is chosen; narrow, each parameter opens to its layers."""
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light")
    with working_on(apps["filled"].database):
        give_cookie(page, apps["filled"].url, "admin")
    page.goto(f"{apps['filled'].url}/hierarchy?provider=openai&feature=translate")
    page.get_by_role("textbox", name="Organisation").fill("ini")
    page.get_by_role("radio", name="initech").click()
    expect(page.get_by_role("textbox", name="Organisation")).to_have_value("initech")
    row = page.get_by_role("row", name=re.compile("^Temperature"))
    expect(row.get_by_text("0.3").first).to_be_visible()
    expect(page).to_have_url(re.compile("organization=initech"))
    _pictures(page, "hierarchy-scope-1440")
    row.scroll_into_view_if_needed()
    page.get_by_role("row", name=re.compile("^team")).scroll_into_view_if_needed()
    _pictures(page, "hierarchy-table-1440")
    page.reload()
    expect(row.get_by_text("0.3").first).to_be_visible()
    page.set_viewport_size({"width": 420, "height": 900})
    expect(row).to_be_hidden()
    line = page.locator("summary").filter(has_text="Max tokens")
    line.click()
    expect(page.get_by_text("plan-s: 4,000 (hidden)")).to_be_visible()
    _pictures(page, "hierarchy-scope-420")
    page.goto(
        f"{apps['filled'].url}/effective_preview?provider=openai&organization=initech&against=globex-international-holding-frankfurt"
    )
    expect(page.get_by_text("differ.")).to_be_visible()
    _pictures(page, "preview-scopes-420")
    page.set_viewport_size({"width": 1440, "height": 1000})
    _pictures(page, "preview-scopes-1440")
    page.goto(f"{apps['filled'].url}/defaults?provider=openai&organization=initech")
    expect(page.get_by_text("2 values, 0 not sent")).to_be_visible()
    _pictures(page, "defaults-scope-1440")
    page.close()


def _enter(page: Page, app: App) -> None:
    """Go in as the admin who has signed in before."""
    with working_on(app.database):
        enter(page, app.url, "admin")


def _open(page: Page, name: str, width: int) -> None:
    title = SCREENS[name].title
    expand = page.get_by_test_id("stExpandSidebarButton")
    if expand.is_visible():
        expand.click()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    _fold_menu(page, width)


def _fold_menu(page: Page, width: int) -> None:
    """In a narrow window, fold the menu away from over the page."""
    collapse = page.get_by_test_id("stSidebarCollapseButton")
    if width < 700 and collapse.is_visible():
        with suppress(Late):  # after a link it folds by itself, perhaps just now
            collapse.get_by_role("button").click(timeout=3000)
        expect(collapse).not_to_be_in_viewport()


def _pictures(page: Page, name: str) -> None:
    """Judge what the last run has drawn, in both themes or in the one that it has not, and keep it if pictures are wanted."""
    settled(page)
    for scheme in schemes(page):
        show(page, scheme)
        try:
            page.wait_for_function(AT_REST, polling=50)
        except TimeoutError:
            state = page.get_by_test_id("stApp").get_attribute("data-test-script-state")
            pytest.fail(f"{name} comes to no rest (script {state}): {page.evaluate(ON_ITS_WAY)}")
        _picture(page, f"{name}-{scheme}")


def schemes(page: Page) -> tuple[Literal["light", "dark"], ...]:
    """Return the themes in which the next look is judged: BOTH_THEMES."""
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    both: tuple[Literal["light", "dark"], ...] = ("dark", "light") if dark else ("light", "dark")
    return both if BOTH_THEMES else both[1:]


def show(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Change the theme of a page that is open, as the system does in the evening."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "scheme => getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme === scheme",
        arg=scheme,
        polling=50,
    )


def _picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.jpg", full_page=True, quality=80)  # a PNG takes twice the time
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{name} is {overflow} pixels too wide"
    assert page.get_by_test_id("stException").count() == 0, f"{name} shows an exception"
    assert page.locator("a[href^=mailto]").count() == 0, f"{name} makes a link of a name"
    assert page.evaluate(BROKEN) == [], f"{name} breaks the line of a row"
    cut = page.evaluate(CUT)
    assert cut == [], f"{name} cuts figures off: {cut}"
