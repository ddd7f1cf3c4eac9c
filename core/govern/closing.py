"""A month that is closed: what was charged back of it stands, and what was told later stands beside it, apart.

Closing keeps the sums by organisation, feature and cost centre as they are then (``llm_spend_closed``). Calls are counted on: a process that
was away tells its sums late, and the month's now are more than what was closed. The difference is *after closing*: nobody's bill changes silently.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from .. import spreadsheet
from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..errors import AlreadyExists, Invalid, NotFound
from ..store import violations
from ..store.spend_tables import LlmSpendClosing
from . import spend
from .spend import CHARGED, MOST_ROWS, SpendSums

_SUMS: Final = SpendSums._fields
_KEY: Final = "organization_id, feature, cost_centre"
_WHOLE: Final = frozenset({"calls", "input_tokens", "output_tokens", "unpriced"})
_ADDED: Final = ", ".join(f"sum({name}){'::bigint' if name in _WHOLE else ''} AS {name}" for name in _SUMS)
_OF: Final = "(CAST(:organization AS integer) IS NULL OR (organization_id = :organization AND organization_id <> 0))"
_KEEP: Final = text(f"""
    INSERT INTO llm_spend_closed (month, {_KEY}, {", ".join(_SUMS)})
    SELECT :month, {_KEY}, {_ADDED} FROM llm_spend WHERE slot >= :since AND slot < :until GROUP BY {_KEY}
""")  # noqa: S608 - our own names
_MONTH: Final = f"""
    WITH live AS (
        SELECT {_KEY}, {_ADDED} FROM llm_spend WHERE slot >= :since AND slot < :until AND {_OF} GROUP BY {_KEY}
    ), closed AS (
        SELECT {_KEY}, {", ".join(_SUMS)} FROM llm_spend_closed WHERE month = :month AND {_OF}
    ), s AS (
        SELECT {_KEY}, {", ".join(f"coalesce(live.{name}, 0) AS {name}, coalesce(closed.{name}, 0) AS closed_{name}" for name in _SUMS)}
        FROM live FULL JOIN closed USING ({_KEY})
    )
    SELECT {", ".join(spend.SHOWN[name] for name in CHARGED)}, {", ".join(f"s.{name}" for name in _SUMS)},
        {", ".join(f"s.closed_{name}" for name in _SUMS)} FROM s ORDER BY 1, 2, 3
