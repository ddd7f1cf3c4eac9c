"""Moments of the history: a generation, or a time at which one was the newest."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..errors import Gone, Invalid


class Moment(NamedTuple):
    """A generation of the store."""

    generation: int
    at: datetime
    by: str
    comment: str | None


def moment(session: Session, at: datetime | int) -> Moment:
    """Return the generation that was the newest at a time, or that a number stands for.

    Args:
        session: The transaction.
        at: A time, UTC if it says no zone, or a generation.

    Raises:
        Gone: If it is before the history begins, or was purged.
        Invalid: If there is no such generation yet.
    """
    now = session.execute(text(_NOW)).one()
    if isinstance(at, int):
        if at > now.generation:
            raise Invalid({"at": f"must be a generation up to {now.generation}, the newest"})
        row = session.execute(text(_BY_NUMBER), {"at": at}).one_or_none()
    else:
        row = session.execute(text(_BY_TIME), {"at": at if at.tzinfo else at.replace(tzinfo=UTC)}).one_or_none()
    if row is None:
        first = session.execute(text(_FIRST)).one_or_none()
        begins = (
            f"begins on {first.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, with generation {first.generation}"
            if first
            else "is empty"
        )
        raise Gone(f"What the settings were then is not kept: the history {begins}. Ask for a later moment.")
    return Moment(*row)


def parse_moment(given: str, name: str = "at") -> datetime | int:
    """Read a generation, or a time in ISO 8601 as ``2026-03-01T09:00`` or ``2026-03-01``, UTC unless it says its zone.

    Raises:
        Invalid: If it is neither.
    """
    words = given.strip()
    if words.isdecimal() and words.isascii() and len(words) < 19:  # noqa: PLR2004 - digits of a bigint
        return int(words)
    try:
        found = datetime.fromisoformat(
            words.replace(" ", "+") if words.count("T") == 1 and words.count(" ") == 1 else words
        )
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid({name: "must be a time in ISO 8601, as 2026-03-01T09:00Z, or a generation"}) from None


def newest(session: Session) -> Moment:
    """Return the newest generation."""
    return Moment(*session.execute(text(_BY_NUMBER), {"at": 2**62}).one())


def of_this_transaction(session: Session) -> int | None:
    """Return the generation that this transaction makes; None: it has changed no setting.

    Has the triggers run that would run at commit: for the end of a transaction, as others wait for its generation from here on.
    """
    session.flush()
    for when in ("IMMEDIATE", "DEFERRED"):
        session.execute(text(f"SET CONSTRAINTS ALL {when}"))
    found: int | None = session.scalar(text(_MADE))
    return found


_MADE: Final = "SELECT CAST(nullif(current_setting('llm_settings.generation', true), '') AS bigint)"
_NOW: Final = "SELECT generation FROM settings_generation"
_FIRST: Final = "SELECT generation, at FROM settings_generations ORDER BY generation LIMIT 1"
_BY_NUMBER: Final = """
    SELECT generation, at, by, comment FROM settings_generations WHERE generation <= :at ORDER BY generation DESC LIMIT 1
"""
_BY_TIME: Final = """
    SELECT generation, at, by, comment FROM settings_generations WHERE at <= :at ORDER BY at DESC, generation DESC LIMIT 1
"""
