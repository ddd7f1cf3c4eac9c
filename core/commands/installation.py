"""What an admin decides for the whole store."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..manage import installation
from ..store import db
from .opening import store

app = typer.Typer(no_args_is_help=True, help="What is decided for the whole store.")


@app.command("show")
def show() -> None:
    """Say what is decided."""
    with store(), db.transaction() as session:
        row = installation.get(session, COMMAND_LINE)
        typer.echo(f"organizations: {row.organizations}")


@app.command("set")
def set_options(
    organizations: Annotated[
        str,
        typer.Option(
            help="closed: an organisation that nobody registered has no key; open: it is served as without one."
        ),
    ],
) -> None:
    """Change it; services go by it within milliseconds."""
    with store(), db.transaction() as session:
        row = installation.update(session, COMMAND_LINE, {"organizations": organizations})
        typer.echo(f"organizations: {row.organizations}")
