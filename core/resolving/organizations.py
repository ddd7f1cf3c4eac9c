"""Organisations in a snapshot: all lines of one in one ``bytes``, by the hundred thousand. No I/O but what is asked of a connection.

A change copies a part of what is kept, never all of it (docs/decisions/memo-carried-over.md).
"""

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..postgres import copying
from . import rows
from .columns import LIMITS, ORGANIZATION, OVERRIDES, PERSONAL_DATA, SEALED, SETTINGS, TERMS, Columns
from .parted import Parted

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

MOST_CHANGED: Final = 5000
"""Of more that were changed at once all are read."""
NULL: Final = b""
"""As NULL comes in these lines: every text that counts has a character."""


class LineKind(NamedTuple):
    """Where lines of one kind come from."""

    name: str
    columns: Columns
    organization: str = "organization_id"
    """The column that has the organisation's id."""
    condition: str = "true"
    order: str = "3"
    """The lines of one organisation come by id, read whole or after a change; as a rule so they lie in the table."""


TABLES: Final[Mapping[bytes, LineKind]] = {
    b"O": LineKind("organizations", ORGANIZATION, "id"),
    b"N": LineKind("organization_names", {"name": str}, order="1, 3"),
    b"K": LineKind("organization_providers", TERMS),
    b"S": LineKind("llm_settings", SETTINGS, condition="is_active"),
    b"F": LineKind("feature_llm_overrides", OVERRIDES, condition="is_active"),
    b"L": LineKind("llm_limits", LIMITS),
    b"P": LineKind("llm_pii_settings", PERSONAL_DATA, condition="is_active"),
}
"""How a line of an organisation begins -> what it is; the first of an organisation's lines is its own row."""
_LIVE: Final = "SELECT id FROM organizations WHERE deleted_at IS NULL"


AT_ONCE: Final = 10_000
"""So many organisations are read by one statement: none of a million rows would be done before its time limit on a busy server."""
_BOUNDS: Final = (
    "SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM organizations) AS each"
    " WHERE place % {} = 0 ORDER BY id"
)


class OrganizationRow(NamedTuple):
    """An organisation's own row."""

    id: int
    slug: str
    is_template: bool
    template_id: int | None
    shares_keys: bool
    is_active: bool


class Organizations:
    """The organisations of a snapshot: their lines and their names. Never changed once it is published.

    Args:
        packed: Organisation's id -> its lines, each ended by a line feed.
        only: The names of those that were asked for; None: all.
    """

    __slots__ = ("_names", "_packed", "only")

    def __init__(self, packed: Mapping[int, bytes], only: tuple[str, ...] | None = None) -> None:
        self._packed, self.only = Parted(packed), only
        self._names = Parted({name: one for one, lines in packed.items() for name in _names(lines)})

    def id_of(self, name: str) -> int | None:
        """Return the id of the organisation of that name; None: there is none."""
        return self._names.get(name)

    def lines(self, organization_id: int) -> bytes | None:
        """Return all lines of an organisation; None: there is none."""
        return self._packed.get(organization_id)

    def row(self, organization_id: int | None) -> OrganizationRow | None:
        """Return an organisation's own row."""
        lines = None if organization_id is None else self.lines(organization_id)
        return None if lines is None else row_of(lines)

    def after(self, changed: Mapping[int, bytes | None]) -> "Organizations":
        """Return the same after a change: organisation's id -> its lines, or None where it is gone."""
        new = Organizations({}, self.only)
        names: dict[str, int | None] = {}
        for one in changed:  # those of before first: a name may have gone from one to another
            names |= {name: None for name in _names(self.lines(one) or b"") if self.id_of(name) == one}
        for one, lines in changed.items():
            names |= dict.fromkeys(_names(lines or b""), one)
        new._packed, new._names = self._packed.after(changed), self._names.after(names)
        return new

    def items(self) -> Iterator[tuple[int, bytes]]:
        """Yield each organisation's id and lines."""
        return self._packed.items()

    def __len__(self) -> int:
        return len(self._packed)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Organizations):
            return NotImplemented
        return self.only == other.only and dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # is compared, and no key of a dict

    def without_keys(self) -> "Organizations":
        """Return the same without what is sealed: in its place ``t`` if there was a key."""
        return Organizations({one: _unsealed(lines) for one, lines in self.items()}, self.only)


NONE: Final = Organizations({})


def row_of(lines: bytes) -> OrganizationRow:
    """Read an organisation's own row, which comes first."""
    found = rows.read(lines.partition(b"\n")[0][2:], ORGANIZATION, NULL)
    is_template = found["kind"] == "template"
    template = None if is_template else found["template_id"]
    return OrganizationRow(
        found["id"], found["slug"] or "", is_template, template, bool(found["shares_keys"]), bool(found["is_active"])
    )


