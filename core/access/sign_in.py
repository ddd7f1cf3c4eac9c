"""The throttle of sign-ins: asked before a password is checked, kept in the database, shared by all processes.

A try is written down before it is checked, so that parallel tries cannot outrun the count. There is no lock that an
attacker could put on somebody else: only the same user from the same address has to wait.
"""

import hashlib
import ipaddress
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, delete, func, select

from ..actors import Actor
from ..audit.record import Target, record
from ..errors import TooManyAttempts
from ..store.records import AuditEvent, LoginAttempt
from ..store.table import id_of
from ..store.tables import User

WINDOW_MINUTES: Final = 15
FREE_TRIES: Final = 5
"""Of one user from one address within the window; after these each one waits, twice as long each time."""
FIRST_WAIT_SECONDS: Final = 30
ADDRESS_TRIES: Final = 30
"""Of all users from one address within the window."""
KEPT_DAYS: Final = 1
_LOOKED_AT: Final = 20_000
"""Tries of one window that are counted: a flood must not be read whole at each scrape."""

FAILED: Final = "session.sign_in_failed"
"""The action of the audit."""
WAY_BACK: Final = "session.break_glass"
_THROTTLED = "session.sign_in_throttled"
_NOW: Any = func.clock_timestamp()


def admit(session: Session, username: str, address: str) -> int:
    """Write down a try of *username* from *address*, and return its id; it counts as failed until :func:`succeeded`.

    Raises:
        TooManyAttempts: With the seconds to wait. A try that is refused here does not count.
    """
    where, who = network_of(address), _digest(username)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"sign-in {where}", 0))))
    session.exec(delete(LoginAttempt).where(col(LoginAttempt.at) < _NOW - text(f"interval '{KEPT_DAYS} days'")))
    failed: Any = (
        select(LoginAttempt.username, func.extract("epoch", _NOW - col(LoginAttempt.at)))
        .where(LoginAttempt.address == where, col(LoginAttempt.succeeded).is_(False))
        .where(col(LoginAttempt.at) > _NOW - text(f"interval '{WINDOW_MINUTES} minutes'"))
        .order_by(col(LoginAttempt.at).desc(), col(LoginAttempt.id).desc())
    )
    tries = session.exec(failed).all()
    wait = max(_wait_of_user([float(age) for name, age in tries if name == who]), _wait_of_address(tries))
    if wait > 0:
        raise TooManyAttempts(int(wait) + 1)
    row = LoginAttempt(username=who, address=where, at=_NOW)
    session.add(row)
    session.flush()
    return id_of(row)


class Throttled(NamedTuple):
    """How many have to wait now."""

    names: int
    """User names, each at one address at least."""
    addresses: int
    """Addresses, whatever name they try."""


def throttled(session: Session) -> Throttled:
    """Return how many names and addresses :func:`admit` would refuse now."""
    age = func.extract("epoch", _NOW - col(LoginAttempt.at))
    tries: Any = (
        select(LoginAttempt.address, LoginAttempt.username, age)
        .where(col(LoginAttempt.succeeded).is_(False))
        .where(col(LoginAttempt.at) > _NOW - text(f"interval '{WINDOW_MINUTES} minutes'"))
        .order_by(col(LoginAttempt.at).desc(), col(LoginAttempt.id).desc())
        .limit(_LOOKED_AT)
    )
    by_address: dict[str, list[tuple[str, float]]] = {}
    by_name: dict[tuple[str, str], list[float]] = {}
    for address, name, seconds in session.exec(tries):
        by_address.setdefault(address, []).append((name, float(seconds)))
        by_name.setdefault((name, address), []).append(float(seconds))
    return Throttled(
        names=len({name for (name, _), ages in by_name.items() if _wait_of_user(ages) > 0}),
        addresses=sum(_wait_of_address(found) > 0 for found in by_address.values()),
    )


def succeeded(session: Session, attempt: int) -> None:
    """Note that the password was right: the user's earlier failures from this address are forgotten."""
    row = session.get(LoginAttempt, attempt)
    if row is not None:
        session.exec(
            delete(LoginAttempt).where(
                col(LoginAttempt.username) == row.username,
                col(LoginAttempt.address) == row.address,
                col(LoginAttempt.id) != attempt,
            )
        )
        row.succeeded = True
        session.flush()


def failed(session: Session, user: User | None, address: str) -> None:
    """Put a wrong password on record. What was typed as a name is not: people type passwords there."""
    name = user.username if user else "somebody unknown"
    record(session, Actor(name, address=address), FAILED, _target(user))


def refused(session: Session, user: User | None, address: str, wait: int) -> None:
    """Put on record that a try had to wait *wait* seconds; once a minute, so that a flood of tries fills no table."""
    recently = select(AuditEvent.id).where(
        AuditEvent.action == _THROTTLED,
        AuditEvent.address == address,
        col(AuditEvent.at) > _NOW - text("interval '1 minute'"),
    )
    if session.exec(recently.limit(1)).first() is not None:
        return
    name = user.username if user else "somebody unknown"
    actor = Actor(name, address=address)
    record(session, actor, _THROTTLED, _target(user), {"wait_seconds": (None, wait)})


def came_by_the_way_back(session: Session, user: User, address: str) -> None:
    """Put on record that a local user came in where LLM_OIDC_ONLY refuses the others; Health warns of it for a day."""
    record(session, Actor(user.username, address=address), WAY_BACK, _target(user))


def _target(user: User | None) -> Target:
    return Target("user", user.id if user else None, user.username if user else "")


def _wait_of_user(ages: list[float]) -> float:
    if len(ages) < FREE_TRIES:
        return 0
    wait: float = min(FIRST_WAIT_SECONDS * 2 ** (len(ages) - FREE_TRIES), WINDOW_MINUTES * 60)
    return wait - ages[0]


def _wait_of_address(tries: Any) -> float:
    if len(tries) < ADDRESS_TRIES:
        return 0
    return WINDOW_MINUTES * 60 - float(tries[ADDRESS_TRIES - 1][1])


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the /64, which is one customer's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def _digest(username: str) -> str:
    """Return a digest of what was typed as a name: it may be a password."""
    return hashlib.sha256(username.strip().casefold().encode("utf-8", "replace")).hexdigest()[:16]
