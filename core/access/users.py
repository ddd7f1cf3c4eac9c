"""People who sign in, and their passwords (bcrypt, cost 12)."""

import secrets
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from sqlmodel import Session, col, func, select

from ..actors import FIRST_START, Actor
from ..audit.record import Target, record
from ..errors import AlreadyExists, Invalid, NotFound
from ..extras import from_extra
from ..redaction import Secret
from ..store import violations
from ..store.db import set_actor
from ..store.schemas import MAX_PASSWORD_BYTES, PasswordInput, UserInput, could_be_id, validate
from ..store.tables import User
from .authority import CHANGE_PASSWORD, require

with from_extra():
    import bcrypt

COST = 12
_RANDOM = 18
"""Random bytes of a password that nobody chose."""
_LONGEST_NAME = 64


class Chosen(NamedTuple):
    """A new password that keeps the rules, and its hash."""

    password: Secret
    hash: str


def choose(password: str) -> Chosen:
    """Judge and hash a new password: a third of a second, which edges spend before their transaction begins.

    Raises:
        Invalid: If it breaks the rules.
    """
    return Chosen(Secret(password), _hash(password))


def check(username: str, role: str) -> None:
    """Raise Invalid if a new user cannot have this name or role."""
    validate(UserInput, {"username": username, "role": role})


def add(
    session: Session, actor: Actor, username: str, password: str | Chosen, role: str, *, handed_over: bool = False
) -> User:
    """Add a user.

    Args:
        session: The transaction.
        actor: An admin.
        username: 1 to 64 characters.
        password: Their first one.
        role: One of ``ROLES``.
        handed_over: Somebody else knows the password: the user has to choose another one at the first sign-in.

    Raises:
        Forbidden, Invalid: As everywhere.
        AlreadyExists: If the name is taken.
    """
    require(session, actor, "user.add")
    user = _insert(session, username, password, role)
    user.must_change_password = handed_over
    session.flush()
    _record(session, actor, "user.add", user, role=(None, user.role))
    return user


def bootstrap(session: Session, username: str, password: str | None) -> str | None:
    """Add the first admin where there is no user at all; a password is made when *password* is None.

    Returns:
        The password to show once, or None if users exist already or *password* was given.

    Raises:
        Invalid: If the given password breaks the rules.
    """
    if not none_yet(session):
        return None
    actor = FIRST_START
    set_actor(session, actor.name)
    user = _insert(session, username, password or (made := secrets.token_urlsafe(_RANDOM)), "admin")
    user.must_change_password = True  # it stood in a terminal, or in a file
    session.flush()
    _record(session, actor, "user.add", user, role=(None, user.role))
    return None if password else made


def none_yet(session: Session) -> bool:
    """Return whether there is no user at all; until the transaction ends no other process answers this."""
    session.execute(ALL_USERS)
    return session.exec(select(func.count()).select_from(User)).one() == 0


def get(session: Session, user_id: int) -> User:
    """Return a user; raises NotFound."""
    user = session.get(User, user_id) if could_be_id(user_id) else None
    if user is None:
        raise NotFound("user", user_id)
    return user


def find(session: Session, username: str) -> User | None:
    """Return the user who signs in as *username*, whatever its case; None if there is none."""
    name = username.strip().casefold()
    if len(name) > _LONGEST_NAME or "\x00" in name:  # not cut: a longer one would be another name to the throttle
        return None
    return session.exec(select(User).where(User.username == name)).one_or_none()


def list_all(session: Session) -> list[User]:
    """Return all users by name."""
    return list(session.exec(select(User).order_by(User.username)))


def set_password(
    session: Session, actor: Actor, user_id: int, password: str | Chosen, *, handed_over: bool = False
) -> User:
    """Give a user a new password; ends their sign-ins. Raises Forbidden, NotFound and Invalid.

    Args:
        session: The transaction.
        actor: An admin.
        user_id: Whose password.
        password: The new one.
        handed_over: As of :func:`add`; not where it is the actor's own.
    """
    require(session, actor, "user.set_password")
    get(session, user_id)  # is told before anything about the password
    chosen = _chosen(password)
    user = _locked(session, user_id)
    user.password_hash = chosen.hash
    user.must_change_password = handed_over and user_id != actor.user_id
    _record(session, actor, "user.set_password", user)
    return _ended(session, user)


def change_password(session: Session, actor: Actor, password: str | Chosen, current: str | None = None) -> User:
    """Give the actor a new password of their own; ends all their sign-ins, this one too.

    Args:
        session: The transaction.
        actor: A user who has signed in.
        password: The new one.
        current: The one in force; not needed by somebody who has just signed in with the password of the first start.

    Raises:
        Forbidden: If the sign-in has ended.
        Invalid: If the new password breaks the rules, or *current* is wrong.
    """
    require(session, actor, CHANGE_PASSWORD, role="member")
    known = get(session, actor.own_id())  # locked by `require`; at the lock of all users nobody waits for bcrypt
    if not known.must_change_password and not _fits(known, current or ""):
        raise Invalid({"current_password": "is not your password"})
    if _fits(known, password.password.reveal() if isinstance(password, Chosen) else password):
        raise Invalid({"password": "must be another one than now"})
    chosen = _chosen(password)
    user = _locked(session, actor.own_id())
    user.password_hash = chosen.hash
    user.must_change_password = False
    _record(session, actor, "user.change_password", user)
    return _ended(session, user)


