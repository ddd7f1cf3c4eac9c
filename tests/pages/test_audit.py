"""The Audit page: what is listed, how it is filtered, paged and exported, and who may see it."""

import csv
import io
import re
from datetime import date, timedelta
from functools import partial

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.audit.record import Target, record
from core.errors import Forbidden
from core.govern import audit_log
from core.govern.audit_log import EventFilters
from core.manage import providers, settings
from core.store import db
from tests.conftest import ROOT
from tests.screens import everything, open_page
from ui.audit import events

page = partial(open_page, "audit")

CANARY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
HOSTILE = "![x](http://evil.example/a.png) [y](javascript:z) :red[w] <script> $e$"


def lines(at: AppTest) -> list[str]:
    """The lines of the list."""
    return [expander.label for expander in at.expander]


def told(at: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


@pytest.fixture
def some(session: Session, admin: Actor) -> Session:
    """A provider made, its key set, and defaults changed."""
    data = {"name": "acme", "display_name": "Acme", "kind": "openai", "available_models": ["m"]}
    provider = providers.create(session, admin, data).id or 0
    providers.set_api_key(session, COMMAND_LINE, provider, CANARY)
    settings.upsert_global(session, admin, None, {"temperature": 0.25})
    session.flush()
    return session


def test_what_says_the_same_is_one_line(some: Session, admin: Actor) -> None:
    """Three equal changes in a row are one line, which opens to all three; another one between them is a line of its own."""
    acme = providers.get_by_name(some, "acme").id or 0
    for text in ("one", "two", "three"):
        providers.update(some, admin, acme, {"description": text})
    providers.update(some, admin, acme, {"is_active": False})
    providers.update(some, admin, acme, {"description": "four"})
    at = page(admin)

    changed = "**ada** changed provider **acme** · Description"
    shown = [line.replace("\\", "") for line in lines(at)][:4]
    assert shown[:3] == [changed, "**ada** deactivated provider **acme**", f"{changed} · 3 times"]
    number = next(
        event.id
        for event in audit_log.search(some, admin).rows
        if event.changes.get("description", {}).get("after") == "three"
    )
    at.session_state[f"audit_event_{number}"] = True
    at.run()
    afters = [str(table.value.to_dict()) for table in at.table]
    assert len(afters) == 3
    assert all(word in told_ for word, told_ in zip(("three", "two", "one"), afters, strict=True))


@pytest.mark.usefixtures("session")
def test_nothing_yet(admin: Actor) -> None:
    """Without an event the page says what will be here, and offers no export."""
    at = page(admin)

    assert "Nothing is on record yet" in everything(at)
    assert told(at)["Events"] == "0"
    assert told(at)["Last event"] == "never"
    assert not at.get("download_button")


@pytest.mark.usefixtures("some")
def test_events_are_sentences_newest_first(admin: Actor) -> None:
    """Who did what to which, the newest on top, with the fields that changed."""
    at = page(admin)

    first, second, third = lines(at)
    assert first == "**ada** added defaults of **all providers**"
    assert second == r"**command line** set the API key of **acme**"
    assert third == "**ada** added provider **acme**"
    assert "just now" in everything(at)


@pytest.mark.usefixtures("some")
def test_line_opens_to_its_fields(admin: Actor) -> None:
    """An opened line shows each field before and after, and all else there is to the event; the key is a mask."""
    at = page(admin)
    assert not at.table
    _open(at, 1, admin)
    at.run()

    (table,) = at.table
    first = table.value.iloc[0].to_dict()
    assert first["Field"] == "API key"
    assert re.fullmatch(re.escape(r"sk\-proj\.\.\.\*\*\*\* \#") + "[0-9a-f]{8}", first["After"])
    assert "provider\\.set\\_key" in everything(at)
    assert CANARY not in everything(at) + table.value.to_string()


def _open(at: AppTest, number: int, actor: Actor) -> None:
    with db.transaction() as session:
        event = audit_log.search(session, actor).rows[number]
    at.session_state[f"audit_event_{event.id}"] = True


def test_denial_tells_who_what_and_from_where(admin: Actor, analyst: Actor) -> None:
    """CHECKS 3: a refused attempt is readable: the person, the action, the reason, the address."""
    away = Actor(analyst.name, analyst.user_id, analyst.auth_epoch, address="203.0.113.7")
    with pytest.raises(Forbidden), db.transaction() as session:
        providers.delete(session, away, 1)
    at = page(admin)

    (line,) = lines(at)
    assert line.startswith(":red[**alan** was not allowed to delete a provider]")
    assert r"Admin access required from 203\.0\.113\.7" in line
    assert told(at)["Denials, 24 h"] == "1"


def test_filters(some: Session, admin: Actor) -> None:
    """Actor, action, group, target and time narrow the list; clearing them shows all again."""
    record(some, Actor("grace"), "session.sign_in", Target("session", 1, "grace"))
    some.flush()
    at = page(admin)
    assert at.selectbox(key="who").options == ["ada", "command line", "grace"]
    assert at.selectbox(key="action").options[:3] == ["provider.*", "session.*", "settings.*"]

    at.selectbox(key="who").set_value("ada").run()
    assert len(lines(at)) == 2
    at.selectbox(key="action").set_value("provider.*").run()
    assert len(lines(at)) == 1
    at.text_input(key="target").input("nobody").run()
    assert "No event fits these filters" in everything(at)
    at.button(key="audit_show_all").click().run()
    assert len(lines(at)) == 4
    at.text_input(key="target").input("acm").run()
    assert len(lines(at)) == 2
    at.button(key="audit_clear_button").click().run()
    assert len(lines(at)) == 4
    today = date.today()  # noqa: DTZ011 - what a person picks; a day's margin on both sides
    at.date_input(key="from").set_value(today - timedelta(days=1)).run()
    at.date_input(key="to").set_value(today + timedelta(days=1)).run()
    assert len(lines(at)) == 4
    at.date_input(key="to").set_value(today - timedelta(days=3)).run()
    assert "From is later than To" in everything(at)
    assert not at.exception


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("typed", ["'; DROP TABLE users; --", "%", "\\", "_", "a\x00"])
def test_sql_in_the_filter_is_text(admin: Actor, typed: str) -> None:
    """CHECKS 57: what is typed is looked for as it is."""
    at = page(admin)
    at.text_input(key="target").input(typed).run()

    assert not at.exception
    assert "No event fits these filters" in everything(at)


def test_pages(session: Session, admin: Actor) -> None:
    """25 events a page; older, newer and newest lead through them, and another filter begins anew."""
    for number in range(60):
        record(session, COMMAND_LINE, "test", Target("provider", number, f"p{number}"))
    session.flush()
    at = page(admin)
    assert "1 to 25" in everything(at)
    assert at.button(key="audit_newer").disabled

    at.button(key="audit_older").click().run()
    at.button(key="audit_older").click().run()
    assert len(lines(at)) == 10
    assert "51 to 60" in everything(at)
    assert at.button(key="audit_older").disabled
    at.button(key="audit_newer").click().run()
    assert "26 to 50" in everything(at)
    at.text_input(key="target").input("p1").run()
    assert len(lines(at)) == 11


def test_hostile_names_are_text(session: Session, admin: Actor) -> None:
    """CHECKS 51: Markdown, HTML and formulas in names and values are shown as they are, in the line and opened."""
    record(
        session,
        Actor(HOSTILE, address=HOSTILE),
        "denied",
        Target("action", None, HOSTILE),
        {HOSTILE: (HOSTILE, HOSTILE * 9)},
    )
    record(session, Actor(HOSTILE), HOSTILE, Target(HOSTILE, None, "x\n\n# y" * 40))
    session.flush()
    at = page(admin)
    for number in (0, 1):
        _open(at, number, admin)
    at.run()

    assert not at.exception
    for text in (everything(at), at.table[0].value.to_string()):
        for raw in ("![x]", "](http", "](javascript", ":red[w", "<script>", "$e$", "\n# y"):
            assert raw not in text


@pytest.mark.usefixtures("some")
def test_export_is_what_is_filtered(admin: Actor, analyst: Actor) -> None:
    """The file has the filtered events and a mark by which spreadsheets know UTF-8; analysts do not get it."""
    text = events.export_csv(admin, EventFilters(actor="command line")).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text))

    assert (row["actor"], row["field"]) == ("command line", "api_key")
    assert row["after"].startswith("sk-proj...**** #")
    with pytest.raises(Forbidden):
        events.export_csv(analyst, EventFilters())


