"""The Costs page: what it shows of spend, to whom, and what it never runs."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.manage import organization_members, organizations
from core.store.table import id_of
from core.store.tables import MEMBER, User
from tests.conftest import make_user, named, statements
from tests.govern.test_spend import told
from tests.screens import everything, open_page
from ui.costs import choice, top
from ui.costs.choice import Chosen

page = partial(open_page, "costs")
HOSTILE = "![x](http://evil.example/a.png) [y](javascript:z) :red[w] <script> $e$"


def figures(at: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in at.metric}


def read(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u2060", "")


def layers(at: AppTest) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return the layers of the chart: what each encodes, and its rows."""
    (found,) = at.get("vega_lite_chart")
    rows = {each.name: convert_arrow_bytes_to_pandas_df(each.data.data) for each in found.proto.datasets}
    spec = json.loads(found.proto.spec)
    return [(each["encoding"], rows[each["data"]["name"]].to_dict("records")) for each in spec["layer"]]


def spend(session: Session, *spent: tuple[int, tuple[Any, ...], str, int]) -> None:
    """Tell of spend so many days ago: names, US dollars (half estimated), unpriced calls."""
    now = datetime.now(UTC)
    told(session, *((f"{now - timedelta(days=days):%Y-%m-%dT%H:00:00Z}", *rest) for days, *rest in spent))


@pytest.mark.usefixtures("session")
def test_nothing_yet(admin: Actor) -> None:
    """Without spend the page says what would be here, and which lines make it."""
    at = page(admin)

    assert "Here is what calls of models cost" in everything(at)
    assert "from core.ai import complete" in everything(at)
    assert figures(at)["This month"] == "$0.00"


def test_figures_chart_and_tops(session: Session, admin: Actor) -> None:
    """Sums say what of them is estimated and unpriced; the bars span all days of the time, each part with its number; all names are plain."""
    spend(
        session,
        (0, (0, "", "openai", HOSTILE, "answered", ""), "4", 2),
        (0, (0, "chat", "google", "m1", "answered", "K-1"), "2.4", 0),
        (9, (0, "chat", "google", "m1", "answered", "K-1"), "8", 0),
    )

    at = page(admin, span="7 days", by="Model", zone="Europe/Berlin")

    assert figures(at)["This month"].startswith("≥ $")
    assert "7 days: at least $6.40, of these $3.20 estimated, 2 calls unpriced; 20% less than $8.00 in as much" in read(
        at
    )
    (bars, _), (_, numbers), (_, before) = layers(at)
    assert bars["x"]["title"] == "Time (Europe/Berlin)"
    begin, end = bars["x"]["scale"]["domain"]
    assert datetime.fromisoformat(end) - datetime.fromisoformat(begin) == timedelta(days=7)
    names = bars["color"]["scale"]["domain"]
    assert names == [f"1  {HOSTILE}", "2  m1"]
    assert [row["number"] for row in numbers] == ["1", "2"]
    assert sum(row["before"] for row in before[:-1]) == 8
    for kind in ("markdown", "caption"):
        assert not [element for element in getattr(at, kind) if "](http" in element.value]
    models = next(table.value for table in at.table if "Model" in table.value)
    assert [cell.replace("\\", "")[:4] for cell in models["Model"]] == ["![x]", "m1"]
    features = next(table.value for table in at.table if "Feature" in table.value)
    assert list(features["Feature"])[1].startswith(
        "[chat](costs?span=7+days&by=Model&zone=Europe%2FBerlin&feature=chat)"
    )

    at = page(admin, span="7 days", by="Model", chart="Table")
    whole = next(table.value for table in at.table if "Tokens sent" in table.value)
    assert list(whole["Cost"].str.replace("\\", "")) == ["at least $4.00", "$2.40"]


def test_filters_and_what_is_no_zone(session: Session, admin: Actor) -> None:
    """Each filter narrows all figures; a zone that is none is said; clearing shows all again."""
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    spend(
        session,
        (0, (acme, "unheard-of", "openai", "m1", "answered", ""), "4", 0),
        (0, (0, "", "google", "m1", "answered", ""), "2", 0),
    )

    at = page(admin, span="24 hours", organization="acme", feature="unheard-of", provider="openai", zone="Berlin/East")
    assert "24 hours: $4.00" in read(at)
    assert "There is no such time zone" in everything(at)
    at.button(key="costs_clear_button").click().run()
    assert "24 hours: $6.00" in read(at)
    at.text_input(key="organization").set_value("acm").run()
    assert not at.metric


def test_of_its_own_organisation(session: Session, admin: Actor) -> None:
    """An organisation's own people have its costs, and nothing of another's."""
    acme, beta = (id_of(organizations.create_one(session, admin, {"slug": s, "name": s})) for s in ("acme", "beta"))
    eve = make_user("eve", MEMBER)
    organization_members.set_member(session, admin, acme, eve.own_id(), "analyst")
    user = session.get(User, eve.own_id(), populate_existing=True)
    assert user is not None
    eve = Actor(eve.name, eve.user_id, user.auth_epoch)
    spend(
        session,
        (0, (acme, "f", "openai", "m1", "answered", ""), "4", 0),
        (0, (beta, "g", "google", "m2", "answered", "K-2"), "2", 0),
    )

    at = page(eve, span="24 hours")

    shown = read(at) + "".join(str(table.value) for table in at.table)
    assert "24 hours: $4.00" in shown
    assert not [word for word in ("beta", "m2", "K-2", "google") if word in shown]


def test_file_is_of_what_is_shown(session: Session, admin: Actor) -> None:
    """The file has the time and scope that are looked at."""
    spend(
        session,
        (0, (0, "f", "openai", "=cmd()", "answered", ""), "4", 0),
        (3, (0, "f", "google", "m", "answered", ""), "4", 0),
    )
    chosen = Chosen("day", "model", "UTC", choice.SpendScope(), None, is_own=False, is_clear=True)

    (row,) = csv.DictReader(io.StringIO(top.export_csv(admin, chosen).decode("utf-8-sig"), newline=""))
    assert row["model"] == "'=cmd()"


def test_a_run_asks_little(session: Session, admin: Actor) -> None:
    """Seven statements at most beside those of a bare page and of its filters, whatever there is."""
    spend(session, *((n, (0, f"f{n}", "p", f"m{n}", "answered", ""), "1", 0) for n in range(30)))
    at = page(admin, span="12 months")
    with statements() as run:
        at.run()

    assert len([each for each in run if "llm_spend" in each]) == 4, run


def test_who_does_not_tell_is_named(server: str, session: Session, admin: Actor, analyst: Actor) -> None:
    """A service whose role may not tell what calls cost stands above the figures, with the cure; not for a member of an organisation."""
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    member = make_user("mia", MEMBER)
    organization_members.set_member(session, admin, acme, member.own_id(), "analyst")
    user = session.get(User, member.own_id(), populate_existing=True)
    assert user is not None
    member = Actor(member.name, member.user_id, user.auth_epoch)
    database = named(server, session.scalars(text("SELECT current_database()")).one())
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("CREATE ROLE spender LOGIN")
        try:
            untold = database.replace("postgres@", "spender@", 1)
            with psycopg.connect(untold, application_name="llm-settings spend/9.9.9 web-7:41"):
                for actor, said in ((admin, 1), (analyst, 1), (member, 0)):
                    found = [each.value for each in page(actor).warning]
                    assert [
                        "web-7:41" in each.replace("\\", "") and "grant-reader spender --log" in each for each in found
                    ] == [True] * said
        finally:
            owner.execute("DROP ROLE spender")
    assert not page(admin).warning
