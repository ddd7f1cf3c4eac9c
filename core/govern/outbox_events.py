"""What webhooks are told: of each generation of the settings, which rows changed, in which fields, by whom. No value is in it.

One transaction takes the webhooks that are behind, writes what each is to be sent, and notes up to where it was told: so
each generation is told of once to each of them, whichever process does it, and whenever it ends.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..calling import webhook
from ..redaction import scrub
from ..store.tables import METADATA

CHANGED: Final = "settings.changed"
"""The type of the event."""
MOST_CHANGES: Final = 100
"""Changed rows that one message lists."""
MOST_BYTES: Final = 16_384
"""Of its list of changes, as JSON: receivers take small messages, see the specification's *Payload size*."""
MOST_FIELDS: Final = 50
_LONGEST_NAME: Final = 200
AT_ONCE: Final = 100
"""Generations that one transaction tells of."""
MOST_BEHIND: Final = 1_000
"""A webhook that is farther behind is told of all of them in one message: a reader reads everything anew then."""

_STAMPED: Final = frozenset({"version", "updated_at", "updated_by", "field_changes"})
_NAMES: Final[Mapping[str, str]] = {
    "llm_providers": "name",
    "llm_settings": "concat_ws(' / ', (SELECT slug FROM organizations WHERE id = t.organization_id),"
    " coalesce((SELECT name FROM llm_providers WHERE id = t.provider_id), 'all providers'))",
    "llm_provider_secrets": "concat_ws(' / ', (SELECT name FROM llm_providers WHERE id = t.provider_id), t.use, t.name)",
    "llm_model_facts": "pattern",
    "organizations": "slug",
    "organization_providers": "concat_ws(' / ', (SELECT slug FROM organizations WHERE id = t.organization_id),"
    " (SELECT name FROM llm_providers WHERE id = t.provider_id))",
    "llm_features": "name",
    "feature_llm_overrides": "concat_ws(' / ', (SELECT slug FROM organizations WHERE id = t.organization_id),"
    " (SELECT name FROM llm_features WHERE id = t.feature_id),"
    " coalesce((SELECT name FROM llm_providers WHERE id = t.provider_id), 'all providers'))",
    "installation": "'installation'",
}
"""Table -> SQL of what people call a row of it; a row of another table has no name in a message."""


class Behind(NamedTuple):
    """A webhook that has something to be told."""

    id: int
    told: int
    """The generation up to which it was."""
    hears: bool


_BEHIND: Final = text("""
    SELECT id, generation AS told, jsonb_exists(events, :event) AS hears FROM notification_targets
    WHERE is_active AND kind = 'webhook' AND generation < :now ORDER BY id FOR UPDATE SKIP LOCKED
""")
_CHANGES: Final = text("""
    SELECT generation, table_name, row_id, total FROM (
        SELECT generation, table_name, row_id, count(*) OVER (PARTITION BY generation) AS total,
            row_number() OVER (PARTITION BY generation ORDER BY table_name, row_id) AS place
        FROM settings_changes WHERE generation > :after AND generation <= :until
    ) numbered WHERE place <= :most ORDER BY generation, table_name, row_id
""")
_INSERT: Final = text("""
    INSERT INTO notification_deliveries (target_id, event, webhook_id, generation, payload, created_at, next_at)
    VALUES (:target, :event, :webhook_id, :generation, CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp())
""")


def fan_out(session: Session) -> int:
    """Write what the webhooks that are behind are to be sent, of :data:`AT_ONCE` generations at most; returns how many messages.

    A webhook that somebody else holds, an admin or another process, is left for the next time.
    """
    now: int = session.scalar(text("SELECT generation FROM settings_generation")) or 0
    behind = [Behind(*row) for row in session.execute(_BEHIND, {"event": CHANGED, "now": now})]
    written = 0
    for group in _alike(behind):
        after = group[0].told
        if now - after > MOST_BEHIND:
            until = now
            messages = {now: _skipped(session, after, now)}
        else:
            until = min(now, after + AT_ONCE)
            messages = _messages(session, after, until)
        hearing = [one.id for one in group if one.hears]
        rows = [
            {
                "target": target,
                "event": CHANGED,
                "webhook_id": webhook.new_id(),
                "generation": generation,
                "payload": json.dumps(message, ensure_ascii=False),
            }
            for target in hearing
            for generation, message in messages.items()
        ]
        if rows:
            session.execute(_INSERT, rows)
        session.execute(
            text("UPDATE notification_targets SET generation = :until WHERE id = ANY(:ids)"),
            {"until": until, "ids": [one.id for one in group]},
        )
        written += len(rows)
    return written


