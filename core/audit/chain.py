"""The audit's hash chain: its head, to be kept elsewhere, and the check that nothing in it was changed or taken away.

The chain is linked by the database, at commit (migrations/versions/0004_audit.py). Here it is computed anew, without
the database's function: somebody who changed that one is found out too.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, func, select

from ..errors import Invalid
from ..store import waits
from ..store.records import AuditCheckpoint, AuditEvent, AuditHead
from ..wording import counted

GENESIS: Final = "0" * 64
"""What the first event is linked to."""
_FETCHED: Final = 2_000


class Head(NamedTuple):
    """The newest event of the chain, which all before it follow from: keep it where the database's owner cannot write."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class ChainVerdict(NamedTuple):
    """What :func:`verify` found."""

    checked: int
    """Events that are as they were written, counted from the oldest one up to the first broken place."""
    head: Head
    """Of the database now."""
    start: Head
    """What the oldest event is linked to: the last checkpoint, or ``0``."""
    problem: str
    """For people: the first broken place, and what is wrong there; empty if nothing is."""


class _Event(NamedTuple):
    seq: int | None
    hash: str | None
    id: str
    at: str | None
    actor: str
    actor_id: str | None
    address: str | None
    action: str
    target_type: str
    target_id: str | None
    target: str
    changes: str


# The columns of _Event, as the text that is hashed. By number: the index gives the order, and those without come last.
_EVENTS = """
    SELECT seq, hash, id::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), actor, actor_id::text,
        address, action, target_type, target_id::text, target, changes::text
    FROM audit_events {where}ORDER BY seq
"""


def head(session: Session) -> Head:
    """Return the head of the chain; ``0`` and zeros while there is no event."""
    row = session.exec(select(AuditHead.seq, AuditHead.hash)).one_or_none()
    return Head(*row) if row else Head(0, GENESIS)


def parse_head(given: str) -> Head:
    """Read a head as ``audit head`` prints it; raises Invalid."""
    found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", given.strip())
    if found is None:
        raise Invalid({"head": "must be as `audit head` prints it: a number, a colon and 64 hex digits"})
    return Head(int(found[1]), found[2])


def verify(session: Session, given: Head | None = None) -> ChainVerdict:
    """Compute the chain anew, from the last checkpoint or the beginning to the head; memory stays flat.

    Args:
        session: A transaction in which nothing was done yet: it becomes one snapshot, read-only.
        given: A head that was noted earlier. Without one, an owner of the database who computed the whole chain anew
            is not found out.
    """
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    return verify_within(session, given)


def verify_within(session: Session, given: Head | None = None) -> ChainVerdict:
    """Do the same in a transaction that goes on, in which nobody else writes events."""
    session.execute(text("SET LOCAL statement_timeout = 0"))
    waits.allow(session.connection(), None)
    walk = _Walk(session, given)
    problem = next(walk.problems(), "")
    return ChainVerdict(walk.checked, walk.head, walk.start, problem)


def problem_up_to(session: Session, up_to: int) -> str:
    """Return what is wrong with the chain from its beginning to event *up_to*, for people; empty: nothing."""
    last = _start(session)
    rows = session.execute(text(_EVENTS.format(where="WHERE seq <= :up_to ")), {"up_to": up_to})
    for row in rows:
        if problem := next(_misfits(last, row), ""):
            return problem
        last = Head(row[0], row[1])
    return "" if last.seq == up_to else f"The chain ends at event {last.seq}."


def link(previous: str, event: Any) -> str:
    """Return the hash of *event* (an ``_Event``) behind *previous*: each part as its bytes' number, ``:`` and itself."""
    parts = [
        previous.encode(),
        str(event[0]).encode(),
        *(None if part is None else part.encode() for part in event[2:]),
    ]
    return hashlib.sha256(
        b"".join(b"-" if part is None else b"%d:%b" % (len(part), part) for part in parts)
    ).hexdigest()


def fingerprint(hash_: str) -> str:
    """Return a hash in groups of eight, for an event: 64 hex digits in one would be taken for an encryption key."""
    return " ".join(hash_[place : place + 8] for place in range(0, len(hash_), 8))


