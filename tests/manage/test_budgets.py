"""Budgets: kept by admins, each with its period that is now; topped up and corrected with a reason; known to services."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import AlreadyExists, Conflict, CoreError, Forbidden, Invalid, NotFound
from core.manage import budgets, features, organizations, providers
from core.resolve import Resolver
from core.store import db, grants
from core.store.table import id_of
from tests.conftest import statements

D = Decimal
MONTH: dict[str, Any] = {"name": "Summaries, monthly", "amount": "100", "period": "month"}
PERIODS = [  # period, zone, first day of the week, first month, moment, begins, ends, hours
    ("month", "Asia/Tokyo", 1, 1, "2026-03-15 12:00+0", "2026-02-28 15:00+0", "2026-03-31 15:00+0", 31 * 24),
    ("day", "Europe/Berlin", 1, 1, "2026-03-29 12:00+0", "2026-03-28 23:00+0", "2026-03-29 22:00+0", 23),
    ("day", "America/New_York", 1, 1, "2026-11-01 12:00+0", "2026-11-01 04:00+0", "2026-11-02 05:00+0", 25),
    ("day", "America/Havana", 1, 1, "2026-11-01 04:30+0", "2026-10-31 04:00+0", "2026-11-01 05:00+0", 25),
    ("day", "Africa/Cairo", 1, 1, "2026-04-24 12:00+0", "2026-04-23 22:00+0", "2026-04-24 21:00+0", 23),
    ("week", "UTC", 1, 1, "2026-11-29 23:59+0", "2026-11-23 00:00+0", "2026-11-30 00:00+0", 168),
    ("week", "UTC", 7, 1, "2026-11-29 00:00+0", "2026-11-29 00:00+0", "2026-12-06 00:00+0", 168),
    ("quarter", "UTC", 1, 2, "2026-01-31 00:00+0", "2025-11-01 00:00+0", "2026-02-01 00:00+0", 92 * 24),
    ("year", "UTC", 1, 4, "2026-03-31 23:00+0", "2025-04-01 00:00+0", "2026-04-01 00:00+0", 365 * 24),
]


def of_acme(session: Session) -> dict[str, int]:
    """An organisation, a feature and a provider."""
    provider = {"name": "local", "display_name": "L", "kind": "openai", "available_models": ["m"], "default_model": "m"}
    return {
        "organization_id": id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"})),
        "feature_id": id_of(features.create(session, COMMAND_LINE, {"name": "summarise", "display_name": "S"})),
        "provider_id": id_of(providers.create(session, COMMAND_LINE, provider)),
    }


@pytest.mark.parametrize(("period", "zone", "week", "month", "moment", "begins", "ends", "hours"), PERIODS)
def test_periods_are_the_calendar_of_the_zone(
    session: Session, period: str, zone: str, week: int, month: int, moment: str, begins: str, ends: str, hours: int
) -> None:
    """Days of 23 and of 25 hours, weeks and years that begin where somebody says."""
    budgets.create(
        session, COMMAND_LINE, MONTH | {"period": period, "time_zone": zone, "week_starts": week, "first_month": month}
    )
    found = session.execute(
        text(
            "SELECT starts = CAST(:begins AS timestamptz), ends = CAST(:ends AS timestamptz), extract(epoch FROM ends - starts) / 3600,"
            " starts, ends FROM org_llm_budgets b, llm_budget_bounds(b, CAST(:moment AS timestamptz))"
        ),
        {"begins": begins, "ends": ends, "moment": moment},
    ).one()
    assert tuple(found)[:3] == (True, True, hours), found


def test_total_never_ends(session: Session) -> None:
    """Prepaid: no end, and nothing begins anew."""
    found = budgets.create(session, COMMAND_LINE, MONTH | {"period": "total"})
    assert found.period.ends_at is None
    assert budgets.times_of(session, found.row, found.period)[1] is None


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"amount": "-1"}, "amount"),
        ({"amount": "1.00000000001"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": "1e12"}, "amount"),
        ({"name": " "}, "name"),
        ({"period": "fortnight"}, "period"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"time_zone": "'; DROP TABLE users"}, "time_zone"),
        ({"week_starts": 0}, "week_starts"),
        ({"first_month": 13}, "first_month"),
        ({"mode": "firm"}, "mode"),
        ({"organization_id": 0}, "organization_id"),
        ({"threshold": 80}, "threshold"),
    ],
)
def test_what_makes_no_sense_is_refused(session: Session, patch: dict[str, Any], field: str) -> None:
    """By the field at fault, and what is typed else stays."""
    with pytest.raises(Invalid) as refused:
        budgets.create(session, COMMAND_LINE, MONTH | patch)
    assert list(refused.value.fields) == [field]


def test_who_may(session: Session, admin: Actor, analyst: Actor) -> None:
    """Analysts look, admins change."""
    number = id_of(budgets.create(session, admin, MONTH).row)
    assert [found.row.name for found in budgets.list_all(session, analyst)] == [MONTH["name"]]
    for refused in (
        lambda: budgets.create(session, analyst, MONTH | {"name": "b"}),
        lambda: budgets.update(session, analyst, number, {"amount": 5}),
        lambda: budgets.delete(session, analyst, number),
        lambda: budgets.top_up(session, analyst, number, "5", "more"),
        lambda: budgets.correct(session, analyst, number, "5", "more"),
    ):
        with pytest.raises(Forbidden):
            refused()


def test_one_of_a_scope_and_period(session: Session, admin: Actor) -> None:
    """Another period of the same scope, or one that is off, is another budget; what is not there is named."""
    of = of_acme(session)
    number = id_of(budgets.create(session, admin, MONTH | of).row)
    budgets.create(session, admin, MONTH | of | {"name": "daily", "period": "day"})
    budgets.create(session, admin, MONTH | of | {"name": "off", "is_active": False})
    for data in (MONTH | of | {"name": "again"}, MONTH):
        with pytest.raises(AlreadyExists), session.begin_nested():
            budgets.create(session, admin, data)
    with pytest.raises(NotFound, match="provider"):
        budgets.create(session, admin, MONTH | {"name": "b", "provider_id": 10**6})
    template = id_of(organizations.create_one(session, admin, {"slug": "plan", "name": "P", "kind": "template"}))
    with pytest.raises(Invalid, match="template"):
        budgets.create(session, admin, MONTH | {"name": "b", "organization_id": template})
    with pytest.raises(Invalid, match="stays as it is"):
        budgets.update(session, admin, number, {"period": "day", "amount": 5})
    with pytest.raises(Conflict):
        budgets.update(session, admin, number, {"amount": 5}, version=7)
    assert budgets.get(session, admin, number).scope == "acme · summarise · local"


def test_amounts_top_ups_and_corrections(session: Session, admin: Actor) -> None:
    """An amount acts at once; what is added by hand has a reason, and stands in the ledger."""
    number = id_of(budgets.create(session, admin, MONTH).row)
    budgets.update(session, admin, number, {"amount": 150, "time_zone": "Asia/Tokyo"})
    budgets.top_up(session, admin, number, "25.5", "a longer campaign")
    budgets.correct(session, admin, number, 40, "the vendor's bill")
    found = budgets.correct(session, admin, number, "-0.25", "a credit")
    assert (found.allowed, found.period.spent, found.left) == (D("175.5"), D("39.75"), D("135.75"))
    assert [(row.kind, row.amount, row.by, row.reason) for row in budgets.ledger(session, admin, number)] == [
        ("correction", D("-0.25"), "ada", "a credit"),
        ("correction", 40, "ada", "the vendor's bill"),
        ("top_up", D("25.5"), "ada", "a longer campaign"),
    ]
    for amount, reason, field in (("0", "r", "amount"), ("-1", "r", "amount"), ("1", "", "reason")):
        with pytest.raises(Invalid) as refused:
            budgets.top_up(session, admin, number, amount, reason)
        assert list(refused.value.fields) == [field]
    assert len(budgets.periods(session, admin, number)) == 1  # Tokyo's month begins with the next one


def test_a_soft_budget_refuses_nothing_by_itself(session: Session) -> None:
    """Unless somebody says so."""
    row = budgets.create(session, COMMAND_LINE, MONTH | {"mode": "soft"}).row
    assert (row.unpriced, row.when_away) == ("count", "open")


def test_services_know_what_a_call_counts_against(committed: str) -> None:
    """By organisation, feature and provider, an inactive feature's too; what changes is there within two seconds."""
    with db.transaction() as session:
        of = of_acme(session)
        features.create(session, COMMAND_LINE, {"name": "asleep", "display_name": "A", "is_active": False})
        made = {
            "all": {},
            "acme": {"organization_id": of["organization_id"]},
            "both": of,
            "local": {"provider_id": of["provider_id"]},
        }
        for name, scope in made.items():
            budgets.create(session, COMMAND_LINE, MONTH | {"name": name} | scope)
        asleep = session.scalar(text("SELECT id FROM llm_features WHERE name = 'asleep'"))
        budgets.create(session, COMMAND_LINE, MONTH | {"name": "asleep", "feature_id": asleep})
        budgets.create(session, COMMAND_LINE, MONTH | {"name": "off", "period": "day", "is_active": False})
    resolver = Resolver(committed)

    def known(*asked: str | None) -> list[str]:
        return [budget.name for budget in resolver.resolve(*asked).budgets]

    resolver.start().wait(10)
    assert known("local") == ["all", "local"]
    assert known("openai", None, None) == ([] if resolver.resolve("openai").status == "unknown_provider" else ["all"])
    assert known("local", "acme") == ["all", "acme", "local"]
    assert known("local", "acme", "summarise") == ["all", "acme", "both", "local"]
    assert known("local", None, "asleep") == ["all", "local", "asleep"]
    before = resolver.generation
    with db.transaction() as session:
        budgets.delete(session, COMMAND_LINE, id_of(budgets.get_by_name(session, COMMAND_LINE, "all").row))
    assert resolver.wait_for(before + 1, 5)
    assert known("local", "acme") == ["acme", "local"]
    resolver.close()