def load(connection: "Connection[Any]", only: tuple[str, ...] | None, absent: Collection[str] = ()) -> Organizations:
    """Read the organisations, or those of the names *only* and their templates, by the transaction that is open.

    Args:
        connection: Of the transaction.
        only: None: all.
        absent: Tables that an older schema has not.
    """
    there = [(kind, table) for kind, table in TABLES.items() if table.name not in absent]
    wanted = _wanted(connection, only)
    bounds = [None, *(row[0] for row in connection.execute(_BOUNDS.format(AT_ONCE).encode()).fetchall()), None]
    packed: dict[int, bytes] = {}
    for above, to in itertools.pairwise(bounds):
        within = "".join(
            f" AND {{0}} {sign} {bound}" for sign, bound in ((">", above), ("<=", to)) if bound is not None
        )
        packed |= _copied(connection, [_selected(kind, table, wanted, within) for kind, table in there])
    return Organizations(packed, only)


def _copied(connection: "Connection[Any]", selected: list[str]) -> dict[int, bytes]:
    """Return the lines of some organisations, by id; one by one they would be copied for each further kind of line."""
    found: dict[bytes, list[bytes]] = {}
    for query in selected:
        for block in copying.rows(connection, f"COPY ({query}) TO STDOUT WITH (NULL '')"):
            for row in block:
                one, _, line = row.partition(b"\t")
                if one in found:
                    found[one].append(line)
                else:
                    found[one] = [line]
    return {int(one): b"".join(lines) for one, lines in found.items()}


def queries(connection: "Connection[Any]", changed: Collection[int], only: tuple[str, ...] | None) -> list[str]:
    """Return the statements whose results :func:`fetched` reads: all lines of the organisations *changed*."""
    within = f" AND {{0}} IN ({', '.join(map(str, sorted(changed)))})"
    wanted = _wanted(connection, only)
    return [_selected(kind, table, wanted, within) for kind, table in TABLES.items()]


def fetched(cursor: "Cursor[Any]", changed: Collection[int], old: Organizations) -> Organizations | None:
    """Return *old* after a change, of the results of :func:`queries`; None: a template is missing, and all has to be read."""
    found: dict[int, bytes | None] = dict.fromkeys(changed)
    for _ in TABLES:
        for organization, *values in rows.values_of(cursor):
            one = int(organization or 0)
            found[one] = (found.get(one) or b"") + rows.line_of(values, NULL) + b"\n"
        cursor.nextset()
    templates = [row_of(lines).template_id for lines in found.values() if lines]
    if old.only is not None and any(
        one is not None and not found.get(one) and old.lines(one) is None for one in templates
    ):
        return None
    return old.after({one: lines for one, lines in found.items() if lines or old.lines(one) is not None})


def _selected(kind: bytes, table: LineKind, wanted: str, within: str) -> str:
    """Return the query of one kind of line.

    Args:
        kind: How its lines begin.
        table: Where they come from.
        wanted: Which organisations are read, as :func:`_wanted` has it.
        within: The same by their ids, ``{0}`` for the id. It is asked of both tables: else the server reads all organisations.
    """
    columns, owner = ", ".join(table.columns), table.organization
    return (
        f"SELECT {owner}, '{kind.decode()}', {columns} FROM {table.name} WHERE {table.condition}{within.format(owner)}"  # noqa: S608 - names of ours
        f" AND {owner} IN ({_LIVE}{within.format('id')}{wanted}) ORDER BY {table.order}"
    )


def _wanted(connection: "Connection[Any]", only: tuple[str, ...] | None) -> str:
    if only is None:
        return ""
    from psycopg import sql  # noqa: PLC0415 - keeps the import of this module lean

    names = sql.SQL(", ").join(sql.Literal(name) for name in only if "\0" not in name).as_string(connection) or "NULL"
    mine = f"SELECT organization_id FROM organization_names WHERE name IN ({names})"  # noqa: S608 - literals by the driver
    return f" AND (id IN ({mine}) OR id IN (SELECT template_id FROM organizations WHERE id IN ({mine})))"  # noqa: S608 - as above


def of_kind(lines: bytes, kind: bytes) -> Iterator[bytes]:
    """Yield the lines of one kind, without the letter that they begin with."""
    mark = kind + b"\t"
    if b"\n" + mark not in lines:  # the first line is the organisation's own
        return
    for line in lines.split(b"\n"):
        if line.startswith(mark):
            yield line[2:]


def _names(lines: bytes) -> list[str]:
    """Return the names that an organisation is asked for by; nobody resolves a template."""
    if not lines or lines.split(b"\t", _KIND + 1)[_KIND] == b"template":
        return []
    found, at = [], lines.index(b"\n") + 1
    while lines.startswith(b"N\t", at):  # they come first
        end = lines.index(b"\n", at)
        found.append(rows.text(lines[at + 2 : end]))
        at = end + 1
    return found


_KIND: Final = list(ORGANIZATION).index("kind") + 1
"""Its place in an organisation's own line, after the letter."""


def _unsealed(lines: bytes) -> bytes:
    if b"\nK\t" not in lines:
        return lines
    return b"".join(
        _bare(line) + b"\n" if line.startswith(b"K\t") else line + b"\n" for line in lines.split(b"\n")[:-1]
    )


def _bare(line: bytes) -> bytes:
    rest, blob, _, _ = line.rsplit(b"\t", SEALED)
    return rest + (b"\tt" if blob else b"\tf")
