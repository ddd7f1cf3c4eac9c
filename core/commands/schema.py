"""The database's schema: migrated, and compared with the tables."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ..actors import COMMAND_LINE
from ..audit.record import Target, record
from ..config import get_config
from ..errors import SchemaMismatch
from ..postgres import embedded
from ..store import db, drift
from ..store import migrate as migrations
from .opening import leave


def migrate(
    to: Annotated[str, typer.Option(help="Revision to migrate up to.")] = "head",
    down: Annotated[str, typer.Option(help="Revision to migrate DOWN to; 'base' removes everything stored.")] = "",
) -> None:
    """Bring the database's schema to this version's. Two at once are safe."""
    try:
        engine = db.get_engine()
        changed = migrations.downgrade(engine, down) if down else migrations.upgrade(engine, to)
        if changed and not down and to == "head":
            with db.transaction() as session:
                record(session, COMMAND_LINE, "schema.migrate", Target("schema", None, migrations.head()))
        name = _database(engine)
        typer.echo(f"Migrated: {name}." if changed else f"Nothing to do: the schema is as asked, in {name}.")
    finally:
        leave()


def _database(engine: Engine) -> str:
    """Return in words which database it was: the server's own host, port and name, and no user or password."""
    if get_config().embedded:
        return f"the embedded store in {get_config().data_dir}"
    with engine.connect() as connection:
        found: Any = connection.connection.driver_connection
        host = f"the socket in {found.info.host}" if found.info.host.startswith("/") else found.info.host
        return f"the database {found.info.dbname} at {host}, port {found.info.port}"


def check_migrations() -> None:
    """Compare tables and migrations on a temporary server, which is stopped again; exit 1 if they differ or fail."""
    with TemporaryDirectory(prefix="llm-") as folder:
        path = Path(folder)
        try:
            engine = db.make_engine(embedded.start(path))
            migrations.upgrade(engine)
            found = migrations.differences(engine)
            migrations.downgrade(engine, "base")
            engine.dispose()
        except (SQLAlchemyError, CommandError) as error:  # of a migration that is being written
            raise SchemaMismatch(f"A migration fails: {drift.reason(error)}.") from error
        finally:
            embedded.stop(path)
    for difference in found:
        typer.echo(f"No migration for: {difference}")
    if found:
        raise typer.Exit(1)
    typer.echo("Tables and migrations agree.")
