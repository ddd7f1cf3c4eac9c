"""Signing in as a person does: cookies, reloads, time zones, sign-out, and what a copied cookie is worth."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import text
from sqlmodel import select

from core.access import sessions, users
from core.actors import COMMAND_LINE
from core.store import db
from core.store.records import AuditEvent
from tests.browser.conftest import CHOSEN, settled, sign_in
from tests.conftest import PASSWORD
from tests.processes import App, running_app

pytestmark = pytest.mark.browser
COOKIE = "llm_settings_session"


@pytest.fixture
def app(committed: str, tmp_path: Path) -> Iterator[App]:
    """The app, with the admin ada and the analyst alan."""
    with db.transaction() as session:
        for name, role in (("ada", "admin"), ("alan", "analyst")):
            users.add(session, COMMAND_LINE, name, PASSWORD, role)
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app:
        yield app
        assert "Traceback" not in app.output()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own, without cookies."""
    with browser.new_context() as context:
        yield context


def ours(context: BrowserContext) -> dict[str, object]:
    """The one cookie of ours."""
    return next((dict(cookie) for cookie in context.cookies() if COOKIE in cookie["name"]), {})


def asks_to_sign_in(page: Page) -> None:
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Signed in as")).to_have_count(0)
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()


def user_id(name: str) -> int:
    with db.transaction() as session:
        user = users.find(session, name)
        assert user is not None
        return user.id or 0


def test_cookie_is_out_of_reach_and_a_reload_stays_signed_in(app: App, context: BrowserContext) -> None:
    """CHECKS 16: HttpOnly and SameSite=Strict; no script sees it or a ticket; a reload and a second tab stay signed in."""
    page = context.new_page()
    sign_in(page, app.url, "ada", PASSWORD)
    cookie = ours(context)

    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"], cookie["expires"]) == (True, "Strict", "/", -1)
    assert COOKIE not in page.evaluate("document.cookie")
    assert page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage)).join()").find("ticket") == -1
    assert page.locator("#llm-settings-ticket").count() == 0
    page.get_by_role("link", name="Defaults", exact=True).click()
    expect(page.get_by_role("heading", name="Defaults")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Defaults")).to_be_visible()
    expect(page.get_by_text("Signed in as ada (admin)")).to_be_visible()
    tab = context.new_page()
    tab.goto(f"{app.url}/users")
    expect(tab.get_by_role("heading", name="Users")).to_be_visible()
    assert ours(context) == cookie


def test_click_before_the_first_page_is_there_counts(app: App, context: BrowserContext) -> None:
    """Whoever chooses a page in the menu at the moment at which the menu is there gets it, not the first page."""
    page = context.new_page()
    sign_in(page, app.url, "ada", PASSWORD)

    for _ in range(5):  # one of two was lost
        page.goto(app.url)
        page.evaluate("""() => new Promise(done => { const look = setInterval(() => {
            const link = [...document.querySelectorAll("a")].find(link => link.href.endsWith("/defaults"));
            if (link) { clearInterval(look); link.click(); done(); }
        }, 1); })""")
        settled(page)
        expect(page.get_by_role("heading", name="Defaults", exact=True)).to_be_visible()


def test_cookie_set_beforehand_is_not_taken_up(app: App, context: BrowserContext) -> None:
    """CHECKS 15: whatever the browser was made to hold before, signing in gives another secret; each sign-in a new one."""
    preset = "A" * 43
    context.add_cookies([{"name": COOKIE, "value": preset, "url": app.url}])
    page = context.new_page()
    sign_in(page, app.url, "ada", PASSWORD)
    first = ours(context)["value"]
    page.get_by_role("button", name="Sign out").click()
    asks_to_sign_in(page)
    sign_in(page, app.url, "ada", PASSWORD)

    assert len({preset, first, ours(context)["value"]}) == 3


def test_copied_cookie_is_worth_nothing_after_sign_out(app: App, browser: Browser, context: BrowserContext) -> None:
    """CHECKS 1: copied before, tried after the sign-out in another browser: the sign-in, and the cookie is taken away."""
    page = context.new_page()
    sign_in(page, app.url, "ada", PASSWORD)
    copied = context.cookies()
    page.get_by_role("button", name="Sign out").click()
    asks_to_sign_in(page)
    page.reload()
    asks_to_sign_in(page)
    with browser.new_context() as thief:
        thief.add_cookies(copied)
        other = thief.new_page()
        other.goto(app.url)
        asks_to_sign_in(other)
        assert ours(thief) == {}


@pytest.mark.parametrize("change", ["password", "role", "disabled", "signed out everywhere"])
def test_open_page_ends_when_rights_change(change: str, app: App, context: BrowserContext) -> None:
    """CHECKS 2, 3: the next click on a page that was open shows the sign-in, and so does a reload with the cookie."""
    page = context.new_page()
    sign_in(page, app.url, "ada", PASSWORD)
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "grace", PASSWORD, "admin")  # one admin has to stay
        ada = user_id("ada")
        if change == "password":
            users.set_password(session, COMMAND_LINE, ada, CHOSEN)
        elif change == "role":
            users.set_role(session, COMMAND_LINE, ada, "analyst")
        elif change == "disabled":
            users.set_active(session, COMMAND_LINE, ada, active=False)
        else:
            sessions.end_all(session, COMMAND_LINE, ada)
    page.get_by_role("button", name="Add provider").click()
    expect(page.get_by_text("Your sign-in has ended")).to_be_visible()
    page.reload()
    asks_to_sign_in(page)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_sign_in_in_any_time_zone_with_a_wrong_clock(zone: str, app: App, browser: Browser) -> None:
    """CHECKS 17: ends of sign-ins are the database's affair: a browser in Tokyo or LA, its clock a day off, stays signed in."""
    with browser.new_context(timezone_id=zone) as context:
        for days in (-1, 1):
            page = context.new_page()
            page.clock.set_fixed_time(f"2026-11-{23 + days}T12:00:00Z")
            sign_in(page, app.url, "alan", PASSWORD)
            page.reload()
            expect(page.get_by_text("Signed in as alan (analyst)")).to_be_visible()
            settled(page)
            page.get_by_role("button", name="Sign out").click()
            asks_to_sign_in(page)
            page.close()


