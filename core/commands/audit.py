"""The record of who did what, and its hash chain."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..audit import chain
from ..errors import Invalid
from ..govern import audit_log
from ..store import db
from ..wording import counted
from .opening import DryRun, store, writes, writing

app = typer.Typer(no_args_is_help=True, help="The record of who did what, and its hash chain.")


@app.command("head")
def head() -> None:
    """Print number and hash of the newest event. Kept elsewhere, it shows later that nothing before it was changed."""
    with store(), db.transaction() as session:
        typer.echo(str(chain.head(session)))


@app.command("verify")
def verify(
    head: Annotated[str, typer.Option(help="A head that `audit head` printed earlier.")] = "",
) -> None:
    """Compute the hash chain anew; exit 1 and the first broken place if an event was changed or taken away."""
    given = chain.parse_head(head) if head else None
    with store(), db.transaction() as session:
        found = chain.verify(session, given)
    if found.problem:
        typer.echo(f"BROKEN: {found.problem}")
        typer.echo(f"Before it, from number {found.start.seq + 1} on: {counted(found.checked, 'event')}, as written.")
        raise typer.Exit(1)
    purged = f" Events up to {found.start.seq} were purged." if found.start.seq else ""
    typer.echo(f"The chain holds: {counted(found.checked, 'event')}, all as written.{purged} Head: {found.head}")
    if given is None:
        typer.echo("Checked against the database's own head alone. Give --head one that was kept elsewhere.")


@app.command("purge")
@writes
def purge(
    older_than: Annotated[int, typer.Option(help="Days. Events that are older go.")], *, dry_run: DryRun = False
) -> None:
    """Delete the oldest events and leave a checkpoint; takes the role that owns the tables."""
    with store(), writing() as session:
        purge = audit_log.purge(session, COMMAND_LINE, older_than=older_than, dry_run=dry_run)
    if not purge.events:
        typer.echo("Nothing to do: no event is so old.")
    else:
        word = "Would delete" if dry_run else "Deleted"
        typer.echo(f"{word} {counted(purge.events, 'event')}, up to number {purge.up_to}.")


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="A CSV file to write; - for standard output.")],
    since: Annotated[datetime | None, typer.Option(help="The first moment, UTC.")] = None,
) -> None:
    """Write events as CSV, newest first, one line a changed field. No spreadsheet runs what is in it."""
    filters = audit_log.EventFilters(since=since.replace(tzinfo=UTC) if since else None)
    with store(), db.transaction() as session:
        lines = audit_log.as_csv(audit_log.export(session, COMMAND_LINE, filters))
        if str(file) == "-":
            for line in lines:
                typer.echo(line, nl=False)
            return
        try:
            with file.open("w", encoding="utf-8-sig", newline="") as out:  # spreadsheets know UTF-8 by its mark
                out.writelines(lines)
        except OSError as error:
            raise Invalid({"file": f"cannot be written: {error.strerror}"}) from error
    typer.echo(f"Wrote {file}.")
