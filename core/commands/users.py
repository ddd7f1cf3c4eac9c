"""People who sign in."""

import getpass
import sys
from typing import Annotated

import typer
from sqlmodel import Session

from ..access import review, sessions, users
from ..actors import COMMAND_LINE
from ..config import get_config
from ..errors import BadConfig, NotFound
from ..manage import second_factors
from ..store import db
from ..store.table import id_of
from ..store.tables import User
from ..wording import counted
from . import typed
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="People who sign in.")


@app.command("add")
@writes
def add(
    username: str,
    role: Annotated[
        str, typer.Option(help="admin, analyst, or member: sees only organisations it belongs to")
    ] = "analyst",
) -> None:
    """Add a user; asks for the password, or reads it from standard input."""
    chosen = users.choose(_password())
    with store(), writing() as session:
        user = users.add(session, COMMAND_LINE, username, chosen, role)
    typer.echo(f"Added {user.username} as {user.role}.")


@app.command("passwd")
@writes
def passwd(username: str) -> None:
    """Set a user's password, which ends their sign-ins; asks for it, or reads it from standard input."""
    chosen = users.choose(_password())
    with store(), writing() as session:
        users.set_password(session, COMMAND_LINE, id_of(_user(session, username)), chosen)
    typer.echo(f"Password set; sign-ins of {username} have ended.")


@app.command("disable")
@writes
def disable(username: str, *, enable: Annotated[bool, typer.Option(help="Enable them again.")] = False) -> None:
    """Disable a user, which ends their sign-ins."""
    with store(), writing() as session:
        users.set_active(session, COMMAND_LINE, id_of(_user(session, username)), active=enable)
    typer.echo(f"{username} is {'enabled' if enable else 'disabled'}.")


@app.command("role")
@writes
def role(username: str, role: str) -> None:
    """Give a user another role, which ends their sign-ins."""
    with store(), writing() as session:
        users.set_role(session, COMMAND_LINE, id_of(_user(session, username)), role)
    typer.echo(f"{username} is {role}.")


@app.command("break-glass")
@writes
def break_glass(
    username: str, *, off: Annotated[bool, typer.Option("--off", help="Take the mark away.")] = False
) -> None:
    """Mark a user as the way back, who signs in by password also where LLM_OIDC_ONLY is set."""
    with store(), writing() as session:
        users.set_break_glass(session, COMMAND_LINE, id_of(_user(session, username)), on=not off)
    typer.echo(f"{username} is {'no longer the way back' if off else 'a way back'}.")


@app.command("link")
@writes
def link(username: str, subject: Annotated[str, typer.Argument(help="What the identity provider calls sub.")]) -> None:
    """Have a local user be somebody of the identity provider's (LLM_OIDC_ISSUER), known there by their sub."""
    from ..access import sso_users  # noqa: PLC0415 - of the extra `sso`

    issuer = get_config().oidc_issuer
    if not issuer:
        raise BadConfig("LLM_OIDC_ISSUER is not set: there is no identity provider to link to.")
    with store(), writing() as session:
        sso_users.link(session, COMMAND_LINE, id_of(_user(session, username)), issuer, subject)
    typer.echo(f"{username} is linked.")


@app.command("sign-out")
@writes
def sign_out(username: str) -> None:
    """End every sign-in of a user at once."""
    with store(), writing() as session:
        ended = sessions.end_all(session, COMMAND_LINE, id_of(_user(session, username)))
    typer.echo(f"Ended {counted(ended, 'sign-in')} of {username}.")


@app.command("second-factor-reset")
@writes
def reset_second_factor(username: str) -> None:
    """Take away the second factor of somebody who has lost it, which ends their sign-ins."""
    with store(), writing() as session:
        second_factors.reset(session, COMMAND_LINE, id_of(_user(session, username)))
    typer.echo(f"{username} has no second factor any more; sign-ins have ended.")


@app.command("list")
def list_users() -> None:
    """List the users."""
    with store(), db.transaction() as session:
        for user in users.list_all(session):
            typer.echo(f"{user.username:<30} {user.role:<8} {'active' if user.is_active else 'disabled'}")


@app.command("review")
def review_access() -> None:
    """Write who may come in as CSV: users and API tokens with role, organisations, second factor, last use and end."""
    with store(), db.transaction() as session:
        for line in review.as_csv(review.review(session, COMMAND_LINE)):
            typer.echo(line, nl=False)


def _user(session: Session, username: str) -> User:
    user = users.find(session, username)
    if user is None:
        raise NotFound("user", username)
    return user


def _password() -> str:
    if not sys.stdin.isatty():
        return typed.first_line("The password on standard input")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        sys.exit("The two passwords differ.")
    return password
