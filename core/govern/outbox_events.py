"""What receivers are told: of each generation of the settings, which rows changed, in which fields, by whom. No value is in it.

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
from ..redaction import shortened
from ..store.notification_tables import TARGET_KINDS

CHANGED: Final = "settings.changed"
"""The type of the event."""
MOST_CHANGES: Final = 100
"""Changed rows that one message lists."""
MOST_BYTES: Final = 16_384
"""Of its list of changes, as JSON: receivers take small messages, see the specification's *Payload size*."""
MOST_FIELDS: Final = 50
_LONGEST: Final = 500
"""Characters of a name or a comment."""
AT_ONCE: Final = 100
"""Generations that one transaction tells of."""
MOST_BEHIND: Final = 1_000
"""A webhook that is farther behind is told of all of them in one message: a reader reads everything anew then."""


class Behind(NamedTuple):
    """A webhook that has something to be told."""

    id: int
    told: int
    """The generation up to which it was."""
    hears: bool


_BEHIND: Final = text("""
    SELECT id, generation AS told, jsonb_exists(events, :event) AS hears FROM notification_targets
    WHERE is_active AND kind = ANY(:kinds) AND generation < :now ORDER BY id FOR UPDATE SKIP LOCKED
""").bindparams(kinds=list(TARGET_KINDS))
_GENERATIONS: Final = text("""
    SELECT g.generation, g.at, g.by, g.comment, (SELECT count(*) FROM settings_history h WHERE h.generation = g.generation) AS total
    FROM settings_generations g WHERE g.generation > :after AND g.generation <= :until
""")
# What people call a row is what its image says, with the names of what it belongs to: so for tables of later versions too. Of the
# images only the names of what differs leave the database.
_CHANGES: Final = text("""
    SELECT h.generation, h.table_name, h.op, h.by, h.at, nullif(concat_ws(' / ',
        (SELECT slug FROM organizations WHERE id = (one ->> 'organization_id')::integer),
        (SELECT name FROM llm_features WHERE id = (one ->> 'feature_id')::integer),
        (SELECT name FROM llm_providers WHERE id = (one ->> 'provider_id')::integer),
        CASE WHEN h.table_name = ANY(:scoped) AND one ->> 'provider_id' IS NULL THEN 'all providers' END,
        one ->> 'use', coalesce(one ->> 'slug', one ->> 'name', one ->> 'pattern')), '') AS name,
        CASE WHEN h.op = '-' THEN '{}' ELSE ARRAY(
            SELECT DISTINCT regexp_replace(key, '_set_at$', '') FROM jsonb_each(h.image) a
            FULL JOIN jsonb_each(coalesce(before.image, '{}')) b USING (key)
            WHERE a.value IS DISTINCT FROM b.value AND key <> 'id' ORDER BY 1 LIMIT :fields
        ) END AS fields
    FROM (
        SELECT *, row_number() OVER (PARTITION BY generation ORDER BY table_name, row_id) AS place
        FROM settings_history WHERE generation > :after AND generation <= :until
    ) h
    LEFT JOIN LATERAL (
        SELECT image FROM settings_history p WHERE p.table_name = h.table_name AND p.row_id = h.row_id
            AND p.generation < h.generation ORDER BY p.generation DESC LIMIT 1
    ) before ON true
    CROSS JOIN LATERAL (SELECT coalesce(h.image, before.image) AS one) image
    WHERE h.place <= :most ORDER BY h.generation, h.place
""")
_SCOPED: Final = ["llm_settings", "feature_llm_overrides"]
"""Tables of settings: a row without a provider is that of all of them."""
_OPS: Final = {"+": "added", "=": "changed", "-": "deleted"}
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
            messages = {now: _message(now, after, None, [])}
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
    span = {"after": after, "until": until}
    known = {row.generation: row for row in session.execute(_GENERATIONS, span)}
    changes: dict[int, list[dict[str, Any]]] = {}
    given = {**span, "most": MOST_CHANGES, "fields": MOST_FIELDS, "scoped": _SCOPED}
    for row in session.execute(_CHANGES, given):
        changes.setdefault(row.generation, []).append(_change(row))
    return {
        number: _message(number, number - 1, known.get(number), changes.get(number, []))
        for number in range(after + 1, until + 1)
    }


def _message(generation: int, since: int, known: Any, changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is sent of the generations behind *since* up to *generation*; *known* is what is kept of it, None: nothing."""
    listed: list[Mapping[str, Any]] = []
    size = 0
    for change in changes:
        size += len(json.dumps(change, ensure_ascii=False).encode())
        if size > MOST_BYTES:
            break
        listed.append(change)
    data = {
        "generation": generation,
        "since": since,
        "total": None if known is None else known.total,
        "changes": listed,
        "by": None if known is None else _short(known.by),
        "comment": None if known is None or known.comment is None else _short(known.comment),
    }
    at = datetime.now(UTC) if known is None else known.at.astimezone(UTC)
    return {"type": CHANGED, "timestamp": at.isoformat(), "data": data}


def _change(row: Any) -> dict[str, Any]:
    return {
        "table": row.table_name,
        "name": None if row.name is None else _short(row.name),
        "op": _OPS[row.op],
        "fields": row.fields,
        "by": _short(row.by),
        "at": row.at.astimezone(UTC).isoformat(),
    }


def _short(text_: str) -> str:
    return shortened(text_, _LONGEST)