class _Walk:
    """One pass over the chain."""

    def __init__(self, session: Session, given: Head | None) -> None:
        self._session, self._given = session, given
        self.head = head(session)
        self.start = _start(session)
        self.checked = 0

    def problems(self) -> Iterator[str]:
        """Yield what is wrong; only the first one is surely true."""
        unlinked = self._session.exec(
            select(func.count()).select_from(AuditEvent).where(col(AuditEvent.seq).is_(None))
        ).one()
        if unlinked:
            yield f"{counted(unlinked, 'event')} without a number, written while the chain's trigger was switched off."
        given = self._given
        if given and given.seq <= self.start.seq:
            yield from self._purged(given)
        last, explained = self.start, self.start.seq == 0
        for row in self._events():
            yield from self._out_of_place(last, row)
            last = Head(row[0], row[1])
            explained = explained or (row[7] == "audit.purge" and _records_purge_up_to(row[11], self.start))
            self.checked += 1
        if last != self.head:
            yield _wrong_end(last, self.head)
        if given and given.seq > last.seq:
            yield f"The chain ends at event {last.seq}, before the head given ({given.seq}): its end was cut off."
        if not explained:
            yield f"The chain begins behind event {self.start.seq}, and no event tells of a purge up to there."

    def _events(self) -> Iterator[Any]:
        streamed = {"stream_results": True, "max_row_buffer": _FETCHED}
        for part in self._session.execute(text(_EVENTS.format(where="")), execution_options=streamed).partitions(
            _FETCHED
        ):
            yield from part

    def _out_of_place(self, last: Head, row: Any) -> Iterator[str]:
        yield from _misfits(last, row)
        if self._given and self._given.seq == row[0] and self._given.hash != row[1]:
            yield f"Event {row[0]} has another hash than the head given: the chain was written anew."

    def _purged(self, given: Head) -> Iterator[str]:
        known: Any = select(AuditCheckpoint.hash).where(AuditCheckpoint.seq == given.seq)
        stored = GENESIS if given.seq == 0 else self._session.exec(known).one_or_none()
        if stored is None:
            yield (
                f"The head given ({given.seq}) lies in the part that was purged (up to {self.start.seq}): it cannot be "
                "checked any more. Give a newer one."
            )
        elif stored != given.hash:
            yield f"The checkpoint at event {given.seq} has another hash than the head given."


def _start(session: Session) -> Head:
    """Return what the oldest event is linked to."""
    newest: Any = select(AuditCheckpoint.seq, AuditCheckpoint.hash).order_by(col(AuditCheckpoint.seq).desc())
    row = session.exec(newest.limit(1)).first()
    return Head(*row) if row else Head(0, GENESIS)


def _misfits(last: Head, row: Any) -> Iterator[str]:
    """Yield what is wrong with an event that stands behind *last*."""
    seq, stored = row[0], row[1]
    if seq != last.seq + 1:
        yield _out_of_order(last.seq, seq)
    if stored != link(last.hash, row):
        yield f"Event {seq} is not as it was written, or the one before it is not: its hash does not fit."


def _out_of_order(last: int, seq: int) -> str:
    if seq == last:
        return f"Number {seq} is there twice."
    if seq < last:
        return f"Event {seq} lies in the part that was purged (up to {last})."
    missing = f"Event {last + 1} is" if seq == last + 2 else f"Events {last + 1} to {seq - 1} are"
    return f"{missing} missing."


def _wrong_end(last: Head, stored: Head) -> str:
    if last.seq < stored.seq:
        return f"The chain ends at event {last.seq}, and its head says {stored.seq}: its end was cut off."
    if last.seq > stored.seq:
        return f"The chain ends at event {last.seq}, and its head says {stored.seq}: the head was changed."
    return f"The head's hash is not that of event {last.seq}: the head was changed."


def _records_purge_up_to(changes: str, start: Head) -> bool:
    found = json.loads(changes)
    return [found.get(name, {}).get("after") for name in ("up_to", "hash")] == [start.seq, fingerprint(start.hash)]
