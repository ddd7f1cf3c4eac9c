"""Purging the oldest part of the history: by ``history purge``, and each day where ``installation.keep_history_days`` says so.

What a row was at any moment after the cut stays true: of each row its newest version before the cut is kept.
"""

from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..environment import MOST_DAYS
from ..errors import Invalid
from ..store import waits
from ..store.db import Transact

AT_ONCE: Final = 1_000
"""Rows a transaction, with all their versions."""
_CUT: Final = """
    SELECT generation FROM settings_generations WHERE at < clock_timestamp() - make_interval(days => :days)
    ORDER BY at DESC, generation DESC LIMIT 1
"""
_OLD: Final = """
    FROM settings_history h WHERE h.generation <= :cut AND (h.op = '-' OR EXISTS (
        SELECT FROM settings_history n WHERE n.table_name = h.table_name AND n.row_id = h.row_id
            AND n.generation > h.generation AND n.generation <= :cut))
"""
_COUNT: Final = f"SELECT count(*) {_OLD}"
_ANY: Final = f"SELECT EXISTS (SELECT {_OLD})"
_PURGE: Final = "SELECT removed, last_table, last_row FROM llm_purge_history(:days, :table, :row, :most)"
_DECIDED: Final = "SELECT keep_history_days FROM installation WHERE id = 1"


def purge(transact: Transact, actor: Actor, *, older_than: int, dry_run: bool = False) -> int:
    """Delete the versions that no moment of the last *older_than* days needs, and return how many; some a transaction.

    Interrupted, it is run again; moments before the cut are refused from its beginning on. Where nothing is old enough,
    nothing is put on record.

    Raises:
        Forbidden: As everywhere.
        Invalid: If *older_than* is no number of days.
    """
    if not 1 <= older_than <= MOST_DAYS:
        raise Invalid({"older_than": f"must be a number of days from 1 to {MOST_DAYS}"})
    if dry_run:
        return transact(lambda session: _count(session, actor, older_than))
    if not transact(lambda session: _begin(session, actor, older_than)):
        return 0
    removed, table, row = 0, "", 0
    while True:
        number, last, at = transact(lambda session: _some(session, older_than, table, row))  # noqa: B023 - run at once
        removed += number
        if last is None:
            return removed
        table, row = last, at


def purge_as_decided(transact: Transact, actor: Actor) -> int:
    """Purge what ``keep_history_days`` calls old; without it nothing."""
    days = transact(lambda session: session.scalar(text(_DECIDED)))
    return 0 if days is None else purge(transact, actor, older_than=days)


def _count(session: Session, actor: Actor, days: int) -> int:
    require(session, actor, "history.purge")
    session.execute(text("SET LOCAL statement_timeout = '60s'"))
    waits.allow(session.connection(), 60)
    cut = session.scalar(text(_CUT), {"days": days})
    return session.scalar(text(_COUNT), {"cut": -1 if cut is None else cut}) or 0


def _begin(session: Session, actor: Actor, days: int) -> bool:
    """Put it on record, if there is something to purge."""
    require(session, actor, "history.purge")
    cut = session.scalar(text(_CUT), {"days": days})
    if cut is None or not session.scalar(text(_ANY), {"cut": cut}):
        return False
    details = {"older_than_days": (None, days), "up_to": (None, cut)}
    record(session, actor, "history.purge", Target("history", None, f"versions before {days} days"), details)
    return True


def _some(session: Session, days: int, table: str, row: int) -> tuple[int, str | None, int]:
    session.execute(text("SET LOCAL statement_timeout = '60s'"))
    waits.allow(session.connection(), 60)
    values = {"days": days, "table": table, "row": row, "most": AT_ONCE}
    found = session.execute(text(_PURGE), values).one()
    return found.removed, found.last_table, found.last_row or 0
