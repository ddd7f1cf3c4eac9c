"""Purging the oldest part of the audit each day, where ``installation.keep_audit_days`` says so.

What is cut is read once more before: a chain that was tampered with is kept as it is, and Health says where. ``audit purge``, as the
owner, is :func:`.audit_log.purge`.
"""

from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit import chain
from ..audit.record import Target, record
from ..errors import Invalid
from ..store import waits
from ..store.db import Transact
from .audit_log import TAKES_TURNS

EVENTS_AT_ONCE: Final = 2_000
_CUT: Final = text(
    """
    WITH first AS (SELECT seq, at FROM audit_events WHERE seq IS NOT NULL ORDER BY seq LIMIT :most),
        kept AS (
            SELECT min(seq) AS seq FROM first WHERE at >= clock_timestamp() - make_interval(days => :days)
        )
    SELECT max(first.seq) FROM first, kept WHERE first.seq < coalesce(kept.seq, first.seq + 1)
    """
)
"""Of the oldest events the newest before which nothing is to be kept: only a beginning of the chain goes."""
_PURGE: Final = text("SELECT removed, cut_hash FROM llm_purge_audit(:up_to, :by)")
_DAYS: Final = text("SELECT keep_audit_days FROM installation WHERE id = 1")


def purge_events(transact: Transact, actor: Actor) -> int:
    """Delete the events that ``keep_audit_days`` calls old, and return how many; 2,000 a transaction, oldest first.

    Each transaction leaves a checkpoint and an event that names it, so the chain holds after any of them. Nothing is deleted
    while nothing is decided.

    Raises:
        Forbidden: As everywhere.
        Invalid: If the chain does not hold there: nothing of it is deleted.
    """
    removed = 0
    while some := transact(lambda session: _some(session, actor)):
        removed += some
    return removed


def _some(session: Session, actor: Actor) -> int:
    require(session, actor, "audit.purge")
    session.execute(text("SET LOCAL statement_timeout = '60s'"))
    waits.allow(session.connection(), 60)
    days = session.scalar(_DAYS)
    if days is None:
        return 0
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TAKES_TURNS})
    up_to = session.scalar(_CUT, {"most": EVENTS_AT_ONCE, "days": days})
    if up_to is None:
        return 0
    if problem := chain.problem_up_to(session, up_to):
        raise Invalid({"audit": f"is not purged, as its chain is broken. {problem} See `audit verify`"})
    found = session.execute(_PURGE, {"up_to": up_to, "by": actor.name}).one()
    changes = {
        "up_to": (None, up_to),
        "hash": (None, chain.fingerprint(found.cut_hash)),
        "removed": (None, found.removed),
    }
    record(session, actor, "audit.purge", Target("audit", None, f"events up to {up_to}"), changes)
    return int(found.removed)
