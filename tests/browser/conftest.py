"""The system's Chromium, driven by Playwright, against the app as a real process."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from core.access import sessions, users
from core.store import db
from tests.conftest import require
from web.request import COOKIE

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
expect.set_options(timeout=15_000)
_RERUN, _NEW_RUN = (
    message.DESCRIPTOR.fields_by_name[name].number
    for message, name in ((BackMsg, "rerun_script"), (ForwardMsg, "new_session"))
)
ASKED = (
    (
        """(() => {
  const fields = (bytes) => {
    let at = 0;
    const found = [];
    const number = () => { let value = 0, by = 1, byte; do { byte = bytes[at++]; value += (byte & 127) * by; by *= 128; } while (byte & 128); return value; };
    while (at < bytes.length) {
      const tag = number(), kind = tag % 8;
      found.push((tag - kind) / 8);
      if (kind === 0) number();
      else { const length = kind === 2 ? number() : kind === 1 ? 8 : 4; at += length; }
    }
    return found;
  };
  const Plain = WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({data}) => {
        if (data instanceof ArrayBuffer && fields(new Uint8Array(data)).includes(NEW_RUN)) window.askedAt = 0;
      });
    }
    send(data) {
      if (data instanceof Uint8Array && fields(data).includes(RERUN)) window.askedAt = performance.now();
      super.send(data);
    }
  };
})()"""
    )
    .replace("NEW_RUN", str(_NEW_RUN))
    .replace("RERUN", str(_RERUN))
)
"""Has each page note when it asks the server for a run, until one begins."""
SETTLED = """() => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning"
    && (!window.askedAt || performance.now() - window.askedAt > 5000)"""
"""A run that is asked for begins, or Streamlit drops it as its fragment is gone: of that nothing comes."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; without one the browser tests are skipped loudly, or fail in CI."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    require("browser", found)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        for name in ("new_context", "new_page"):
            setattr(browser, name, _with_script(getattr(browser, name)))
        yield browser
        browser.close()


def _with_script(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def made(**options: Any) -> Any:
        new = make(**{"reduced_motion": "reduce", **options})  # a third of what drawing costs is that things move
        new.add_init_script(ASKED)
        return new

    return made


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="llm-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_15() -> Iterator[str]:
    """URL of a server of the operator's own: Debian's PostgreSQL (15 on Debian 12) on a loopback port."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    require("postgresql", binaries)
    folder = Path(tempfile.mkdtemp(prefix="llm-pg-"))
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    tools = binaries[0].parent
    cluster = str(folder / "data")
    control = [*user, str(tools / "pg_ctl"), "-D", cluster, "-w", "-s"]
    subprocess.run(
        [*user, tools / "initdb", "-D", cluster, "-U", "postgres", "-A", "trust"], check=True, capture_output=True
    )
    options = f"-c listen_addresses='' -k {folder}"
    try:
        subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], check=True, timeout=60)
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, timeout=60)
        shutil.rmtree(folder)


class Recorder:
    """Everything a page received: HTML, other responses, websocket frames."""

    def __init__(self, page: Page) -> None:
        self.received: list[bytes] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._frame))
        page.on("response", self._response)
        self._page = page

    def _frame(self, payload: str | bytes) -> None:
        self.received.append(payload.encode() if isinstance(payload, str) else payload)

    def _response(self, response: object) -> None:
        url = getattr(response, "url", "")
        if "/static/" not in url:
            self.received.append(url.encode())

    def look(self) -> None:
        """Keep the page's HTML as it is now."""
        self.received.append(self._page.content().encode())


CHOSEN = "a sentence of my own"
"""What :func:`sign_in` chooses where the first sign-in asks for a new password."""


def sign_in(page: Page, url: str, username: str, password: str) -> None:
    """Open *url* and sign in; the password of a first start is changed to CHOSEN."""
    page.goto(url)
    page.get_by_label("Username").fill(username)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    choose = page.get_by_role("textbox", name="New password")
    signed_in = page.get_by_text("Signed in as")
    expect(choose.or_(signed_in)).to_be_visible()
    if choose.is_visible():
        choose.fill(CHOSEN)
        page.get_by_role("button", name="Set password").click()
    expect(signed_in).to_be_visible()
    settled(page)


def enter(page: Page, url: str, username: str) -> None:
    """Open *url* as somebody who has signed in before, whose browser has the cookie; the database is this process's.

    The form is for tests that are about it: :func:`sign_in`.
    """
    give_cookie(page, url, username)
    page.goto(url)
    expect(page.get_by_text("Signed in as")).to_be_attached()  # a narrow window has the side bar folded away
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)


def give_cookie(page: Page, url: str, username: str) -> None:
    """Give a browser the cookie of somebody who has signed in before."""
    with db.transaction() as session:
        user = users.find(session, username)
        assert user is not None
        ticket = sessions.begin(session, user, "127.0.0.1", "Chromium", ticket=True)[1]
    with db.transaction() as session:
        secret = sessions.exchange(session, ticket or "")
    page.context.add_cookies([{"name": COOKIE, "value": secret or "", "url": url}])


def settled(page: Page) -> None:
    """Wait until no run of the page is under way or asked for: what was typed or pressed has arrived, and its page is drawn."""
    page.wait_for_function(SETTLED, polling=50)  # not each frame: looking would cost more than drawing


def choose(box: Locator, option: str) -> None:
    """Choose *option* in a select box, which may have to be scrolled to.

    A list that is open closes when the page scrolls. A click scrolls to a box out of sight and opens it within one
    frame, which no person does: the event of that scroll would close it. So the scroll's frames are let pass first.
    """
    box.scroll_into_view_if_needed()
    box.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box.click()
    box.page.get_by_role("option", name=option).click()
