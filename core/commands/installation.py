"""What an admin decides for the whole store."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..manage import installation
from ..store import db
from ..store.organization_tables import Installation
from ..wording import counted
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="What is decided for the whole store.")


@app.command("show")
def show() -> None:
    """Say what is decided."""
    with store(), db.transaction() as session:
        _say(installation.get(session, COMMAND_LINE))


@app.command("set")
@writes
def set_options(
    organizations: Annotated[
        str | None,
        typer.Option(
            help="closed: an organisation that nobody registered has no key; open: it is served as without one."
        ),
    ] = None,
    *,
    require_reason: Annotated[
        bool | None, typer.Option(help="Whether each change needs a reason, or may do without.")
    ] = None,
    keep_history_days: Annotated[
        int | None, typer.Option(help="Days that the history of settings is kept; 0: for ever.", min=0)
    ] = None,
    keep_calls_days: Annotated[
        int | None, typer.Option(help="Days that calls stay in the request log; 0: for ever.", min=0)
    ] = None,
    keep_audit_days: Annotated[
        int | None, typer.Option(help="Days that events stay in the audit, 30 at least; 0: for ever.", min=0)
    ] = None,
) -> None:
    """Change what is named; services go by it within milliseconds."""
    named = {"organizations": organizations, "require_reason": require_reason}
    patch: dict[str, object] = {name: value for name, value in named.items() if value is not None}
    days = {
        "keep_history_days": keep_history_days,
        "keep_calls_days": keep_calls_days,
        "keep_audit_days": keep_audit_days,
    }
    patch |= {name: value or None for name, value in days.items() if value is not None}
    with store(), writing() as session:
        _say(installation.update(session, COMMAND_LINE, patch))


def _say(row: Installation) -> None:
    typer.echo(f"organizations: {row.organizations}")
    typer.echo(f"require reason: {'yes' if row.require_reason else 'no'}")
    kept = {"history is": row.keep_history_days, "calls are": row.keep_calls_days, "the audit is": row.keep_audit_days}
    for what, days in kept.items():
        if days is not None:
            typer.echo(f"{what} kept: {counted(days, 'day')}")
