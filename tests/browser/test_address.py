"""What a page shows survives Back, Forward, a reload, a second tab, and clicks that come faster than the page."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import choose, sign_in
from tests.browser.filled import app_with, fill
from tests.conftest import PASSWORD
from tests.processes import App
from tests.vendors import Vendor
from ui.navigation import SCREENS

pytestmark = pytest.mark.browser


@pytest.fixture
def app(server: str, tmp_path: Path) -> Iterator[App]:
    """The app as one that is in use."""
    with Vendor() as vendor, app_with(server, tmp_path / "log", lambda: fill(vendor)) as app:
        yield app


def settled(page: Page) -> None:
    """Wait until no run is under way."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()


def said(page: Page) -> dict[str, str]:
    """What the address says."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_the_address_is_what_is_shown(app: App, browser: Browser) -> None:
    """One walk through all pages with something chosen on each, there and back; a second tab shows the same."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    sign_in(page, app.url, "admin", PASSWORD)
    settled(page)
    for step in (_chosen_is_kept, _there_and_back, _no_page_stumbles, _search_as_it_is_typed, _what_there_is_not):
        step(page, app.url)
    assert not errors
    page.close()


def _go(page: Page, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    settled(page)


def _chosen_is_kept(page: Page, _url: str) -> None:
    """Span, provider and chart, chosen one after the other, are there after a reload."""
    _go(page, "Usage")
    page.get_by_role("radio", name="Last hour").click()
    settled(page)
    choose(page.get_by_role("combobox", name="Provider"), "openai")
    settled(page)
    page.get_by_role("tab", name="Cost").click()
    settled(page)
    assert said(page) == {"span": "Last hour", "provider": "openai", "chart": "Cost"}
    page.reload()
    expect(page.get_by_role("radio", name="Last hour")).to_be_checked()
    expect(page.get_by_role("tab", name="Cost")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("combobox", name="Provider")).to_have_value("openai")


def _there_and_back(page: Page, url: str) -> None:
    """A page carries nothing along; a link of the chosen provider does, and Back brings what was chosen before."""
    _go(page, "Audit")
    assert said(page) == {}
    page.goto(f"{url}/audit?provider=openai&from=2020-01-01")
    expect(page.get_by_role("combobox", name="Provider")).to_have_value("openai")
    expect(page.get_by_text("set the API key of").first).to_be_visible()
    settled(page)
    page.get_by_role("link", name="Effective Preview openai").click()
    expect(page.get_by_role("heading", name="Effective Preview")).to_be_visible()
    settled(page)
    assert said(page) == {"provider": "openai"}
    page.go_back()
    expect(page.get_by_role("heading", name="Audit")).to_be_visible()
    settled(page)
    assert said(page) == {"provider": "openai", "from": "2020-01-01"}
    page.go_forward()
    expect(page.get_by_role("heading", name="Effective Preview")).to_be_visible()
    settled(page)


def _no_page_stumbles(page: Page, _url: str) -> None:
    """Pages whose parameters have the same names, one after the other."""
    for screen in (*reversed(SCREENS.values()), *SCREENS.values()):
        _go(page, screen.title)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        assert screen.title in {"Effective Preview", "Defaults"} or said(page) == {}


def _search_as_it_is_typed(page: Page, url: str) -> None:
    """A search narrows the list and stands in the address without Enter, and in a second tab."""
    page.goto(f"{url}/tokens?since=30+days")
    page.get_by_role("textbox", name="Search").press_sequentially("bill")
    expect(page.get_by_text("prometheus")).to_have_count(0)
    expect(page.get_by_text("billing")).to_be_visible()
    settled(page)
    assert said(page) == {"since": "30 days", "search": "bill"}
    second = page.context.new_page()
    second.goto(page.url)
    expect(second.get_by_role("textbox", name="Search")).to_have_value("bill")
    expect(second.get_by_text("billing")).to_be_visible()
    second.close()


def _what_there_is_not(page: Page, url: str) -> None:
    """What there is not is said, and the page stands."""
    page.goto(f"{url}/usage?span=tomorrow&provider=nobody")
    expect(page.get_by_text("The address says span=tomorrow")).to_be_visible()
    expect(page.get_by_role("combobox", name="Provider")).to_have_value("nobody")
    expect(page.get_by_text("No call fits these filters")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_text("No call fits these filters")).to_have_count(0)
    settled(page)
    assert said(page) == {}
