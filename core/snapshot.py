"""The snapshot: everything that effective settings are made of, at one generation. No I/O but what is asked of a connection.

Rows are kept as PostgreSQL's COPY sends them, and read when a provider is first asked for: most are never asked for, and
loading costs no more than copying (docs/decisions/snapshot-of-lines.md).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from core.crypto import KeyRing
from core.effective import EffectiveSettings, build, layer_of, provider_of, read_json
from core.errors import StoreUnavailable
from core.parameters import PARAMETERS

if TYPE_CHECKING:
    from psycopg import Connection

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
    **{
        p.name: (lambda text: text == "t") if isinstance(p.default, bool) else type(p.default)
        for p in PARAMETERS.values()
    },
}
"""What is read of ``llm_settings``, of the rows for which ``ACTIVE`` holds."""
ACTIVE: Final = "is_active AND organization_id IS NULL"
CONDITIONS: Final = ("is_active", "organization_id")
"""The columns in ``ACTIVE``."""
_FROM: Final = {
    "llm_providers": {"field_changes": "field_changes -> 'default_model'"},  # of the rest nothing is explained
    "llm_settings": {},
}
SEALED: Final = 3
"""So many columns of a provider are sealed; in a line without them one stands instead: ``t`` if there was a key."""
TOO_MANY: Final = 500
"""From so many changed rows on, everything is read: it costs no more."""


class Change(NamedTuple):
    """A row that was changed, inserted or deleted."""

    generation: int
    table: str
    row_id: int


class Snapshot:
    """Everything that effective settings are made of, at one generation. Once it is published, only the memo grows.

    Args:
        generation: The store's.
        epoch: The store's id; a restored or another database has another one.
        providers: Row id -> line.
        settings: Row id -> line.
        has_keys: Whether the lines of providers have what is sealed: those of a file do not.
    """

    __slots__ = ("_names", "_scopes", "answers", "epoch", "generation", "has_keys", "providers", "settings")

    def __init__(
        self,
        generation: int,
        epoch: str,
        providers: Mapping[int, bytes],
        settings: Mapping[int, bytes],
        *,
        has_keys: bool = True,
    ) -> None:
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

    def answer(self, name: str, ring: KeyRing) -> EffectiveSettings:
        """Return the effective settings of the provider *name*, merged on first use; an unknown name is not kept."""
        row_id = self._names.get(name)
        if row_id is None:
            return build(None, (), name=name, generation=self.generation)
        line, open_box = self.providers[row_id], None
        if not self.has_keys:
            line, _, had_key = line.rpartition(b"\t")
            line += (b"\t" + _NULL) * SEALED
            open_box = _not_in_the_file if had_key == b"t" else None
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


def load(connection: "Connection[Any]", generation: int, epoch: str) -> Snapshot:
    """Read everything."""
    return Snapshot(
        generation,
        epoch,
        _copied(connection, "llm_providers", PROVIDERS, "true"),
        _copied(connection, "llm_settings", SETTINGS, ACTIVE),
    )


def update(connection: "Connection[Any]", old: Snapshot, generation: int, changes: Iterable[Change]) -> Snapshot:
    """Read what was changed since *old*; a row that is gone, or not active any more, is not in the new one."""
    found: dict[str, dict[int, bytes | None]] = {"llm_providers": {}, "llm_settings": {}}
    for change in changes:
        found[change.table][change.row_id] = None
    for table, columns, condition in (("llm_providers", PROVIDERS, "true"), ("llm_settings", SETTINGS, ACTIVE)):
        if found[table]:
            ids = ", ".join(map(str, found[table]))
            found[table] |= _copied(connection, table, columns, f"{condition} AND id IN ({ids})")
    return old.after(generation, found["llm_providers"], found["llm_settings"])


def complete(changes: Iterable[Change], since: int, until: int) -> bool:
    """Tell whether *changes* are all there were after generation *since*, up to *until*: each has at least one."""
    return len({change.generation for change in changes}) == until - since


def _copied(connection: "Connection[Any]", table: str, columns: Columns, condition: str) -> dict[int, bytes]:
    values = ", ".join(_FROM[table].get(name, name) for name in columns)
    statement = f"COPY (SELECT {values} FROM {table} WHERE {condition}) TO STDOUT"  # noqa: S608 - names and numbers of ours
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        lines = b"".join(copy).split(b"\n")  # a line break inside a value is escaped
    lines.pop()
    return {
        int(line.partition(b"\t")[0]): line for line in lines if not line.startswith(_NULL)
    }  # as raw SQL may leave it


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


def _not_in_the_file() -> Any:
    raise StoreUnavailable(
        "the database has not answered since this process began. Settings come from LLM_SNAPSHOT_FILE, which holds no keys; "
        "check DATABASE_URL and that the server runs."
    )
