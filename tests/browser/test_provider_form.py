"""The form of a provider in the browser: few clicks, the verdict of a test in view, nothing typed lost."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.manage import providers
from core.store import db
from tests.browser.conftest import choose, enter, settled
from tests.conftest import ENCRYPTION_KEY, PASSWORD
from tests.processes import running_app
from tests.vendors import KEY, Vendor

pytestmark = pytest.mark.browser
UNCOVERED = """what => {
    const box = what.getBoundingClientRect();
    return document.elementFromPoint(box.x + 20, box.y + box.height / 2)?.textContent.includes(what.textContent);
}"""


def comes_into_view(page: Page, what: Locator) -> None:
    """Check that something is wholly within the window once the page has scrolled by itself, and nothing lies over it."""
    expect(what).to_be_in_viewport(ratio=1)
    for _ in range(100):
        if what.evaluate(UNCOVERED):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"something lies over {what}")


def by_keyboard(page: Page, url: str) -> None:
    """Add a provider with one click, and give it another key, tested, with four."""
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("combobox", name="Vendor")).to_be_focused()
    page.keyboard.type("openai-comp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    settled(page)
    expect(dialog.get_by_placeholder("https://host.example/v1")).to_be_visible()
    for label, value in {"Display name": "Quick", "Name": "quick", "Base URL": url}.items():
        dialog.get_by_role("textbox", name=label, exact=True).fill(value)
    models = dialog.get_by_role("combobox", name="Models")
    models.fill("model-001")
    models.press("Enter")
    models.press("Escape")
    expect(dialog.get_by_role("combobox", name="Default model")).to_have_value("model-001")
    settled(page)
    key = dialog.get_by_role("textbox", name="API key")
    key.fill(KEY.replace("right", "wrong"))
    key.press("Enter")
    expect(dialog).to_have_count(0)

    page.locator(".st-key-edit_quick button").click()
    dialog.get_by_role("textbox", name="API key").click()
    page.keyboard.type(KEY)
    dialog.get_by_role("button", name="Test connection").click()
    expect(dialog.get_by_text("It works: the model has answered.")).to_be_visible()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    with db.transaction() as session:
        made = providers.get_by_name(session, "quick")
        assert providers.open_api_key(session, made.id or 0) == KEY
        assert (made.available_models, made.default_model) == (["model-001"], "model-001")


def test_add_with_the_vendors_list(browser: Browser, committed: str, tmp_path: Path) -> None:
    """Few clicks; the verdict is in view at 1440 x 900 and at 420, from the first refusal to the answer; then it is saved."""
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
    env = {"DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "LLM_PRIVATE_HOSTS": "127.0.0.1"}
    models = tuple(f"model-{number:03}" for number in range(120))
    with Vendor(models=models) as vendor, running_app(tmp_path / "log", **env) as app:
        for width in (1440, 420):
            page = browser.new_page(viewport={"width": width, "height": 900})
            enter(page, app.url, "admin")
            if width == 1440:
                by_keyboard(page, vendor.base_url("openai_compatible"))
            page.get_by_role("button", name="Add provider").click()
            dialog = page.get_by_role("dialog")
            choose(dialog.get_by_role("combobox", name="Vendor"), "OpenAI-compatible")
            expect(dialog.get_by_placeholder("https://host.example/v1")).to_be_visible()
            dialog.get_by_role("textbox", name="Base URL").fill(vendor.base_url("openai_compatible"))
            dialog.get_by_role("textbox", name="API key").fill(KEY.replace("right", "wrong"))
            dialog.get_by_role("button", name="Test connection").click()
            refused = dialog.get_by_text("Key refused: 401 Incorrect API key provided").first
            comes_into_view(page, refused)
            dialog.get_by_role("textbox", name="API key").fill(KEY)
            expect(dialog.get_by_text("Of what was typed before:")).to_be_visible()
            dialog.get_by_role("button", name="Test connection").click()
            dialog.get_by_role("button", name="Take all 120").click()
            choose(dialog.get_by_role("combobox", name="Default model"), "model-003")
            settled(page)
            dialog.get_by_role("button", name="Test connection").click()
            comes_into_view(page, dialog.get_by_text("It works: the model has answered."))
            dialog.get_by_role("textbox", name="Display name").fill(f"Acme {width}")
            dialog.get_by_role("textbox", name="Name", exact=True).fill(f"acme-{width}")
            dialog.get_by_role("button", name="Add provider").click()
            expect(dialog).to_have_count(0)
            with db.transaction() as session:
                made = providers.get_by_name(session, f"acme-{width}")
            assert (sorted(made.available_models), made.default_model) == (sorted(models), "model-003")
            page.close()
