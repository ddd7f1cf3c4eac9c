"""The database's schema: migrated, and compared with the tables."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..audit.record import Target, record
from ..config import get_config
from ..errors import Invalid, SchemaMismatch
from ..postgres import embedded
from ..store import db, drift, going_back, revisions
from ..store import migrate as migrations
from ..wording import counted
from .opening import here, leave


def migrate(
    to: Annotated[str, typer.Option(help="Revision to migrate up to.")] = "head",
    down: Annotated[str, typer.Option(help="Revision to migrate DOWN to; 'base' removes everything stored.")] = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="With --down: do not ask.")] = False,
) -> None:
    """Bring the database's schema to this version's. Two at once are safe. Going down says what goes, and asks."""
    try:
        engine = db.get_engine()
        changed = _down(engine, down, yes=yes) if down else _up(engine, to)
        typer.echo(f"Migrated: {here()}." if changed else f"Nothing to do: the schema is as asked, in {here()}.")
    except CommandError as error:
        raise Invalid({"revision": str(error)}) from error
    finally:
        leave()


def _up(engine: Engine, to: str) -> bool:
    changed = migrations.upgrade(engine, to)
    if changed and to == "head":
        with db.transaction() as session:
            record(session, COMMAND_LINE, "schema.migrate", Target("schema", None, migrations.head()))
    return changed


def _down(engine: Engine, down: str, *, yes: bool) -> bool:
    lost = going_back.losses(engine, down)
    typer.echo(f"{here()[:1].upper()}{here()[1:]}, down to {down}:")
    for loss in lost:
        what, where = ("row", loss.table) if not loss.column else ("value", f"{loss.table}.{loss.column}")
        typer.echo(f"  {counted(loss.number, what):>16} of {where} will be gone")
    if not lost:
        typer.echo("  nothing stored goes")
    elif not yes:
        typer.echo(
            f"They do not come back with the next `migrate`. A backup first, with the app stopped:\n  {_backup(down)}"
        )
        if typer.prompt(f"Type {down} to go on", default="", show_default=False) != down:
            typer.echo("Nothing was done.")
            raise typer.Exit(1)

    def note(connection: Connection) -> None:
        if connection.scalar(text("SELECT to_regclass('audit_events') IS NOT NULL")):
            changes = {f"{loss.table}.{loss.column}".rstrip("."): (loss.number, None) for loss in lost}
            with Session(connection) as session:
                record(session, COMMAND_LINE, "schema.migrate_down", Target("schema", None, down), changes)

    return migrations.downgrade(engine, down, note)


def _backup(down: str) -> str:
    folder = get_config().data_dir
    if get_config().embedded:
        return f"cp -a {folder} {folder}.before-{down}"
    return f'pg_dump --format=custom --file=llm-settings.before-{down}.dump "$DATABASE_URL"'


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
    unsaid = revisions.unsaid()
    for difference in found:
        typer.echo(f"No migration for: {difference}")
    for words in unsaid:
        typer.echo(f"{words[:1].upper()}{words[1:]}")
    if found or unsaid:
        raise typer.Exit(1)
    typer.echo("Tables and migrations agree.")