"""  # noqa: S608 - our own names
_NONE: Final = SpendSums(0, 0, 0, Decimal(0), Decimal(0), 0)


class ChargedRow(NamedTuple):
    """What one organisation, feature and cost centre is charged."""

    names: tuple[str, ...]
    """By :data:`~.spend.CHARGED`; empty: none."""
    sums: SpendSums
    """As it was closed; of an open month as it is now."""
    later: SpendSums
    """What was told after closing, beyond it."""


class ChargedMonth(NamedTuple):
    """A month as it is charged back."""

    month: date
    zone: str
    closing: LlmSpendClosing | None
    """None: it is open."""
    rows: list[ChargedRow]
    """By their names; all of them."""
    whole: SpendSums
    later: SpendSums


def charged(
    session: Session, actor: Actor, month: date, *, zone: str = "", organization_id: int | None = None
) -> ChargedMonth:
    """Return a month by organisation, feature and cost centre: as it was closed, and what came later.

    Args:
        session: The transaction.
        actor: An admin or analyst, of the installation or of *organization_id*.
        month: Any day of it.
        zone: Whose month it is. Default: that of the closing, else UTC.
        organization_id: Of this one alone; found already, by a query for what the actor may see.

    Raises:
        Forbidden, NotFound: If the actor may not.
        Invalid: If there is no such zone, or the month was closed in another.
    """
    require(session, actor, "spend.view", role="analyst", organization=organization_id)
    month = month.replace(day=1)
    found = session.get(LlmSpendClosing, month, populate_existing=True)
    if found is not None and zone not in {"", found.zone}:
        raise Invalid({"zone": f"must be {found.zone}: {month:%Y-%m} was closed in it"})
    zone = found.zone if found is not None else zone or "UTC"
    given = {**spend.bounds_of(month, zone), "month": month, "organization": organization_id}
    rows = [_row(row, is_closed=found is not None) for row in session.execute(text(_MONTH), given)]
    return ChargedMonth(month, zone, found, rows, *(_whole([row[at] for row in rows]) for at in (1, 2)))


def close(session: Session, actor: Actor, month: date, *, zone: str = "UTC") -> ChargedMonth:
    """Close a month that is over: what is counted of it by now stands.

    Raises:
        Forbidden: If the actor is no admin.
        Invalid: If there is no such zone, or the month is not over there.
        AlreadyExists: If it is closed.
    """
    require(session, actor, "spend.close")
    month = month.replace(day=1)
    bounds = spend.bounds_of(month, zone)
    now: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    if now.astimezone(UTC) < bounds["until"]:
        raise Invalid({"month": f"must be over in {zone}; this one is at {bounds['until']:%Y-%m-%d %H:%M} UTC"})
    session.add(LlmSpendClosing(month=month, zone=zone, closed_by=actor.name))
    violations.flush(session, AlreadyExists("closed month", f"{month:%Y-%m}"))
    session.execute(_KEEP, {**bounds, "month": month})
    made = charged(session, actor, month)
    details = {"zone": (None, zone), "cost": (None, f"{made.whole.cost:f}"), "unpriced": (None, made.whole.unpriced)}
    record(session, actor, "spend.close", Target("spend", None, f"{month:%Y-%m}"), details)
    return made


def reopen(session: Session, actor: Actor, month: date) -> LlmSpendClosing:
    """Take a closing back: what was kept of it goes, and what is counted now counts again.

    Raises:
        Forbidden, NotFound: As everywhere.
    """
    require(session, actor, "spend.reopen")
    month = month.replace(day=1)
    row = session.get(LlmSpendClosing, month, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("closed month", f"{month:%Y-%m}")
    cost = charged(session, actor, month).whole.cost
    details = {"zone": (row.zone, None), "cost": (f"{cost:f}", None), "closed_by": (row.closed_by, None)}
    record(session, actor, "spend.reopen", Target("spend", None, f"{month:%Y-%m}"), details)
    session.execute(text("DELETE FROM llm_spend_closed WHERE month = :month"), {"month": month})
    session.delete(row)
    session.flush()
    return row


def list_closed(session: Session, actor: Actor) -> list[LlmSpendClosing]:
    """Return the months that are closed, the newest first; raises Forbidden unless *actor* is an admin or an analyst."""
    require(session, actor, "spend.view", role="analyst")
    return list(session.exec(select(LlmSpendClosing).order_by(col(LlmSpendClosing.month).desc()).limit(MOST_ROWS)))


def as_csv(found: ChargedMonth) -> Iterator[str]:
    """Return the lines of a CSV file: of each row what was closed, and below it, apart, what came after."""
    stamp = ("", "") if found.closing is None else (found.closing.closed_at.isoformat(), found.closing.closed_by)
    part = "open" if found.closing is None else "closed"
    cells = (
        (*row.names, *(f"{v:f}" if isinstance(v, Decimal) else v for v in sums), said, *stamp)
        for row in found.rows
        for sums, said in ((row.sums, part), (row.later, "after closing"))
        if any(sums)
    )
    return spreadsheet.lines((*CHARGED, *_SUMS, "part", "closed_at", "closed_by"), cells)


def _row(row: Any, *, is_closed: bool) -> ChargedRow:
    names, live, closed = tuple(row[:3]), tuple(row[3:9]), tuple(row[9:])
    if not is_closed:
        return ChargedRow(names, SpendSums(*live), _NONE)
    return ChargedRow(names, SpendSums(*closed), SpendSums(*(now - was for now, was in zip(live, closed, strict=True))))


def _whole(some: list[Any]) -> SpendSums:
    """Return the sums of some, which may be none."""
    columns: Any = zip(_NONE, *some, strict=True)
    return SpendSums(*(sum(each[1:], start=each[0]) for each in columns))
