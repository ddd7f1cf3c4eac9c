"""How quick the pages are: loads and clicks in Chromium, in turns with a Streamlit page that does nothing else.

What is timed ends when the page is at rest: the run is over, and nothing was drawn any more for a moment.
"""

import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from playwright.sync_api import Browser, Page, expect, sync_playwright

from core.access import users
from core.actors import COMMAND_LINE
from core.crypto import generate_key
from core.manage import providers, settings
from core.postgres import embedded
from core.store import db, migrate
from tests.browser.conftest import FLAGS, sign_in
from tests.conftest import PASSWORD, named
from tests.processes import App
from ui.navigation import SCREENS

Row = Callable[..., None]
SIZES = (3, 40, 500)
"""Providers in the database."""
LOADS, CLICKS = 3, 5
"""Of each kind, on either page; the median is shown."""
QUIET_MS = 300
SLOWEST_S = 60
WATCH = """
    window.watch = {began: 0, ran: 0, last: 0}
    for (const kind of ["click", "keydown"])
        addEventListener(kind, () => { watch.began = performance.now() }, true)
    new MutationObserver(changes => {
        watch.last = performance.now()
        const app = document.querySelector("[data-testid=stApp]")
        if (app?.dataset.testScriptState === "running" || changes.some(change => change.attributeName))
            watch.ran = watch.last
    }).observe(document, {
        subtree: true, childList: true, characterData: true, attributeFilter: ["data-test-script-state"]})
"""
REST = """([quiet, frames]) => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning"
    && (watch.ran > watch.began || frames >= 3) && watch.last > watch.began && performance.now() - watch.last > quiet ? watch.last - watch.began : null"""
"""Milliseconds from the click to the last thing drawn, once all is quiet. A run may be too short for its state to be seen:
then its frames say that it was there, one to begin it, one to end it, and what is new."""


class Taken(NamedTuple):
    """What one action took."""

    ms: float
    frames: int
    """That came on the websocket."""
    size: int
    """Bytes in them."""


