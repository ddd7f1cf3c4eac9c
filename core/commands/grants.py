"""Roles of PostgreSQL, and what they may."""

from typing import Annotated

import typer

from ..store import db, grants
from .opening import store


def grant_app(role: Annotated[str, typer.Argument(help="A role of PostgreSQL that may log in.")]) -> None:
    """Give a role of PostgreSQL what the app needs: it can add to the audit, and neither change nor delete there."""
    with store(), db.transaction() as session:
        statements = grants.grant_app(session, role)
    for statement in statements:
        typer.echo(f"{statement};")


def grant_reader(
    role: Annotated[str, typer.Argument(help="A role of PostgreSQL that may log in.")],
    *,
    log: Annotated[
        bool, typer.Option("--log", help="It may add to the request log too: for services that use core.ai.")
    ] = False,
) -> None:
    """Give a role of PostgreSQL what services need to resolve, sealed keys among it, and nothing else."""
    with store(), db.transaction() as session:
        statements = grants.grant_reader(session, role, log=log)
    for statement in statements:
        typer.echo(f"{statement};")


def grant_backup(role: Annotated[str, typer.Argument(help="A role of PostgreSQL that may log in.")]) -> None:
    """Give a role of PostgreSQL what pg_dump needs: it reads everything, tables of later versions too, and changes nothing."""
    with store(), db.transaction() as session:
        statements = grants.grant_backup(session, role)
    for statement in statements:
        typer.echo(f"{statement};")
