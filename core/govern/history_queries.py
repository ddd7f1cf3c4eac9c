"""The queries of the history: which versions, and what differs between two moments."""

from collections.abc import Container
from datetime import datetime
from typing import Any, Final, NamedTuple

from ..access.authority import Visible
from ..errors import Invalid


class VersionPlace(NamedTuple):
    """A version: where a page of a list ends, so that the next begins after it."""

    generation: int
    table: str
    row_id: int

    def __str__(self) -> str:
        return f"{self.generation}:{self.table}:{self.row_id}"

    @classmethod
    def parse(cls, given: str) -> "VersionPlace":
        """Read what ``str`` has written; raises Invalid."""
        parts = given.split(":")
        if len(parts) == 3 and parts[0].isdecimal() and parts[2].isdecimal() and len(given) < 100:  # noqa: PLR2004 - its parts
            return cls(int(parts[0]), parts[1], int(parts[2]))
        raise Invalid({"after": "must be what the page before ended with"})


class Filters(NamedTuple):
    """Which versions; None lets all through."""

    organization_id: int | None = None
    table: str | None = None
    row_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The first moment that is too late."""
    by: str | None = None
    field: str | None = None
    """One that was changed."""
    generation: int | None = None
    provider: str | None = None
    """Name of the provider that the row is, or is about; one that is gone too."""


def matching(
    seen: Visible,
    filters: Filters,
    after: VersionPlace | None = None,
    *,
    hides: Container[str] = (),
    starts: bool = False,
) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions on a version ``h``, with ``p`` the one before, and their values.

    Args:
        seen: Of which organisations.
        filters: Which.
        after: The version that the page before ended with.
        hides: Fields that the actor may not read: nor find out by a search whether they were changed.
        starts: Also those with which the history begins.
    """
    asked = {name: _storable(value) for name, value in filters._asdict().items() if value is not None}
    conditions, values = [_CONDITIONS[name] for name in asked], dict[str, Any](asked)
    if filters.organization_id is None and not seen.everything:
        conditions.append("h.organization_id = ANY(:organizations)")
        values["organizations"] = sorted(seen.roles)
    if filters.row_id is None and not starts:
        conditions.append("(h.op <> '=' OR p.op IS NOT NULL)")
    if filters.field is not None and filters.field in hides:
        conditions.append("false")  # that it was changed is said of each version; a search would tell of values
    if after is not None:
        conditions.append("h.generation <= :g AND (h.generation < :g OR (h.table_name, h.row_id) > (:t, :r))")
        values |= {"g": after.generation, "t": after.table, "r": after.row_id}
    return conditions or ["true"], values


def _storable(value: Any) -> Any:
    return value.replace("\x00", "")[:200] if isinstance(value, str) else value


_FROM: Final = "(SELECT coalesce(min(generation), 9223372036854775807) FROM settings_generations WHERE at >= :{0})"
_CALLED: Final = """
    SELECT id FROM llm_providers WHERE name = :provider
    UNION SELECT row_id FROM settings_history WHERE table_name = 'llm_providers' AND image ->> 'name' = :provider
"""
_CONDITIONS: Final = {
    "organization_id": "h.organization_id = :organization_id",
    "table": "h.table_name = :table",
    "row_id": "h.row_id = :row_id",
    "since": f"h.generation >= {_FROM.format('since')}",
    "until": f"h.generation < {_FROM.format('until')}",
    "by": "h.by = :by",
    "field": "h.image -> :field IS DISTINCT FROM p.image -> :field",
    "generation": "h.generation = :generation",
    "provider": f"""CASE h.table_name WHEN 'llm_providers' THEN h.row_id
        ELSE (coalesce(h.image, p.image) ->> 'provider_id')::integer END IN ({_CALLED})""",
}
"""Filter -> what it asks of a version."""
_BEFORE: Final = """
    SELECT p.image, p.op FROM settings_history p WHERE p.table_name = h.table_name AND p.row_id = h.row_id
        AND p.generation < h.generation ORDER BY p.generation DESC LIMIT 1
"""
CHANGES: Final = f"""
    SELECT h.generation, h.at, h.by, g.comment, h.table_name, h.row_id, h.organization_id, h.op, h.version, h.image,
        p.image AS before, p.op AS before_op
    FROM settings_history h LEFT JOIN settings_generations g ON g.generation = h.generation
    LEFT JOIN LATERAL ({_BEFORE}) p ON true
"""  # noqa: S608 - parts of ours
_AT: Final = """
    SELECT v.image, v.organization_id, v.generation, v.at, v.by FROM settings_history v
    WHERE v.table_name = t.table_name AND v.row_id = t.row_id AND v.generation <= {0} ORDER BY v.generation DESC LIMIT 1
"""
DIFFERENCE: Final = f"""
    SELECT t.table_name, t.row_id, coalesce(b.organization_id, a.organization_id) AS organization_id,
        a.image AS earlier, b.image AS later, b.generation, b.at, b.by
    FROM (
        SELECT DISTINCT h.table_name, h.row_id FROM settings_history h
        WHERE h.generation > :first AND h.generation <= :last AND {{conditions}}
    ) t
    LEFT JOIN LATERAL ({_AT.format(":first")}) a ON true
    CROSS JOIN LATERAL ({_AT.format(":last")}) b
    WHERE a.image IS DISTINCT FROM b.image ORDER BY t.table_name, t.row_id LIMIT :limit
"""  # noqa: S608 - parts of ours
