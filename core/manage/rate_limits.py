"""Rate limits on calls: how many go to vendors. Kept by admins; they are kept to by the processes that call."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..errors import AlreadyExists, Invalid, NotFound
from ..store import violations
from ..store.organization_tables import LlmFeature, Organization
from ..store.rate_schemas import RateLimitInput
from ..store.rate_tables import LlmRateHour, LlmRateLevel, LlmRateLimit
from ..store.schemas import could_be_id, validate
from ..store.table import id_of
from ..store.tables import LlmProvider
from ..store.versions import refuse_stale
from .scopes import SettingsScope, named

FIELDS: Final = tuple(RateLimitInput.model_fields)
MOST_HOURS: Final = 24 * 31
MOST_VENDORS: Final = 20
"""Keys and models that are shown beside a rate limit."""
_HOURS: Final = text(
    "SELECT rate_limit_id, sum(requests), sum(tokens), sum(waited), sum(waited_ms), sum(refused), max(peak_requests),"
    " max(peak_tokens), max(peak_places) FROM llm_rate_hours"
    " WHERE rate_limit_id = ANY(:ids) AND slot >= date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour'"
    " GROUP BY rate_limit_id"
)
_VENDORS: Final = text(
    "SELECT r.id, said.* FROM llm_rate_limits r CROSS JOIN LATERAL ("
    "SELECT p.name, v.model, v.fingerprint, v.requests, coalesce(v.tokens, v.input_tokens + v.output_tokens) AS tokens,"
    " CASE WHEN v.closed_until > clock_timestamp() THEN v.closed_until END, v.heard_at"
    " FROM llm_vendor_rates v JOIN llm_providers p ON p.id = v.provider_id"
    " WHERE (r.provider_id IS NULL OR v.provider_id = r.provider_id) AND (r.model IS NULL OR v.model = r.model)"
    " ORDER BY v.requests NULLS LAST, tokens NULLS LAST, p.name, v.model, v.fingerprint LIMIT :most) said"
    " WHERE r.id = ANY(:ids) ORDER BY r.id, said.requests NULLS LAST, said.tokens NULLS LAST, said.name, said.model, said.fingerprint"
)


class LastHour(NamedTuple):
    """What counted against a rate limit in the hour that is now and the one before."""

    requests: int
    tokens: int
    waited: int
    """Calls that waited for room."""
    waited_ms: int
    refused: int
    peak_requests: int
    """The most of a minute, as the next."""
    peak_tokens: int
    peak_places: int
    """The most calls at once."""


class VendorSays(NamedTuple):
    """What a vendor said that it allows one key for one model, a minute; None: it did not say."""

    provider: str
    model: str
    fingerprint: str
    """Of the key."""
    requests: int | None
    tokens: int | None
    """In all, or the input and the output together where it counts these."""
    closed_until: datetime | None
    """Until then it lets nothing through; None: it does."""
    heard_at: datetime


class RateLimitNow(NamedTuple):
    """A rate limit, what it is for, and what counted against it."""

    row: LlmRateLimit
    scope: str
    """In words: ``acme · summarise · openai · gpt-5.1``, or ``everything``."""
    in_use: int = 0
    """Calls that were under way when processes last spoke."""
    hour: LastHour | None = None
    """None: nothing counted."""
    vendor: tuple[VendorSays, ...] = ()
    """What vendors allow, where processes with rate limits were told: of its provider and model, the lowest first."""

    @property
    def above(self) -> VendorSays | None:
        """What a vendor allows less than this rate limit does, if it names that provider; None: nothing is known to be."""
        if self.row.provider_id is None:
            return None
        for says in self.vendor:
            pairs = ((self.row.requests_per_minute, says.requests), (self.row.tokens_per_minute, says.tokens))
            if any(ours is not None and theirs is not None and ours > theirs for ours, theirs in pairs):
                return says
        return None


def list_all(session: Session, actor: Actor) -> list[RateLimitNow]:
    """Return the rate limits by name; raises Forbidden unless *actor* is an admin or an analyst."""
    require(session, actor, "rate_limit.list", role="analyst")
    rows = session.exec(select(LlmRateLimit).order_by(col(LlmRateLimit.name))).all()
    return _all_now(session, rows)


def get(session: Session, actor: Actor, rate_limit_id: int) -> RateLimitNow:
    """Return a rate limit; raises Forbidden, NotFound."""
    require(session, actor, "rate_limit.list", role="analyst")
    row = session.get(LlmRateLimit, rate_limit_id, populate_existing=True) if could_be_id(rate_limit_id) else None
    if row is None:
        raise NotFound("rate limit", rate_limit_id)
    return _now(session, row)


def get_by_name(session: Session, actor: Actor, name: str) -> RateLimitNow:
    """Return the rate limit of that name; raises Forbidden, NotFound."""
    require(session, actor, "rate_limit.list", role="analyst")
    row = None
    if "\x00" not in name:
        row = session.exec(select(LlmRateLimit).where(LlmRateLimit.name == name)).one_or_none()
    if row is None:
        raise NotFound("rate limit", name[:100])
    return _now(session, row)


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> RateLimitNow:
    """Make a rate limit; *data* is a :class:`~core.store.rate_schemas.RateLimitInput`. In force within a second or two.

    Raises:
        Forbidden, NotFound, Invalid: As everywhere.
        AlreadyExists: If the name is taken, or an active rate limit has the scope.
    """
    require(session, actor, "rate_limit.create")
    wanted = _checked(session, actor, "rate_limit.create", data)
    row = LlmRateLimit(**wanted)
    session.add(row)
    _flush(session, row)
    _record(session, actor, "rate_limit.create", row, before={}, after=wanted)
    return _now(session, row)


def update(
    session: Session, actor: Actor, rate_limit_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> RateLimitNow:
    """Change a rate limit; raises Forbidden, NotFound, Invalid, Conflict, AlreadyExists."""
    require(session, actor, "rate_limit.update")
    row = _locked(session, rate_limit_id)
    refuse_stale("rate limit", row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    wanted = _checked(session, actor, "rate_limit.update", {**before, **patch})
    for name, value in wanted.items():
        if value != before[name]:
            setattr(row, name, value)
    _flush(session, row)
    if wanted != before:
        _record(session, actor, "rate_limit.update", row, before=before, after=wanted)
    return _now(session, row)


def delete(session: Session, actor: Actor, rate_limit_id: int, *, version: int | None = None) -> str:
    """Delete a rate limit, and return its name; raises Forbidden, NotFound, Conflict."""
    require(session, actor, "rate_limit.delete")
    row = _locked(session, rate_limit_id)
    refuse_stale("rate limit", row, version, {})
    before, name = row.model_dump(include=set(FIELDS)), row.name
    session.delete(row)
    session.flush()
    _record(session, actor, "rate_limit.delete", row, before=before, after={})
    return name


def _checked(session: Session, actor: Actor, action: str, data: Mapping[str, Any]) -> dict[str, Any]:
    wanted = validate(RateLimitInput, data)
    scope = SettingsScope(wanted.provider_id, wanted.organization_id, wanted.feature_id)
    of = named(session, actor, action, scope)
    if of.organization is not None and of.organization.kind != "organization":
        raise Invalid({"organization_id": "must be an organisation's: a template calls nobody"})
    return wanted.model_dump()


def _now(session: Session, row: LlmRateLimit) -> RateLimitNow:
    return _all_now(session, [row])[0]


def _all_now(session: Session, rows: Sequence[LlmRateLimit]) -> list[RateLimitNow]:
    """Return how rate limits stand, by as many queries for many as for one."""
    named_by: dict[str, dict[int, str]] = {}
    for column, model, name in (
        ("organization_id", Organization, Organization.slug),
        ("feature_id", LlmFeature, LlmFeature.name),
        ("provider_id", LlmProvider, LlmProvider.name),
    ):
        wanted = {getattr(row, column) for row in rows} - {None}
        found: Any = session.exec(select(model.id, name).where(col(model.id).in_(wanted))) if wanted else ()
        named_by[column] = dict(tuple(each) for each in found)
    of = {"ids": [id_of(row) for row in rows]}
    levels = select(LlmRateLevel.rate_limit_id, LlmRateLevel.in_use).where(
        col(LlmRateLevel.rate_limit_id).in_(of["ids"])
    )
    standing_now: Any = session.exec(levels)
    in_use: dict[int, int] = dict(tuple(each) for each in standing_now)
    last = {each[0]: LastHour(*map(int, each[1:])) for each in session.execute(_HOURS, of)}
    vendors: dict[int, list[VendorSays]] = {}
    for number, *says in session.execute(_VENDORS, {**of, "most": MOST_VENDORS}):
        vendors.setdefault(number, []).append(VendorSays(*says))
    standing = []
    for row, number in zip(rows, of["ids"], strict=True):
        parts = [names.get(getattr(row, column)) for column, names in named_by.items()]
        scope = " · ".join(filter(None, [*parts, row.model])) or "everything"
        told = (in_use.get(number, 0), last.get(number), tuple(vendors.get(number, ())))
        standing.append(RateLimitNow(row, scope, *told))
    return standing


def hours(session: Session, actor: Actor, rate_limit_id: int, *, limit: int = MOST_HOURS) -> list[LlmRateHour]:
    """Return what counted against a rate limit by the hour, the newest first; 30 days are kept. Raises Forbidden, NotFound."""
    get(session, actor, rate_limit_id)
    found = select(LlmRateHour).where(LlmRateHour.rate_limit_id == rate_limit_id)
    return list(session.exec(found.order_by(col(LlmRateHour.slot).desc()).limit(limit)))


def _locked(session: Session, rate_limit_id: int) -> LlmRateLimit:
    row = None
    if could_be_id(rate_limit_id):
        row = session.get(LlmRateLimit, rate_limit_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("rate limit", rate_limit_id)
    return row


def _flush(session: Session, row: LlmRateLimit) -> None:
    violations.flush(session, AlreadyExists("rate limit", f"{row.name} (of this name, or for this scope)"))
    session.refresh(row)


def _record(
    session: Session,
    actor: Actor,
    action: str,
    row: LlmRateLimit,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    changes = changes_between(before, after, FIELDS)
    record(session, actor, action, Target("rate_limit", row.id, row.name), changes, organization=row.organization_id)
