"""Providers and keys to begin with: the well-known ones, and those of other programs' variables."""

import os
from pathlib import Path
from typing import Annotated

import typer

from .. import env_file
from ..actors import COMMAND_LINE
from ..manage import env_import, env_reading
from ..manage import seed as seeds
from .opening import DryRun, store, writes, writing


@writes
def seed() -> None:
    """Add the well-known providers, inactive until they have a key."""
    with store(), writing() as session:
        _report(seeds.seed(session, COMMAND_LINE))


IMPORT_ENV = f"Move {', '.join(env_reading.KEY_VARIABLES)} into the store; of two for one vendor the first."


@writes
def import_env(
    file: Annotated[Path | None, typer.Argument(help="A .env file; default: the environment of this process.")] = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """Move the keys of other programs' variables into the store."""
    found = env_file.read(file) if file else env_file.EnvFile(dict(os.environ), {}, ())
    with store(), writing(dry=dry_run) as session:
        attempt = session.begin_nested()
        outcomes = env_import.import_env(session, COMMAND_LINE, found.as_written())
        if dry_run:
            attempt.rollback()
    _report(outcomes)
    if found.unread:
        typer.echo(f"Not read, as no NAME=value: {', '.join(f'line {number}' for number in found.unread)}")
    if dry_run:
        typer.echo("Dry run: nothing was changed.")
        return
    stored = [o.name for o in outcomes if o.action != "left alone" or "already" in o.why]
    if stored:
        typer.echo(f"These are in the store now and can go from {file or 'the environment'}: {', '.join(stored)}")


def _report(outcomes: list[seeds.Outcome]) -> None:
    for outcome in outcomes:
        typer.echo(f"{outcome.action:<11} {outcome.name}: {outcome.why}")
