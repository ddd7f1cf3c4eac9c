"""The log of calls to models."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..govern import call_erasure, log_purge
from ..govern.call_erasure import CallsOf
from ..manage import organizations
from ..store import db
from ..store.table import id_of
from ..wording import counted
from .opening import DryRun, retrying, store, writes

app = typer.Typer(no_args_is_help=True, help="The log of calls to models.")
Person = Annotated[str, typer.Option(help="The id of a person, as programs give it with each call.")]
CallsOfOne = Annotated[str, typer.Option("--organization", help="Only the calls of this organisation.")]


@app.command("purge")
@writes
def purge(
    older_than: Annotated[int, typer.Option(help="Days. Calls that are older go.")],
    *,
    with_usage: Annotated[
        bool, typer.Option("--with-usage", help="The Usage page's figures of that time go too.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Delete the oldest rows of the request log, 10,000 a transaction. Interrupted, it is run again."""
    with store():
        gone = log_purge.purge(retrying, COMMAND_LINE, older_than=older_than, with_usage=with_usage, dry_run=dry_run)
    typer.echo(f"{'Would delete' if dry_run else 'Deleted'} {counted(gone, 'logged call')}.")


@app.command("find")
def find(user: Person, organization: CallsOfOne = "") -> None:
    """Say how many calls of a person the log has, and since when."""
    with store():
        typer.echo(_said(_found(user, _id_of(organization))))


@app.command("erase")
@writes
def erase(
    user: Person,
    organization: CallsOfOne = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Erase who it was and what was said from all calls of a person; their numbers stay. Interrupted, it is run again."""
    with store():
        number = _id_of(organization)
        found = _found(user, number)
        typer.echo(_said(found))
        if dry_run or not found.calls:
            return
        if not yes:
            typer.confirm(f"Erase the person from {counted(found.calls, 'logged call')} for good?", abort=True)
        erased = call_erasure.erase_calls_of(retrying, COMMAND_LINE, user, organization_id=number)
    typer.echo(f"Erased the person from {counted(erased, 'logged call')}. Backups still have them: docs/privacy.md.")


def _id_of(organization: str) -> int | None:
    if not organization:
        return None
    with db.transaction() as session:
        return id_of(organizations.get_by_name(session, COMMAND_LINE, organization))


def _found(user: str, organization: int | None) -> CallsOf:
    with db.transaction() as session:
        return call_erasure.find_calls_of(session, COMMAND_LINE, user, organization_id=organization)


def _said(found: CallsOf) -> str:
    if found.first is None or found.last is None:
        return "The request log has no call of this person. An e-mail address is found with the encryption key of its time."
    span = f"{found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M}"
    return f"{counted(found.calls, 'logged call')}, {span} UTC, {found.with_text} with text."
