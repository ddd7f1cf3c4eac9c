"""The figures of calls that the log alone can tell apart: those of an organisation, or of a feature.

The tables of figures have neither: with each organisation they would grow by as many rows. So the calls themselves are added
up, found by an index and so many at most; see docs/decisions/usage-by-scope.md.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

ADDED_UP: Final = 300_000
"""So many calls are added up at most, the newest: a second's work."""
_NAMED: Final = 10_000
"""In so many of the newest calls of an organisation names are looked for."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SLOT: Final = timedelta(minutes=5)


class CallScope(NamedTuple):
    """Whose calls; one of the two at least is not None."""

    organization: int | None
    feature: str | None

    @property
    def key(self) -> str:
        """The condition whose index finds them."""
        return _CONDITIONS["feature" if self.organization is None else "organization"]


_CONDITIONS: Final = {"organization": "organization_id = :organization", "feature": "feature = :feature"}

_BEGINS: Final = """
    SELECT at FROM llm_logs WHERE {key} AND at >= :begins ORDER BY at DESC, id DESC OFFSET :most LIMIT 1
"""

# Columns and buckets as llm_add_usage() makes them
_PARTS: Final = """
    SELECT at AS slot, {by}, status, floor(ln(greatest(latency_ms, 1)::float8) / ln(1.1::float8))::smallint AS latency_bucket,
        1 AS calls, (cost IS NOT NULL)::int AS priced, coalesce(input_tokens, 0) AS input_tokens,
        coalesce(output_tokens, 0) AS output_tokens, coalesce(cost, 0) AS cost, (adjusted > 0)::int AS adjusted
    FROM llm_logs WHERE {conditions}
"""

_NAMES: Final = """
    WITH newest AS MATERIALIZED (
        SELECT provider, model, feature FROM llm_logs WHERE organization_id = :organization
        ORDER BY at DESC, id DESC LIMIT :most
    )
    {each}
"""
_EACH: Final = """
    SELECT ARRAY(SELECT DISTINCT {name} FROM newest WHERE {name} IS NOT NULL ORDER BY 1 LIMIT :limit) AS {name}
"""


def slot_of(at: datetime) -> datetime:
    """Return when the five minutes of *at* began."""
    return at - (at - _EPOCH) % _SLOT


def begins(session: Session, scope: CallScope, since: datetime) -> datetime | None:
    """Return the time before which no call is added up, as there are :data:`ADDED_UP` since; None: *since* is near enough.

    Of an organisation and a feature together it is where the organisation's calls are too many.
    """
    query = text(_BEGINS.format(key=scope.key))
    given = {**scope._asdict(), "begins": slot_of(since), "most": ADDED_UP}
    found: datetime | None = session.scalar(query, given)
    return found


def parts(by: str, scope: CallScope, *, of_provider: bool) -> str:
    """Return the query for the figures of each call of *scope* since ``:begins``, as those of the tables.

    Args:
        by: The column that they are told apart by.
        scope: Whose calls; they are parameters ``:organization`` and ``:feature``.
        of_provider: Whether of ``:provider`` alone.
    """
    wanted = ["at >= :begins", *(_CONDITIONS[name] for name, value in scope._asdict().items() if value is not None)]
    if of_provider:
        wanted.append("provider = :provider")
    return _PARTS.format(by=by, conditions=" AND ".join(wanted))


def names(session: Session, organization_id: int, limit: int) -> list[list[str]]:
    """Return the providers, the models and the features that occur in the newest calls of an organisation, *limit* of each."""
    columns = ("provider", "model", "feature")
    each = "SELECT " + ", ".join(_EACH.format(name=name).strip().removeprefix("SELECT ") for name in columns)
    found = session.execute(
        text(_NAMES.format(each=each)), {"organization": organization_id, "most": _NAMED, "limit": limit}
    )
    return [list(value) for value in found.one()]
