"""REST and the pages together: the API's own page, and a person and a program who edit the same provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Client
from playwright.sync_api import Browser, Page, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.manage import providers
from core.store import db
from tests.browser.conftest import enter
from tests.conftest import PASSWORD
from tests.processes import App, running_app
from tests.rest import data, token

pytestmark = pytest.mark.browser
PROVIDER = {"name": "acme", "display_name": "Acme AI", "kind": "openai", "available_models": ["m1"]}


@pytest.fixture
def app(committed: str, tmp_path: Path) -> Iterator[App]:
    """The app on a database of the test's own, with an admin and the provider acme."""
    with db.transaction() as session:
        providers.create(session, COMMAND_LINE, PROVIDER)
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app:
        yield app


@pytest.fixture
def page(app: App, browser: Browser) -> Iterator[Page]:
    """The admin, signed in."""
    page = browser.new_page()
    enter(page, app.url, "admin")
    yield page
    page.close()


def test_the_page_of_the_api(page: Page, app: App) -> None:
    """The description is drawn under our content security policy, and tries a request with the browser's cookie."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(app.url) else None)

    page.goto(f"{app.url}/api/docs")
    expect(page.get_by_role("heading", name="LLM Settings")).to_be_visible()
    page.get_by_text("List providers").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_text('"displayName": "Acme AI"').first).to_be_visible()

    assert said == []
    assert [url for url in elsewhere if not url.startswith("data:")] == []


def test_a_person_meets_what_a_program_has_changed(page: Page, app: App) -> None:
    """CHECKS 59, UI and REST: the person's save is not lost and overwrites nothing unseen: both values stand there."""
    page.locator(".st-key-edit_acme button").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("textbox", name="Display name")
    expect(field).to_have_value("Acme AI")
    with Client(base_url=app.url, headers=token("admin")) as program:
        (acme,) = data(program.get("/api/llm/providers"))
        data(
            program.put(f"/api/llm/providers/{acme['id']}", json={"displayName": "By REST", "version": acme["version"]})
        )
    field.fill("By hand")
    field.press("Tab")
    dialog.get_by_role("button", name="Save").click()

    expect(page.get_by_text("By REST").first).to_be_visible()
    with db.transaction() as session:
        assert providers.get_by_name(session, "acme").display_name == "By REST"
