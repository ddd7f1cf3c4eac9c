"""Alerts: what somebody is to look at."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..govern import alerts
from ..govern.alerts import Alert, AlertFilters
from ..manage import budgets
from ..store import db
from ..store.table import id_of
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Alerts: what somebody is to look at.")
_Number = Annotated[int, typer.Argument(help="Number of the alert, as `alerts list` shows it.")]


@app.command("list")
def list_alerts(
    state: Annotated[str, typer.Option(help="live (not resolved), open, acknowledged, resolved or all.")] = "live",
    kind: Annotated[str, typer.Option(help="Only of this kind, as threshold.")] = "",
    budget: Annotated[str, typer.Option(help="Only of the budget of this name.")] = "",
    most: Annotated[int, typer.Option(help="So many at most.")] = 50,
) -> None:
    """List alerts, the newest first."""
    with store(), db.transaction() as session:
        of = id_of(budgets.get_by_name(session, COMMAND_LINE, budget).row) if budget else None
        filters = AlertFilters(None if state == "all" else state, kind or None, of)
        found = alerts.search_alerts(session, COMMAND_LINE, filters, limit=most)
        for each in found.rows:
            typer.echo(_alert_line(each))
        if found.older is not None:
            typer.echo("There are more: --most shows them.", err=True)


@app.command("acknowledge")
@writes
def acknowledge(number: _Number) -> None:
    """Say that somebody looks after an alert."""
    with store(), writing() as session:
        typer.echo(_alert_line(alerts.acknowledge_alert(session, COMMAND_LINE, number)))


@app.command("resolve")
@writes
def resolve(number: _Number) -> None:
    """Put an alert away; while what it tells of goes on there is no other of it."""
    with store(), writing() as session:
        typer.echo(_alert_line(alerts.resolve_alert(session, COMMAND_LINE, number)))


def _alert_line(found: Alert) -> str:
    row = found.row
    by = row.resolved_by or row.acknowledged_by if row.state != "open" else None
    return f"{row.id} {row.at:%Y-%m-%d %H:%M %Z} {row.state}{f' by {by}' if by else ''}, {row.kind}: {found.text}"
