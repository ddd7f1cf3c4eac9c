"""Around every page, for every role: no storage, back, forward, reload, a second tab, a link from a chat, a download too late."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from core.access import sessions, users
from core.actors import COMMAND_LINE
from core.store import db
from core.store.table import id_of
from tests.browser.conftest import settled, sign_in
from tests.conftest import PASSWORD
from tests.processes import App, running_app
from ui.navigation import SCREENS, names_for

pytestmark = pytest.mark.browser
PEOPLE = {"ada": "admin", "alan": "analyst"}
NO_STORAGE = """for (const name of ["localStorage", "sessionStorage", "indexedDB"])
    Object.defineProperty(window, name, {get() { throw new DOMException("The operation is insecure.", "SecurityError") }})
"""
"""What a browser does that is told to keep nothing."""


@pytest.fixture
def app(committed: str, tmp_path: Path) -> Iterator[App]:
    """The app with an admin and an analyst."""
    with db.transaction() as session:
        for name, role in PEOPLE.items():
            users.add(session, COMMAND_LINE, name, PASSWORD, role)
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app:
        yield app


@pytest.fixture
def chat() -> Iterator[str]:
    """A page of another site with a link; its address, to which the link's is added."""

    class Chat(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="{self.path.partition("?to=")[2]}" target="_blank">Look</a>'.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
            """Be quiet."""

    site = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield f"http://localhost:{site.server_port}/?to="  # another site than 127.0.0.1: the cookie does not come along
    site.shutdown()
    site.server_close()


def shows(page: Page, name: str, role: str) -> None:
    """Check that the page *name* is there, or for whom it is not, who may be asked for it."""
    if name in names_for(role):
        expect(page.get_by_role("heading", name=SCREENS[name].title, exact=True)).to_be_visible()
    else:
        expect(page.get_by_text("Admin access required. Ask an admin")).to_be_visible()
    expect(page.get_by_text("Page not found")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_walk_through_every_page(app: App, browser: Browser, chat: str) -> None:
    """A browser that keeps nothing goes to each page, back, forward and anew, has a second tab, and follows a link to each."""
    faults: list[str] = []
    for username, role in PEOPLE.items():
        with browser.new_context() as context:
            context.add_init_script(NO_STORAGE)
            context.on("weberror", lambda error: faults.append(str(error.error)))
            page = context.new_page()
            sign_in(page, app.url, username, PASSWORD)
            names = names_for(role)
            shows(page, names[0], role)
            for name in names[1:]:
                _from_the_menu(page, name, role)
            for name in reversed(names[:-1]):
                page.go_back()
                shows(page, name, role)
            for name in names[1:3]:
                page.go_forward()
                shows(page, name, role)
                page.reload()
                shows(page, name, role)
            for name in SCREENS:
                _follow(context, chat + f"{app.url}/{name}", name, role)
            _from_the_menu(page, names[0], role)  # what other tabs did has changed nothing here
            if role == "admin":
                _back_to_filters(page, app)

    assert faults == []
    assert "Traceback" not in app.output()


def _from_the_menu(page: Page, name: str, role: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=SCREENS[name].title, exact=True).click()
    shows(page, name, role)


def _back_to_filters(page: Page, app: App) -> None:
    """A page finds its server at once; who leaves one with filters by the menu has them back by one step."""
    page.goto(f"{app.url}/audit?who=ada")
    shows(page, "audit", "admin")
    settled(page)
    asked = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    assert [each for each in asked if "/_stcore/" in each and "stream" not in each] == [
        f"{app.url}/_stcore/{name}" for name in ("health", "host-config")
    ], "nothing is sought"
    _from_the_menu(page, "users", "admin")
    expect(page).to_have_url(f"{app.url}/users")
    settled(page)
    page.go_back()
    shows(page, "audit", "admin")
    expect(page).to_have_url(f"{app.url}/audit?who=ada")


def _follow(context: BrowserContext, address: str, name: str, role: str) -> None:
    """Click a link in a chat, which opens a tab of its own."""
    talk = context.new_page()
    talk.goto(address)
    with context.expect_page() as opened:
        talk.get_by_role("link").click()
    shows(opened.value, name, role)
    opened.value.close()
    talk.close()


def test_download_of_an_ended_sign_in(app: App, browser: Browser) -> None:
    """Who follows a link to a page of a process that began just now has its menu; signed out meanwhile, no file any more."""
    page = browser.new_page()
    sign_in(page, f"{app.url}/audit", "ada", PASSWORD)
    shows(page, "audit", "admin")
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(len(names_for("admin")))
    export = page.get_by_role("button", name="Export as CSV")
    with page.expect_download() as asked:
        export.click()
    assert b"user.add" in Path(asked.value.path()).read_bytes()
    with db.transaction() as session:
        sessions.end_all(session, COMMAND_LINE, id_of(users.find(session, "ada")))
    got: list[str] = []
    page.on("download", lambda download: got.append(download.suggested_filename))
    export.click()
    expect(
        page.get_by_text("Failed to generate file for download")
    ).to_be_visible()  # Streamlit's words: it tells no more
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.close()

    assert got == []
