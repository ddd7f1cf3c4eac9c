"""What the commands share: the store, opened and left, and the option of a dry run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from ..config import check_at_start, get_config
from ..manage import bootstrap
from ..postgres import embedded
from ..store import db

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


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
