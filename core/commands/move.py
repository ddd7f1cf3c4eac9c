"""The whole store, moved to another server."""

import getpass
import sys
import time
from typing import Annotated

import typer

from .. import crypto
from ..actors import COMMAND_LINE
from ..config import get_config
from ..environment import database_url
from ..errors import BadConfig, StoreUnavailable
from ..manage import move as moving
from ..postgres import embedded
from ..store import contents, db
from ..wording import counted
from .opening import database_of, here, store


def move(
    to: Annotated[
        str, typer.Option(help="URL of an empty database, as its owner; - asks for it, or reads standard input.")
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Copy the whole store into another PostgreSQL, compare, and say what to set next. The store here stays as it is."""
    url = _url(to)
    config = get_config()
    if config.embedded and not embedded.exists(config.data_dir):
        raise StoreUnavailable(f"There is no store in {config.data_dir} to move. Set LLM_DATA_DIR to where it is.")
    with store():
        source = db.get_engine()
        source.dispose()  # of all connections to the store the move's own are the only ones that may write
        try:
            target = db.make_engine(url)
        except BadConfig as error:
            raise BadConfig(str(error).replace("DATABASE_URL", "--to")) from None
        try:
            plan = moving.plan(source, target)
            there = database_of(target)
            typer.echo(f"From {here()} to {there}:")
            source.dispose()
            for table in plan.tables:
                typer.echo(f"  {table.table:<22}{table.rows:>12,} {'row' if table.rows == 1 else 'rows'}")
            typer.echo(f"It takes about {_about(plan.seconds)}; until then nobody can write here, and services go on.")
            if plan.replaces:
                typer.echo("The tables that `migrate` made there are made anew: nobody has stored anything in them.")
            if not yes:
                typer.confirm("Move it?", abort=True)
            begun = time.monotonic()
            moved = moving.move(source, target, COMMAND_LINE, crypto.get_ring(), _say)
        finally:
            target.dispose()
        _say_outcome(moved, time.monotonic() - begun)


def _url(to: str) -> str:
    if to == "-":
        to = getpass.getpass("URL: ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        url = database_url(to)
    except BadConfig as error:
        raise BadConfig(str(error).replace("DATABASE_URL", "--to")) from None
    return url.reveal() if url else ""


def _about(seconds: int) -> str:
    return counted(seconds, "second") if seconds < 100 else counted(round(seconds / 60), "minute")  # noqa: PLR2004 - reads well


def _say(table: contents.Held) -> None:
    if table.rows:
        typer.echo(f"  {table.table:<22}{table.rows:>12,} copied")


def _say_outcome(moved: moving.Moved, seconds: float) -> None:
    config = get_config()
    typer.echo(
        f"Moved {counted(moved.rows, 'row')} in {seconds:.1f} seconds. The same there as here: the rows of every table, "
        f"generation {moved.generation}, the audit up to {moved.head}, and {counted(moved.api_keys, 'API key')}"
        f"{f', {moved.unreadable} of them unreadable' if moved.unreadable else ', each of which opens'}."
    )
    if moved.chain:
        typer.echo(f"The audit's chain was broken before, and is so there: {moved.chain}")
    if moved.canary.message:
        typer.echo(moved.canary.message)
    steps = ["DATABASE_URL, for the app and every service: the database that you moved to."]
    if config.embedded and config.encryption_key is None:
        steps.append(
            f"LLM_ENCRYPTION_KEY, for the app and every service: what stands in {config.key_file}"
            f" (its id is {crypto.get_ring().primary_id})."
        )
    steps.append("Rights, as the owner: `python -m core grant-app ROLE`, `grant-reader ROLE`, `grant-backup ROLE`.")
    steps.append("Start the app, and look: `python -m core keys check` and `audit verify`.")
    typer.echo("Next:")
    for number, step in enumerate(steps, start=1):
        typer.echo(f"  {number}. {step}")
    left = f"{config.data_dir}" if config.embedded else "the old database"
    typer.echo(f"What is here was not changed: keep {left} until all is well, and let nothing write to it.")
