"""Defaults and Effective Preview as a person walks through them: numbers, links, the address, and what a click costs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlmodel import text

from core.access import sessions, users
from core.actors import COMMAND_LINE
from core.manage import providers, settings
from core.store import db
from tests.browser.conftest import choose, enter, settled
from tests.conftest import PASSWORD
from tests.processes import App, running_app

ARABIC = "مزود النماذج"
HALF_A_PAGE = 60
"""Frames on the websocket: the whole page of Defaults has about 115, and was drawn twice for Save."""
COUNTING = """
window.framesSeen = 0;
const Plain = WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) { super(...given); this.addEventListener("message", () => { window.framesSeen += 1; }); }
};
"""
pytestmark = pytest.mark.browser


@pytest.fixture
def app(committed: str, tmp_path: Path) -> Iterator[App]:
    """An app with an admin, an analyst, and three providers, one with a name from right to left."""
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
        users.add(session, COMMAND_LINE, "ana", PASSWORD, "analyst")
        settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 0.4})
        for name, title in (("acme", "Acme"), ("beta", "Beta"), ("arab", ARABIC)):
            made = {"name": name, "display_name": title, "kind": "openai", "available_models": ["m1"]}
            providers.create(session, COMMAND_LINE, {**made, "default_model": "m1"})
    with running_app(tmp_path / "log", DATABASE_URL=committed) as running:
        yield running


def counted(page: Page, on: Locator, key: str) -> int:
    """Press *key*; returns how many frames came until the page was drawn."""
    settled(page)
    frames = page.evaluate("() => window.framesSeen")
    on.press(key)
    page.wait_for_function("before => window.framesSeen > before", arg=frames)
    page.wait_for_timeout(500)
    settled(page)
    return int(page.evaluate("() => window.framesSeen")) - int(frames)


def test_temperature_of_one_provider_and_why(app: App, browser: Browser) -> None:
    """From the overview to a value, typed exactly, refused out of range, saved in few frames, and back to its reason."""
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.add_init_script(COUNTING)
    enter(page, app.url, "admin")
    page.goto(f"{app.url}/effective_preview?view=all")
    page.get_by_role("link", name="Acme").click()
    expect(page.get_by_role("row", name=re.compile("^Temperature"))).to_contain_text("0.4")
    expect(page).to_have_url(re.compile(r"effective_preview\?provider=acme$"))
    page.get_by_role("row", name=re.compile("^Temperature")).get_by_role("link", name="Change").click()
    expect(page.get_by_role("heading", name="Defaults")).to_be_visible()
    assert len(page.context.pages) == 1  # a link in a table stays in this tab
    choose(page.get_by_role("combobox", name="Scope"), "Acme")
    expect(page).to_have_url(re.compile(r"defaults\?provider=acme$"))
    expect(page.get_by_role("combobox", name="Preferred model")).to_be_visible()

    settled(page)
    page.locator(".st-key-temperature_mode").get_by_role("radio", name="Value", exact=True).click()
    number = page.get_by_role("spinbutton", name="Temperature: value, exactly")
    number.fill("3")
    number.press("Enter")
    expect(page.locator(".st-key-save_bar")).to_contain_text("Temperature must be a number from 0 to 2.")
    expect(page.locator(".st-key-save_bar")).to_have_count(1)
    number.fill("0.355")
    number.press("Enter")
    expect(page.locator(".sample").first).to_contain_text('"temperature": 0.355')
    expect(page.locator(".st-key-save_bar")).to_contain_text("Sent: Temperature 0.355")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", "0.355")
    settled(page)
    assert counted(page, page.get_by_role("slider"), "ArrowRight") < HALF_A_PAGE
    expect(number).to_have_value(re.compile(r"^0\.40"))
    number.fill("0.35")
    number.press("Enter")
    expect(page.locator(".sample").first).to_contain_text('"temperature": 0.35')
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator(".copy[data-copied]")).to_have_count(1)
    assert '"temperature": 0.35' in page.evaluate("navigator.clipboard.readText()")
    assert counted(page, page.get_by_role("button", name="Save"), "Enter") < HALF_A_PAGE
    expect(page.get_by_text("Saved 1 change in Acme")).to_be_visible()
    expect(page.locator(".st-key-save_bar")).to_have_count(0)

    page.get_by_role("link", name="Why each value").click()
    row = page.get_by_role("row", name=re.compile("^Temperature"))
    expect(row).to_contain_text("0.35")
    expect(row).to_contain_text("this provider, version 1 · admin")
    choose(page.get_by_role("combobox", name="Compare with"), "Beta")
    expect(page).to_have_url(re.compile(r"provider=acme&compare=beta$"))
    expect(row).to_contain_text("differs")
    page.reload()
    expect(row).to_contain_text("differs")
    _preset_with_a_reason(page, app.url)
    page.close()


def _preset_with_a_reason(page: Page, url: str) -> None:
    """A preset fills the form, says what changes before it is saved, and stands in the audit with the reason that was typed."""
    page.goto(f"{url}/defaults?provider=beta")
    page.get_by_role("button", name="Presets").click()
    page.get_by_role("menuitem", name="creative").click()
    bar, chosen = page.locator(".st-key-save_bar"), page.locator(".st-key-temperature_mode [aria-checked=true]")
    expect(bar).to_contain_text("4 changes, unsaved")
    expect(chosen).to_have_text("Value")
    settled(page)
    bar.get_by_role("button", name="Discard").click()
    expect(chosen).to_have_text("Inherit")  # what the browser shows is what it sends with the next click
    expect(bar).to_have_count(0)
    settled(page)
    page.get_by_role("button", name="Presets").click()
    page.get_by_role("menuitem", name="creative").click()
    expect(bar).to_contain_text("4 changes, unsaved")
    expect(chosen).to_have_text("Value")
    expect(bar).to_contain_text("Sent: Temperature 1,")
    settled(page)
    bar.get_by_role("textbox", name="Reason, in one line").fill("ticket 4711: livelier names")
    bar.get_by_role("button", name="Save").click()  # what is typed is not left first
    expect(page.get_by_text("Saved 4 changes in Beta")).to_be_visible()
    expect(bar).to_have_count(0)
    page.goto(f"{url}/audit?reason=livelier")
    line = page.get_by_text("ticket 4711: livelier names")
    expect(line).to_be_visible()
    line.click()
    expect(page.get_by_role("row", name=re.compile("^Preset"))).to_contain_text("creative")


def test_overview_for_an_analyst(app: App, browser: Browser) -> None:
    """An analyst sees all providers first, narrow too: searched as they type, no wider than the window, a link to each reason."""
    page = browser.new_page(viewport={"width": 420, "height": 900})
    page.goto(f"{app.url}/effective_preview")
    page.get_by_label("Username").fill("ana")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("row", name=re.compile(ARABIC))).to_be_visible()
    expect(page).to_have_url(re.compile("view=all$"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.get_by_role("textbox", name="Search").fill("acm")
    expect(page.get_by_role("row", name=re.compile(ARABIC))).to_have_count(0)
    expect(page).to_have_url(re.compile("search=acm"))
    expect(page.get_by_role("link", name="Acme")).to_be_visible()
    expect(page.get_by_role("link", name="Beta")).to_have_count(0)
    page.close()


def _idle(page: Page) -> None:
    """Do nothing for 28 minutes, by the browser's clock, and then stay signed in."""
    settled(page)
    with db.transaction() as session:
        session.execute(text("UPDATE auth_sessions SET last_seen_at = last_seen_at - interval '28 minutes'"))
    page.clock.fast_forward("25:00")
    expect(page.get_by_text("your sign-in ends in about")).to_have_count(0)
    page.clock.fast_forward("03:00")
    expect(page.get_by_role("alert").filter(has_text="your sign-in ends in about 2 min.")).to_be_visible()
    page.get_by_role("button", name="Stay signed in").click()
    expect(page.get_by_text("your sign-in ends in about")).to_have_count(0)
    query = text("SELECT max(last_seen_at) > now() - interval '1 minute' FROM auth_sessions")
    for _ in range(100):
        with db.transaction() as session:
            if session.execute(query).scalar_one():
                break
        page.wait_for_timeout(100)
    else:
        raise AssertionError("the sign-in was not used")
    settled(page)


