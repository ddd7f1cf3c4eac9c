"""Purging the oldest part of the request log: by ``logs purge``, and each day as it is decided how long calls are kept.

That is the least of what the host (``LLM_LOG_DAYS``), the installation and the call's organisation say: docs/decisions/how-long-things-are-kept.md.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, text, tuple_
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..config import get_config, log_days
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
    removed = run.all(transact)
    usage_days.roll_up(transact)
    return removed


class CallsKept(NamedTuple):
    """How long calls stay in the request log."""

    host: int | None
    """Days that ``LLM_LOG_DAYS`` says; None: it says nothing."""
    installation: int | None
    """As an admin decided."""

    def days(self, organization: int | None = None) -> int | None:
        """Return what holds: the fewest of them, and of what an *organization* says; None: for ever."""
        return min(filter(None, (self.host, self.installation, organization)), default=None)


def calls_kept(session: Session) -> CallsKept:
    """Return how long calls are kept where no organisation says fewer days. No right is asked for."""
    return CallsKept(log_days(get_config()), session.scalar(_DECIDED))


def purge_as_decided(transact: Transact, actor: Actor) -> int:
    """Delete the calls that are kept no longer, of all and then of each organisation that keeps fewer days; return how many.

    Raises:
        Forbidden: As everywhere.
    """
    days = transact(calls_kept).days()
    removed = 0 if days is None else purge(transact, actor, older_than=days)
    fewer = {"days": MOST_DAYS + 1 if days is None else days}
    for organization in transact(lambda session: session.execute(_FEWER, fewer).all()):
        removed += _Purge(actor, organization.days, organization=organization.id).all(transact)
    return removed


_DECIDED: Final = text("SELECT keep_calls_days FROM installation WHERE id = 1")
_FEWER: Final = text(
    """
    SELECT o.id, o.keep_calls_days AS days FROM organizations o
    WHERE o.keep_calls_days < :days AND EXISTS (
        SELECT FROM llm_logs l WHERE l.organization_id = o.id
            AND l.at < clock_timestamp() - make_interval(days => o.keep_calls_days)
    ) ORDER BY o.id
    """
)
"""Organisations with calls that they keep no longer."""


class _Purge:
    """One purge, transaction by transaction."""

    def __init__(
        self, actor: Actor, older_than: int, *, with_usage: bool = False, organization: int | None = None
    ) -> None:
        self._actor, self._days, self._with_usage = actor, older_than, with_usage
        self._organization = organization
        self._border: Any = None
        self.edge: Any = None
        self.after: Any = None
        """What was deleted last: it is still in the index for a while, and not passed again."""
        self.is_done = False

    def all(self, transact: Transact) -> int:
        """Delete all that is old, and return how many it were."""
        removed = 0
        transact(self.begin)
        while not self.is_done:
            removed += transact(self.some)
            self.after = self.edge  # committed
        return removed

    def count(self, session: Session) -> int:
        """Return how many calls are old."""
        self._start(session)
        session.execute(text("SET LOCAL statement_timeout = '60s'"))
        waits.allow(session.connection(), 60)
        return session.scalar(select(func.count()).select_from(_LOGS).where(self._old)) or 0

    def begin(self, session: Session) -> None:
        """Put it on record, and delete the figures that are to go."""
        border = self._start(session)
        self.is_done = session.scalar(select(_LOGS.c.id).where(self._old).limit(1)) is None
        if self._with_usage or not self.is_done:
            details = {"older_than_days": (None, self._days), "with_usage": (None, self._with_usage)}
            target = Target("logs", None, f"calls before {self._days} days")
            record(session, self._actor, "logs.purge", target, details, organization=self._organization)
        if self._with_usage:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            waits.allow(session.connection(), None)
            session.execute(_USAGE.delete().where(_USAGE.c.slot < border - SLOT))
            session.execute(_BY_DAY.delete().where(_BY_DAY.c.day < border.astimezone(UTC).date()))

    def some(self, session: Session) -> int:
        """Delete the next ones, and return how many."""
        c = _LOGS.c
        old = self._old
        if self.after is not None:
            old &= tuple_(c.at, c.id) > tuple_(*self.after)
        last = select(c.at, c.id).where(old).order_by(c.at, c.id).offset(PURGED_AT_ONCE - 1).limit(1)
        self.edge = session.execute(last).one_or_none()
        if self.edge is not None:
            old &= tuple_(c.at, c.id) <= tuple_(*self.edge)
        self.is_done = self.edge is None
        return int(session.execute(_LOGS.delete().where(old)).rowcount)  # type: ignore[attr-defined]  # a CursorResult

    @property
    def _old(self) -> Any:
        old = _LOGS.c.at < self._border
        return old if self._organization is None else old & (_LOGS.c.organization_id == self._organization)

    def _start(self, session: Session) -> datetime:
        require(session, self._actor, "logs.purge")
        border: datetime = session.scalars(select(func.clock_timestamp() - timedelta(days=self._days))).one()
        self._border = border
        return border
