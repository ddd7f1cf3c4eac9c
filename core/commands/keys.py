"""The encryption keys, and the API keys they seal."""

import time
from collections import Counter
from typing import Annotated

import typer
from sqlmodel import Session

from .. import crypto
from ..actors import COMMAND_LINE
from ..manage import keys, providers, services
from ..store import db, sealed
from ..store.table import id_of
from ..wording import counted
from .opening import DryRun, retrying, store, writes, writing

app = typer.Typer(no_args_is_help=True, help="The encryption keys, and the API keys they seal.")


def generate_key() -> None:
    """Print a new encryption key, for LLM_ENCRYPTION_KEY."""
    typer.echo(crypto.generate_key())


@app.command("status")
def status() -> None:
    """Say what each encryption key holds, and whether it may go. Opens no stored key."""
    with store(), db.transaction() as session:
        ring = crypto.get_ring()
        _say_status(keys.status(session, ring))
        _say_processes(session, ring.primary_id)


@app.command("rotate")
@writes
def rotate(
    *,
    dry_run: DryRun = False,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="API keys of one transaction.")] = keys.BATCH,
    old_key_lost: Annotated[
        bool, typer.Option("--old-key-lost", help="Go on with LLM_ENCRYPTION_KEY though it opens nothing stored here.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Go on though connected processes lack the new key: they lose every API key."),
    ] = False,
) -> None:
    """Seal all API keys anew with LLM_ENCRYPTION_KEY, while everything runs. Killed, it is run again.

    Exit 1 if a key of LLM_ENCRYPTION_KEYS_EXTRA must stay, or an API key cannot be opened.
    """
    moved, unreadable, reported = 0, set[sealed.Tried](), time.monotonic()
    with store():
        ring = crypto.get_ring()
        if dry_run or force:
            with db.transaction() as session:
                _say_processes(session, ring.primary_id, cost=force)
        work = keys.rotate(
            retrying, COMMAND_LINE, ring, batch=batch, dry_run=dry_run, old_key_lost=old_key_lost, force=force
        )
        for done in work:
            moved += done.moved
            unreadable.update(done.unreadable)
            if time.monotonic() - reported > 1:
                typer.echo(f"{moved} so far")
                reported = time.monotonic()
        typer.echo(f"{counted(moved, 'API key')} {'would move' if dry_run else 'moved'} to {ring.primary_id}.")
        for row in sorted(unreadable):
            typer.echo(f"Left as it is: {row.name} ({row.state}). {row.message}")
        with db.transaction() as session:
            status = keys.status(session, ring)
    if dry_run:
        typer.echo("Dry run: nothing was changed.")
    else:
        _say_status(status)
    stays = any(key.role != "primary" and key.rows + key.unbound for key in status.keys)
    if unreadable or (stays and not dry_run):
        raise typer.Exit(1)


@app.command("check")
def check() -> None:
    """Look at the canary, and open every stored key; exit 1 on a problem."""
    with store(), db.transaction() as session:
        ring = crypto.get_ring()
        canary = keys.check_canary(session, ring)
        rows = sealed.open_all(session, ring)
    typer.echo(canary.message or f"Primary key {ring.primary_id}: known to this database, seals and opens.")
    for (key_id, state), number in sorted(Counter((row.key_id or "none", row.state) for row in rows).items()):
        typer.echo(f"Sealed with {key_id}: {counted(number, 'API key')}, {state}")
    for row in rows:
        if row.state not in {"ok", "unknown_key", "sealed"}:  # those are the key's fault, and counted above
            typer.echo(f"{row.name}: {row.message}")
    if not rows:
        typer.echo("No API key is stored.")
    if canary.state in {"sealed", "wrong_key", "damaged", "behind"} or any(row.state != "ok" for row in rows):
        raise typer.Exit(1)


@app.command("fingerprint")
@writes
def fingerprint() -> None:
    """Write the fingerprints that are missing: of API keys stored before there were any, or by another program."""
    with store():
        written = sum(keys.write_fingerprints(retrying, COMMAND_LINE, crypto.get_ring()))
    typer.echo(f"{counted(written, 'fingerprint')} written.")


@app.command("adopt")
@writes
def adopt(provider: Annotated[str, typer.Argument(help="Name of the provider.")]) -> None:
    """Bind a key that another program wrote to its provider and its present base URL."""
    with store(), writing() as session:
        row = providers.get_by_name(session, provider)
        providers.adopt_api_key(session, COMMAND_LINE, id_of(row))
    typer.echo(f"The key of {provider} is adopted.")


def _say_processes(session: Session, primary: str | None, *, cost: bool = False) -> None:
    """Print the connected processes with version and keys, and which of them lack the primary key."""
    lack = services.lacking(session, primary) if primary else []
    if cost:
        rows = counted(sum(sealed.held(session).values()), "API key")
        for process in lack:
            typer.echo(f"Forced: {process} loses {rows} until it has encryption key {primary} and is restarted.")
        return
    for process in services.processes(session):
        typer.echo(f"Connected: {process}{f'. LACKS {primary}: give it that key first' if process in lack else ''}.")
    if lack:
        typer.echo("`keys rotate` refuses while a connected process lacks the primary key, or does not say its keys.")


def _say_status(status: keys.RingStatus) -> None:
    if status.canary.message:
        typer.echo(status.canary.message)
    for key in status.keys:
        typer.echo(f"{key.key_id}  {key.role:<8} {counted(key.rows, 'API key'):>15}  {key.advice}")
    if status.nobodys:
        typer.echo(
            f"Of no known encryption key: {counted(status.nobodys, 'API key')}; none of the key ring opens them."
        )