def set_role(session: Session, actor: Actor, user_id: int, role: str) -> User:
    """Give a user another role; ends their sign-ins.

    Raises:
        Forbidden, NotFound, Invalid: The last for the last active admin, too.
    """
    require(session, actor, "user.set_role")
    user = _locked(session, user_id)
    wanted = validate(UserInput, {"username": user.username, "role": role}).role
    if wanted != "admin":
        _keep_an_admin(session, user, "role")
        _keep_a_way_back(session, user, "role")
    if user.role == wanted:
        return user
    _record(session, actor, "user.set_role", user, role=(user.role, wanted))
    user.role = wanted
    return _ended(session, user)


def set_active(session: Session, actor: Actor, user_id: int, *, active: bool) -> User:
    """Disable a user, which ends their sign-ins, or enable them again.

    Raises:
        Forbidden, NotFound, Invalid: The last for the last active admin.
    """
    require(session, actor, "user.set_active")
    user = _locked(session, user_id)
    if not active:
        _keep_an_admin(session, user, "is_active")
        _keep_a_way_back(session, user, "is_active")
    if user.is_active == active:
        return user
    _record(session, actor, "user.set_active", user, is_active=(user.is_active, active))
    user.is_active = active
    return _ended(session, user)


def set_break_glass(session: Session, actor: Actor, user_id: int, *, on: bool) -> User:
    """Mark a user as the way back, whose password signs in also where LLM_OIDC_ONLY refuses those of others; or take the mark away.

    Raises:
        Forbidden, NotFound: As everywhere.
        Invalid: If the user has no password.
    """
    require(session, actor, "user.set_break_glass")
    user = _locked(session, user_id)
    if on and user.password_hash is None:
        raise Invalid(
            {"break_glass": f"{user.username} has no password: set one first, which signs in without the provider"}
        )
    if user.break_glass == on:
        return user
    _record(session, actor, "user.set_break_glass", user, break_glass=(user.break_glass, on))
    user.break_glass = on
    session.flush()
    return user


def has_way_back(session: Session) -> bool:
    """Tell whether an active admin is marked as the way back."""
    query = select(func.count()).select_from(User).where(User.role == "admin", User.is_active, User.break_glass)
    return session.exec(query).one() > 0


@cache
def decoy_hash() -> str:
    """Return a hash that no password fits: checking an unknown user costs the same as checking a known one."""
    return _hash(secrets.token_urlsafe(_RANDOM))


ALL_USERS = func.pg_advisory_xact_lock(0x75736572).select()  # "user"
"""Taken in turns: two processes that start at once make one admin, and no two changes leave none."""


def _insert(session: Session, username: str, password: str | Chosen, role: str) -> User:
    wanted = validate(UserInput, {"username": username, "role": role})
    user = User(username=wanted.username, role=wanted.role, password_hash=_chosen(password).hash)
    session.add(user)
    violations.flush(session, AlreadyExists("user", wanted.username, "username"))
    session.refresh(user)
    return user


def _record(session: Session, actor: Actor, action: str, user: User, **changes: tuple[object, object]) -> None:
    record(session, actor, action, Target("user", user.id, user.username), changes)


def _chosen(password: str | Chosen) -> Chosen:
    return password if isinstance(password, Chosen) else choose(password)


def _hash(password: str) -> str:
    plain = validate(PasswordInput, {"password": password}).password.get_secret_value()
    return bcrypt.hashpw(plain.encode(), bcrypt.gensalt(COST)).decode()


def password_fits(user: User, password: str) -> bool:
    """Tell whether *password* is the user's: a third of a second. Who guesses is counted before."""
    return _fits(user, password)


def _fits(user: User, password: str) -> bool:
    typed = password.encode("utf-8", "replace")
    if user.password_hash is None or len(typed) > MAX_PASSWORD_BYTES or b"\x00" in typed:
        return False
    return bcrypt.checkpw(typed, user.password_hash.encode())


def _locked(session: Session, user_id: int) -> User:
    session.execute(ALL_USERS)
    user = session.get(User, user_id, with_for_update=True, populate_existing=True)
    if user is None:
        raise NotFound("user", user_id)
    return user


def _keep_an_admin(session: Session, user: User, field: str) -> None:
    others = select(func.count()).select_from(User).where(User.role == "admin", User.is_active, col(User.id) != user.id)
    if user.role == "admin" and user.is_active and not session.exec(others).one():
        raise Invalid({field: f"cannot change: {user.username} is the last active admin"})


def _keep_a_way_back(session: Session, user: User, field: str) -> None:
    """Refuse to take the last marked admin out: nobody would get in any more while the identity provider is away."""
    others = select(func.count()).select_from(User).where(User.role == "admin", User.is_active, User.break_glass)
    is_one = user.role == "admin" and user.is_active and user.break_glass
    if is_one and not session.exec(others.where(col(User.id) != user.id)).one():
        cure = "mark another admin first (python -m core users break-glass NAME), or take the mark off"
        raise Invalid({field: f"cannot change: {user.username} is the last break-glass admin; {cure}"})


def _ended(session: Session, user: User) -> User:
    user.auth_epoch += 1
    user.updated_at = datetime.now(UTC)
    session.flush()
    session.refresh(user)
    return user
