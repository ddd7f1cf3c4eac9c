"""Alerts that need time: what a period will cost, an hour unlike the others, messages that cannot be sent. Periodic work.

Each is over by itself when it is. Alerts of periods that ended, where nobody called since, are resolved here too.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..config import get_config, spike_limits
from ..store.db import Transact

SINCE: Final = timedelta(days=3)
SHARE: Final = Decimal("0.1")
"""A forecast is made from 3 days of a period on, and from a tenth of it on; of a day from a tenth on."""
WEEKS: Final = 7
"""So many of the same weekday count, at most."""
BACK: Final = Decimal("0.95")
"""A forecast is over once it is this much of the limit: at the limit itself it would come and go."""
KEEP_DAYS: Final = 400
"""So long a resolved alert is listed."""
_DAY: Final = timedelta(days=1)

_PERIODS: Final = text("""
    SELECT b.id, b.organization_id, f.name AS feature, v.name AS provider, p.id AS period_id, p.starts_at, p.ends_at, p.amount,
        p.carried, p.topped_up, p.spent, p.estimated, p.unpriced, b.forecast AND b.is_active AS wanted,
        b.time_zone, clock_timestamp() AS now
    FROM llm_budget_periods p JOIN org_llm_budgets b ON b.id = p.budget_id
    LEFT JOIN llm_features f ON f.id = b.feature_id LEFT JOIN llm_providers v ON v.id = b.provider_id
    WHERE p.closed_at IS NULL AND p.ends_at > clock_timestamp() AND p.starts_at <= clock_timestamp()
        AND ((b.forecast AND b.is_active AND p.spent > 0) OR p.id = ANY(:held))
""")
_WEEKDAYS: Final = text("""
    SELECT organization_id, feature, provider, extract(isodow FROM slot AT TIME ZONE 'UTC')::integer AS weekday, sum(cost) AS cost,
        min(slot) AS first
    FROM llm_spend WHERE slot >= date_trunc('day', clock_timestamp(), 'UTC') - interval '49 days'
        AND slot < date_trunc('day', clock_timestamp(), 'UTC') GROUP BY 1, 2, 3, 4
""")
_CLEAR: Final = text("""
    UPDATE llm_alerts SET cleared_at = clock_timestamp(), state = 'resolved', resolved_at = coalesce(resolved_at, clock_timestamp())
    WHERE id = ANY(:ids)
""")
_MAKE: Final = text("""
    INSERT INTO llm_alerts (at, budget_id, period_id, organization_id, kind, occurrence, facts)
    SELECT clock_timestamp(), :budget, CAST(:period AS bigint), :organization, :kind,
        1 + coalesce(max(occurrence), 0), CAST(:facts AS jsonb)
    FROM llm_alerts WHERE kind = :kind AND period_id IS NOT DISTINCT FROM CAST(:period AS bigint)
""")
_FORECAST: Final = text("""
    INSERT INTO llm_alerts (at, budget_id, period_id, organization_id, kind, occurrence, facts)
    SELECT clock_timestamp(), t.budget, t.period, t.organization, 'forecast', 1 + coalesce(a.last, 0), t.facts || jsonb_build_object('spent_on', to_char(t.full_at AT TIME ZONE t.zone, t.form))
    FROM jsonb_to_recordset(CAST(:found AS jsonb)) AS t(
        budget integer, period bigint, organization integer, facts jsonb, full_at timestamptz, zone text, form text
    ) LEFT JOIN (SELECT period_id, max(occurrence) AS last FROM llm_alerts WHERE kind = 'forecast' GROUP BY 1) a
        ON a.period_id = t.period
""")
"""All at once: a dear hour may be seen in the forecasts of thousands of budgets."""
_HOLD: Final = text(
    "SELECT id, period_id, organization_id, facts FROM llm_alerts WHERE kind = :kind AND cleared_at IS NULL"
)
_ENDED: Final = text("""
    SELECT a.id FROM llm_alerts a JOIN llm_budget_periods p ON p.id = a.period_id
    WHERE a.cleared_at IS NULL AND p.ends_at < clock_timestamp() - interval '1 minute' LIMIT 10000
""")
_OLD: Final = text("""
    DELETE FROM llm_alerts WHERE id IN (SELECT id FROM llm_alerts
        WHERE cleared_at < clock_timestamp() - make_interval(days => :days) AND state = 'resolved' LIMIT 10000)
