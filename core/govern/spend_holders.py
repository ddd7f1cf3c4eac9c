"""Processes that told what they spent, and are long gone, are forgotten: periodic work."""

from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from ..store.db import Transact

KEPT_DAYS: Final = 400
"""So long after its last word: who tells that one again later is counted twice, and no process tries for so long."""
AT_ONCE: Final = 10_000
_OLD: Final = text("""
    DELETE FROM llm_spend_holders WHERE holder IN (
        SELECT holder FROM llm_spend_holders WHERE at < clock_timestamp() - make_interval(days => :days) LIMIT :most
    )
""")


def drop(transact: Transact) -> int:
    """Forget them, and return how many; what they told stays."""
    removed = found = transact(_some)
    while found == AT_ONCE:
        found = transact(_some)
        removed += found
    return removed


def _some(session: Session) -> int:
    return int(session.execute(_OLD, {"days": KEPT_DAYS, "most": AT_ONCE}).rowcount)  # type: ignore[attr-defined]  # a CursorResult
