"""Who is told of changes: webhooks, channels of Slack, people by e-mail."""

from typing import Annotated, Any

import typer

from ..actors import COMMAND_LINE
from ..errors import Invalid, NotFound
from ..govern import outbox_sending
from ..manage import notifications
from ..manage.notifications import ListedWebhook
from ..store import db
from ..store.table import id_of
from .opening import store, writes, writing
from .typed import FromEnv, secret

app = typer.Typer(no_args_is_help=True, help="Who is told of changes: webhooks, Slack, e-mail.")


@app.command("add")
@writes
def add(
    name: str,
    to: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL", help="https://… of the receiver; with --kind email the addresses of people"),
    ] = None,
    *,
    kind: Annotated[str, typer.Option(help="webhook, slack or email.")] = notifications.WEBHOOK,
    from_env: FromEnv = None,
) -> None:
    """Add a webhook and print its secret, once: receivers check by it who sent a message. Slack's URL is read from standard input."""
    given: dict[str, Any] = {"name": name, "kind": kind}
    if kind == notifications.EMAIL:
        given["recipients"] = to or []
    elif kind == notifications.SLACK:
        if to:
            raise Invalid(
                {"URL": "is a secret of Slack's: write it to standard input, or name a variable by --from-env"}
            )
        given["url"] = secret("URL of the incoming webhook", from_env)
    elif len(to or []) > 1:
        raise Invalid({"URL": "must be one: of a webhook"})
    else:
        given["url"] = (to or [""])[0]
    with store(), writing() as session:
        _, made = notifications.create(session, COMMAND_LINE, given)
    if made:
        typer.echo(made)
        typer.echo("Keep it now: it is not shown again.", err=True)
    else:
        typer.echo(f"Added {name}.")


@app.command("list")
def list_webhooks() -> None:
    """List them by name: whether they are on, and how the last message went."""
    with store(), db.transaction() as session:
        for found in notifications.list_all(session, COMMAND_LINE):
            where = found.row.url or ", ".join(found.row.recipients or [])
            typer.echo(f"{found.row.name:<30} {found.row.kind:<8} {_state(found)}  {where}")


@app.command("test")
def test(name: str) -> None:
    """Send a message of the type webhook.test now; exit code 1 if the receiver does not take it."""
    with store():
        with db.transaction() as session:
            row = notifications.by_name(session, COMMAND_LINE, name)
            number = notifications.begin_test(session, COMMAND_LINE, id_of(row))
        sent = outbox_sending.send_test(number)
    if sent is None:
        raise NotFound(notifications.THING, name)
    if not sent.ok:
        raise Invalid({name: sent.error})
    typer.echo(f"Taken: the receiver answered {sent.status}.{f' {sent.error}.' if sent.error else ''}")


@app.command("remove")
@writes
def remove(name: str) -> None:
    """Delete one, and what was sent to it."""
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
