"""The queries for logged calls by what is asked of them: each is answered by an index, or by way of the figures."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import DateTime, Text, asc, case, cast, desc, func, select, text, true, tuple_, union_all

from ..audit.record import storable
from ..calling.pseudonyms import logged_as
from ..store.organization_tables import Organization
from ..store.records import LlmLog, LlmUsage, LlmUsageDay
from .paging import RowPlace

SLOT: Final = timedelta(minutes=5)
"""What ``llm_usage`` adds up in one."""
DAY: Final = timedelta(days=1)
"""What ``llm_usage_days`` does; a span with such steps, or longer ones, is made of whole days."""

_LOGS: Any = getattr(LlmLog, "__table__")  # noqa: B009 - SQLModel does not declare it
_USAGE: Any = getattr(LlmUsage, "__table__")  # noqa: B009 - as above
_DAYS: Any = getattr(LlmUsageDay, "__table__")  # noqa: B009 - as above
_ORGANIZATIONS: Any = getattr(Organization, "__table__")  # noqa: B009 - as above


class CallFilters(NamedTuple):
    """Which calls; None lets all through."""

    provider: str | None = None
    model: str | None = None
    status: str | None = None
    user_id: str | None = None
    since: datetime | None = None
    organization_id: int | None = None
    feature: str | None = None
    cost_centre: str | None = None


def found(
    names: Iterable[str],
    filters: CallFilters,
    place: RowPlace | None,
    limit: int | None,
    *,
    oldest_first: bool = False,
) -> Any:
    """Return the query for the newest calls of *filters* before *place*, or for the oldest ones after it.

    Args:
        names: Columns of the log, and ``organization``.
        filters: Which calls.
        place: Where a page begins.
        limit: So many calls at most; None: all, as a stream.
        oldest_first: Whether those after *place* are asked for.
    """
    c, u = _LOGS.c, _USAGE.c
    wanted = {
        name: getattr(filters, name) for name in ("provider", "model", "status", "user_id", "feature", "cost_centre")
    }
    wanted = {name: storable(value[:200]) for name, value in wanted.items() if value}
    columns = [organization(c) if name == "organization" else c[name] for name in names]
    query = select(*columns).where(*(c[name] == value for name, value in wanted.items() if name != "user_id"))
    if user_id := wanted.get("user_id"):
        query = query.where(c.user_id.in_(logged_as(user_id)))
    if filters.organization_id is not None:
        query = query.where(c.organization_id == filters.organization_id)
    if filters.since:
        query = query.where(c.at >= filters.since)
    if place is not None:
        here, there = tuple_(c.at, c.id), tuple_(*place)
        query = query.where(here > there if oldest_first else here < there)
    order = asc if oldest_first else desc
    query = query.order_by(order(c.at), order(c.id)).limit(limit)
    is_scoped = filters.organization_id is not None or bool({"user_id", "feature", "cost_centre"} & wanted.keys())
    by_index = is_scoped or len(wanted) < 2 and wanted.get("status") in {None, "error"}  # noqa: PLR2004, RUF021
    if limit is None or by_index:
        return query
    # No one index has it: the figures tell in which five minutes, or days, there are such calls; only these are looked into.
    # A late call's five minutes, in days that were added up by days before, count with those as soon as they are too.
    last_day = select(func.max(_DAYS.c.day)).scalar_subquery()
    later = func.coalesce(func.timezone("UTC", cast(last_day + 1, DateTime)), text("timestamptz '-infinity'"))
    day = func.timezone("UTC", cast(_DAYS.c.day, DateTime))
    parts = (
        _times(_Places(u.slot, u.slot, SLOT, u), wanted, filters, place, limit + 1, order).where(u.slot >= later),
        _times(_Places(_DAYS.c.day, day, DAY, _DAYS.c), wanted, filters, place, limit + 1, order),
    )
    found = union_all(*(select(part.subquery()) for part in parts)).subquery()
    # Each has one such call at least, but the one in which the page before has ended.
    times = select(found).order_by(order(found.c.begins)).limit(limit + 1).subquery()
    inner = query.where(c.at >= times.c.begins, c.at < times.c.ends).lateral()
    joined = select(*(inner.c[column.name] for column in columns)).select_from(times.join(inner, true()))
    return joined.order_by(order(inner.c.at), order(inner.c.id)).limit(limit)


class _Places(NamedTuple):
    """A table of figures, as the times in which there were calls."""

    key: Any
    """The column that orders it."""
    begins: Any
    lasts: timedelta
    columns: Any


def _times(  # noqa: PLR0917 - what _found has found out
    places: _Places,
    wanted: Mapping[str, str],
    filters: CallFilters,
    place: RowPlace | None,
    limit: int,
    order: Callable[[Any], Any],
) -> Any:
    """Return the query for the times next to *place*, *limit* at most, in which there are calls of *wanted*."""
    begins = places.begins
    found = select(begins.label("begins"), (begins + places.lasts).label("ends"))
    found = found.where(*(places.columns[name] == value for name, value in wanted.items()))
    if filters.since:
        found = found.where(begins > filters.since - places.lasts)
    if place is not None:
        found = found.where(begins <= place[0] if order is desc else begins > place[0] - places.lasts)
    return found.group_by(places.key).order_by(order(places.key)).limit(limit)


def organization(columns: Any) -> Any:
    """Return the column with what is shown of a call's organisation: its slug, or that it was deleted; NULL for none."""
    of = _ORGANIZATIONS.alias("of_call").c
    gone = case((of.deleted_at.is_(None), ""), else_=" (deleted)")
    slug = select(of.slug + gone).where(of.id == columns.organization_id).scalar_subquery()
    number = columns.organization_id
    return func.coalesce(slug, "deleted organisation " + cast(number, Text)).label("organization")