def test_cut_export_says_so(some: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are more events than the file holds, the page says how to get them all."""
    assert "The file has the newest" not in everything(page(admin))
    monkeypatch.setattr(events, "EXPORTED", 30)
    for number in range(40):
        record(some, COMMAND_LINE, "test", Target("provider", number, "p"))
    some.flush()

    assert "The file has the newest" in everything(page(admin))
    assert len(list(csv.reader(io.StringIO(events.export_csv(admin, EventFilters()).decode())))) == 31


@pytest.mark.usefixtures("some")
def test_analyst_is_turned_away(analyst: Actor) -> None:
    """The page is for admins: an analyst sees no event, and the attempt is on record."""
    at = AppTest.from_file(str(ROOT / "pages/audit.py"), default_timeout=30)
    at.session_state["actor"] = analyst
    at.run()

    assert not lines(at)
    assert "Admin access required" in everything(at)


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("key", events.FILTERS)
def test_clearing_empties_each_filter(admin: Actor, key: str) -> None:
    """Whatever is chosen, *Clear filters* can be pressed, and takes it away."""
    at = page(admin)
    assert at.button(key="audit_clear_button").disabled
    (widget,) = [each for kind in (at.selectbox, at.text_input, at.date_input) for each in kind if each.key == key]
    at = widget.set_value(
        date(2026, 1, 1) if widget.type == "date_input" else (getattr(widget, "options", None) or ["x"])[0]
    ).run()
    assert at.session_state[key]

    at.button(key="audit_clear_button").click().run()

    assert not at.exception
    left = {each.key: each.value for kind in (at.selectbox, at.text_input, at.date_input) for each in kind}
    assert not any(left[name] for name in events.FILTERS)


def test_each_filter_of_the_list_is_on_the_page() -> None:
    """A filter that core has and the page has not, or the other way, was forgotten; a target's kind is for programs."""
    offered = {{"actor": "who", "until": "to"}.get(name, name) for name in EventFilters._fields}

    assert {*events.FILTERS} - {"from"} == offered - {"target_type"}