def wait_for_failures(page: Page, number: int) -> None:
    """Return when so many wrong passwords are on record: the message of the one before still stands on the page."""
    for _ in range(50):
        with db.transaction() as session:
            events = session.exec(select(AuditEvent.id).where(AuditEvent.action == "session.sign_in_failed")).all()
        if len(events) == number:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"{number} wrong passwords were typed, {len(events)} are on record")


def test_sixth_wrong_password_has_to_wait(app: App, context: BrowserContext) -> None:
    """CHECKS 18, 19: one message for a wrong password and an unknown name; after five of a name, the wait in seconds."""
    page = context.new_page()
    page.goto(app.url)
    for number, name in enumerate(("nobody", *["alan"] * 5), start=1):
        page.get_by_label("Username").fill(name)
        page.get_by_role("textbox", name="Password").fill("not the password")
        page.get_by_role("button", name="Sign in").click()
        wait_for_failures(page, number)
        expect(page.get_by_text("The username or the password is wrong.")).to_be_visible()
        expect(page.get_by_label("Username")).to_have_value(name)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_text("Too many tries. Wait ")).to_be_visible()


def test_own_password_and_other_places(app: App, browser: Browser, context: BrowserContext) -> None:
    """Account: another browser is listed and ended; a new password keeps this page, and the old one is refused."""
    page = context.new_page()
    sign_in(page, app.url, "alan", PASSWORD)
    with browser.new_context() as second:
        other = second.new_page()
        sign_in(other, app.url, "alan", PASSWORD)
        page.get_by_role("link", name="Account").click()
        page.get_by_role("button", name="Sign out everywhere else").click()
        expect(page.get_by_text("You are signed in nowhere else.")).to_be_visible()
        other.reload()
        asks_to_sign_in(other)
    before = ours(context)["value"]
    page.get_by_role("textbox", name="Current password").fill(PASSWORD)
    page.get_by_role("textbox", name="New password").fill(CHOSEN)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("textbox", name="Current password")).to_have_value("")
    expect(page.get_by_text("Signed in as alan")).to_be_visible()

    assert ours(context)["value"] != before
    with db.transaction() as session:
        assert sessions.count_live(session) == {user_id("alan"): 1}


def test_no_menu_before_the_sign_in(app: App, context: BrowserContext) -> None:
    """CHECKS 9: on a fresh process, asked for a page by its address, only the sign-in stands there; afterwards that page."""
    page = context.new_page()
    page.goto(f"{app.url}/users")
    asks_to_sign_in(page)
    expect(page.get_by_role("heading", name="Users")).to_have_count(0)
    page.get_by_label("Username").fill("ada")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", name="Users")).to_be_visible()


def _codes_of(seed: str) -> str:
    """The code that an app shows, so that it lasts some seconds more, and is not one that was used."""
    with db.transaction() as session:
        session.execute(text("UPDATE second_factors SET last_step = 0"))
    while time.time() % 30 > 25:
        time.sleep(0.2)
    return pyotp.TOTP(seed).now()


def _pictured(page: Page, name: str) -> None:
    folder = os.environ.get("LLM_TEST_PICTURES")
    if not folder:
        return
    for width in (1440, 420):
        for theme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 1000})
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # one of two words
            settled(page)
            page.screenshot(path=f"{folder}/{name}-{width}-{theme}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})


def test_second_factor_by_keyboard(app: App, context: BrowserContext) -> None:
    """Set up without a mouse, from the picture or the text; then the code is asked for behind the password; a recovery code signs in too, once."""
    page = context.new_page()
    sign_in(page, app.url, "alan", PASSWORD)
    page.goto(f"{app.url}/account")
    page.get_by_role("button", name="Set up a second factor").press("Enter")
    picture = page.get_by_role("img", name="QR code of the key below")
    expect(picture).to_be_visible()
    page.wait_for_function("document.querySelector('img[alt^=QR]').naturalWidth > 0")
    seed = "".join((page.get_by_test_id("stCode").first.text_content() or "").split())
    _pictured(page, "enrolment")
    box = page.get_by_role("textbox", name="Code", exact=True)
    box.focus()
    page.keyboard.type(_codes_of(seed))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your second factor counts now.")).to_be_visible()
    settled(page)
    codes = (page.get_by_test_id("stCode").last.text_content() or "").split()
    assert len(codes) == 10
    _pictured(page, "codes")
    page.get_by_role("button", name="I have kept them").press("Enter")
    expect(page.get_by_text("10 recovery codes left.")).to_be_visible()
    _pictured(page, "account")
    for code in (None, codes[0]):
        page.get_by_role("button", name="Sign out", exact=True).click()
        asks_to_sign_in(page)
        page.get_by_label("Username").fill("alan")
        page.get_by_role("textbox", name="Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Your second factor")).to_be_visible()
        box.focus()
        _pictured(page, "code")
        page.keyboard.type(code or _codes_of(seed))
        page.keyboard.press("Enter")
        expect(page.get_by_text("Signed in as alan (analyst)")).to_be_visible()
    page.goto(f"{app.url}/account")
    expect(page.get_by_text("9 recovery codes left.")).to_be_visible()
