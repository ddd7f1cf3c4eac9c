"""The Usage page: what it shows of the log, to whom, and what it never runs or loads."""

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.errors import Forbidden
from core.govern import usage, usage_of_log
from core.govern.call_queries import CallFilters
from core.manage import organization_members, organizations
from core.store import db
from core.store.table import id_of
from core.store.tables import MEMBER, User
from tests.conftest import ROOT, make_user
from tests.govern.test_usage import NOW, failed, log
from tests.screens import everything, open_page
from ui.feedback import plain
from ui.usage import calls
from ui.widgets import dollars

page = partial(open_page, "usage")

HOSTILE = "![x](http://evil.example/a.png) [y](javascript:z) :red[w] <script> $e$"


def told(at: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def lines(at: AppTest) -> list[str]:
    return [expander.label for expander in at.expander]


@pytest.mark.usefixtures("session")
def test_nothing_yet(admin: Actor) -> None:
    """Without a call the page says how to make one, and where it is set what is logged."""
    at = page(admin)

    assert "No call is logged yet" in everything(at)
    assert "from core.ai import complete" in everything(at)
    assert told(at)["Calls"] == "0"
    assert told(at)["p50 latency"] == "none"


def test_figures_and_calls(session: Session, admin: Actor) -> None:
    """Figures, an unknown price said beside the sum, and a line for each call, newest first."""
    log(
        session,
        {},
        {"cost": None, "user_id": None},
        failed(error="The call failed (x): 401: no"),
        {"attempts": 3, "user_id": "ada_b-c@example.com"},
    )

    at = page(admin)

    figures = told(at)
    assert [figures[name] for name in ("Calls", "Errors", "Tokens", "Cost")] == ["4", "1", "90", "$1.00"]
    assert "1 call without a known price: not in the sum." in everything(at)
    third, second = lines(at)[:2]
    assert "3 attempts" in third
    assert f"for {plain('ada_b-c@example.com')}" in third
    assert second.startswith(":red[**acme** m1] · 401")
    assert len(lines(at)) == 4


def test_no_price_is_not_zero(session: Session, admin: Actor) -> None:
    """Where no price is known the page says so."""
    log(session, {"cost": None})

    assert told(page(admin))["Cost"] == ":small[not known]"


def test_one_call(session: Session, admin: Actor) -> None:
    """An opened line has what was said, as text: nothing in it is Markdown, and nothing is loaded."""
    log(session, {"prompt": HOSTILE, "response": None, "model": HOSTILE, "user_id": HOSTILE, "provider": HOSTILE})
    at = page(admin)
    call = usage.search(session, admin).rows[0].id
    at.session_state[f"usage_call_{call}"] = True
    at.run()

    assert HOSTILE in [code.value for code in at.code]
    for kind in ("markdown", "caption"):
        assert not [element for element in getattr(at, kind) if "](http" in element.value]
    assert "](http" not in "".join(lines(at))
    assert "Not kept, as the settings said then, or as there was none: answer." in everything(at)


def test_filters_and_spans(session: Session, admin: Actor) -> None:
    """The filters narrow the list, the span the figures as well; clearing shows all again."""
    log(session, {}, {"provider": "zeta", "model": "m2"}, failed(user_id="7"))
    at = page(admin)

    at.selectbox(key="provider").set_value("zeta").run()
    assert len(lines(at)) == 1
    at.button(key="usage_clear_button").click().run()
    assert len(lines(at)) == 3
    at.selectbox(key="status").set_value("error").run()
    at.text_input(key="user").set_value(" 7 ").run()
    assert len(lines(at)) == 1
    at.selectbox(key="model").set_value("m2").run()
    assert "No call fits these filters" in everything(at)
    for span in usage.SPANS:
        at.segmented_control(key="span").set_value(span).run()
        at.segmented_control(key="by").set_value("model").run()
        assert not at.exception
        assert told(at)["Calls"] == "3"


def test_cost_centre(session: Session, admin: Actor) -> None:
    """Who pays narrows the list, from the address too; the line and the opened call say it, a name as it is; clearing shows all."""
    log(session, {"cost_centre": HOSTILE}, {"cost_centre": "K-17"}, {})

    at = page(admin, cost_centre="K-17")
    assert (len(lines(at)), lines(at)[0].endswith("paid by K\\-17")) == (1, True)
    at.text_input(key="cost_centre").set_value(f" {HOSTILE} ").run()
    call = usage.search(session, admin, CallFilters(cost_centre=HOSTILE)).rows[0].id
    at.session_state[f"usage_call_{call}"] = True
    at.run()
    assert f"cost centre {plain(HOSTILE)}" in everything(at)
    assert "](http" not in "".join(lines(at))
    at.button(key="usage_clear_button").click().run()
    assert (len(lines(at)), at.text_input(key="cost_centre").value) == (3, "")


def test_organisation_and_feature(session: Session, admin: Actor) -> None:
    """Both narrow figures and calls, from the address too; a name is searched; a row says both; clearing shows all again."""
    acme, beta = (id_of(organizations.create_one(session, admin, {"slug": s, "name": s})) for s in ("acme", "acme-two"))
    log(session, {"organization_id": acme, "feature": "unheard-of"}, {"organization_id": beta}, {}, {})

    at = page(admin, organization="acme", feature="unheard-of")
    assert (told(at)["Calls"], len(lines(at))) == ("1", 1)
    assert lines(at)[0].endswith(f"in acme · to {plain('unheard-of')}")
    assert "cannot be split by organisation or feature" in everything(at)
    at.selectbox(key="status").set_value("ok")
    at.selectbox(key="feature").set_value(None).run()
    at.text_input(key="organization").set_value("acm").run()
    assert (len(at.metric), at.selectbox(key="model").options) == (0, ["m1"])
    at.text_input(key="organization").set_value("acme-two").run()
    assert (told(at)["Calls"], len(lines(at)), at.selectbox(key="status").value) == ("1", 1, "ok")
    at.button(key="usage_clear_button").click().run()
    assert (told(at)["Calls"], len(lines(at)), at.text_input(key="organization").value) == ("4", 4, "")
    assert "cannot be split" not in everything(at)


def test_too_many_calls(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all are added up the page says since when they are."""
    monkeypatch.setattr(usage_of_log, "ADDED_UP", 3)
    log(session, *({"feature": "f", "at": NOW - timedelta(minutes=n)} for n in range(9)))

    assert re.search(r"these are the newest [\d,]+, since ", everything(page(admin, feature="f")))


def test_of_its_own_organisation(session: Session, admin: Actor) -> None:
    """An organisation's admin has its calls, opens and exports them; who is an analyst there is told who has them."""
    acme, beta = (id_of(organizations.create_one(session, admin, {"slug": s, "name": s})) for s in ("acme", "beta"))
    eve = make_user("eve", MEMBER)
    organization_members.set_member(session, admin, acme, eve.own_id(), "analyst")
    log(
        session,
        {"organization_id": acme, "feature": "f"},
        {"organization_id": beta, "prompt": HOSTILE, "provider": "zeta"},
    )
    at = page(_again(session, eve))
    assert "shown to its admins alone" in everything(at)
    assert not at.metric

    organization_members.set_member(session, admin, acme, eve.own_id(), "admin")
    eve = _again(session, eve)
    at = page(eve)
    call = usage.search(session, eve, CallFilters(organization_id=acme)).rows[0].id
    at.session_state[f"usage_call_{call}"] = True
    at.run()

    assert (told(at)["Calls"], len(lines(at))) == ("1", 1)
    assert "the prompt" in [code.value for code in at.code]
    assert at.selectbox(key="provider").options == ["acme"]
    assert "in Audit" not in everything(at)
    at.selectbox(key="status").set_value("error").run()
    assert lines(at) == []
    at.button(key="usage_clear_button").click().run()
    assert len(lines(at)) == 1


def _again(session: Session, person: Actor) -> Actor:
    """The person, signed in after their rights were changed."""
    user = session.get(User, person.own_id(), populate_existing=True)
    assert user is not None
    return Actor(person.name, person.user_id, user.auth_epoch)


def test_pages(session: Session, admin: Actor) -> None:
    """Older and newer calls, 25 at a time."""
    log(session, *({"user_id": str(n)} for n in range(60)))
    at = page(admin)
    first = lines(at)

    at.button(key="usage_older").click().run()
    second = lines(at)
    at.button(key="usage_older").click().run()
    third = lines(at)
    at.button(key="usage_newest").click().run()

    assert (len(first), len(second), len(third)) == (25, 25, 10)
    assert lines(at) == first
    assert not {*first} & {*second}


def test_live(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live shows the newest calls, and ends by itself: else a page left open would keep its sign-in for ever."""
    log(session, {})
    at = page(admin)

    at.toggle(key="usage_live").set_value(True).run()
    assert "Live · looked up" in everything(at)
    assert len(lines(at)) == 1
    monkeypatch.setattr(calls, "LIVE_MINUTES", -1)
    at.run()

    assert not at.toggle(key="usage_live").value
    assert "Live · looked up" not in everything(at)


def test_csv(session: Session, admin: Actor, analyst: Actor) -> None:
    """The file has the filtered calls; the right is asked for again."""
    log(session, {"prompt": "=cmd()"}, {"provider": "zeta"})

    file = calls.export_csv(admin, CallFilters(provider="acme"), contents=True)

    (row,) = csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline=""))
    assert (row["prompt"], row["cost"]) == ("'=cmd()", "0.5000000000")
    with pytest.raises(Forbidden), db.transaction():
        calls.export_csv(analyst, CallFilters(), contents=False)


@pytest.mark.usefixtures("session")
def test_for_admins(analyst: Actor) -> None:
    """An analyst has no such page, and is refused when asking for it."""
    at = AppTest.from_file(str(ROOT / "pages" / "usage.py"), default_timeout=30)
    at.session_state["actor"] = analyst
    at.run()

    assert "Admin access required" in everything(at)
    assert not at.metric


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (None, "not known"),
        (Decimal(0), "$0.00"),
        (Decimal("0.00001"), "< $0.0001"),
        (Decimal("0.00123"), "$0.0012"),
        (Decimal("1234.5"), "$1,234.50"),
    ],
)
def test_money(cost: Decimal | None, shown: str) -> None:
    """A small cost is no zero, and an unknown one is none."""
    assert dollars(cost) == shown
