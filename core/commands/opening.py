"""What the commands share: the store, opened and left, the option of a dry run, and the reason of those that write."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Annotated, Any, Final, TypeVar

import typer
from sqlalchemy import Engine
from sqlmodel import Session

from ..audit.reasons import MAX_COMMENT
from ..audit.record import explained, tried
from ..config import check_at_start, get_config
from ..manage import bootstrap
from ..postgres import embedded
from ..store import db

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Comment = Annotated[
    str,
    typer.Option(
        "--comment", "-m", metavar="TEXT", help=f"Why, in one line of up to {MAX_COMMENT} characters: for the audit."
    ),
]
_comment: Final = ContextVar("comment", default="")
T = TypeVar("T")


def writes(command: Callable[..., T]) -> Callable[..., T]:
    """Give *command* the option ``--comment``: what it writes in :func:`writing` or :func:`retrying` has it on record."""

    @functools.wraps(command)
    def with_comment(*arguments: Any, comment: str = "", **options: Any) -> T:
        before = _comment.set(comment)
        try:
            return command(*arguments, **options)
        finally:
            _comment.reset(before)

    option = inspect.Parameter("comment", inspect.Parameter.KEYWORD_ONLY, default="", annotation=Comment)
    signature = inspect.signature(command)
    with_comment.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]  # what typer reads
    with_comment.__annotations__ = {**command.__annotations__, "comment": Comment}
    return with_comment


@contextmanager
def writing(*, dry: bool = False) -> Iterator[Session]:
    """A transaction of a command that writes: with the reason that it was given. A *dry* run needs none."""
    with db.transaction() as session, explained(session, _comment.get()), tried(session) if dry else nullcontext():
        yield session


def retrying(work: Callable[[Session], T]) -> T:
    """As :func:`core.store.db.retrying`, with the reason that the command was given."""

    def with_reason(session: Session) -> T:
        with explained(session, _comment.get()):
            return work(session)

    return db.retrying(with_reason)


@contextmanager
def store() -> Iterator[None]:
    """The store, ready; an embedded one is stopped again unless somebody else uses it."""
    try:
        check_at_start(get_config())
        bootstrap.ensure_ready(typer.echo)
        yield
    finally:
        leave()


def leave() -> None:
    """Stop an embedded server that this process has started, unless somebody else uses it."""
    config = get_config()
    if config.embedded:
        db.close_engine()
        embedded.stop(config.data_dir)


def database_of(engine: Engine) -> str:
    """Return in words which database it is: the server's own host, port and name, and no user or password."""
    with db.store_errors(), engine.connect() as connection:
        found: Any = connection.connection.driver_connection
        host = f"the socket in {found.info.host}" if found.info.host.startswith("/") else found.info.host
        return f"the database {found.info.dbname} at {host}, port {found.info.port}"


def here() -> str:
    """Return in words which store this process works on."""
    if get_config().embedded:
        return f"the embedded store in {get_config().data_dir}"
    return database_of(db.get_engine())
