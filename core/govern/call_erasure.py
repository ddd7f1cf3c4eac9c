"""Erasing what the request log has of one person, by the ``user_id`` that services gave: by ``logs erase`` and by REST.

Of a call stay its numbers: when, provider, model, tokens, cost, organisation, feature. So no figure changes. What goes, and what is
kept elsewhere: docs/privacy.md, docs/decisions/erasing-a-person.md.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import func, or_, select, tuple_
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record, storable
from ..calling import log_rows, pseudonyms
from ..errors import Invalid
from ..manage.organization_rows import reach
from ..redaction import harmless, shortened
from ..store import waits
from ..store.db import Transact
from ..store.records import LlmLog

ERASED_AT_ONCE: Final = 1_000
MOST_ID: Final = 200
"""Characters of an id, as calls are logged."""

_LOGS: Any = getattr(LlmLog, "__table__")  # noqa: B009 - SQLModel does not declare it


class CallsOf(NamedTuple):
    """What the log has of one person."""

    calls: int
    with_text: int
    """Those of them with a prompt, an answer or an error."""
    first: datetime | None
    last: datetime | None


class Erased(NamedTuple):
    """What one transaction has erased."""

    calls: int
    left: int
    """Calls of the same person that are still there."""


def find_calls_of(session: Session, actor: Actor, user_id: str, *, organization_id: int | None = None) -> CallsOf:
    """Return what the log has of *user_id*, of one organisation or of all.

    Raises:
        Forbidden: Unless *actor* is an admin, of the installation or of that organisation.
        NotFound: If there is no such organisation, or it is another's. A deleted one is there to the installation's admins.
        Invalid: If *user_id* is empty, or longer than 200 characters.
    """
    whose = _calls_asked_for(session, actor, "logs.find", user_id, organization_id)
    return _count(session, whose)


def erase_some(session: Session, actor: Actor, user_id: str, *, organization_id: int | None = None) -> Erased:
    """Erase the oldest 1,000 calls of *user_id*, or all that there are, and put their number on record, without the id.

    Raises:
        Forbidden, NotFound, Invalid: As :func:`find_calls_of`; the last also without a reason where one is needed.
    """
    whose = _calls_asked_for(session, actor, "logs.erase", user_id, organization_id)
    found = _count(session, whose).calls
    if not found:
        return Erased(0, 0)
    _record(session, actor, min(found, ERASED_AT_ONCE), organization_id)
    erased, _ = _erase(session, whose, None)
    return Erased(erased, found - erased)


def erase_calls_of(transact: Transact, actor: Actor, user_id: str, *, organization_id: int | None = None) -> int:
    """Erase all calls of *user_id*, 1,000 a transaction, the oldest first; return how many they were.

    On record is, before the first, how many there are: without the id. Interrupted, it is run again. A call that is logged
    after it has passed is not erased.

    Raises:
        Forbidden, NotFound, Invalid: As :func:`erase_some`.
    """

    def begin(session: Session) -> int:
        found = _count(session, _calls_asked_for(session, actor, "logs.erase", user_id, organization_id)).calls
        if found:
            _record(session, actor, found, organization_id)
        return found

    if not transact(begin):
        return 0
    erased, after = 0, None
    while True:
        number, after = transact(_next(actor, user_id, organization_id, after))
        erased += number
        if after is None:
            return erased


def _next(actor: Actor, user_id: str, organization_id: int | None, after: Any) -> Callable[[Session], tuple[int, Any]]:
    def work(session: Session) -> tuple[int, Any]:
        return _erase(session, _calls_asked_for(session, actor, "logs.erase", user_id, organization_id), after)

    return work


def _calls_asked_for(session: Session, actor: Actor, action: str, user_id: str, organization_id: int | None) -> Any:
    """Return the condition of the calls that *actor* may reach."""
    if organization_id is None:
        require(session, actor, action)
    else:
        reach(session, actor, action, organization_id, deleted=True)
    given = user_id.strip()
    if not given or len(given) > MOST_ID:
        raise Invalid({"user_id": f"must be the id of a user as programs give it, of 1 to {MOST_ID} characters"})
    session.execute(select(func.set_config("statement_timeout", "60s", True)))  # noqa: FBT003 - its third argument
    waits.allow(session.connection(), 60)
    whose = _LOGS.c.user_id.in_(known_as(given))
    return whose if organization_id is None else whose & (_LOGS.c.organization_id == organization_id)


def known_as(user_id: str) -> list[str]:
    """Return what *user_id* may be in the log: as it was given, or by a fingerprint where it has an e-mail address in it."""
    return [storable(harmless(shortened(one, MOST_ID))) for one in pseudonyms.logged_as(user_id)]


def _count(session: Session, whose: Any) -> CallsOf:
    c = _LOGS.c
    text = or_(c.prompt.is_not(None), c.response.is_not(None), c.error.is_not(None))
    columns = func.count(), func.count().filter(text), func.min(c.at), func.max(c.at)
    return CallsOf(*session.execute(select(*columns).where(whose)).one())


def _erase(session: Session, whose: Any, after: Any) -> tuple[int, Any]:
    """Erase the next ones; return how many, and the place of the last: None if there are no more."""
    c = _LOGS.c
    some = whose if after is None else whose & (tuple_(c.at, c.id) > tuple_(*after))
    rows = session.execute(
        select(c.at, c.id).where(some).order_by(c.at, c.id).limit(ERASED_AT_ONCE).with_for_update()
    ).all()
    session.execute(
        _LOGS.update().where(c.id.in_([row.id for row in rows])).values(dict.fromkeys(log_rows.OF_A_PERSON)),
    )
    return len(rows), tuple(rows[-1]) if len(rows) == ERASED_AT_ONCE else None


def _record(session: Session, actor: Actor, calls: int, organization_id: int | None) -> None:
    target = Target("logs", None, "one person")
    record(session, actor, "logs.erase", target, {"calls": (calls, 0)}, organization=organization_id)
