"""Features: what programs use models for."""

from typing import Annotated, Any

import typer

from ..actors import COMMAND_LINE
from ..manage import features
from ..store import db
from ..store.table import id_of
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Features: what programs use models for.")


@app.command("add")
@writes
def add(
    name: str,
    display_name: Annotated[str, typer.Option(help="What people call it; else the name.")] = "",
    description: Annotated[str, typer.Option(help="What it is.")] = "",
) -> None:
    """Register a feature."""
    entry: dict[str, Any] = {"name": name, "display_name": display_name or name, "description": description}
    with store(), writing() as session:
        features.create(session, COMMAND_LINE, entry)
    typer.echo(f"Added {name}.")


@app.command("list")
def list_features() -> None:
    """List features by name, and names that calls were logged with and that are none."""
    with store(), db.transaction() as session:
        after = None
        while page := features.search(session, COMMAND_LINE, after=after):
            for row in page:
                typer.echo(f"{row.name:<40} {row.display_name}" + ("" if row.is_active else "  (not active)"))
            after = page[-1].name
        for name in features.unregistered(session, COMMAND_LINE):
            typer.echo(f"{name:<40} in the log, and not registered")


@app.command("delete")
@writes
def delete(name: str) -> None:
    """Delete a feature and the overrides of it."""
    with store(), writing() as session:
        row = features.get_by_name(session, name)
        typer.echo(f"Deleted {', '.join(features.delete(session, COMMAND_LINE, id_of(row)))}.")
