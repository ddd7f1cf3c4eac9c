"""Organisations, the whole path: made by an admin of the installation, managed by its own, and seen by a service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.access import users
from core.actors import COMMAND_LINE
from core.manage import features, organizations, providers
from core.store import db
from tests.browser.conftest import Recorder, choose, settled, sign_in
from tests.conftest import PASSWORD
from tests.processes import environment, running_app

pytestmark = pytest.mark.browser
INSTALLATIONS, OWN = ("sk-proj-" + letter * 32 for letter in "iw")
SERVICE = """
import json, sys, time
from core.resolve import resolve
def look():
    found = {}
    for organization in ("acme", "beta"):
        for feature in ("summarise", "classify", None):
            one = resolve("vendor", organization=organization, feature=feature)
            whose = "own" if one.status == "ok" and one.api_key() == sys.argv[1] else one.key_owner
            found[f"{organization} {feature}"] = [one.status, one.temperature, whose]
    return found
deadline = time.monotonic() + 30
while look()["acme summarise"] != ["ok", 0.25, "own"] and time.monotonic() < deadline:
    time.sleep(0.05)
print(json.dumps(look()))
"""


def _store() -> None:
    """An admin, somebody who is only a member, a provider with the installation's key, two features, and another organisation."""
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "ada", PASSWORD, "admin")
        users.add(session, COMMAND_LINE, "eve", PASSWORD, "member")
        vendor = {"name": "vendor", "display_name": "Vendor", "kind": "openai", "api_key": INSTALLATIONS}
        providers.create(session, COMMAND_LINE, {**vendor, "available_models": ["m"], "default_model": "m"})
        for name in ("summarise", "classify"):
            features.create(session, COMMAND_LINE, {"name": name, "display_name": name.capitalize()})
        organizations.create_one(session, COMMAND_LINE, {"slug": "beta", "name": "Canary Ltd"})


def _make_it(page: Page) -> None:
    page.get_by_role("link", name="Organisations", exact=True).click()
    settled(page)
    page.get_by_role("button", name="Add organisation").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("Acme GmbH 組織")
    dialog.get_by_role("textbox", name="Slug").fill("acme")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("is added.")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Open Acme").click()
    expect(page.get_by_text("Services ask for acme")).to_be_visible()
    settled(page)
    page.get_by_role("radio", name="Members").click()
    name = page.get_by_role("textbox", name="Username")
    name.fill("eve")
    name.press("Tab")
    settled(page)
    page.locator(".st-key-member_fields").get_by_role("radio", name="admin").click()
    settled(page)
    page.get_by_role("button", name="Add member").click()
    expect(page.get_by_text("eve is admin of Acme")).to_be_visible()


def _manage_it(page: Page) -> None:
    """Set an own key, and the temperature of one feature."""
    expect(page.get_by_text("Services ask for acme")).to_be_visible()
    expect(page.get_by_test_id("stSidebarNav").get_by_role("link")).to_contain_text([*_MEMBERS_PAGES])
    page.get_by_role("radio", name="Providers and keys").click()
    page.get_by_role("button", name="Set own key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="API key").fill(OWN)
    settled(page)
    dialog.get_by_role("button", name="Set key").click()
    expect(page.get_by_text("Own key sk-proj...****")).to_be_visible()
    settled(page)
    page.get_by_role("radio", name="Feature overrides").click()
    choose(page.get_by_role("combobox", name="Feature"), "summarise")
    row = page.locator(".st-key-row_temperature")
    expect(row).to_be_visible()
    settled(page)
    row.get_by_role("radio", name="Value", exact=True).click()
    number = row.get_by_role("spinbutton")
    number.fill("0.25")
    number.press("Tab")
    expect(page.get_by_text("1 change, unsaved")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved 1 change in acme")).to_be_visible()


def _ask_why(page: Page) -> None:
    """Look in Hierarchy what decides, and whose key it is."""
    page.get_by_role("link", name="What is in force, and why").click()
    expect(page.get_by_role("heading", name="Hierarchy")).to_be_visible()
    settled(page)
    choose(page.get_by_role("combobox", name="Feature"), "summarise")
    settled(page)
    choose(page.get_by_role("combobox", name="Provider"), "vendor")
    expect(page.get_by_text("with a key of the organisation's own")).to_be_visible()
    line = page.locator("summary").filter(has_text="Temperature")
    expect(line).to_contain_text("0.25")
    expect(line).to_contain_text("acme · summarise")
    line.click()
    expect(page.locator("details[open]")).to_contain_text("0.7 (hidden)")


_MEMBERS_PAGES = ("Organisation", "Hierarchy", "Usage", "Account")


def test_from_an_admin_to_a_service(committed: str, browser: Browser, tmp_path: Path) -> None:
    """An admin makes an organisation and its admin, who sets a key and a temperature of one feature; a second process sees exactly
    that for this organisation and feature, and nothing of it for another.

    Neither key is in anything that the organisation's admin is sent, and of the installation's not even the mask.
    """
    _store()
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app:
        with browser.new_context() as context:
            page = context.new_page()
            sign_in(page, app.url, "ada", PASSWORD)
            _make_it(page)
        with browser.new_context(viewport={"width": 420, "height": 900}) as context:
            page = context.new_page()
            recorder = Recorder(page)
            sign_in(page, app.url, "eve", PASSWORD)
            _manage_it(page)
            _ask_why(page)
            recorder.look()
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        found = subprocess.run(
            [sys.executable, "-c", SERVICE, OWN],
            env=environment(DATABASE_URL=committed),
            check=True,
            capture_output=True,
            text=True,
        )
        log = app.output()

    assert json.loads(found.stdout) == {
        "acme summarise": ["ok", 0.25, "own"],
        "acme classify": ["ok", 0.7, "own"],
        "acme None": ["ok", 0.7, "own"],
        "beta summarise": ["ok", 0.7, "installation"],
        "beta classify": ["ok", 0.7, "installation"],
        "beta None": ["ok", 0.7, "installation"],
    }
    sent = b"\n".join(recorder.received)
    assert b"Acme GmbH" in sent
    assert [key for key in (INSTALLATIONS, OWN, "Canary Ltd") if key.encode() in sent] == []
    assert wide <= 0
    assert "Traceback" not in log
