"""Webhooks: who is told of changes."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..errors import Invalid, NotFound
from ..govern import outbox_sending
from ..manage import notifications
from ..manage.notifications import ListedWebhook
from ..store import db
from ..store.table import id_of
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Webhooks: who is told of changes.")


@app.command("add")
@writes
def add(name: str, url: Annotated[str, typer.Argument(help="https://… of the receiver")]) -> None:
    """Add a webhook and print its secret, once: receivers check by it who sent a message."""
    with store(), writing() as session:
        _, secret = notifications.create(session, COMMAND_LINE, {"name": name, "url": url})
    typer.echo(secret)
    typer.echo("Keep it now: it is not shown again.", err=True)


@app.command("list")
def list_webhooks() -> None:
    """List webhooks by name: whether they are on, and how the last message went."""
    with store(), db.transaction() as session:
        for found in notifications.list_all(session, COMMAND_LINE):
            typer.echo(f"{found.row.name:<30} {_state(found)}  {found.row.url}")


@app.command("test")
def test(name: str) -> None:
    """Send a message of the type webhook.test now; exit code 1 if the receiver does not take it."""
    with store():
        with db.transaction() as session:
            row = notifications.by_name(session, COMMAND_LINE, name)
            number = notifications.begin_test(session, COMMAND_LINE, id_of(row))
        sent = outbox_sending.send_test(number)
    if sent is None:
        raise NotFound("webhook", name)
    if not sent.ok:
        raise Invalid({name: sent.error})
    typer.echo(f"Taken: the receiver answered {sent.status}.")


@app.command("remove")
@writes
def remove(name: str) -> None:
    """Delete a webhook, and what was sent to it."""
    with store(), writing() as session:
        row = notifications.by_name(session, COMMAND_LINE, name)
        notifications.remove(session, COMMAND_LINE, id_of(row))
    typer.echo(f"Deleted {name}.")


def _state(found: ListedWebhook) -> str:
    if not found.row.is_active:
        return f"off ({found.row.off_reason})" if found.row.off_reason else "off"
    waits = f", {found.waiting} waiting" if found.waiting else ""
    if found.last is None:
        return f"on, nothing sent yet{waits}"
    went = f"answered {found.last.last_status}" if found.last.last_status else found.last.last_error or "not answered"
    return f"on, last {found.last.last_at:%Y-%m-%d %H:%M} UTC: {went}{waits}"
