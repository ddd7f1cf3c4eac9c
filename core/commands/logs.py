"""The log of calls to models."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..govern import log_purge
from ..wording import counted
from .opening import DryRun, retrying, store, writes

app = typer.Typer(no_args_is_help=True, help="The log of calls to models.")


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
