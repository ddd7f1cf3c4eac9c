"""What of the store wakes an operator: counts, sizes and ages, for Prometheus. No name of a user, a token or a key is in it."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from ..access import sign_in
from ..access.authority import is_live, token_is_live
from ..crypto import KeyRing
from ..manage import notifications
from ..store import sealed
from ..store.tables import ApiToken, AuthSession
from . import growth, jobs, key_ages, lifecycle

EXPIRES_SOON_DAYS: Final = 14
"""A token that ends within so many days is worth a warning."""
RECENT_MINUTES: Final = 15
"""Failed sign-ins within so many minutes are counted: the time that the throttle looks back over."""
MOST_PROVIDERS: Final = 50
"""So many providers have numbers of their own, those with the most calls; the others are added up."""
MOST_ENDS: Final = 100
"""So many providers have a number for the end of their model, those where it comes first."""
MOST_BUDGETS: Final = 100
"""So many budgets have numbers of their own, those that are nearest to their limit."""
MOST_RATE_LIMITS: Final = 100
"""So many rate limits on calls have numbers of their own, those that refused and held up most calls."""
OTHERS: Final = "(others)"
"""For those, and for names that no provider has any more; none can have this one."""


class Calls(NamedTuple):
    """Logged calls of the last hour."""

    provider: str
    status: str
    calls: int
    adjusted: int
    """Of them: something that somebody chose was not sent as it was."""


class Messages(NamedTuple):
    """Messages to webhooks, but for tests."""

    done: int
    """Within the last hour."""
    failed: int
    """Given up within the last hour."""
    waiting: int
    oldest: datetime | None
    """When the one that waits longest was written."""
    off: int
    """Webhooks that were switched off because nothing could be sent to them."""


class BudgetFigure(NamedTuple):
    """A budget's period that is now, in US dollars."""

    id: int
    spent: Decimal
    limit: Decimal


class RateLimitFigure(NamedTuple):
    """What counted against a rate limit on calls in the hour that is now and the one before."""

    id: int
    requests: int
    waited: int
    wait_seconds: float
    refused: int
    in_use: int
    """Calls that were under way when processes last spoke."""


class Figures(NamedTuple):
    """What was found."""

    generation: int
    """Of the store, which grows with every change of a provider."""
    database_size: int
    """Bytes."""
    tables: tuple[growth.TableSize, ...]
    jobs: tuple[jobs.JobState, ...]
    events: int
    """Of the audit, ever."""
    failed_sign_ins: int
    throttled: sign_in.Throttled
    live_sign_ins: int
    tokens: int
    """That hold now."""
    tokens_expiring: int
    next_expiry: datetime | None
    oldest_token: datetime | None
    without_key: int
    """Active providers that need an API key and have none."""
    keys: int
    """Stored API keys."""
    keys_idle: int
    """Those of providers that are not active."""
    oldest_key: datetime | None
    """When the oldest API key of an active provider was set."""
    keys_too_old: int
    """Stored API keys, of organisations too, that LLM_KEY_MAX_AGE_DAYS calls too old."""
    primary_since: datetime | None
    """When this database first met the primary encryption key."""
    calls: tuple[Calls, ...]
    messages: Messages
    """To webhooks."""
    ends: tuple[tuple[str, str, date], ...]
    """Provider, its default model, and the day on which that ends."""
    budgets: tuple[BudgetFigure, ...]
    """Those that are active, the most spent ones first."""
    leases: int
    """Parts of budgets that are lent to processes now."""
    rates: tuple[RateLimitFigure, ...]
    """Rate limits on calls that are active, those that refused most first."""


def read(session: Session, ring: KeyRing) -> Figures:
    """Return all of it, by look-ups that take as long at any number of logged calls. Opens nothing.

    Raises:
        StoreUnavailable: As everywhere.
    """
    now: Any = session.scalar(select(func.clock_timestamp()))  # a parameter: what is volatile is no bound for an index
    given = {"now": now, "failed": sign_in.FAILED, "minutes": RECENT_MINUTES, "primary": ring.primary_id or ""}
    counted = session.execute(_COUNTED, given).one()
    soon = col(ApiToken.expires_at) < func.clock_timestamp() + text(f"interval '{EXPIRES_SOON_DAYS} days'")
    expires, created = col(ApiToken.expires_at), col(ApiToken.created_at)
    of_tokens = select(func.count(), func.count().filter(soon), func.min(expires), func.min(created))
    tokens, expiring, next_expiry, oldest_token = session.execute(of_tokens.where(token_is_live())).one()
    return Figures(
        tables=tuple(growth.tables(session)),
        jobs=tuple(jobs.states(session)),
        throttled=sign_in.throttled(session),
        live_sign_ins=session.scalar(select(func.count()).select_from(AuthSession).where(is_live())) or 0,
        tokens=tokens,
        messages=Messages(*session.execute(_MESSAGES, {"now": now, "test": notifications.TEST}).one()),
        ends=tuple(lifecycle.ends(session, MOST_ENDS)),
        budgets=tuple(BudgetFigure(*row) for row in session.execute(_BUDGETS, {"now": now, "most": MOST_BUDGETS})),
        rates=tuple(RateLimitFigure(*row) for row in session.execute(_RATES, {"now": now, "most": MOST_RATE_LIMITS})),
        tokens_expiring=expiring,
        keys_too_old=key_ages.count_too_old(session),
        next_expiry=next_expiry,
        oldest_token=oldest_token,
        calls=tuple(
            Calls(*row) for row in session.execute(_CALLS, {"now": now, "most": MOST_PROVIDERS, "others": OTHERS})
        ),
        **counted._asdict(),
    )


