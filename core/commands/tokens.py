"""How programs sign in to the REST API."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ..access import tokens
from ..actors import COMMAND_LINE
from ..manage import organizations
from ..store import db
from ..store.table import id_of
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="How programs sign in to the REST API.")


@app.command("create")
@writes
def create(
    name: str,
    role: Annotated[str, typer.Option(help="admin, analyst (reads effective settings) or metrics")] = "analyst",
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days until it expires; 0: never.")] = 90,
    organization: Annotated[
        str, typer.Option(help="The one organisation that it may see; role is what it is there.")
    ] = "",
) -> None:
    """Make an API token and print it, once: nothing but its hash is stored."""
    with store(), writing() as session:
        entry: dict[str, Any] = {"name": name, "role": role, "expires_in_days": days or None}
        if organization:
            entry["organization_id"] = organizations.get_by_name(session, COMMAND_LINE, organization).id
        _, token = tokens.create(session, COMMAND_LINE, entry)
    typer.echo(token)
    typer.echo("Keep it now: it is not shown again.", err=True)


@app.command("revoke")
@writes
def revoke(name: str) -> None:
    """End a token: programs that use it are refused within a second."""
    with store(), writing() as session:
        tokens.revoke(session, COMMAND_LINE, id_of(tokens.get_by_name(session, name)))
    typer.echo(f"The token {name} is revoked.")


@app.command("list")
def list_tokens() -> None:
    """List the tokens, those that hold first."""
    with store(), db.transaction() as session:
        for row in tokens.list_all(session):
            ends = f"revoked by {row.revoked_by}" if row.revoked_at else "does not expire"
            if row.expires_at and not row.revoked_at:
                word = "expired" if row.expires_at <= datetime.now(UTC) else "expires"
                ends = f"{word} {row.expires_at:%Y-%m-%d}"
            used = f"last used {row.last_used_at:%Y-%m-%d %H:%M} UTC" if row.last_used_at else "never used"
            typer.echo(f"{row.name:<30} {row.hint}…  {row.role:<8} {ends}, {used}")