""")
# The hour that runs, and the one before it: against the same hours of the four weeks before. Who has no two weeks of it is left out. Only those
# hours are read, and by whom anything was spent two weeks ago.
_SPIKES: Final = text("""
    WITH hours AS (
        SELECT h.slot, h.slot - make_interval(hours => 24 * d) AS other, d
        FROM (SELECT date_trunc('hour', clock_timestamp()) - make_interval(hours => back) AS slot FROM generate_series(0, 1) back) h,
            generate_series(0, 28) d
    ), spent AS (
        SELECT u.organization_id, h.slot, h.d, sum(u.cost) AS cost FROM hours h JOIN llm_spend u ON u.slot = h.other
        GROUP BY GROUPING SETS ((u.organization_id, h.slot, h.d), (h.slot, h.d))
    ), found AS (
        SELECT organization_id, slot, max(cost) FILTER (WHERE d = 0) AS cost, coalesce(max(cost) FILTER (WHERE d > 0), 0) AS usual
        FROM spent GROUP BY organization_id, slot
    ), known AS (
        SELECT organization_id, min(slot) AS first FROM llm_spend
        WHERE slot >= (SELECT min(slot) FROM hours) - interval '28 days' AND slot <= (SELECT max(slot) FROM hours) - interval '14 days'
        GROUP BY GROUPING SETS ((organization_id), ())
    )
    SELECT f.organization_id, o.slug, f.slot, f.cost, f.usual, f.cost > :times * f.usual AND f.cost > f.usual + :more AS is_spike
    FROM found f JOIN known k ON k.organization_id IS NOT DISTINCT FROM f.organization_id AND k.first <= f.slot - interval '14 days'
    LEFT JOIN organizations o ON o.id = f.organization_id
    WHERE f.cost IS NOT NULL AND f.organization_id IS DISTINCT FROM 0 AND (f.organization_id IS NULL OR o.id IS NOT NULL)
    ORDER BY f.slot
""")
_LATELY: Final = text("""
    SELECT organization_id FROM llm_alerts WHERE kind = 'spike' AND at > clock_timestamp() - interval '24 hours'