def unreadable(session: Session, ring: KeyRing) -> int:
    """Return how many stored API keys *ring* cannot open; tries every one, some 30 µs each."""
    return sum(tried.state != "ok" for tried in sealed.open_all(session, ring))


_COUNTED: Final = text("""
    SELECT pg_database_size(current_database()) AS database_size,
        (SELECT count(*) FROM llm_leases WHERE expires_at > :now AND granted > 0) AS leases,
        (SELECT generation FROM settings_generation) AS generation, (SELECT seq FROM audit_head) AS events,
        (SELECT count(*) FROM audit_events WHERE action = :failed AND at > :now - make_interval(mins => :minutes)) AS failed_sign_ins,
        count(*) FILTER (WHERE is_active AND NOT has_key AND needs_key) AS without_key,
        count(*) FILTER (WHERE has_key) AS keys,
        count(*) FILTER (WHERE has_key AND NOT is_active) AS keys_idle,
        min(api_key_set_at) FILTER (WHERE has_key AND is_active) AS oldest_key,
        (SELECT created_at FROM encryption_canaries WHERE key_id = :primary) AS primary_since
    FROM (SELECT is_active, api_key_set_at, coalesce(api_key_encrypted, '') <> '' AS has_key, needs_key
        FROM llm_providers) found
""")
_MESSAGES: Final = text("""
    SELECT (SELECT count(*) FROM notification_deliveries WHERE done_at > :now - interval '1 hour' AND event <> :test),
        (SELECT count(*) FROM notification_deliveries WHERE failed_at > :now - interval '1 hour' AND event <> :test),
        count(*), min(created_at), (SELECT count(*) FROM notification_targets WHERE NOT is_active AND off_reason IS NOT NULL)
    FROM notification_deliveries WHERE done_at IS NULL AND failed_at IS NULL AND event <> :test
""")
_CALLS: Final = text("""
    WITH recent AS (
        SELECT coalesce(p.name, :others) AS provider, u.status, sum(u.calls) AS calls, sum(u.adjusted) AS adjusted
        FROM llm_usage u LEFT JOIN llm_providers p ON p.name = u.provider
        WHERE u.slot > :now - interval '1 hour' GROUP BY 1, 2
    ), most AS (
        SELECT provider FROM recent GROUP BY 1 ORDER BY sum(calls) DESC, provider LIMIT :most
    )
    SELECT coalesce(most.provider, :others), status, sum(calls)::bigint, sum(adjusted)::bigint
    FROM recent LEFT JOIN most USING (provider) GROUP BY 1, 2 ORDER BY 1, 2
""")
_BUDGETS: Final = text("""
    SELECT id, spent, allowed FROM (
        SELECT b.id, coalesce(p.spent, 0) AS spent, b.amount + coalesce(p.carried + p.topped_up, 0) AS allowed
        FROM org_llm_budgets b LEFT JOIN LATERAL (
            SELECT spent, carried, topped_up FROM llm_budget_periods
            WHERE budget_id = b.id AND starts_at <= :now AND (ends_at IS NULL OR ends_at > :now)
            ORDER BY starts_at DESC LIMIT 1
        ) p ON true WHERE b.is_active
    ) found ORDER BY spent / nullif(allowed, 0) DESC NULLS LAST, id LIMIT :most
""")
_RATES: Final = text("""
    SELECT r.id, coalesce(h.requests, 0)::bigint, coalesce(h.waited, 0)::bigint, coalesce(h.waited_ms, 0) / 1000.0,
        coalesce(h.refused, 0)::bigint, coalesce(v.in_use, 0)
    FROM llm_rate_limits r LEFT JOIN llm_rate_levels v ON v.rate_limit_id = r.id
        LEFT JOIN LATERAL (
            SELECT sum(requests) AS requests, sum(waited) AS waited, sum(waited_ms) AS waited_ms, sum(refused) AS refused
            FROM llm_rate_hours WHERE rate_limit_id = r.id AND slot >= date_trunc('hour', :now, 'UTC') - interval '1 hour'
        ) h ON true
    WHERE r.is_active ORDER BY h.refused DESC NULLS LAST, h.waited DESC NULLS LAST, r.id LIMIT :most
""")
