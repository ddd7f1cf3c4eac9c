"""How old API keys are: those that ``LLM_KEY_MAX_AGE_DAYS`` calls too old, and who is told of one 14 days before, once."""

import json
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..calling import webhook
from ..config import get_config, key_max_age
from ..store.db import Transact

BEFORE_DAYS: Final = 14
"""So long before a key is too old somebody is told."""
EVENT: Final = "key.age"
"""The type of the event."""
AT_ONCE: Final = 500
"""Keys that one transaction tells of."""


class KeyAge(NamedTuple):
    """A stored API key."""

    table_name: str
    row_id: int
    provider: str
    organization: str | None
    """Whose own key it is; None: the installation's."""
    set_at: datetime
    """Of a key that another program wrote without saying when: since when its row is there."""
    ends: datetime
    """When it is, or was, too old."""
    too_old: bool


_KEYS: Final = """
    SELECT k.*, k.set_at + make_interval(days => :days) AS ends,
        k.set_at + make_interval(days => :days) <= clock_timestamp() AS too_old
    FROM (
        SELECT 'llm_providers' AS table_name, p.id AS row_id, p.name AS provider, NULL AS organization,
            coalesce(p.api_key_set_at, p.created_at) AS set_at
        FROM llm_providers p WHERE coalesce(p.api_key_encrypted, '') <> ''
        UNION ALL
        SELECT 'organization_providers', w.id, p.name, o.slug, coalesce(w.api_key_set_at, w.created_at)
        FROM organization_providers w JOIN llm_providers p ON p.id = w.provider_id
        JOIN organizations o ON o.id = w.organization_id AND o.deleted_at IS NULL
        WHERE coalesce(w.api_key_encrypted, '') <> ''
    ) k WHERE k.set_at <= clock_timestamp() - make_interval(days => :from_days)
"""
_OLD: Final = text(f"{_KEYS} ORDER BY k.set_at, k.provider, k.organization")
_COUNT: Final = text(f"SELECT count(*) FROM ({_KEYS}) old")  # noqa: S608 - our own words
_NEWS: Final = text(f"""
    WITH news AS (
        SELECT f.* FROM ({_KEYS}) f WHERE NOT EXISTS (
            SELECT 1 FROM key_notices n WHERE n.table_name = f.table_name AND n.row_id = f.row_id AND n.set_at = f.set_at
        ) ORDER BY f.set_at LIMIT {AT_ONCE}
    ), noted AS (
        INSERT INTO key_notices (table_name, row_id, set_at) SELECT table_name, row_id, set_at FROM news
        ON CONFLICT DO NOTHING RETURNING table_name, row_id
    ) SELECT news.* FROM news JOIN noted USING (table_name, row_id) ORDER BY set_at, provider, organization
""")  # noqa: S608 - our own words
_FORGET: Final = text("""
    DELETE FROM key_notices n WHERE NOT EXISTS (
        SELECT 1 FROM llm_providers p WHERE n.table_name = 'llm_providers' AND p.id = n.row_id
            AND coalesce(p.api_key_set_at, p.created_at) = n.set_at
        UNION ALL
        SELECT 1 FROM organization_providers w WHERE n.table_name = 'organization_providers' AND w.id = n.row_id
            AND coalesce(w.api_key_set_at, w.created_at) = n.set_at
    )
""")
_INSERT: Final = text("""
    INSERT INTO notification_deliveries (target_id, event, webhook_id, payload, created_at, next_at)
    SELECT t.id, :event, :webhook_id || '_' || t.id, CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp()
    FROM notification_targets t WHERE t.is_active AND jsonb_exists(t.events, :event)
""")


def too_old(session: Session, actor: Actor) -> list[KeyAge]:
    """Return the stored API keys that are too old, the oldest first, of organisations too; none where no age is set.

    Raises:
        Forbidden: To all but admins.
        BadConfig: If LLM_KEY_MAX_AGE_DAYS is no number of days.
    """
    require(session, actor, "keys.ages")
    days = key_max_age(get_config())
    if days is None:
        return []
    return [KeyAge(*row) for row in session.execute(_OLD, {"days": days, "from_days": days})]


def count_too_old(session: Session) -> int:
    """Return how many API keys are too old. Of a metric: no right is asked for."""
    days = key_max_age(get_config())
    return 0 if days is None else session.scalar(_COUNT, {"days": days, "from_days": days}) or 0


def tell(transact: Transact) -> int:
    """Tell of the keys that are too old, or are within :data:`BEFORE_DAYS`, once each; return of how many. Periodic work.

    Who hears of it then gets a message for each key. A key that is changed is another one: it is told of in its own time.
    """
    days = key_max_age(get_config())
    if days is None:
        return 0
    transact(_forget)
    told = found = transact(lambda session: _tell(session, days))
    while found == AT_ONCE:
        found = transact(lambda session: _tell(session, days))
        told += found
    return told


def _forget(session: Session) -> None:
    session.execute(_FORGET)


def _tell(session: Session, days: int) -> int:
    news = [KeyAge(*row) for row in session.execute(_NEWS, {"days": days, "from_days": max(days - BEFORE_DAYS, 0)})]
    for key in news:
        payload = json.dumps(_message(key, days), ensure_ascii=False)
        session.execute(_INSERT, {"event": EVENT, "webhook_id": webhook.new_id(), "payload": payload})
    return len(news)


def _message(key: KeyAge, days: int) -> dict[str, Any]:
    said = {
        "provider": key.provider,
        "organization": key.organization,
        "set": key.set_at.astimezone(UTC).isoformat(),
        "ends": key.ends.astimezone(UTC).isoformat(),
        "max_age_days": days,
    }
    now = datetime.now(UTC)
    return {"type": EVENT, "timestamp": now.isoformat(), "data": {k: v for k, v in said.items() if v is not None}}