class Timed:
    """A page of the browser whose actions are timed."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page = browser.new_page(viewport={"width": 1440, "height": 1000})
        self.url = url
        self._frames, self._size, self._came_at = 0, 0, 0.0
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._came))
        self.page.add_init_script(WATCH)

    def _came(self, payload: str | bytes) -> None:
        self._frames += 1
        self._came_at = time.monotonic()
        self._size += len(payload)

    def load(self, path: str, title: str) -> Taken:
        """Load an address anew, until what has *title* is at rest."""
        self._frames = self._size = 0
        self.page.goto(self.url + path, wait_until="commit")
        self.page.get_by_role("heading", name=title, exact=True).first.wait_for()
        return self._rest()

    def act(self, action: Callable[[], object]) -> Taken:
        """Click, or press a key."""
        self._frames = self._size = 0
        action()
        return self._rest()

    def _rest(self) -> Taken:
        deadline = time.monotonic() + SLOWEST_S
        while True:
            took = self.page.evaluate(REST, [QUIET_MS, self._frames])
            quiet = time.monotonic() - self._came_at > QUIET_MS / 1000  # what came last may not be drawn yet
            if took is not None and quiet:
                return Taken(took, self._frames, self._size)
            assert time.monotonic() < deadline, f"{self.page.url} comes to no rest"
            self.page.wait_for_timeout(20)


Action = Callable[[Page], Callable[[], object]]
"""Makes a page ready for an action, and returns the action."""


def _toggle(page: Page) -> Callable[[], object]:
    toggle = page.get_by_role("switch", name=re.compile("^Active")).first
    return lambda: toggle.locator("xpath=ancestor::label").click()


def _edit(page: Page) -> Callable[[], object]:
    return page.get_by_role("button", name=re.compile("^Edit")).first.click


def _search(page: Page) -> Callable[[], object]:
    box = page.get_by_role("textbox", name="Search")
    box.fill("provider-2" if box.input_value() != "provider-2" else "provider-1")
    return lambda: box.press("Enter")


def _slider(page: Page) -> Callable[[], object]:
    slider = page.get_by_role("slider").first
    slider.focus()
    return lambda: page.keyboard.press("ArrowRight")


def _save(page: Page) -> Callable[[], object]:
    return page.get_by_role("button", name="Save", exact=True).click


ACTIONS: dict[str, tuple[str, Action]] = {
    "toggle": ("providers", _toggle),
    "Edit → dialog": ("providers", _edit),
    "search": ("providers", _search),
    "slider → preview": ("defaults", _slider),
    "Save": ("defaults", _save),
}
"""Action -> the page of ours that it is on, and how it is made."""


def _after(page: Page, what: str) -> None:
    """Leave the page as the next action needs it."""
    if what.startswith("Edit"):
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    if what == "Save":
        expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)


def _clicks(ours: Timed, bare: Timed) -> dict[str, tuple[list[Taken], list[Taken]]]:
    taken: dict[str, tuple[list[Taken], list[Taken]]] = {what: ([], []) for what in ACTIONS}
    bare.load("/", "Bare")
    for where in dict.fromkeys(where for where, _ in ACTIONS.values()):
        ours.load(f"/{where}", SCREENS[where].title)
        for _ in range(CLICKS + 1):
            for what, (there, action) in ACTIONS.items():
                if there != where:
                    continue
                for timed, kept in zip((ours, bare), taken[what], strict=True):  # in turns: both meet the same noise
                    kept.append(timed.act(action(timed.page)))
                    _after(timed.page, what)
                    timed.page.wait_for_timeout(QUIET_MS)
    return {what: (one[1:], other[1:]) for what, (one, other) in taken.items()}  # the first of each warms up


def _loads(ours: Timed, bare: Timed) -> dict[str, tuple[list[Taken], list[Taken]]]:
    taken: dict[str, tuple[list[Taken], list[Taken]]] = {name: ([], []) for name in SCREENS}
    for _ in range(LOADS):
        for name, (one, other) in taken.items():
            one.append(ours.load(f"/{name}", SCREENS[name].title))
            other.append(bare.load("/", "Bare"))
    return taken


def _sign_ins(browser: Browser, ours: str, bare: str) -> tuple[list[Taken], list[Taken]]:
    taken: tuple[list[Taken], list[Taken]] = ([], [])
    for _ in range(LOADS):
        for url, title, kept in ((ours, "Sign in", taken[0]), (bare, "Bare", taken[1])):
            timed = Timed(browser, url)  # a browser that was never here
            kept.append(timed.load("/", title))
            timed.page.close()
    return taken


@contextmanager
def _filled(server: str, number: int) -> Iterator[str]:
    """A database with so many providers, and an admin; yields its URL."""
    name = f"pages_{number}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = named(server, name)
    engine, before = db.make_engine(url), db.get_engine
    try:
        migrate.upgrade(engine)
        db.get_engine = lambda: engine  # type: ignore[assignment]
        with db.transaction() as session:
            users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
            settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 0.4})
            for each in range(number):
                models = {"available_models": [f"model-{n}" for n in range(6)], "default_model": "model-0"}
                row = {"name": f"provider-{each}", "display_name": f"Provider {each}", "kind": "openai", **models}
                providers.create(session, COMMAND_LINE, {**row, "api_key": f"sk-proj-{each:040}"})
        engine.dispose()
        yield url
    finally:
        db.get_engine = before
        engine.dispose()
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _show(row: Row, what: str, taken: tuple[list[Taken], list[Taken]], most: float) -> None:
    ours, bare = (statistics.median(each.ms for each in one) for one in taken)
    frames, size = ([statistics.median(each[place] for each in one) for one in taken] for place in (1, 2))
    sent = f"{frames[0]:.0f} / {frames[1]:.0f} frames, {size[0] / 1000:,.0f} / {size[1] / 1000:,.0f} kB"
    figures = f"{ours:,.0f} / {bare:,.0f} ms = {ours / bare:.1f}; {sent}"
    row(what, figures, f"≤ {most}", reached=ours / bare <= most)


def run(server: str, row: Row) -> None:
    """Measure all pages with each number of providers.

    Args:
        server: URL of a database whose server may be given others.
        row: Prints a row of the table.
    """
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=FLAGS)
        bare = App(Path(folder) / "bare", entry="tests.bench.bare_page:app")
        try:
            bare.wait_until_served()
            for number in SIZES:
                with _filled(server, number) as url:
                    app = App(Path(folder) / "ours", DATABASE_URL=url, **_environment())
                    _measure(browser, bare.url, app, number, row)
        finally:
            bare.stop()
            browser.close()


def _chromium() -> str:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))


def _environment() -> dict[str, str]:
    return {"LLM_ENCRYPTION_KEY": os.environ["LLM_ENCRYPTION_KEY"], "LLM_RATE_LIMIT_PAGES": "1000000 per minute"}


def _measure(browser: Browser, bare_url: str, app: App, number: int, row: Row) -> None:
    try:
        app.wait_until_served()
        ours, bare = Timed(browser, app.url), Timed(browser, bare_url)
        sign_in(ours.page, app.url, "admin", PASSWORD)
        for name, taken in _loads(ours, bare).items():
            _show(row, f"{number} providers: {SCREENS[name].title}, load ÷ a bare page", taken, 1.5)
        _show(row, f"{number} providers: sign-in, load ÷ a bare page", _sign_ins(browser, app.url, bare_url), 1.5)
        for what, taken in _clicks(ours, bare).items():
            _show(row, f"{number} providers: {what} ÷ the same on a bare page", taken, 4)
        ours.page.close()
        bare.page.close()
    finally:
        app.stop()


def main() -> None:
    """Measure the pages alone: ``python -m tests.bench.pages``."""
    folder = Path(tempfile.mkdtemp(prefix="llm-"))
    os.environ["LLM_ENCRYPTION_KEY"] = generate_key()
    try:
        run(
            embedded.start(folder),
            lambda what, figures, must, *, reached: print(what, figures, must, reached, sep=" | ", flush=True),  # noqa: T201 - the table
        )
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
