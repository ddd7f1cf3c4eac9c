"""The snapshot: everything that effective settings are made of, at one generation. No I/O but what is asked of a connection.

Rows are kept as PostgreSQL's COPY sends them, and read when a provider is first asked for: most are never asked for, and
loading costs no more than copying (docs/decisions/snapshot-of-lines.md).
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..crypto import KeyRing
from ..errors import StoreUnavailable
from ..parameters import PARAMETERS
from ..postgres.lines import begin
from .effective import EffectiveSettings, build, layer_of, provider_of, read_json

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

Columns = Mapping[str, Callable[[str], Any]]
"""Column -> how its text is read, in the order of the line."""

_NULL: Final = rb"\N"
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

PROVIDERS: Final[Columns] = {
    "id": int,
    "name": str,
    "display_name": str,
    "kind": str,
    "api_base_url": str,
    "default_model": str,
    "is_active": lambda text: text == "t",
    "version": int,
    "field_changes": lambda text: {"default_model": read_json(text)},
    "needs_key": lambda text: text == "t",
    "api_key_encrypted": str,
    "api_key_key_id": str,
    "api_key_binding": str,
}
"""What is read of ``llm_providers``; what is sealed comes last. Of ``field_changes`` it is who chose the default model."""
SETTINGS: Final[Columns] = {
    "id": int,
    "provider_id": int,
    "version": int,
    "field_changes": read_json,
    "preferred_model": str,
    "omitted_parameters": read_json,
    "custom_settings": read_json,
    **{p.name: (lambda text: text == "t") if p.value_type is bool else p.value_type for p in PARAMETERS.values()},
}
"""What is read of ``llm_settings``, of the rows for which ``ACTIVE`` holds."""
ACTIVE: Final = "is_active AND organization_id IS NULL"
CONDITIONS: Final = ("is_active", "organization_id")
"""The columns in ``ACTIVE``."""
_TABLES: Final[Mapping[str, tuple[Columns, Mapping[str, str], str]]] = {
    "llm_providers": (PROVIDERS, {"field_changes": "field_changes -> 'default_model'"}, "true"),
    "llm_settings": (SETTINGS, {}, ACTIVE),
}
"""Table -> its columns, those that are read by another expression, and of which rows."""
ADDED: Final[Mapping[str, Mapping[str, str]]] = {"llm_providers": {"needs_key": "true"}}
"""Table -> column that a schema one version older does not have -> what stands for it there: services may be upgraded first."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_UNDEFINED_COLUMN: Final = "42703"
"""SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
_GENERATION: Final = "SELECT generation, epoch FROM settings_generation"
SEALED: Final = 3
"""So many columns of a provider are sealed; in a line without them one stands instead: ``t`` if there was a key."""


class Snapshot:
    """Everything that effective settings are made of, at one generation. Once it is published, only the memo grows.

    Args:
        generation: The store's.
        epoch: The store's id; a restored or another database has another one.
        providers: Row id -> line.
        settings: Row id -> line.
        has_keys: Whether the lines of providers have what is sealed: those of a file do not.
        is_older: Whether they were read from a schema that lacks what is in ``ADDED``.
    """

    __slots__ = ("_names", "_scopes", "answers", "epoch", "generation", "has_keys", "is_older", "providers", "settings")

    def __init__(
        self,
        generation: int,
        epoch: str,
        providers: Mapping[int, bytes],
        settings: Mapping[int, bytes],
        *,
        has_keys: bool = True,
        is_older: bool = False,
    ) -> None:
        self.is_older = is_older
        self.generation, self.epoch, self.has_keys = generation, epoch, has_keys
        self.providers, self.settings = dict(providers), dict(settings)
        self.answers: dict[str, EffectiveSettings] = {}
        """What was merged already, by the names that are asked for and exist."""
        self._names = {_name(line): row_id for row_id, line in providers.items()}
        self._scopes: dict[bytes, tuple[int, ...]] = {}
        for row_id, line in settings.items():
            scope = _second(line)
            self._scopes[scope] = (*self._scopes.get(scope, ()), row_id)

    def after(
        self, generation: int, providers: Mapping[int, bytes | None], settings: Mapping[int, bytes | None]
    ) -> "Snapshot":
        """Return the snapshot after a change: row id -> line, or None for a row that is gone."""
        new = Snapshot(generation, self.epoch, {}, {}, has_keys=self.has_keys)
        new.providers, new.settings = self.providers.copy(), self.settings.copy()
        new._names, new._scopes = self._names.copy(), self._scopes.copy()
        for row_id, line in providers.items():
            if row_id in new.providers and new._names.get(name := _name(new.providers.pop(row_id))) == row_id:
                del new._names[name]
            if line is not None:
                new.providers[row_id] = line
                new._names[_name(line)] = row_id
        for row_id, line in settings.items():
            if row_id in new.settings:
                scope = _second(new.settings.pop(row_id))
                new._scopes[scope] = tuple(row for row in new._scopes[scope] if row != row_id)
            if line is not None:
                new.settings[row_id] = line
                new._scopes[_second(line)] = (*new._scopes.get(_second(line), ()), row_id)
        return new

    def names(self) -> list[str]:
        """Return the names of all providers, sorted."""
        return sorted(filter(None, self._names))

    def answer(self, name: str, ring: KeyRing, why: str | None = None) -> EffectiveSettings:
        """Return the effective settings of the provider *name*, merged on first use; an unknown name is not kept.

        Args:
            name: The provider's.
            ring: The encryption keys.
            why: Why the database is out of reach, and the cure: for a key that only the database has.
        """
        row_id = self._names.get(name)
        if row_id is None:
            return build(None, (), name=name, generation=self.generation)
        line, open_box = self.providers[row_id], None
        if not self.has_keys:
            line, _, had_key = line.rpartition(b"\t")
            line += (b"\t" + _NULL) * SEALED
            open_box = partial(_not_in_the_file, why) if had_key == b"t" else None
        provider = provider_of(_read(line, PROVIDERS), ring, open_box)
        rows = [*sorted(self._scopes.get(_NULL, ())), *sorted(self._scopes.get(b"%d" % row_id, ()))]
        layers = [layer_of(_read(self.settings[row], SETTINGS)) for row in rows]
        return self.answers.setdefault(name, build(provider, layers, generation=self.generation))

    def is_like(self, other: "Snapshot") -> bool:
        """Tell whether the two would answer alike."""
        return (self.generation, self.epoch, self.has_keys) == (other.generation, other.epoch, other.has_keys) and (
            self.providers == other.providers and self.settings == other.settings
        )

    def without_keys(self) -> "Snapshot":
        """Return what may be written to a file: no ciphertext, only whether there was a key."""
        if not self.has_keys:
            return self
        return Snapshot(
            self.generation,
            self.epoch,
            {row_id: _unsealed(line) for row_id, line in self.providers.items()},
            self.settings,
            has_keys=False,
        )


def load(connection: "Connection[Any]") -> Snapshot:
    """Read everything, as it is at one moment; from a schema one version older too."""
    try:
        return _load(connection, is_older=False)
    except Exception as error:
        if getattr(error, "sqlstate", None) != _UNDEFINED_COLUMN:
            raise
    connection.execute(b"ROLLBACK")
    return _load(connection, is_older=True)


def _load(connection: "Connection[Any]", *, is_older: bool) -> Snapshot:
    cursor = begin(connection, _GENERATION, _BEGIN)
    generation, epoch = _generation(cursor)
    lines = (_copied(connection, table, is_older=is_older) for table in _TABLES)
    new = Snapshot(generation, epoch, *lines, is_older=is_older)
    connection.execute(b"COMMIT")
    return new


def update(connection: "Connection[Any]", old: Snapshot) -> Snapshot | None:
    """Read what was changed since *old*, in two round trips: where threads compute, each costs turns at the interpreter.

    Numbers are given at commit, under a lock that is held until then: who sees generation n sees all changes up to n.

    Returns:
        *old* itself if nothing was changed; None if everything has to be read: the generation or the epoch went back, or
        not every change is known.
    """
    changes_since = f"SELECT generation, table_name, row_id FROM settings_changes WHERE generation > {old.generation}"  # noqa: S608 - a number
    cursor = begin(connection, f"{_GENERATION}; {changes_since}", _BEGIN)
    generation, epoch = _generation(cursor)
    cursor.nextset()
    changes = cursor.fetchall()
    found: dict[str, dict[int, bytes | None]] = {table: {} for table in _TABLES}
    for _, table, row_id in changes:
        if table in found:  # a newer version may list others
            found[table][row_id] = None
    tables = [table for table in _TABLES if found[table]]
    if old.is_older and changes:  # it may have been migrated meanwhile: asked for what is new, it says so
        connection.execute(b"COMMIT")
        return None
    rows = [f"{_selected(table)} AND id IN ({', '.join(map(str, found[table]))})" for table in tables]
    cursor = connection.execute("; ".join((*rows, "COMMIT")).encode())
    if epoch != old.epoch or len({number for number, _, _ in changes}) != generation - old.generation:
        return None
    if not changes:
        return old
    for table in tables:
        found[table] |= _fetched(cursor)
        cursor.nextset()
    return old.after(generation, *found.values())


def _selected(table: str, *, is_older: bool = False) -> str:
    columns, expressions, condition = _TABLES[table]
    expressions = {**expressions, **(ADDED.get(table, {}) if is_older else {})}
    values = ", ".join(expressions.get(name, name) for name in columns)
    return f"SELECT {values} FROM {table} WHERE {condition}"  # noqa: S608 - names of ours


def _generation(cursor: "Cursor[Any]") -> tuple[int, str]:
    row = cursor.fetchone()
    if row is None:
        raise StoreUnavailable("The table settings_generation is empty.")
    return row[0], row[1]


def _copied(connection: "Connection[Any]", table: str, *, is_older: bool) -> dict[int, bytes]:
    query = f"COPY ({_selected(table, is_older=is_older)}) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        lines = b"".join(copy).split(b"\n")  # a line break inside a value is escaped
    lines.pop()
    return {
        int(line.partition(b"\t")[0]): line for line in lines if not line.startswith(_NULL)
    }  # as raw SQL may leave it


def _fetched(cursor: "Cursor[Any]") -> dict[int, bytes]:
    """Return the rows of a result as the lines that COPY would have sent."""
    result, lines = cursor.pgresult, []
    for row in range(result.ntuples if result else 0):
        values = [result.get_value(row, column) for column in range(result.nfields)] if result else []
        lines.append(b"\t".join(_NULL if value is None else _line(value) for value in values))
    return {int(line.partition(b"\t")[0]): line for line in lines}


def _line(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def _read(line: bytes, columns: Columns) -> dict[str, Any]:
    """Read a line of COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2."""
    parts = line.split(b"\t")
    return {
        name: None if part == _NULL else kind(_text(part))
        for (name, kind), part in zip(columns.items(), parts, strict=True)
    }


def _second(line: bytes) -> bytes:
    return line.split(b"\t", 2)[1]


def _name(line: bytes) -> str | None:
    name = _second(line)
    return None if name == _NULL else _text(name)


def _text(part: bytes) -> str:
    text = part.decode("utf-8", "replace")
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text) if "\\" in text else text


def _unsealed(line: bytes) -> bytes:
    rest, blob, _, _ = line.rsplit(b"\t", SEALED)
    return rest + (b"\tf" if blob in {_NULL, b""} else b"\tt")


def _not_in_the_file(why: str | None) -> Any:
    raise StoreUnavailable(
        "the database has not answered since this process began. Settings come from LLM_SNAPSHOT_FILE, which holds no keys. "
        f"{why or 'Check DATABASE_URL and that the server runs.'}"
    )