def test_draft_outlives_the_sign_in(app: App, browser: Browser) -> None:
    """Signed out in mid-edit: what was chosen is kept, the page says so, and it is offered after signing in again.

    Before a sign-in ends because nothing is done, a line says so, and a press keeps it.
    """
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.clock.install()
    enter(page, app.url, "admin")
    page.goto(f"{app.url}/defaults?provider=beta")
    expect(page.get_by_role("combobox", name="Preferred model")).to_be_visible()
    settled(page)
    page.locator(".st-key-top_p_mode").get_by_role("radio", name="Don't send").click()
    expect(page.locator(".st-key-save_bar")).to_be_visible()
    _idle(page)
    with db.transaction() as session:
        user = users.find(session, "admin")
        assert user is not None
        sessions.end_all(session, COMMAND_LINE, user.id)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("could not be saved")).to_be_visible()
    expect(page.get_by_role("heading", name="Defaults")).to_have_count(0)
    page.get_by_label("Username").fill("admin")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Take it up again").click()
    expect(page.locator(".st-key-save_bar")).to_contain_text("Top P")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved 1 change in Beta")).to_be_visible()
    page.close()


def test_what_a_model_takes_is_seen_before_it_is_saved(app: App, browser: Browser) -> None:
    """In the form, in the row and on the slider of Defaults; then from a model that has ended to its successor."""
    with db.transaction() as session:
        for name, kind, url, models in (
            ("claude", "anthropic", None, ["claude-3-haiku-20240307"]),
            ("grok", "openai_compatible", "https://api.x.ai/v1", ["grok-3"]),
        ):
            made = {"name": name, "display_name": name.title(), "kind": kind, "api_base_url": url}
            providers.create(session, COMMAND_LINE, {**made, "available_models": models, "default_model": models[0]})
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    enter(page, app.url, "admin")
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    models = dialog.get_by_role("combobox", name="Models")
    models.fill("gpt-5.5")
    models.press("Enter")
    models.press("Escape")
    known = dialog.locator(".st-key-provider_knowledge")
    expect(known).to_contain_text("gpt-5.5: Known")
    expect(known).to_contain_text("Not sent to it: Temperature and Top P (it reasons unless")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)

    page.goto(f"{app.url}/defaults?provider=claude")
    expect(page.locator(".st-key-note_presence_penalty")).to_contain_text("will be left out: Anthropic's API has none")
    settled(page)
    page.locator(".st-key-temperature_mode").get_by_role("radio", name="Value", exact=True).click()
    expect(page.get_by_role("slider")).to_have_attribute("max", "1")
    page.locator(".st-key-presence_penalty_mode").get_by_role("radio", name="Value", exact=True).click()
    expect(page.locator(".st-key-save_bar")).to_contain_text("2 changes")
    settled(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_contain_text("Anthropic's API has none")
    dialog.get_by_role("button", name="Save all the same").click()
    expect(page.get_by_text("Saved 2 changes in Claude")).to_be_visible()

    page.get_by_role("link", name="Models", exact=True).click()
    line = page.get_by_test_id("stVerticalBlock").filter(has_text="grok-3 at xAI").last
    expect(line).to_contain_text("another model answers since")
    page.get_by_role("button", name="Change to it grok-3").click()
    expect(dialog.get_by_role("row", name=re.compile("^Price"))).to_be_visible()
    settled(page)
    dialog.get_by_role("button", name="Change it").click()
    expect(page.get_by_text("Changed grok-3 to grok-4.3 in 1 provider")).to_be_visible()
    expect(page.get_by_text("grok-3 at xAI")).to_have_count(0)
    with db.transaction() as session:
        assert providers.get_by_name(session, "grok").available_models == ["grok-4.3"]
    page.close()
