"""A limit, the whole path in Chromium: set by an admin, who sees what it puts out of force, read by an analyst, lifted."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.manage import organizations, providers, settings
from core.manage.hierarchy import AskedFor, in_force
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.table import id_of
from tests.browser.conftest import enter, settled
from tests.conftest import PASSWORD
from tests.processes import running_app

pytestmark = pytest.mark.browser


def _store() -> None:
    with db.transaction() as session:
        for name, role in (("ada", "admin"), ("alan", "analyst")):
            users.add(session, COMMAND_LINE, name, PASSWORD, role)
        made = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m"]}
        providers.create(session, COMMAND_LINE, made | {"default_model": "m"})
        for slug in ("acme", "beta"):
            of = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug}))
            settings.upsert(session, COMMAND_LINE, SettingsScope(None, of), {"max_tokens": 8000})


def _in_force() -> list[int]:
    with db.transaction() as session:
        asked = [AskedFor("openai", slug, None) for slug in ("acme", "beta")]
        return [in_force(session, COMMAND_LINE, one).settings.max_tokens for one in asked]


def _set(page: Page) -> None:
    page.get_by_role("button", name="Add limit").click()
    dialog = page.get_by_role("dialog")
    fields = dialog.get_by_role("combobox", name="What it limits")
    fields.click()
    page.get_by_role("option", name="Max tokens").click()
    fields.press("Escape")
    dialog.get_by_role("spinbutton", name="Max tokens: at most").fill("4000")
    why = dialog.get_by_role("textbox", name="Why")
    why.fill("contract 4711")
    why.press("Tab")
    expect(dialog.get_by_text("Puts 2 rows of 2 organisations out of force")).to_be_visible()
    expect(dialog.get_by_text("acme · all providers: Max tokens")).to_be_visible()
    expect(dialog.get_by_text("It holds everywhere.")).to_be_visible()
    assert _in_force() == [8000, 8000]
    settled(page)
    dialog.locator(".st-key-limit_save button").click()
    expect(page.get_by_role("button", name="Clear 2 rows")).to_be_visible()
    page.get_by_role("button", name="Keep them").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_set_read_and_lifted(committed: str, tmp_path: Path, browser: Browser) -> None:
    """Two rows go out of force and are named before; an analyst's Preview says by which limit, and leads to it; lifted, they are back."""
    _store()
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app:
        page, other = browser.new_context().new_page(), browser.new_context().new_page()
        enter(page, f"{app.url}/limits", "ada")
        _set(page)
        expect(page.get_by_text("Max tokens: at most 4,000")).to_be_visible()
        assert _in_force() == [4000, 4000]

        enter(other, f"{app.url}/effective_preview?provider=openai&organization=acme", "alan")
        row = other.get_by_role("row", name="Max tokens")
        expect(row).to_contain_text("limited by at most 4,000: limit of ada")
        expect(row).to_contain_text("wanted 8,000")
        row.get_by_role("link", name="Limit 1").click()
        expect(other.get_by_text("Limit 1 alone is shown.")).to_be_visible()
        expect(other.get_by_text("contract 4711")).to_be_visible()
        expect(other.get_by_role("button", name="Edit")).to_have_count(0)

        settled(page)
        page.locator(".st-key-more_1 button").click()
        page.get_by_role("menuitem", name="Lift").click()
        expect(page.get_by_role("dialog").get_by_text("beta · all providers: Max tokens")).to_be_visible()
        page.locator(".st-key-lift_confirm button").click()
        expect(page.get_by_text("Nothing is limited.")).to_be_visible()
        assert _in_force() == [8000, 8000]
