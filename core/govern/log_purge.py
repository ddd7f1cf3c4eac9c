"""Purging the oldest part of the request log: by ``logs purge``, and each day where ``LLM_LOG_DAYS`` says so."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, text, tuple_
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..environment import MOST_DAYS
from ..errors import Invalid
from ..store import waits
from ..store.db import Transact
from ..store.records import LlmLog, LlmUsage, LlmUsageDay
from . import usage_days
from .call_queries import SLOT

PURGED_AT_ONCE: Final = 10_000

_LOGS: Any = getattr(LlmLog, "__table__")  # noqa: B009 - SQLModel does not declare it
_USAGE: Any = getattr(LlmUsage, "__table__")  # noqa: B009 - as above
_BY_DAY: Any = getattr(LlmUsageDay, "__table__")  # noqa: B009 - as above


def purge(transact: Transact, actor: Actor, *, older_than: int, with_usage: bool = False, dry_run: bool = False) -> int:
    """Delete the calls that are older than *older_than* days, and return how many; 10,000 a transaction, oldest first.

    Interrupted, it is run again. The figures stay unless *with_usage*; old ones are added up by days
    (:func:`.usage_days.roll_up`). Where nothing is old enough, nothing is put on record.

    Raises:
        Forbidden: As everywhere.
        Invalid: If *older_than* is no number of days.
    """
    if not 0 <= older_than <= MOST_DAYS:
        raise Invalid({"older_than": f"must be a number of days from 0 to {MOST_DAYS}"})
    run = _Purge(actor, older_than, with_usage=with_usage)
    if dry_run:
        return transact(run.count)
    removed = 0
    transact(run.begin)
    while not run.is_done:
        removed += transact(run.some)
        run.after = run.edge  # committed
    usage_days.roll_up(transact)
    return removed


class _Purge:
    """One purge, transaction by transaction."""

    def __init__(self, actor: Actor, older_than: int, *, with_usage: bool) -> None:
        self._actor, self._days, self._with_usage = actor, older_than, with_usage
        self._border: Any = None
        self.edge: Any = None
        self.after: Any = None
        """What was deleted last: it is still in the index for a while, and not passed again."""
        self.is_done = False

    def count(self, session: Session) -> int:
        """Return how many calls are old."""
        self._start(session)
        session.execute(text("SET LOCAL statement_timeout = '60s'"))
        waits.allow(session.connection(), 60)
        return session.scalar(select(func.count()).select_from(_LOGS).where(_LOGS.c.at < self._border)) or 0

    def begin(self, session: Session) -> None:
        """Put it on record, and delete the figures that are to go."""
        border = self._start(session)
        self.is_done = session.scalar(select(_LOGS.c.id).where(_LOGS.c.at < border).limit(1)) is None
        if self._with_usage or not self.is_done:
            details = {"older_than_days": (None, self._days), "with_usage": (None, self._with_usage)}
            record(session, self._actor, "logs.purge", Target("logs", None, f"calls before {self._days} days"), details)
        if self._with_usage:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            waits.allow(session.connection(), None)
            session.execute(_USAGE.delete().where(_USAGE.c.slot < border - SLOT))
            session.execute(_BY_DAY.delete().where(_BY_DAY.c.day < border.astimezone(UTC).date()))

    def some(self, session: Session) -> int:
        """Delete the next ones, and return how many."""
        c = _LOGS.c
        old = c.at < self._border
        if self.after is not None:
            old &= tuple_(c.at, c.id) > tuple_(*self.after)
        last = select(c.at, c.id).where(old).order_by(c.at, c.id).offset(PURGED_AT_ONCE - 1).limit(1)
        self.edge = session.execute(last).one_or_none()
        if self.edge is not None:
            old &= tuple_(c.at, c.id) <= tuple_(*self.edge)
        self.is_done = self.edge is None
        return int(session.execute(_LOGS.delete().where(old)).rowcount)  # type: ignore[attr-defined]  # a CursorResult

    def _start(self, session: Session) -> datetime:
        require(session, self._actor, "logs.purge")
        border: datetime = session.scalars(select(func.clock_timestamp() - timedelta(days=self._days))).one()
        self._border = border
        return border
