"""The five tasks of every day take few clicks: each is counted as a person would make it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import choose, enter, settled
from tests.browser.filled import app_with, fill, working_on
from tests.vendors import KEY, Vendor

pytestmark = pytest.mark.browser


class Hand:
    """A person at *page*: what is typed goes where the focus is."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.add_init_script(
            "sessionStorage.clicks ??= 0;"
            "addEventListener('click', (event) => { if (event.detail) sessionStorage.clicks++ }, true)"
        )
        page.reload()
        settled(page)

    @contextmanager
    def at_most(self, clicks: int) -> Iterator[None]:
        """What is done within takes no more *clicks*."""
        settled(self.page)
        self.page.evaluate("sessionStorage.clicks = 0")
        yield
        made = self.page.evaluate("Number(sessionStorage.clicks)")
        assert 0 < made <= clicks, f"{made} clicks"

    def type(self, text: str, into: Locator) -> None:
        """Type into what has the focus by itself."""
        expect(into).to_be_focused()
        self.page.keyboard.type(text)


def _keys_of_two(hand: Hand) -> None:
    """Add a provider with its key and a model; give one that is there its first key."""
    page, dialog = hand.page, hand.page.get_by_role("dialog")
    with hand.at_most(6):
        page.get_by_role("button", name="Add provider").click()
        choose(dialog.get_by_role("combobox", name="Vendor"), "Mistral")
        expect(dialog.get_by_role("textbox", name="Name", exact=True)).not_to_have_value("")
        dialog.get_by_role("textbox", name="API key").click()
        hand.type("a1B2" * 8, dialog.get_by_role("textbox", name="API key"))
        models = dialog.get_by_role("combobox", name="Models")
        models.click()
        hand.type("mistral-large-latest", models)
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        dialog.get_by_role("button", name="Add provider").click()
        expect(dialog).to_have_count(0)

    with hand.at_most(3):
        page.locator(".st-key-set_key_google button").click()
        hand.type(f"AIza{'a1B2' * 8}abc", dialog.get_by_role("textbox", name="API key"))
        dialog.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Google has its API key and is active.")).to_be_visible()


def test_daily_tasks_take_few_clicks(browser: Browser, server: str, tmp_path: Path) -> None:
    """Add a provider 6, key of one that is there 3, a parameter of one 4, why a value 2, another key with its test 4."""
    with Vendor() as vendor, app_with(server, tmp_path / "log", partial(fill, vendor)) as app:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        with working_on(app.database):
            enter(page, app.url, "admin")
        hand, dialog = Hand(page), page.get_by_role("dialog")

        _keys_of_two(hand)

        with hand.at_most(4):
            page.locator(".st-key-card_local").get_by_role("link", name="Defaults of Local").click()
            page.locator(".st-key-temperature_mode").get_by_role("radio", name="Value", exact=True).click()
            expect(page.get_by_role("slider")).to_be_visible()
            settled(page)
            page.get_by_test_id("stSlider").click()
            page.get_by_role("button", name="Save", exact=True).click()
            expect(page.get_by_text("Saved 1 change")).to_be_visible()

        with hand.at_most(2):
            page.get_by_role("link", name="Why each value").click()
            expect(page.get_by_role("row", name="Temperature")).to_contain_text("this provider")

        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Providers", exact=True).click()
        expect(page.locator(".st-key-more_anthropic")).to_be_visible()
        with hand.at_most(2):
            page.locator(".st-key-more_anthropic button").click()
            page.get_by_role("menuitem", name="Preview").click()
            expect(page.get_by_role("row", name="Temperature")).to_contain_text("all providers")

        page.go_back()
        vendor.keys[:] = [KEY.replace("right", "newer")]
        with hand.at_most(4):
            page.locator(".st-key-edit_local button").click()
            dialog.get_by_role("textbox", name="API key").click()
            hand.type(vendor.keys[0], dialog.get_by_role("textbox", name="API key"))
            dialog.get_by_role("button", name="Test connection").click()
            expect(dialog.get_by_text("It works: the model has answered.")).to_be_visible()
            dialog.get_by_role("button", name="Save", exact=True).click()
            expect(page.get_by_text("Local saved.")).to_be_visible()
        page.close()
