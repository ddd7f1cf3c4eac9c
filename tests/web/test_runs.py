"""Each run of a page has an id of its own, which the log has, and which the person is shown when the page breaks."""

import gc
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import WStates
from streamlit.source_util import PageInfo
from streamlit.testing.v1 import AppTest

from core import request_ids
from core.actors import Actor
from tests.conftest import ROOT
from tests.processes import App
from tests.rest import cookie, token
from tests.streamlit_client import streamlit_client
from ui import feedback
from web import metrics, runs

BROKEN = """
import logging
from asgi import app
from core.errors import StoreUnavailable
from ui import frame
drawn = frame.draw_menu

def draw_menu(role):
    page = drawn(role)
    logging.getLogger("core.page").warning("drawing")
    if page.url_path == "health":
        raise KeyError("llms_0123456789abcdefghij")
    if page.url_path == "audit":
        raise StoreUnavailable("The database cannot be reached.")
    return page

frame.draw_menu = draw_menu
"""


@pytest.fixture
def broken(committed: str, tmp_path: Path) -> Iterator[App]:
    """The app, of which one page breaks."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    app = App(tmp_path / "log", entry="broken:app", DATABASE_URL=committed, PYTHONPATH=f"{ROOT}:{tmp_path}")
    try:
        app.wait_until_served()
        yield app
    finally:
        app.stop()


@pytest.mark.browser
def test_a_broken_page_shows_the_reference_that_the_log_has(broken: App, admin: Actor) -> None:
    """And nothing of the error; each run of one websocket has another id, in each of its lines."""
    with streamlit_client(broken.port, cookie=cookie(admin)["Cookie"]) as client:
        client.open()  # until then Streamlit serves the files of pages/ without the frame
        (said,) = client.open("health").alerts()
        first = re.search(r"reference `([0-9a-f]{16})`", said)
        (again,) = client.open("health").alerts()
        second = re.search(r"reference `([0-9a-f]{16})`", again)
        client.open("users")
        assert client.titles() == ["Users"]
        scrape = httpx2.get(f"{broken.url}/api/metrics", headers=token("metrics")).text.splitlines()

    log = broken.output()
    assert first is not None, said
    assert second is not None
    assert first[1] != second[1]
    assert "KeyError" not in said + again
    assert f"ERROR streamlit.error_util [{first[1]}]: Uncaught app execution" in log
    assert f"[{second[1]}]" in log
    assert len(set(re.findall(r"core\.page \[([0-9a-f]{16})\]: drawing", log))) == 4
    assert "llms_0123456789abcdefghij" not in log
    assert {
        'llm_settings_page_errors_total{page="health"} 2.0',
        'llm_settings_page_errors_total{page="users"} 0.0',
        'llm_settings_page_run_seconds_count{page="users"} 1.0',
        "llm_settings_websockets_open 1.0",
    } <= set(scrape)


def test_runs_are_counted_by_page(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run once, under the page's address; one with an error in its page too."""
    monkeypatch.setattr(ScriptRunner, "_run_script", ScriptRunner._run_script)  # put back afterwards
    runs.give_ids()
    runs.give_ids()
    seen: list[str] = []
    monkeypatch.setattr("ui.frame.draw_menu", lambda *_: seen.append(request_ids.current()) or 1 / 0)

    def counted() -> float:
        return sum(
            sample.value
            for family in metrics.PAGE_RUNS.collect()
            for sample in family.samples
            if "_count" in sample.name
        )

    before = counted()
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)
    app.session_state[feedback.ACTOR] = admin
    app.run()
    app.run()

    assert counted() == before + 2
    assert len(set(seen)) == 2
    assert all(seen)


def test_modules_are_no_work_for_the_collector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a run has imported is left alone by the full collection that Streamlit makes after each run; other objects are not."""
    page = tmp_path / "page.py"
    page.write_text("import sys, types\nsys.modules['made_by_a_run'] = types.ModuleType('made_by_a_run')\n")
    monkeypatch.setattr(ScriptRunner, "_run_script", ScriptRunner._run_script)  # put back afterwards
    runs.give_ids()
    app = AppTest.from_file(str(page), default_timeout=60)
    gc.unfreeze()
    try:
        app.run()
        libraries = gc.get_freeze_count()
        app.run()
        assert gc.get_freeze_count() <= libraries  # of what is frozen some may go: nothing is added
        assert len(gc.get_objects()) < libraries / 10
    finally:
        sys.modules.pop("made_by_a_run", None)


def test_each_run_keeps_to_its_own_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one session, the first about to go on to its page, the second begun by a click: neither takes the other's."""
    for name in ("_intended_page_script_hash", "_intended_page_name"):
        monkeypatch.setattr(PagesManager, name, None, raising=False)  # put back afterwards what was there
    runs.keep_pages_apart()
    manager = PagesManager("streamlit_app.py")
    pages: dict[str, PageInfo] = {
        name: {"page_script_hash": name, "script_path": "", "page_name": name, "icon": "", "url_pathname": name}
        for name in ("providers", "defaults", "usage")
    }
    found: list[str | None] = []

    def clicked() -> None:
        manager.set_script_intent("defaults", "")
        going_on.set()
        gone_on.wait(10)
        found.append((manager.set_pages_and_resolve(pages, "usage") or {})["page_script_hash"])

    going_on, gone_on = threading.Event(), threading.Event()
    click = threading.Thread(target=clicked)
    click.start()
    assert going_on.wait(10)
    manager.set_script_intent("", "providers")
    gone_on.set()
    click.join(10)
    found.append((manager.set_pages_and_resolve(pages, "usage") or {})["page_script_hash"])

    assert found == ["defaults", "providers"]
    assert PagesManager("streamlit_app.py").set_pages_and_resolve(pages, "usage") == pages["usage"]


def test_a_value_that_no_widget_takes_is_as_if_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read at any time, also between two runs, where Streamlit lets the error end the session; one that fits is read."""
    monkeypatch.setattr(WStates, "__getitem__", WStates.__getitem__)  # put back afterwards
    runs.leave_out_what_no_widget_takes()
    runs.leave_out_what_no_widget_takes()
    states = WStates()
    for number, sent in enumerate(({"bool_value": True}, {"string_value": "abc"}, {"double_value": 1.5})):
        key = f"text{number}"
        states.set_widget_metadata(
            WidgetMetadata(
                id=key,
                deserializer=lambda value: (value or "")[:2],
                serializer=str,
                value_type="string_value",
            )
        )
        states.set_widget_from_proto(WidgetState(id=key, **sent))

    assert {key: states.get(key) for key in states} == {"text0": None, "text1": "ab", "text2": None}
    assert "text0" not in states