def _alike(behind: Iterable[Behind]) -> list[list[Behind]]:
    """Return the webhooks in groups of those that were told alike: what is read for one is there for the others."""
    groups: dict[int, list[Behind]] = {}
    for one in behind:
        groups.setdefault(one.told, []).append(one)
    return list(groups.values())


def _messages(session: Session, after: int, until: int) -> dict[int, dict[str, Any]]:
    """Return generation -> message, of each generation behind *after* up to *until*."""
    found = session.execute(_CHANGES, {"after": after, "until": until, "most": MOST_CHANGES}).all()
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for table in {row.table_name for row in found}:
        ids = {row.row_id for row in found if row.table_name == table}
        rows |= {(table, number): row for number, row in _described(session, table, ids).items()}
    messages = {}
    for generation in range(after + 1, until + 1):
        of_it = [row for row in found if row.generation == generation]
        changes = [_change(row, rows.get((row.table_name, row.row_id))) for row in of_it]
        total = of_it[0].total if of_it else None  # a TRUNCATE, or so long ago that it is not known any more
        messages[generation] = _message(generation, generation - 1, changes, total)
    return messages


def _skipped(session: Session, after: int, until: int) -> dict[str, Any]:
    """Return the one message of more generations than are told of one by one."""
    del session
    return _message(until, after, [], None)


def _message(generation: int, since: int, changes: Sequence[Mapping[str, Any]], total: int | None) -> dict[str, Any]:
    listed, size = [], 0
    for change in changes:
        size += len(json.dumps(change, ensure_ascii=False).encode())
        if size > MOST_BYTES:
            break
        listed.append(change)
    at = max((change["at"] for change in listed if change["at"]), default=None)
    return {
        "type": CHANGED,
        "timestamp": at or datetime.now(UTC).isoformat(),
        "data": {"generation": generation, "since": since, "total": total, "changes": listed, "comment": None},
    }


def _change(row: Any, found: Mapping[str, Any] | None) -> dict[str, Any]:
    change: dict[str, Any] = {"table": row.table_name, "name": None, "fields": [], "by": None, "at": None}
    if found is not None:  # else it is deleted, or no row of a table that says more
        change |= found
    return change


def _described(session: Session, table: str, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return id -> name, changed fields, by whom and when, of the rows that are there."""
    known = METADATA.tables.get(table)
    if known is None or "id" not in known.c:
        return {}
    name = _NAMES.get(table, "NULL::text")
    stamps = "NULL::text AS by, NULL::timestamptz AS at, NULL::jsonb AS fields, 0 AS version"
    if set(known.c.keys()) >= _STAMPED:
        stamps = "updated_by AS by, updated_at AS at, field_changes AS fields, version"
    query = text(f"SELECT id, {name} AS name, {stamps} FROM {table} t WHERE id = ANY(:ids)")  # noqa: S608 - our own words
    return {row.id: _words(row) for row in session.execute(query, {"ids": list(ids)})}


def _words(row: Any) -> dict[str, Any]:
    fields = sorted(
        name for name, change in (row.fields or {}).items() if change.get("version", row.version) == row.version
    )
    return {
        "name": None if row.name is None else scrub(row.name[:_LONGEST_NAME]),
        "fields": fields[:MOST_FIELDS],
        "by": None if row.by is None else scrub(row.by[:_LONGEST_NAME]),
        "at": None if row.at is None else row.at.astimezone(UTC).isoformat(),
    }
