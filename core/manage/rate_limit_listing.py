"""Rate limits as a list shows them: each with what it is for, what counted against it lately, and what its vendor allows; a few queries, however many."""

from collections import defaultdict
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, or_, select

from ..access.authority import require
from ..actors import Actor
from ..errors import Invalid, NotFound
from ..store.organization_tables import LlmFeature, Organization
from ..store.rate_tables import LlmRateLevel, LlmRateLimit
from ..store.schemas import could_be_id
from ..store.table import id_of
from ..store.tables import LlmProvider
from .rate_limits import MOST_VENDORS, LastHour, RateLimitNow, VendorSays

RATE_STATES: Final = ("full", "above", "off")
"""What a list may be narrowed to: calls waited or were refused lately, more than the vendor allows, switched off."""
_MOST_FOUND: Final = 100
_FULL: Final = (
    "EXISTS (SELECT 1 FROM llm_rate_hours h WHERE h.rate_limit_id = llm_rate_limits.id"
    " AND h.slot >= date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour' AND h.waited + h.refused > 0)"
)
"""In the hour that is now and the one before, as :class:`~.rate_limits.LastHour`."""
_ABOVE: Final = (
    "EXISTS (SELECT 1 FROM llm_vendor_rates v WHERE v.provider_id = llm_rate_limits.provider_id"
    " AND (llm_rate_limits.model IS NULL OR v.model = llm_rate_limits.model)"
    " AND (llm_rate_limits.requests_per_minute > v.requests"
    " OR llm_rate_limits.tokens_per_minute > coalesce(v.tokens, v.input_tokens + v.output_tokens)))"
)
_HOURS: Final = text(
    "SELECT rate_limit_id, sum(requests), sum(tokens), sum(waited), sum(waited_ms), sum(refused), max(peak_requests),"
    " max(peak_tokens), max(peak_places) FROM llm_rate_hours WHERE rate_limit_id = ANY(:ids)"
    " AND slot >= date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour' GROUP BY 1"
)
_VENDORS: Final = text(
    "SELECT l.id, p.name, s.* FROM llm_rate_limits l JOIN llm_providers p ON p.id = l.provider_id CROSS JOIN LATERAL ("
    " SELECT v.model, v.fingerprint, v.requests, coalesce(v.tokens, v.input_tokens + v.output_tokens) AS tokens,"
    " CASE WHEN v.closed_until > clock_timestamp() THEN v.closed_until END AS closed_until, v.heard_at"
    " FROM llm_vendor_rates v WHERE v.provider_id = l.provider_id AND (l.model IS NULL OR v.model = l.model)"
    # one that allows less first, however many there are
    " ORDER BY coalesce(l.requests_per_minute > v.requests"
    " OR l.tokens_per_minute > coalesce(v.tokens, v.input_tokens + v.output_tokens), false) DESC,"
    " v.requests NULLS LAST, tokens NULLS LAST, v.model, v.fingerprint LIMIT :most) s WHERE l.id = ANY(:ids)"
)


class ListedRateLimit(NamedTuple):
    """A rate limit, and the names of what it is for."""

    now: RateLimitNow
    """Of vendors what the one says that it names, those first that allow less than it does; nothing where it names none."""
    organization: str | None
    """Slug."""
    feature: str | None
    provider: str | None


def page_of(
    session: Session,
    actor: Actor,
    *,
    organization_id: int | None = None,
    feature: str | None = None,
    provider: str | None = None,
    search: str = "",
    state: str | None = None,
    after: str = "",
    limit: int = 25,
) -> list[ListedRateLimit]:
    """Return rate limits by name.

    Args:
        session: The transaction.
        actor: An admin or analyst.
        organization_id: Those that name this organisation.
        feature: Those that name this feature.
        provider: Those that name this provider.
        search: What a name or a model has in it, whatever the case.
        state: One of :data:`RATE_STATES`; None: any.
        after: The name that the page before ended with.
        limit: 1 to 100.

    Raises:
        Forbidden: If the actor may not.
        Invalid: If there is no such state, or *limit* is out of range.
    """
    require(session, actor, "rate_limit.list", role="analyst")
    if not 1 <= limit <= _MOST_FOUND:
        raise Invalid({"limit": f"must be 1 to {_MOST_FOUND}"})
    query = _found()
    if organization_id is not None:
        query = query.where(LlmRateLimit.organization_id == organization_id)
    if feature is not None:
        query = query.where(LlmFeature.name == feature)
    if provider is not None:
        query = query.where(LlmProvider.name == provider)
    if search:
        part = search.replace("\x00", "")
        query = query.where(
            or_(*(col(of).icontains(part, autoescape=True) for of in (LlmRateLimit.name, LlmRateLimit.model)))
        )
    if state is not None:
        query = query.where(_state(state))
    if after:
        query = query.where(col(LlmRateLimit.name) > after.replace("\x00", ""))
    return _listed(session, query.order_by(col(LlmRateLimit.name)).limit(limit))


def one_of_them(session: Session, actor: Actor, rate_limit_id: int) -> ListedRateLimit:
    """Return a rate limit; raises Forbidden, NotFound."""
    require(session, actor, "rate_limit.list", role="analyst")
    found = _listed(session, _found().where(LlmRateLimit.id == rate_limit_id)) if could_be_id(rate_limit_id) else []
    if not found:
        raise NotFound("rate limit", rate_limit_id)
    return found[0]


def _state(state: str) -> Any:
    if state not in RATE_STATES:
        raise Invalid({"state": f"must be one of {', '.join(RATE_STATES)}"})
    return {"full": text(_FULL), "above": text(_ABOVE), "off": ~col(LlmRateLimit.is_active)}[state]


def _found() -> Any:
    columns: tuple[Any, ...] = (
        *(LlmRateLimit, Organization.slug, LlmFeature.name, LlmProvider.name),
        LlmRateLevel.in_use,
    )
    return (
        select(*columns)
        .outerjoin(Organization, col(Organization.id) == LlmRateLimit.organization_id)
        .outerjoin(LlmFeature, col(LlmFeature.id) == LlmRateLimit.feature_id)
        .outerjoin(LlmProvider, col(LlmProvider.id) == LlmRateLimit.provider_id)
        .outerjoin(LlmRateLevel, col(LlmRateLevel.rate_limit_id) == LlmRateLimit.id)
        .execution_options(populate_existing=True)
    )


def _listed(session: Session, query: Any) -> list[ListedRateLimit]:
    rows = session.execute(query).all()
    ids = {"ids": [id_of(row) for row, *_ in rows]}
    if not rows:
        return []
    hours = {number: LastHour(*map(int, of)) for number, *of in session.execute(_HOURS, ids)}
    vendors = defaultdict(list)
    for number, *said in session.execute(_VENDORS, {**ids, "most": MOST_VENDORS}):
        vendors[number].append(VendorSays(*said))
    found = []
    for row, slug, feature, provider, in_use in rows:
        number = id_of(row)
        scope = " · ".join(filter(None, (slug, feature, provider, row.model))) or "everything"
        now = RateLimitNow(row, scope, in_use or 0, hours.get(number), tuple(vendors[number]))
        found.append(ListedRateLimit(now, slug, feature, provider))
    return found
