"""A key is typed wrong, tested, typed right, tested; a service then makes a call, and the admin sees it on the Usage page."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.actors import COMMAND_LINE
from core.manage import organizations
from core.store import db
from tests.browser.conftest import CHOSEN, Recorder, choose, settled, sign_in
from tests.conftest import PASSWORD
from tests.processes import python, running_app
from tests.vendors import KEY, TEXT, Vendor

pytestmark = pytest.mark.browser
WRONG = "sk-proj-wrong-0123456789abcdefghijklmnopqrstuvwxyz"
SERVICE = """
import json
from core import logs
from core.ai import complete
answer = complete("What is the answer?", provider="acme", user_id="ada", organization="tenant", feature="new")
print(json.dumps([answer.text, answer.usage.input, answer.attempts]))
logs.flush()
"""


def type_provider(page: Page, base_url: str) -> None:
    """Open the dialog, and type all that a provider needs but for its key."""
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Display name").fill("Acme AI")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("acme")
    dialog.get_by_role("textbox", name="Base URL").fill(base_url)
    models = dialog.get_by_role("combobox", name="Models")
    models.fill("m1")
    models.press("Enter")
    models.press("Escape")
    settled(page)
    expect(dialog.get_by_role("combobox", name="Default model")).to_have_value("m1")  # the only one


def _find_by_organisation(page: Page) -> None:
    """Search the call's organisation, choose the feature that nobody registered, and come back to both."""
    page.get_by_role("textbox", name="Organisation").fill("tena")
    page.get_by_text("Tenant Ltd").click()
    expect(page.get_by_text("cannot be split by organisation or feature")).to_be_visible()
    settled(page)
    choose(page.locator(".st-key-feature input"), "new")
    settled(page)
    address = re.compile(r"/usage\?(?=.*organization=tenant)(?=.*feature=new)")
    expect(page).to_have_url(address)
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()
    settled(page)
    page.go_back()
    expect(page.locator(".st-key-feature input")).to_have_value("new")
    settled(page)
    expect(page).to_have_url(address)
    expect(page.locator("[data-testid=stExpander]")).to_contain_text("in tenant · to new")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_text("cannot be split by organisation or feature")).to_have_count(0)
    settled(page)


def test_key_tested_call_made_and_seen(committed: str, browser: Browser, tmp_path: Path) -> None:
    """From a refusal in the vendor's words, without the key, to the call's line and figures on the Usage page, found by its organisation."""
    with db.transaction() as session:
        organizations.create_one(session, COMMAND_LINE, {"slug": "tenant", "name": "Tenant Ltd"})
    env = {"DATABASE_URL": committed, "LLM_PRIVATE_HOSTS": "127.0.0.1"}
    log = tmp_path / "log"
    with Vendor() as vendor, running_app(log, **env, LLM_ADMIN_PASSWORD=PASSWORD) as app:
        page = browser.new_page()
        recorder = Recorder(page)
        sign_in(page, app.url, "admin", PASSWORD)
        type_provider(page, vendor.base_url("openai"))
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox", name="API key").fill(WRONG)

        dialog.get_by_role("button", name="Test connection").click()
        stages = dialog.locator(".st-key-connection_stages")
        expect(stages).to_contain_text("Incorrect API key provided")
        expect(dialog.get_by_text("Key refused: 401 Incorrect API key provided")).to_be_visible()
        expect(stages).to_contain_text(re.compile(r"Refused.*Key accepted", re.DOTALL))
        assert [asked.headers["authorization"] for asked in vendor.asked] == [f"Bearer {WRONG}"]
        assert WRONG not in stages.inner_text()

        dialog.get_by_role("textbox", name="API key").fill(KEY)
        dialog.get_by_role("button", name="Test connection").click()
        expect(dialog.get_by_text("It works: the model has answered.")).to_be_visible()
        expect(stages.get_by_text("Verified")).to_have_count(6)  # all but TLS, which http has none of
        expect(dialog.get_by_role("textbox", name="Display name")).to_have_value("Acme AI")
        dialog.get_by_role("button", name="Add provider").click()
        expect(page.get_by_text("Acme AI is added.")).to_be_visible()

        page.get_by_role("link", name="Usage").click()
        expect(page.get_by_text("No call is logged yet")).to_be_visible()
        service = python(SERVICE, **env)
        assert (service.stderr, json.loads(service.stdout)) == ("", [TEXT, 12, 1])

        page.get_by_role("link", name="Providers").click()
        expect(page.locator(".st-key-card_acme")).to_be_visible()
        page.get_by_role("link", name="Usage").click()
        line = page.locator("[data-testid=stExpander]").filter(has_text="acme")
        expect(line).to_have_count(1)
        _find_by_organisation(page)
        line.click()
        expect(page.get_by_text("What is the answer?")).to_be_visible()
        expect(page.get_by_text(TEXT)).to_be_visible()
        expect(page.get_by_text("ada").first).to_be_visible()
        recorder.look()
        page.get_by_role("link", name="Audit", exact=True).click()
        expect(page.get_by_text("tested").first).to_be_visible()
        recorder.look()
        page.close()
    seen = b"\n".join(recorder.received) + log.read_bytes()
    assert [secret for secret in (WRONG, KEY, CHOSEN) if secret.encode() in seen] == []
    assert "Traceback" not in log.read_text()