""")
_DELIVERY: Final = text("""
    SELECT id, name, kind, CASE WHEN NOT is_active THEN 'is switched off: ' || off_reason
        ELSE 'fails since ' || to_char(failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC' END AS why
    FROM notification_targets WHERE (NOT is_active AND off_reason IS NOT NULL)
        OR (is_active AND failing_since < clock_timestamp() - interval '4 minutes')
""")


class Weekdays(NamedTuple):
    """What a combination of organisation, feature and provider cost, by weekdays."""

    organization_id: int
    feature: str
    provider: str
    costs: dict[int, Decimal]
    first: datetime


def look_at_alerts(transact: Transact) -> int:
    """Make and resolve the alerts that need time; returns how many were made or resolved."""
    spent = transact(lambda session: _Keep(_weekdays(session))).kept
    done = transact(lambda session: _forecasts(session, spent))
    done += transact(_spikes)
    done += transact(_deliveries)
    done += transact(_tidied)
    return done


class _Keep(NamedTuple):
    """What a transaction read: it counts as no rows done."""

    kept: list[Weekdays]


def forecast_of(row: Any, means: Mapping[int, Decimal] | None) -> tuple[Decimal, datetime | None]:
    """Return what a period will have cost at its end, and when all that may be spent will be; None: not in it.

    Args:
        row: A period: ``now``, ``starts_at``, ``ends_at``, ``spent``, ``amount``, ``carried``, ``topped_up``.
        means: Weekday (Monday is 1) -> what such a day costs; None: it is not known, and the period's own pace counts.
    """
    limit, at, spent = row.amount + row.carried + row.topped_up, row.now.astimezone(UTC), row.spent
    pace = row.spent / max(Decimal((row.now - row.starts_at).total_seconds()), Decimal(1))
    full: datetime | None = None
    while at < row.ends_at:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        until = min(midnight, row.ends_at)
        seconds = Decimal((until - at).total_seconds())
        rate = pace if means is None else means.get(at.isoweekday(), Decimal(0)) / 86_400
        if full is None and rate and spent + rate * seconds >= limit:
            full = at + timedelta(seconds=float(max(limit - spent, Decimal(0)) / rate))
        spent += rate * seconds
        at = until
    return spent, full


def _weekdays(session: Session) -> list[Weekdays]:
    found: dict[tuple[int, str, str], Weekdays] = {}
    for row in session.execute(_WEEKDAYS):
        key = (row.organization_id, row.feature, row.provider)
        one = found.setdefault(key, Weekdays(*key, {}, row.first))
        one.costs[row.weekday] = row.cost
        found[key] = one._replace(first=min(one.first, row.first))
    return list(found.values())


def _means(row: Any, spent: Iterable[Weekdays]) -> dict[int, Decimal] | None:
    """Return what each weekday costs in a budget's scope; None where no whole week of it is known."""
    costs: dict[int, Decimal] = {}
    first: datetime | None = None
    for one in spent:
        if row.feature in {None, one.feature} and row.provider in {None, one.provider}:
            first = one.first if first is None else min(first, one.first)
            for weekday, cost in one.costs.items():
                costs[weekday] = costs.get(weekday, Decimal(0)) + cost
    weeks = 0 if first is None else min((row.now - first).days // 7, WEEKS)
    return {weekday: cost / weeks for weekday, cost in costs.items()} if weeks else None


def _forecasts(session: Session, spent: list[Weekdays]) -> int:
    of: dict[int, list[Weekdays]] = {}
    for one in spent:
        of.setdefault(one.organization_id, []).append(one)
    held = {alert.period_id for alert in session.execute(_HOLD, {"kind": "forecast"})}
    found: list[dict[str, Any]] = []
    over: set[int] = set()
    for row in session.execute(_PERIODS, {"held": list(held)}).all():
        limit = row.amount + row.carried + row.topped_up
        elapsed, length = row.now - row.starts_at, row.ends_at - row.starts_at
        begins = max(length * float(SHARE), SINCE if length > 2 * SINCE else timedelta(0))
        expected, full = Decimal(0), None
        if row.wanted and row.spent < limit and elapsed >= begins:
            within = spent if row.organization_id is None else of.get(row.organization_id, [])
            expected, full = forecast_of(row, _means(row, within) if length > _DAY * 2 else None)
        if full is not None and row.period_id not in held:
            found.append(_forecast(row, expected, full))
        elif row.period_id in held and expected < limit * BACK:
            over.add(row.period_id)
    if found:
        session.execute(_FORECAST, {"found": json.dumps(found)})
    return len(found) + _clear(session, "forecast", lambda alert: alert.period_id in over)


def _forecast(row: Any, expected: Decimal, full: datetime) -> dict[str, Any]:
    """Return an alert; when all is spent is said in the budget's zone: the day, and of a day's budget the hour."""
    facts = {name: str(getattr(row, name)) for name in ("spent", "estimated", "amount", "carried", "topped_up")}
    form = "HH24:MI" if row.ends_at - row.starts_at <= _DAY * 2 else "FMDD FMMonth"
    return {
        "budget": row.id,
        "period": row.period_id,
        "organization": row.organization_id,
        "facts": facts | {"unpriced": row.unpriced, "forecast": f"{expected:.2f}"},
        "full_at": full.isoformat(),
        "zone": row.time_zone,
        "form": form,
    }


def _spikes(session: Session) -> int:
    times, more = spike_limits(get_config())
    rows = session.execute(_SPIKES, {"times": times, "more": more}).all()
    lately = set(session.scalars(_LATELY))
    spiking = {row.organization_id: row for row in rows if row.is_spike}
    made = 0
    for organization, row in spiking.items():
        if organization not in lately:
            facts = {"of": row.slug or "All calls", "hour": row.slot.strftime("%Y-%m-%d %H:%M")}
            facts |= {"cost": str(row.cost), "usual": str(row.usual)}
            _make(session, "spike", facts, organization)
            made += 1
    return made + _clear(session, "spike", lambda alert: alert.organization_id not in spiking)


def _deliveries(session: Session) -> int:
    failing = {row.id: row for row in session.execute(_DELIVERY)}
    known = {alert.facts["target"] for alert in session.execute(_HOLD, {"kind": "delivery"})}
    for target, row in failing.items():
        if target not in known:
            facts = {"target": target, "name": row.name, "target_kind": row.kind, "why": row.why}
            _make(session, "delivery", facts)
    done = len(failing.keys() - known)
    return done + _clear(session, "delivery", lambda alert: alert.facts["target"] not in failing)


def _tidied(session: Session) -> int:
    ended = list(session.scalars(_ENDED))
    session.execute(_CLEAR, {"ids": ended})
    return len(ended) + int(session.execute(_OLD, {"days": KEEP_DAYS}).rowcount)  # type: ignore[attr-defined]  # a CursorResult


def _make(  # noqa: PLR0917 - as the columns stand
    session: Session,
    kind: str,
    facts: Mapping[str, Any],
    organization: int | None = None,
    budget: int | None = None,
    period: int | None = None,
) -> None:
    given = {"kind": kind, "organization": organization, "budget": budget, "period": period}
    session.execute(_MAKE, {**given, "facts": json.dumps(facts, ensure_ascii=False)})


def _clear(session: Session, kind: str, is_over: Any) -> int:
    ids = [alert.id for alert in session.execute(_HOLD, {"kind": kind}) if is_over(alert)]
    session.execute(_CLEAR, {"ids": ids})
    return len(ids)
