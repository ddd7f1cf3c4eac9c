"""Budgets: what may be spent in a period, and what is."""

from decimal import Decimal
from typing import Annotated, Any

import typer

from ..actors import COMMAND_LINE
from ..manage import budgets, features, organizations, providers
from ..manage.budgets import BudgetNow
from ..store import db
from ..store.budget_tables import LlmBudget
from ..store.table import id_of
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Budgets: what may be spent in a period, and what is.")
_Name = Annotated[str, typer.Argument(help="Name of the budget.")]
_Amount = Annotated[str, typer.Argument(help="US dollars, as 250 or 0.50.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why, in a line: for the ledger and the audit.")]


@app.command("list")
def list_budgets() -> None:
    """List the budgets with what is spent in the period that is now."""
    with store(), db.transaction() as session:
        for found in budgets.list_all(session, COMMAND_LINE):
            typer.echo(_line(found))


@app.command("show")
def show(name: _Name) -> None:
    """Show a budget: what of it is spent, lent to processes and left, and what was added by hand or presumed."""
    with store(), db.transaction() as session:
        found = budgets.get_by_name(session, COMMAND_LINE, name)
        row, period = found.row, found.period
        begins, ends = budgets.times_of(session, row, period)
        typer.echo(_line(found))
        typer.echo(f"  for       {found.scope}")
        typer.echo(f"  period    {begins} to {ends or 'no end'}, {row.time_zone}")
        typer.echo(
            f"  spent     {_money(period.spent)} of {_money(found.allowed)}, of it {_money(period.estimated)} estimated"
        )
        typer.echo(f"  carried   {_money(period.carried)}{_rule(row)}")
        typer.echo(f"  topped up {_money(period.topped_up)}")
        typer.echo(f"  lent      {_money(period.leased)}")
        typer.echo(f"  left      {_money(found.left)}")
        if period.unpriced:
            typer.echo(f"  at least: {period.unpriced} calls have no known price")
        for entry in budgets.ledger(session, COMMAND_LINE, id_of(row)):
            kind = entry.kind.replace("_", " ")
            typer.echo(
                f"  {entry.at:%Y-%m-%d %H:%M %Z} {kind} {_money(entry.amount)} by {entry.by}: {entry.reason or ''}"
            )


@app.command("create")
@writes
def create(
    name: _Name,
    amount: _Amount,
    period: Annotated[str, typer.Argument(help="day, week, month, quarter, year or total.")],
    *,
    organization: Annotated[str, typer.Option(help="Of this organisation.")] = "",
    feature: Annotated[str, typer.Option(help="Of this feature.")] = "",
    provider: Annotated[str, typer.Option(help="Of this provider.")] = "",
    time_zone: Annotated[str, typer.Option(help="Whose calendar counts, as Europe/Berlin.")] = "UTC",
    soft: Annotated[bool, typer.Option("--soft", help="Only count, and refuse nothing.")] = False,
    unpriced: Annotated[str, typer.Option(help="Calls whose price nobody knows: refuse or count.")] = "",
    when_away: Annotated[str, typer.Option(help="While the database is away: closed or open.")] = "",
    alert_at: Annotated[str, typer.Option(help="Percentages with commas: an alert each. Default: 50,80,100.")] = "",
    carry: Annotated[str, typer.Option(help="To the next period: none, unused or both.")] = "none",
    carry_cap: Annotated[str, typer.Option(help="The most that is carried, in US dollars. Default: the amount.")] = "",
) -> None:
    """Make a budget. Hard ones refuse a call that does not fit, before anything is sent."""
    data: dict[str, Any] = {"name": name, "amount": amount, "period": period, "time_zone": time_zone}
    data |= {"mode": "soft" if soft else "hard"}
    data |= {key: value for key, value in (("unpriced", unpriced), ("when_away", when_away)) if value}
    data |= {"carry": carry, "carry_cap": carry_cap or None}
    if alert_at:
        data["thresholds"] = [int(word) if word.isdecimal() else word for word in alert_at.replace(" ", "").split(",")]
    with store(), writing() as session:
        data["organization_id"] = (
            id_of(organizations.get_by_name(session, COMMAND_LINE, organization)) if organization else None
        )
        data["feature_id"] = id_of(features.get_by_name(session, feature)) if feature else None
        data["provider_id"] = id_of(providers.get_by_name(session, provider)) if provider else None
        typer.echo(f"Made {_line(budgets.create(session, COMMAND_LINE, data))}")


@app.command("remove")
@writes
def remove(name: _Name) -> None:
    """Delete a budget, and what was counted in it."""
    with store(), writing() as session:
        found = budgets.get_by_name(session, COMMAND_LINE, name)
        typer.echo(f"Deleted {budgets.delete(session, COMMAND_LINE, id_of(found.row))}.")


@app.command("top-up")
@writes
def top_up(name: _Name, amount: _Amount, reason: _Reason = "") -> None:
    """Let more be spent in the period that is now."""
    with store(), writing() as session:
        row = budgets.get_by_name(session, COMMAND_LINE, name).row
        typer.echo(_line(budgets.top_up(session, COMMAND_LINE, id_of(row), amount, reason)))


@app.command("correct")
@writes
def correct(
    name: _Name,
    amount: Annotated[str, typer.Option("--amount", help="US dollars; below 0 takes away from what is spent.")],
    reason: _Reason = "",
) -> None:
    """Add to what counts as spent in the period that is now, or take from it."""
    with store(), writing() as session:
        row = budgets.get_by_name(session, COMMAND_LINE, name).row
        typer.echo(_line(budgets.correct(session, COMMAND_LINE, id_of(row), amount, reason)))


def _line(found: BudgetNow) -> str:
    row = found.row
    off = "" if row.is_active else ", switched off"
    spent = f"{_money(found.period.spent)} of {_money(found.allowed)} spent"
    return f"{row.name}: {spent}, by the {row.period}, {row.mode}, {found.scope}{off}".replace("by the total", "in all")


def _rule(row: LlmBudget) -> str:
    if row.carry == "none":
        return ""
    most = row.amount if row.carry_cap is None else row.carry_cap
    return f" ({'what was left or overspent' if row.carry == 'both' else 'what was left'}, at most {_money(most)})"


def _money(amount: Decimal) -> str:
    shown = amount.quantize(Decimal("0.01")) if amount == amount.quantize(Decimal("0.01")) else amount.normalize()
    return f"{'-' if shown < 0 else ''}${abs(shown):,f}"
