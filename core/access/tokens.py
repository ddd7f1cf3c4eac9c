"""API tokens: how programs that are not Python sign in. The program holds the token, the database its SHA-256.

A token belongs to the organisation, not to the admin who made it: it ends by its expiry or by being revoked, at once.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session, col, delete, func, or_, select, update

from ..actors import Actor
from ..audit.record import Target, record
from ..errors import AlreadyExists, NotFound
from ..redaction import remember
from ..store import violations
from ..store.organization_tables import Organization
from ..store.schemas import TokenInput, could_be_id, validate
from ..store.tables import MEMBER, ApiToken
from .authority import require, token_is_live

PREFIX: Final = "llms_"
"""By which people, log filters and secret scanners know a token of ours."""
HINT: Final = len(PREFIX) + 4
"""So many characters are kept, for people to tell tokens apart."""
KEPT_DAYS: Final = 365
"""So long a token stays listed after its end."""
USED_EVERY_SECONDS: Final = 60
"""``last_used_at`` is written no more often: a request must not cost a write each."""

_TOKEN = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_NOW: Any = func.clock_timestamp()


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> tuple[ApiToken, str]:
    """Make a token; *data* is a :class:`~core.store.schemas.TokenInput`.

    Returns:
        The row, and the token itself: it is shown once and stored nowhere.

    Raises:
        Forbidden, Invalid: As everywhere.
        NotFound: If it is to be of an organisation, and there is none of that id.
        AlreadyExists: If a token that is not revoked has the name.
    """
    require(session, actor, "token.create")
    wanted = validate(TokenInput, data)
    slug = _slug(session, wanted.organization_id)
    token = PREFIX + secrets.token_urlsafe(32)
    remember(token)
    days = wanted.expires_in_days
    row = ApiToken(
        name=wanted.name,
        token_hash=_hash(token),
        hint=token[:HINT],
        role=wanted.role if slug is None else MEMBER,
        organization_id=wanted.organization_id,
        organization_role=None if slug is None else wanted.role,
        created_by=actor.name,
        expires_at=_NOW + text(f"interval '{days} days'") if days else None,
    )
    session.add(row)
    violations.flush(session, AlreadyExists("token", wanted.name))
    session.refresh(row)
    made: dict[str, tuple[Any, Any]] = {"role": (None, wanted.role), "expires_at": (None, row.expires_at)}
    if slug is not None:
        made["organization"] = (None, slug)
    record(session, actor, "token.create", Target("token", row.id, row.name), made, organization=row.organization_id)
    return row, token


def _slug(session: Session, organization_id: int | None) -> str | None:
    """Return the slug of the organisation that a token is to be of, which stays share-locked; raises NotFound."""
    if organization_id is None:
        return None
    row = session.get(Organization, organization_id, with_for_update={"read": True}, populate_existing=True)
    if row is None or row.deleted_at is not None or row.kind == "template":
        raise NotFound("organisation", organization_id)
    return row.slug


def revoke(session: Session, actor: Actor, token_id: int) -> ApiToken:
    """End a token at once; one that has ended already stays as it is.

    Raises:
        Forbidden, NotFound: As everywhere.
    """
    require(session, actor, "token.revoke")
    row = None
    if could_be_id(token_id):
        row = session.get(ApiToken, token_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("token", token_id)
    if row.revoked_at is None:
        row.revoked_at, row.revoked_by = _NOW, actor.name
        session.flush()
        session.refresh(row)
        record(session, actor, "token.revoke", Target("token", row.id, row.name))
    return row


def drop_ended(session: Session, actor: Actor) -> int:
    """Delete the tokens that were revoked or expired more than :data:`KEPT_DAYS` ago; return how many. The audit keeps its events.

    Raises:
        Forbidden: As everywhere.
    """
    require(session, actor, "token.purge")
    border = _NOW - text(f"interval '{KEPT_DAYS} days'")
    old: Any = or_(col(ApiToken.revoked_at) < border, col(ApiToken.expires_at) < border)
    names = sorted(session.exec(delete(ApiToken).where(old).returning(col(ApiToken.name))).scalars())
    if names:
        record(session, actor, "token.purge", Target("token", None, "ended tokens"), {"names": (names, None)})
    return len(names)


def list_all(session: Session) -> list[ApiToken]:
    """Return every token, those that were not revoked first, by name; of equal names the newest first."""
    query = select(ApiToken).order_by(
        col(ApiToken.revoked_at).is_not(None), func.lower(ApiToken.name), col(ApiToken.id).desc()
    )
    return list(session.exec(query))


def get(session: Session, token_id: int) -> ApiToken:
    """Return a token; raises NotFound."""
    row = session.get(ApiToken, token_id) if could_be_id(token_id) else None
    if row is None:
        raise NotFound("token", token_id)
    return row


def get_by_name(session: Session, name: str) -> ApiToken:
    """Return the token of that name that is not revoked; raises NotFound."""
    found = select(ApiToken).where(ApiToken.name == name, col(ApiToken.revoked_at).is_(None))
    row = session.exec(found).one_or_none() if "\x00" not in name else None
    if row is None:
        raise NotFound("token", name)
    return row


def find(session: Session, token: str, address: str | None = None) -> Actor | None:
    """Return whom *token* stands for, if it holds; else None. Notes that it was used."""
    if not _TOKEN.fullmatch(token):
        return None
    query: Any = select(ApiToken.id, ApiToken.name).where(ApiToken.token_hash == _hash(token), token_is_live())
    row = session.exec(query).one_or_none()
    if row is None:
        return None
    token_id, name = row
    _touch(session, token_id, address)
    return Actor(f"token:{name}", address=address, token_id=token_id)


def _touch(session: Session, token_id: int, address: str | None) -> None:
    last = col(ApiToken.last_used_at)
    due = or_(last.is_(None), last < _NOW - text(f"interval '{USED_EVERY_SECONDS} seconds'"))
    # A row that somebody holds is left out: no request waits for another one, and no two for each other.
    free = select(ApiToken.id).where(col(ApiToken.id) == token_id, due).with_for_update(skip_locked=True)
    session.exec(
        update(ApiToken)
        .where(col(ApiToken.id).in_(free))
        .values(last_used_at=_NOW, last_used_from=address)
        .execution_options(synchronize_session=False)
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
