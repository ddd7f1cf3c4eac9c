"""Providers: the connection test."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..manage import connection, providers
from ..store import db
from ..wording import counted
from .opening import store


def test(provider: Annotated[str, typer.Argument(help="Name of the provider.")]) -> None:
    """Test a provider's connection, stage by stage, up to one minimal call. Exit 1 unless the call is answered."""
    with store():
        with db.transaction() as session:
            row = providers.get_by_name(session, provider)
            target = connection.prepare(session, COMMAND_LINE, row.id)
        report = connection.run(target)
    for stage in report.stages:
        duration = "" if stage.latency_ms is None else f"{stage.latency_ms} ms"
        typer.echo(
            f"{connection.STAGES[stage.name]:<16} {_STATES[stage.state]:<12} {duration:>9}  {stage.words}".rstrip()
        )
    if report.new:
        typer.echo(f"The vendor lists {counted(len(report.new), 'model')} not here: {', '.join(report.new[:20])}")
    if report.gone:
        typer.echo(f"The vendor no longer lists: {', '.join(report.gone)}")
    typer.echo(f"{provider}: {_STATES[report.state]}")
    if report.state != "verified":
        raise typer.Exit(1)


_STATES = {"verified": "verified", "refused": "REFUSED", "not_checked": "not checked"}
