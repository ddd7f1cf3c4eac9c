"""The revisions of the schema, and which versions may work on one: each migration says it, and the database keeps it.

A migration has ``before_reads`` and ``before_writes``: whether the version before it reads what the migration leaves rightly,
and may write there. What follows for the newest one stands in the database, as the comment of ``alembic_version``, where a
version that does not know the migration reads it, with whatever role. See docs/decisions/upgrade-without-a-stop.md.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ..errors import SchemaMismatch

SchemaState = Literal["ok", "missing", "older", "newer", "newer_read_only", "unknown"]
"""``older``: it has to be migrated. ``newer``: a later version made it, and this one may read and write it; ``newer_read_only``:
may read it; ``unknown``: neither, or nobody says."""

SAYS: Final = ("before_reads", "before_writes")
_CORE = Path(__file__).parent.parent
_NOTE: Final = "LLM Settings: schema {0}; read by {1}; written by {2}"
_NOTED: Final = re.compile(
    re.escape(_NOTE).replace(r"\{0\}", r"(\S+)").replace(r"\{1\}", "(.*)").replace(r"\{2\}", "(.*)")
)


class _Revision(NamedTuple):
    name: str
    before: str | None
    reads: bool | None
    writes: bool | None


def scripts_folder() -> Path:
    """Return the folder of the migrations: inside the package in a wheel, beside it in a checkout."""
    packed = _CORE / "migrations"
    return packed if packed.is_dir() else _CORE.parent / "migrations"


def head() -> str:
    """Return the newest revision this version knows."""
    found = _known(scripts_folder())
    return found[0].name if found else ""


def current(connection: Connection) -> str | None:
    """Return the revision that the database says it is at, also one that this version does not know; None without any."""
    return MigrationContext.configure(connection).get_current_revision()


def unsaid() -> list[str]:
    """Return the migrations that do not say whether the version before reads and writes what they leave, in words."""
    return [
        f"migration {one.name} does not say {' and '.join(SAYS)}: True or False, whether the version before may do so after it"
        for one in _known(scripts_folder())
        if one.reads is None or one.writes is None or (one.writes and not one.reads)
    ]


def note(connection: Connection) -> None:
    """Write into the database which revisions' versions may read and write it now; in the transaction that migrates."""
    revision = current(connection)
    if revision is None:
        return
    chain = {one.name: one for one in _known(scripts_folder())}
    words = _NOTE.format(
        revision, " ".join(_reaching(chain, revision, "reads")), " ".join(_reaching(chain, revision, "writes"))
    )
    noted, may = connection.execute(
        text(
            "SELECT obj_description(oid, 'pg_class'), pg_has_role(relowner, 'MEMBER') FROM pg_class"
            " WHERE oid = 'alembic_version'::regclass"
        )
    ).one()
    if may and noted != words:
        connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{words}'"))


def state(connection: Connection, revision: str | None = None) -> SchemaState:
    """Return what the database's schema is to this version.

    Args:
        connection: To it.
        revision: Its revision, where that is known already.
    """
    revision = revision or current(connection)
    if revision is None:
        return "missing"
    if revision == head():
        return "ok"
    if revision in {one.name for one in _known(scripts_folder())}:
        return "older"
    noted = _NOTED.fullmatch(
        connection.scalar(text("SELECT obj_description('alembic_version'::regclass, 'pg_class')")) or ""
    )
    if noted is None or noted[1] != revision or head() not in noted[2].split():
        return "unknown"
    return "newer" if head() in noted[3].split() else "newer_read_only"


def require_writable(connection: Connection, revision: str | None) -> None:
    """Return when this version may write what the database has.

    Raises:
        SchemaMismatch: If it may not; says what to do.
    """
    found = state(connection, revision)
    if found not in {"ok", "newer"}:
        raise mismatch(found, revision)


def mismatch(found: SchemaState, revision: str | None) -> SchemaMismatch:
    """Return why this version does not work on a schema, and the cure."""
    if found == "newer_read_only":
        return SchemaMismatch(
            f"The database was migrated by a newer version of LLM Settings (revision {(revision or '')[:20]}), and this "
            "version may read it, but not write there. Nothing was saved. Upgrade this process to that version."
        )
    if found == "unknown":
        return SchemaMismatch(
            f"The database was migrated by a newer version of LLM Settings (revision {(revision or '')[:20]}). "
            "Install that version, or a newer one."
        )
    words = "is older than this version needs" if found == "older" else "has no tables of LLM Settings yet"
    return SchemaMismatch(f"The database {words}. Run: python -m core migrate")


def _reaching(chain: dict[str, _Revision], revision: str, what: Literal["reads", "writes"]) -> list[str]:
    """Return *revision*, and those before it whose versions still may."""
    found = [revision]
    while (one := chain.get(found[-1])) is not None and one.before is not None and getattr(one, what):
        found.append(one.before)
    return found


@cache
def _known(folder: Path) -> tuple[_Revision, ...]:
    """Return the migrations, the newest one first."""
    scripts = ScriptDirectory(str(folder))
    scripts.get_current_head()  # raises where there are two
    found = []
    for script in scripts.walk_revisions():
        says = [getattr(script.module, name, None) for name in SAYS]
        before = script.down_revision if isinstance(script.down_revision, str) else None
        found.append(_Revision(script.revision, before, *(one if isinstance(one, bool) else None for one in says)))
    return tuple(found)
