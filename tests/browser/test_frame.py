"""Around every page, for every role: no storage, back, forward, reload, a second tab, a link from a chat, a download too late."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from core.access import sessions, tokens, users
from core.actors import COMMAND_LINE
from core.manage import features, organizations, providers
from core.store import db
from core.store.table import id_of
from tests.browser.conftest import choose, enter, settled, sign_in
from tests.conftest import PASSWORD
from tests.processes import App, running_app
from tests.shares import share
from ui.navigation import SCREENS, names_for

pytestmark = pytest.mark.browser
PEOPLE = {"ada": "admin", "alan": "analyst"}
ALL_LINKS = os.environ.get("LLM_TEST_LINKS") == "all"
"""Whether a link from another site is followed to each page, or to three: each page is opened by its address in any case."""
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
    """A browser that keeps nothing goes to each page, back, forward and anew, opens each address, has a second tab, and follows links."""
    faults: list[str] = []
    for username, role in PEOPLE.items():
        with browser.new_context() as context:
            context.add_init_script(NO_STORAGE)
            context.on("weberror", lambda error: faults.append(str(error.error)))
            page = context.new_page()
            sign_in(page, app.url, username, PASSWORD)
            names = [names_for(role)[0], *share(f"walk {role}", names_for(role)[1:], 2)]
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
            denied = share(f"denied {role}", [name for name in SCREENS if name not in names_for(role)])
            for name in SCREENS if ALL_LINKS else [names[0], names[-1], *denied[:1]]:
                _follow(context, chat + f"{app.url}/{name}", name, role)
            for name in denied:
                page.goto(f"{app.url}/{name}")
                shows(page, name, role)
            _from_the_menu(page, names[0], role)  # what other tabs did has changed nothing here
            if role == "admin":
                _at_once(page, app)

    assert faults == []
    assert "Traceback" not in app.output()


def _from_the_menu(page: Page, name: str, role: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=SCREENS[name].title, exact=True).click()
    shows(page, name, role)


def _at_once(page: Page, app: App) -> None:
    """A page finds its server without seeking."""
    page.goto(f"{app.url}/audit")
    shows(page, "audit", "admin")
    settled(page)
    asked = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    assert [each for each in asked if "/_stcore/" in each and "stream" not in each] == [
        f"{app.url}/_stcore/{name}" for name in ("health", "host-config")
    ], "nothing is sought"


FILTERED = {
    "providers": ("search", "openai"),
    "defaults": ("provider", "openai"),
    "effective_preview": ("provider", "openai"),
    "models": ("show", "Corrections"),
    "organizations": ("search", "acme"),
    "organization": ("search", "acme"),
    "features": ("search", "summarise"),
    "hierarchy": ("provider", "openai"),
    "limits": ("provider", "openai"),
    "history": ("who", "ada"),
    "document": ("organization", "acme"),
    "usage": ("provider", "openai"),
    "costs": ("provider", "openai"),
    "rate_limits": ("provider", "openai"),
    "privacy": ("provider", "openai"),
    "alerts": ("show", "All"),
    "users": ("search", "ada"),
    "tokens": ("search", "bot"),
    "audit": ("who", "ada"),
}
"""Of each page that has something in its address, one such thing."""


def test_back_to_filters(app: App, browser: Browser) -> None:
    """Whoever leaves a page with filters, by the menu, a link or a button, has them back by one step, and they are in force."""
    assert set(FILTERED) == {name for name, screen in SCREENS.items() if screen.parameters}
    with db.transaction() as session:
        for name in ("openai", "other"):
            known = {"available_models": ["m1"], "default_model": "m1"}
            providers.create(session, COMMAND_LINE, {"name": name, "display_name": name, "kind": "openai", **known})
            tokens.create(session, COMMAND_LINE, {"name": f"bot-{name}", "role": "analyst"})
        organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"})
        features.create(session, COMMAND_LINE, {"name": "summarise", "display_name": "Summaries"})
    page = browser.new_page()
    held = hold_back(page)
    enter(page, app.url, "ada")
    for name, (parameter, value) in [
        *share("filters", FILTERED.items()),
        ("audit", FILTERED["audit"]),
    ]:  # where the line is slow
        page.goto(f"{app.url}/{name}?{parameter}={value}")
        _is_filtered(page, app, name)
        _from_the_menu(page, "account", "admin")
        expect(page).to_have_url(f"{app.url}/account")
        settled(page)
        page.go_back()
        _is_filtered(page, app, name)

    with held():  # on a slow line, and something else is pressed meanwhile
        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Account").click()
    shows(page, "account", "admin")
    settled(page)
    page.go_back()
    _is_filtered(page, app, "audit")

    page.goto(f"{app.url}/users?search=ada")
    _is_filtered(page, app, "users")
    page.get_by_test_id("stMainBlockContainer").get_by_role("link", name="Audit").click()
    shows(page, "audit", "admin")
    _is_filtered(page, app, "audit")
    page.go_back()
    _is_filtered(page, app, "users")

    page.goto(f"{app.url}/providers?search=openai")
    _is_filtered(page, app, "providers")
    page.locator(".st-key-more_openai button").click()
    page.get_by_role("menuitem", name="Usage").click()
    _is_filtered(page, app, "usage")
    _from_the_menu(page, "audit", "admin")  # its filter by provider has the same name
    expect(page).to_have_url(f"{app.url}/audit")
    settled(page)
    choose(page.locator(".st-key-provider input"), "other")
    expect(page).to_have_url(f"{app.url}/audit?provider=other")
    settled(page)
    page.go_back()
    _is_filtered(page, app, "usage")
    page.go_back()
    _is_filtered(page, app, "providers")
    page.close()


def hold_back(page: Page) -> Callable[[], AbstractContextManager[None]]:
    """Return what holds the server's messages back from the first on that names the pages, and presses where the page was meanwhile."""
    holding, held = False, list[tuple[WebSocketRoute, str | bytes]]()

    def on_the_way(socket: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            if held or (holding and ForwardMsg.FromString(message).WhichOneof("type") == "navigation"):
                held.append((socket, message))
            else:
                socket.send(message)

        socket.connect_to_server().on_message(pass_on)

    @contextmanager
    def hold() -> Iterator[None]:
        nonlocal holding
        holding = True
        yield
        while not held:
            page.wait_for_timeout(20)
        page.mouse.click(600, 300)
        holding = False
        for socket, message in held:
            socket.send(message)
        held.clear()

    page.route_web_socket("**/_stcore/stream", on_the_way)
    return hold


def _is_filtered(page: Page, app: App, name: str) -> None:
    """Check that the page *name* shows what FILTERED says, and its address says so too, and goes on doing so."""
    parameter, value = FILTERED[name]
    shows(page, name, "admin")
    if name == "models":
        expect(page.get_by_role("radio", name=value)).to_be_checked()
    else:
        key = {"defaults": "scope", "effective_preview": "preview_provider"}.get(name, parameter)
        expect(page.locator(f".st-key-{key} input")).to_have_value(re.compile(f"^{value}"))
    settled(page)
    expect(page).to_have_url(f"{app.url}/{name}?{parameter}={value}")


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