def test_a_role_for_services_tells_and_sees_no_sum(committed: str) -> None:
    """With the right to log it may say what it spent; it reads no period, lease or ledger, and adjusts nothing."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS budget_service")
        connection.execute("CREATE ROLE budget_service")
    try:
        for log in (False, True):
            with db.transaction() as session:
                session.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
                grants.grant_reader(session, "budget_service", log=log)
            with psycopg.connect(committed, autocommit=True) as connection:
                may = {
                    "sync": "has_function_privilege('budget_service', 'llm_sync_leases(uuid, bigint, text, double precision, jsonb)', 'EXECUTE')",
                    "adjust": "has_function_privilege('budget_service', 'llm_adjust_budget(integer, text, numeric, text, text)', 'EXECUTE')",
                    "sum": "has_any_column_privilege('budget_service', 'llm_budget_periods', 'SELECT')",
                    "names": "has_column_privilege('budget_service', 'org_llm_budgets', 'name', 'SELECT')",
                    "amounts": "has_column_privilege('budget_service', 'org_llm_budgets', 'amount', 'SELECT')",
                }
                found = connection.execute(f"SELECT {', '.join(may.values())}").fetchone()  # type: ignore[arg-type]  # of ours
                assert dict(zip(may, found or (), strict=True)) == {
                    "sync": log,
                    "adjust": False,
                    "sum": False,
                    "names": True,
                    "amounts": False,
                }
    finally:
        with psycopg.connect(committed, autocommit=True) as connection:
            connection.execute("DROP OWNED BY budget_service; DROP ROLE budget_service")


def test_errors_of_what_is_not_there(session: Session) -> None:
    """Each names it."""
    for refused in (
        lambda: budgets.get(session, COMMAND_LINE, 5),
        lambda: budgets.get_by_name(session, COMMAND_LINE, "x"),
        lambda: budgets.delete(session, COMMAND_LINE, 2**40),
        lambda: budgets.top_up(session, COMMAND_LINE, 5, "1", "r"),
    ):
        with pytest.raises(CoreError, match="no budget"):
            refused()


def test_a_list_reads_as_much_at_any_number(session: Session) -> None:
    """Each budget with its names and its period, whether one is there, is over or is to be made, by the same few queries."""
    slugs = [f"acme-{number}" for number in range(6)]
    owners = [id_of(organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug})) for slug in slugs]
    made = [
        id_of(budgets.create(session, COMMAND_LINE, MONTH | {"name": slug, "organization_id": owner}).row)
        for slug, owner in [*zip(slugs, owners, strict=True), ("one", None)]
    ]
    for number in made[:4]:
        session.execute(text("SELECT llm_open_budget_period(:number)"), {"number": number})
    session.execute(text("UPDATE llm_budget_periods SET spent = budget_id"))
    session.execute(
        text(
            "UPDATE llm_budget_periods SET starts_at = now() - interval '2 years', ends_at = now() - interval '1 year'"
            " WHERE budget_id = :number"
        ),
        {"number": made[3]},
    )
    session.expire_all()
    with statements() as run:
        found = budgets.list_all(session, COMMAND_LINE)
    assert len(run) <= 6, run
    assert [each.scope for each in found] == [*slugs, "everything"]
    assert [each.period.spent for each in found] == [*made[:3], 0, 0, 0, 0]
    for each in found:
        alone = budgets.get(session, COMMAND_LINE, id_of(each.row))
        assert (alone.scope, alone.period.starts_at, alone.left) == (each.scope, each.period.starts_at, each.left)
