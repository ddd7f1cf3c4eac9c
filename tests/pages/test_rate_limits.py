"""The Rate limits page: how each stands, what vendors allow, who sees it, and what is done in dialogs, by two people too."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid, NotFound
from core.manage import rate_limit_listing, rate_limits
from core.store import db
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import MEMBER
from tests.conftest import make_user, statements
from tests.manage.test_budgets import of_acme
from tests.screens import click, everything, has, offers, open_page, pick
from ui.navigation import names_for

page = partial(open_page, "rate_limits")
RTL = "حد الطلبات " * 9
LONG = "r" * 100


def made(session: Session, name: str = "Chat", **data: Any) -> int:
    wanted = {"name": name, **(data or {"requests_per_minute": 600})}
    return id_of(rate_limits.create(session, COMMAND_LINE, wanted).row)


def counts(session: Session, number: int, requests: int, waited: int, refused: int, peak: int, places: int) -> None:
    """Have so much be counted in this hour; each wait was 1.5 s."""
    session.execute(
        text(
            "INSERT INTO llm_rate_hours (rate_limit_id, slot, requests, tokens, waited, waited_ms, refused, peak_requests, peak_tokens,"
            " peak_places) VALUES (:id, date_trunc('hour', now(), 'UTC'), :requests, 90 * :requests, :waited, 1500 * :waited, :refused,"
            " :peak, 90 * :peak, :places)"
        ),
        {"id": number, "requests": requests, "waited": waited, "refused": refused, "peak": peak, "places": places},
    )


def vendor_allows(session: Session, provider: int, model: str, requests: int, tokens: int, *, closed: str = "") -> None:
    """Have a vendor have said so, a minute, for a key."""
    session.execute(
        text(
            "INSERT INTO llm_vendor_rates (provider_id, fingerprint, model, requests, tokens, closed_until, heard_at)"
            " VALUES (:p, 'cnry-mark', :m, :r, :t, now() + CAST(NULLIF(:closed, '') AS interval), now())"
        ),
        {"p": provider, "m": model, "r": requests, "t": tokens, "closed": closed},
    )


def read(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u2060", "")


def bars(at: AppTest) -> dict[str, float]:
    """Return what stands at each bar, and how far it goes."""
    return {each.proto.text.replace("\\", ""): each.proto.value for each in at.get("progress")}


def listed(at: AppTest) -> list[str]:
    """Return the first line of each row."""
    return [
        each.value.replace("\\", "") for each in at.markdown if ":gray[:small[" in each.value and "**" in each.value
    ]


@pytest.mark.usefixtures("session")
def test_no_rate_limit_yet(admin: Actor, analyst: Actor) -> None:
    """An empty page says what would be here and how the first is made; analysts are told who makes them; members have no such page."""
    at = page(admin)
    assert "No rate limit yet. A rate limit is so many requests a minute" in read(at)
    assert "Add rate limit makes the first." in read(at)
    click(at, "add_rate_limit")
    assert has(at, "rate_limit_save")
    at = page(analyst)
    assert "Admins make them." in read(at)
    assert not has(at, "add_rate_limit")
    assert "rate_limits" not in names_for(MEMBER)
    assert not open_page("rate_limits", make_user("eve", MEMBER)).get("progress")


def test_how_each_stands(session: Session, admin: Actor, analyst: Actor) -> None:
    """State by a word, peak against each figure, waits and refusals, names of any kind; narrowed by state, name, model and scope; analysts read it, without buttons."""
    of = of_acme(session)
    acme = {"organization_id": of["organization_id"]}
    busy = made(session, "a busy", requests_per_minute=600, max_concurrent=20, **of)
    full = made(session, "b full", requests_per_minute=10, tokens_per_minute=100_000, when_full="refuse", **acme)
    off = made(session, LONG, requests_per_minute=1, model="m1", is_active=False)
    made(session, RTL.strip(), max_concurrent=5, max_wait_ms=1250)
    counts(session, busy, 900, 4, 0, 450, 7)
    counts(session, full, 90, 0, 3, 11, 1)
    counts(session, off, 0, 0, 0, 0, 0)

    at = page(analyst)

    rows = listed(at)
    for name, words, facts in (
        (
            "a busy",
            "Calls waited",
            "acme · summarise · local · 600 requests a minute, 20 calls at once · waits up to 2 s",
        ),
        ("b full", "Refused calls", "acme · 10 requests and 100,000 tokens a minute · refuses when full"),
        (LONG, "Off", "m1 · 1 request a minute"),
        (RTL.strip(), ":material/check_circle: On", "everything · 5 calls at once · waits up to 1.25 s when full"),
    ):
        (row,) = [each for each in rows if name in each]
        assert words in row, row
        assert facts in row, row
    assert bars(at) == {
        "In this hour and the last at most 450 of 600 requests and 40,500 tokens in a minute, 7 of 20 calls at once (0 now); "
        "4 calls waited (1.5 s in the mean), 0 refused": 75,
        "In this hour and the last at most 11 of 10 requests and 990 of 100,000 tokens in a minute, 1 call at once (0 now); "
        "0 calls waited, 3 refused": 100,
        "In this hour and the last at most 0 of 1 request and 0 tokens in a minute, 0 calls at once (0 now); 0 calls waited, "
        "0 refused": 0,
        "Nothing counted in this hour and the last": 0,
    }
    assert not at.get("menu_button")
    assert not has(at, f"edit_rate_{busy}")
    for query, names in (
        ({"state": "Full lately"}, ["a busy", "b full"]),
        ({"state": "Off"}, [LONG]),
        ({"search": "BUSY"}, ["a busy"]),
        ({"search": "m1"}, [LONG]),
        ({"organization": "acme"}, ["a busy", "b full"]),
        ({"organization": "acme", "feature": "summarise", "provider": "local"}, ["a busy"]),
    ):
        rows = listed(page(admin, **query))
        assert len(rows) == len(names), query
        assert all(f"**{name}**" in row for name, row in zip(names, rows, strict=True)), query
    assert "No rate limit fits" in read(page(admin, search="nothing like it"))


def test_what_the_vendor_allows(session: Session, admin: Actor) -> None:
    """It stands beside a rate limit that names the provider, the lowest first; above it is told with its number; so is a vendor that lets nothing through."""
    of = of_acme(session)
    provider = of["provider_id"]
    high = made(session, "high", requests_per_minute=400, tokens_per_minute=50_000, provider_id=provider)
    made(session, "within", requests_per_minute=500, provider_id=provider, model="m")
    made(session, "all")
    for n in range(
        rate_limits.MOST_VENDORS
    ):  # more than are read: each allows fewer requests than "n", none fewer than ours
        vendor_allows(session, provider, f"k{n:02}", 450, 60_000)
    vendor_allows(session, provider, "m", 500, 30_000, closed="1 hour")
    vendor_allows(session, provider, "n", 9_000, 40_000)

    at = page(admin)

    told = [line for line in read(at).splitlines() if "allows" in line or "lets nothing" in line]
    above = "Above what the vendor allows: local allows 500 requests and 30,000 tokens a minute for m, it said just now"
    assert [
        words for words in (above, "cloud: local allows 500 requests") if not any(words in line for line in told)
    ] == []
    assert sum("Above what" in line for line in told) == 1
    assert sum("local lets nothing through for m until" in line for line in told) == 2
    assert "cnry-mark" not in read(at)
    assert [each.now.row.id for each in rate_limit_listing.page_of(session, admin, state="above")] == [high]
    assert len(listed(page(admin, state="Above the vendor's"))) == 1


def test_add_edit_and_switch(session: Session, admin: Actor) -> None:
    """What is wrong stands beside its field and nothing typed is lost; every field arrives, with the reason; who was quicker is told; off and on."""
    of = of_acme(session)
    at = click(page(admin, feature="summarise"), "add_rate_limit")
    assert at.selectbox(key="rate_feature").value == "summarise"
    at.text_input(key="rate_name").set_value("Chats")
    at.text_input(key="rate_organization").set_value("nobody").run()
    click(at, "rate_limit_save")
    assert "Is no name of an organisation" in read(at)
    at.text_input(key="rate_organization").set_value("acme")
    at.selectbox(key="rate_provider").set_value("local")
    at.text_input(key="rate_model").set_value("m")
    at.number_input(key="rate_burst_seconds").set_value(90.0).run()
    click(at, "rate_limit_save")
    assert "Must be seconds from 0.1 to 60" in read(at)
    assert at.text_input(key="rate_name").value == "Chats"
    at.number_input(key="rate_burst_seconds").set_value(12.5)
    at.number_input(key="rate_requests_per_minute").set_value(0).run()
    click(at, "rate_limit_save")
    assert "Must be a whole number from 1 to 2,000,000,000" in read(at)
    at.number_input(key="rate_requests_per_minute").set_value(60)
    at.number_input(key="rate_max_wait_ms").set_value(500)
    at.text_input(key="reason_dialog").set_value("the contract says so").run()
    click(at, "rate_limit_save")

    row = rate_limits.get_by_name(session, admin, "Chats").row
    number = id_of(row)
    assert {name: getattr(row, name) for name in of} == of
    assert (row.model, row.requests_per_minute, row.tokens_per_minute, row.max_concurrent) == ("m", 60, None, None)
    assert (row.burst_seconds, row.when_full, row.max_wait_ms, row.is_active) == (12.5, "wait", 500, True)
    events = session.exec(select(AuditEvent).where(col(AuditEvent.action) == "rate_limit.create")).all()
    assert events[0].changes["comment"]["after"] == "the contract says so"

    click(at, f"edit_rate_{number}")
    assert at.text_input(key="rate_organization").value == "acme"
    at.number_input(key="rate_max_concurrent").set_value(7)
    at.radio(key="rate_when_full").set_value("refuse").run()
    with db.transaction() as other:
        rate_limits.update(other, COMMAND_LINE, number, {"requests_per_minute": 99})
    click(at, "rate_limit_save")
    assert "changed it" in read(at)
    assert at.number_input(key="rate_max_concurrent").value == 7
    session.refresh(row)
    assert row.max_concurrent is None
    click(at, "rate_limit_save")
    session.refresh(row)
    assert (row.max_concurrent, row.when_full, row.requests_per_minute, row.burst_seconds) == (7, "refuse", 60, 12.5)
    assert {name: getattr(row, name) for name in of} == of
    for words, is_active in (("Switch off", False), ("Switch on", True)):
        pick(at, f"more_rate_{number}", words)
        click(at, "rate_limit_save")
        session.refresh(row)
        assert row.is_active is is_active


def test_deleted_with_its_name_and_by_another(session: Session, admin: Actor) -> None:
    """Deleting wants the name typed; what somebody else deletes while it is edited is there to be added anew, with what was typed."""
    number = made(session)
    at = click(page(admin), f"edit_rate_{number}")
    at.number_input(key="rate_requests_per_minute").set_value(77).run()
    with db.transaction() as other:
        rate_limits.delete(other, COMMAND_LINE, number)
    click(at, "rate_limit_save")
    assert at.number_input(key="rate_requests_per_minute").value == 77
    click(at, "rate_limit_save")
    row = rate_limits.get_by_name(session, admin, "Chat").row
    assert row.requests_per_minute == 77

    pick(at, f"more_rate_{row.id}", "Delete")
    click(at, "delete_confirm")
    assert "Type Chat exactly" in read(at)
    at.text_input(key="delete_name").set_value("Chat").run()
    click(at, "delete_confirm")
    with pytest.raises(NotFound):
        rate_limits.get_by_name(session, admin, "Chat")
    assert "No rate limit yet" in read(at)


def test_a_thousand_rate_limits(session: Session, admin: Actor) -> None:
    """Paged by name, 25 at a time, in as many statements as one; the last page is reached; what is asked wrongly or by strangers is refused."""
    session.execute(
        text(
            "INSERT INTO llm_rate_limits (name, model, requests_per_minute)"
            " SELECT 'r ' || lpad(n::text, 4, '0'), 'm' || n, 10 FROM generate_series(1, 1000) n"
        )
    )
    at = page(admin)
    with statements() as run:
        at.run()
    assert len([each for each in run if "llm_rate" in each]) <= 3, run
    assert len(listed(at)) == 25
    click(at, "rate_limits_next")
    assert "r 0026" in read(at)
    assert offers(at, at.get("menu_button")[0].key, "Switch off")
    found = rate_limit_listing.page_of(session, admin, after="r 0990")
    assert [each.now.row.name for each in found] == [f"r {n:04}" for n in range(991, 1001)]
    for wrong in ({"limit": 0}, {"limit": 101}, {"state": "no"}):
        with pytest.raises(Invalid):
            rate_limit_listing.page_of(session, admin, **wrong)
    with pytest.raises(NotFound):
        rate_limit_listing.one_of_them(session, admin, 2**40)
    eve = make_user("eve", MEMBER)
    for refused in (
        lambda: rate_limit_listing.page_of(session, eve),
        lambda: rate_limit_listing.one_of_them(session, eve, 1),
    ):
        with pytest.raises(Forbidden):
            refused()
