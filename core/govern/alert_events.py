"""What receivers are told of alerts: each is handed to the outbox once, a second or two after the money that made it.

Who hears of its kind when it is handed over gets it; a receiver that is made, or switched on, later hears of later ones.
"""

import json
from datetime import UTC
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ..calling import webhook
from . import alert_words

EVENT_OF: Final = {
    "threshold": "budget.threshold",
    "unpriced": "budget.unpriced",
    "presumed": "budget.presumed",
    "forecast": "budget.forecast",
    "spike": "spend.spike",
}
"""Kind -> the type of event; of what is not here nobody is told: a message that cannot be sent is told by none."""
AT_ONCE: Final = 100
LATE: Final = "1 day"
"""An alert that waited so long, as no process sent anything, is news no more."""
WAITING: Final = text("SELECT EXISTS (SELECT 1 FROM llm_alerts WHERE told_at IS NULL)")
_TAKE: Final = text(f"""
    UPDATE llm_alerts a SET told_at = clock_timestamp() FROM (
        SELECT id FROM llm_alerts WHERE told_at IS NULL ORDER BY id LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED
    ) next WHERE a.id = next.id
    RETURNING a.id, a.kind, a.threshold, a.facts, a.at, a.budget_id, a.organization_id, a.period_id, a.at < clock_timestamp() - interval '{LATE}' AS late
""")  # noqa: S608 - our own words
_ABOUT: Final = text("""
    SELECT a.id, b.name, b.period, b.time_zone, p.starts_at, p.ends_at, o.slug AS organization, f.name AS feature, v.name AS provider
    FROM llm_alerts a LEFT JOIN org_llm_budgets b ON b.id = a.budget_id LEFT JOIN llm_budget_periods p ON p.id = a.period_id
    LEFT JOIN organizations o ON o.id = a.organization_id LEFT JOIN llm_features f ON f.id = b.feature_id
    LEFT JOIN llm_providers v ON v.id = b.provider_id WHERE a.id = ANY(:ids)
""")
_INSERT: Final = text("""
    INSERT INTO notification_deliveries (target_id, event, webhook_id, payload, created_at, next_at)
    SELECT t.id, :event, :webhook_id || '_' || t.id, CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp()
    FROM notification_targets t WHERE t.is_active AND jsonb_exists(t.events, :event)
""")


def fan_out_alerts(session: Session) -> int:
    """Write what is to be sent of new alerts, of :data:`AT_ONCE` at most; returns how many alerts it was.

    An alert that another process has taken is left to it.
    """
    taken: list[Any] = sorted(session.execute(_TAKE), key=lambda row: row.id)
    about = {row.id: row for row in session.execute(_ABOUT, {"ids": [row.id for row in taken]})} if taken else {}
    for row in taken:
        event = EVENT_OF.get(row.kind)
        if event is not None and "told_with" not in row.facts and not row.late:
            payload = json.dumps(message_of_alert(row, about[row.id], event), ensure_ascii=False)
            session.execute(_INSERT, {"event": event, "webhook_id": webhook.new_id(), "payload": payload})
    return len(taken)


def message_of_alert(row: Any, about: Any, event: str) -> dict[str, Any]:
    """Return what is sent of an alert: facts of the budget, and words. No prompt and no user is in it."""
    facts = row.facts
    data: dict[str, Any] = {"alert": row.id, "organization": about.organization}
    data["text"] = alert_words.words_of_alert(row.kind, facts, row.at, about.name or "", about.ends_at)
    if about.name is None:
        return _enveloped(event, row, data | facts)
    data |= {
        "budget": about.name,
        "scope": " · ".join(filter(None, (about.organization, about.feature, about.provider))) or "everything",
        "period": {
            "kind": about.period,
            "starts": about.starts_at.astimezone(UTC).isoformat(),
            "ends": None if about.ends_at is None else about.ends_at.astimezone(UTC).isoformat(),
            "zone": about.time_zone,
        },
        "threshold": row.threshold,
        "crossed": facts.get("crossed"),
        "spent": _plain(facts["spent"]),
        "limit": _plain(str(alert_words.allowed_of(facts))),
        "forecast": facts.get("forecast"),
        "unpriced": facts["unpriced"],
    }
    return _enveloped(event, row, data)


def _enveloped(event: str, row: Any, data: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in data.items() if value is not None}
    return {"type": event, "timestamp": row.at.astimezone(UTC).isoformat(), "data": said}


def _plain(amount: str) -> str:
    return format(Decimal(amount).normalize(), "f")
