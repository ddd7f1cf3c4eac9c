"""The snapshot: everything that effective settings are made of, at one generation. No I/O but what is asked of a connection.

Rows are kept as PostgreSQL's COPY sends them, and read when a provider is first asked for: most are never asked for, and
loading costs no more than copying (docs/decisions/snapshot-of-lines.md).
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from ..crypto import KeyRing
from ..errors import StoreUnavailable
from ..kinds import origin_of
from ..models import overlay
from ..models.knowledge import Knowledge
from ..parameters import PARAMETERS
from ..postgres.lines import begin
from . import carried
from .effective import EffectiveSettings
from .merge import build, layer_of, provider_of, read_json

if TYPE_CHECKING:
    from psycopg import Connection, Cursor
    from psycopg.pq.abc import PGresult

Columns = Mapping[str, Callable[[str], Any]]
"""Column -> how its text is read, in the order of the line."""

_NULL: Final = rb"\N"
_NONE: Final[Mapping[int, Any]] = MappingProxyType({})
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

_READ: Final[Mapping[Any, Callable[[str], Any]]] = {bool: lambda text: text == "t", list: read_json}
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
    "extra_parameters": read_json,
    **{p.name: _READ.get(p.value_type, p.value_type) for p in PARAMETERS.values()},
}
"""What is read of ``llm_settings``, of the rows for which ``ACTIVE`` holds."""
SECRETS: Final[Columns] = {
    "id": int,
    "provider_id": int,
    "use": str,
    "name": str,
    "plain_value": str,
    "value_encrypted": str,
    "value_key_id": str,
    "value_binding": str,
}
"""What is read of ``llm_provider_secrets``, but for next keys; what is sealed comes last."""
FACTS: Final[Columns] = {"id": int, "api": str, "pattern": str, "origin": str, "as_of": str, "facts": read_json}
"""What is read of ``llm_model_facts``, of active rows."""
ACTIVE: Final = "is_active AND organization_id IS NULL"
FACTS_CONDITION: Final = "is_active"
_FIRST: Final = f"ORDER BY origin <> 'operator', id LIMIT {overlay.MOST_ROWS + 1}"
"""Raw SQL may have put any number of them there; the one too many is for saying so."""
CONDITIONS: Final = ("is_active", "organization_id")
"""The columns in ``ACTIVE``."""
_TABLES: Final[Mapping[str, tuple[Columns, Mapping[str, str], str]]] = {
    "llm_providers": (PROVIDERS, {"field_changes": "field_changes -> 'default_model'"}, "true"),
    "llm_settings": (SETTINGS, {}, ACTIVE),
    carried.TABLE: (SECRETS, {}, "use <> 'next_key'"),
    overlay.TABLE: (FACTS, {"as_of": "to_char(as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD')"}, FACTS_CONDITION),
}
"""Table -> its columns, those that are read by another expression, and of which rows."""
ADDED: Final[Mapping[str, Mapping[str, str]]] = {
    "llm_providers": {"needs_key": "true"},
    "llm_settings": {
        "extra_parameters": "NULL",
        "reasoning_effort": "NULL",
        "stop": "NULL",
        "unfit_parameters": "NULL",
    },
}
"""Table -> column that a schema one version older does not have -> what stands for it there: services may be upgraded first."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_UNDEFINED_COLUMN: Final = "42703"
"""SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
_GENERATION: Final = "SELECT generation, epoch FROM settings_generation"
_LATER: Final = (carried.TABLE, overlay.TABLE)
"""Tables that a database of a version before has not."""
_ARE_THERE: Final = "SELECT " + ", ".join(f"to_regclass('{table}') IS NOT NULL" for table in _LATER)
SEALED: Final = 3
"""So many columns of a provider are sealed, and of a header; in a line without them one stands instead: ``t`` if there was a
key, or a sealed value."""


class Snapshot:
    """Everything that effective settings are made of, at one generation. Once it is published, only the memo grows.

    Args:
        generation: The store's.
        epoch: The store's id; a restored or another database has another one.
        providers: Row id -> line.
        settings: Row id -> line.
        secrets: Row id -> line; of headers and query parameters.
        facts: Row id -> line; of what is known of models.
        has_keys: Whether the lines have what is sealed: those of a file do not.
        is_older: Whether they were read from a schema that lacks what is in ``ADDED``.
    """

    __slots__ = (
        "_carried",
        "_knowledge",
        "_names",
        "_scopes",
        "answers",
        "epoch",
        "facts",
        "generation",
        "has_keys",
        "is_older",
        "providers",
        "secrets",
        "settings",
    )

    def __init__(
        self,
        generation: int,
        epoch: str,
        providers: Mapping[int, bytes],
        settings: Mapping[int, bytes],
        secrets: Mapping[int, bytes] = _NONE,
        *,
        facts: Mapping[int, bytes] = _NONE,
        has_keys: bool = True,
        is_older: bool = False,
    ) -> None:
        self.is_older = is_older
        self.generation, self.epoch, self.has_keys = generation, epoch, has_keys
        self.providers, self.settings, self.secrets = dict(providers), dict(settings), dict(secrets)
        self.facts = dict(facts)
        self._knowledge: Knowledge | None = None
        self.answers: dict[str, EffectiveSettings] = {}
        """What was merged already, by the names that are asked for and exist."""
        self._names = {_name(line): row_id for row_id, line in providers.items()}
        self._scopes: dict[bytes, tuple[int, ...]] = {}
        self._carried: dict[bytes, tuple[int, ...]] = {}
        for rows, index in ((settings, self._scopes), (secrets, self._carried)):
            for row_id, line in rows.items():
                scope = _second(line)
                index[scope] = (*index.get(scope, ()), row_id)

    def after(
        self,
        generation: int,
        providers: Mapping[int, bytes | None],
        settings: Mapping[int, bytes | None],
        secrets: Mapping[int, bytes | None] = _NONE,
        facts: Mapping[int, bytes | None] = _NONE,
    ) -> "Snapshot":
        """Return the snapshot after a change: row id -> line, or None for a row that is gone."""
        new = Snapshot(generation, self.epoch, {}, {}, has_keys=self.has_keys)
        new.providers, new.settings, new.secrets = self.providers.copy(), self.settings.copy(), self.secrets.copy()
        new._names, new._scopes, new._carried = self._names.copy(), self._scopes.copy(), self._carried.copy()
        for row_id, line in providers.items():
            if row_id in new.providers and new._names.get(name := _name(new.providers.pop(row_id))) == row_id:
                del new._names[name]
            if line is not None:
                new.providers[row_id] = line
                new._names[_name(line)] = row_id
        for row_id, line in settings.items():
            _put(new.settings, new._scopes, row_id, line)
        for row_id, line in secrets.items():
            _put(new.secrets, new._carried, row_id, line)
        new.facts = {row_id: line for row_id, line in {**self.facts, **facts}.items() if line is not None}
        new._knowledge = None if facts else self._knowledge  # what was looked up in it is kept
        return new

    @property
    def knowledge(self) -> Knowledge:
        """What is known of models, read on first use."""
        found = self._knowledge
        if found is None:  # two threads may do it: the same twice
            rows = [_read(line, FACTS) for line in self.facts.values()]
            found = self._knowledge = Knowledge(overlay.read(sorted(rows, key=_operators_first)))
        return found

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
        row = _read(line, PROVIDERS)
        provider = provider_of(row, ring, open_box, self._open_carried(row, ring, why))
        rows = [*sorted(self._scopes.get(_NULL, ())), *sorted(self._scopes.get(b"%d" % row_id, ()))]
        layers = [layer_of(_read(self.settings[row], SETTINGS)) for row in rows]
        made = build(provider, layers, generation=self.generation, knowledge=self.knowledge)
        return self.answers.setdefault(name, made)

    def _open_carried(
        self, provider: Mapping[str, Any], ring: KeyRing, why: str | None
    ) -> Callable[[], carried.Carried] | None:
        found = self._carried.get(b"%d" % provider["id"])
        if not found:
            return None
        lines = [self.secrets[row_id] for row_id in found]
        if not self.has_keys:
            lines = [line + b"\t" + _NULL + b"\t" + _NULL for line in lines]
        rows: list[dict[str, Any]] = [_read(line, SECRETS) for line in lines]
        absent = None
        if not self.has_keys:
            absent = partial(_not_in_the_file, why)
            rows = [row | {"value_encrypted": row["value_encrypted"] == "t"} for row in rows]
        return carried.carried_of(rows, ring, origin_of(provider["kind"], provider["api_base_url"]), absent)

    def is_like(self, other: "Snapshot") -> bool:
        """Tell whether the two would answer alike."""
        return (self.generation, self.epoch, self.has_keys) == (other.generation, other.epoch, other.has_keys) and (
            (self.providers, self.settings, self.secrets, self.facts)
            == (other.providers, other.settings, other.secrets, other.facts)
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
            {row_id: _unsealed(line) for row_id, line in self.secrets.items()},
            facts=self.facts,
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
    cursor = begin(connection, f"{_GENERATION}; {_ARE_THERE}", _BEGIN)
    generation, epoch = _generation(cursor)
    cursor.nextset()
    absent = {table for table, is_there in zip(_LATER, cursor.fetchone() or (), strict=True) if not is_there}
    *lines, facts = (_NONE if table in absent else _copied(connection, table, is_older=is_older) for table in _TABLES)
    new = Snapshot(generation, epoch, *lines, facts=facts, is_older=is_older)
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
    if len(old.facts) + len(found[overlay.TABLE]) > overlay.MOST_ROWS:
        return None  # which of them are read is decided with all in view
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
    first = _FIRST if table == overlay.TABLE else ""
    query = f"COPY ({_selected(table, is_older=is_older)} {first}) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        lines = b"".join(copy).split(b"\n")  # a line break inside a value is escaped
    lines.pop()
    return {
        int(line.partition(b"\t")[0]): line for line in lines if not line.startswith(_NULL)
    }  # as raw SQL may leave it


def _fetched(cursor: "Cursor[Any]") -> dict[int, bytes]:
    """Return the rows of a result as the lines that COPY would have sent."""
    result, lines = cast("PGresult", cursor.pgresult), []
    for row in range(result.ntuples):
        values = [result.get_value(row, column) for column in range(result.nfields)]
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


def _operators_first(row: Mapping[str, Any]) -> tuple[bool, int]:
    return row["origin"] != "operator", row["id"]


def _put(rows: dict[int, bytes], index: dict[bytes, tuple[int, ...]], row_id: int, line: bytes | None) -> None:
    """Put a row in place of the one before, and in the index by what its second column has."""
    if row_id in rows:
        scope = _second(rows.pop(row_id))
        index[scope] = tuple(row for row in index[scope] if row != row_id)
    if line is not None:
        rows[row_id] = line
        index[_second(line)] = (*index.get(_second(line), ()), row_id)


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
