"""The record of who did what: one event for each change, sign-in and denial, in the transaction that does it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any, Final, NamedTuple

from sqlalchemy import insert, text
from sqlmodel import Session

from .. import request_ids
from ..actors import Actor
from ..errors import Invalid
from ..redaction import MASK, scrub
from ..store import db
from ..store.records import AuditEvent
from .reasons import COMMENT, MAX_COMMENT, require_reason

MAX_VALUE: Final = 8_000
"""Characters of a value, as JSON; of a longer one the beginning is kept, and how long it was."""
_KEPT: Final = 2_000
REQUEST_ID: Final = "request_id"
"""Among the changes: no field of anything, but by what the event is found in the log."""
ORGANIZATION: Final = "organization_id"
"""Among the changes: the id of the organisation that the event is about, by which its own admins find it."""
_EXPLAINED: Final = "audit_comment"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Changes = dict[str, tuple[Any, Any]]
"""Field -> (before, after)."""


class Target(NamedTuple):
    """What an event is about."""

    type: str
    """``provider``, ``settings``, ``organization``, ``feature``, ``limit``, ``installation``, ``document``, ``preset``, ``budget``, ``alert``, ``rate_limit``, ``personal_data``, ``bill``, ``spend``, ``logs``, ``user``, ``token``, ``session``,
    ``keys``, ``audit``, ``schema`` or ``action``."""
    id: int | None
    name: str


def record(
    session: Session,
    actor: Actor,
    action: str,
    target: Target,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
    *,
    organization: int | None = None,
) -> None:
    """Write an event in this transaction: if it cannot be written, the change is not made either.

    The id of the request, or of the run of a page, that did it stands among the changes, as :data:`REQUEST_ID`: the log has the same.

    Args:
        session: The transaction.
        actor: Who.
        action: ``provider.update``, ``session.sign_in``, ``denied`` and so on.
        target: What it is about.
        changes: Field -> (before, after). Never a secret: of a key its mask. What looks like one is redacted.
        organization: The one that it is about; None: nobody's.

    Raises:
        Invalid: If the installation wants a reason with each change, and :func:`explained` gives none.
    """
    db.require_writable(session)
    pairs = {
        name: {"before": value(before), "after": value(after)} for name, (before, after) in (changes or {}).items()
    }
    if organization is not None:
        pairs[ORGANIZATION] = {"before": None, "after": organization}
    if comment := ask_reason(session, actor, action):
        pairs[COMMENT] = {"before": None, "after": value(comment)}
    if request_id := request_ids.current():
        pairs[REQUEST_ID] = {"before": None, "after": value(request_id)}
    session.execute(
        insert(AuditEvent).values(  # these columns and no other: the application's role may set no more
            actor=scrub(storable(actor.name)),
            actor_id=actor.user_id,
            address=storable(actor.address) if actor.address else None,
            action=action,
            target_type=target.type,
            target_id=target.id,
            target=scrub(storable(target.name)),
            changes=pairs,
        )
    )


@contextmanager
def explained(session: Session, comment: str) -> Iterator[None]:
    """Put *comment* on record, as :data:`COMMENT`, with each event of this transaction, and with its generation; an empty one leaves it so.

    It is kept as one line, without what looks like a secret.

    Raises:
        Invalid: If it has more than :data:`MAX_COMMENT` characters.
    """
    if len(comment) > MAX_COMMENT:
        raise Invalid({COMMENT: f"must be at most {MAX_COMMENT} characters; this has {len(comment)}"})
    outer = session.info.get(_EXPLAINED)
    noted = scrub(storable(" ".join(comment.split())))
    if noted:  # the trigger that takes the number of the generation reads it, at commit
        session.execute(text("SELECT set_config('llm_settings.comment', :comment, true)"), {"comment": noted})
    session.info[_EXPLAINED] = noted or outer
    try:
        yield
    finally:
        session.info[_EXPLAINED] = outer


@contextmanager
def tried(session: Session) -> Iterator[None]:
    """What is done in this is rolled back, and needs no reason."""
    outer = session.info.get(_EXPLAINED)
    session.info[_EXPLAINED] = outer or "tried"
    try:
        yield
    finally:
        session.info[_EXPLAINED] = outer


def ask_reason(session: Session, actor: Actor, action: str) -> str:
    """Return the reason of this transaction; empty where there is none and *action* needs none.

    :func:`record` asks. What goes on with the next one after a refusal asks before its first.

    Raises:
        Invalid: If the installation wants one.
    """
    comment: str = session.info.get(_EXPLAINED) or ""
    if not comment:
        require_reason(session, actor, action)
    return comment


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any], fields: Iterable[str]) -> Changes:
    """Return what differs in *fields*; a field that one side has not is None there."""
    pairs = {name: (before.get(name), after.get(name)) for name in fields}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def value(given: Any) -> Any:
    """Return *given* as it is put on record: JSON, without what looks like a secret, and not too long."""
    clean = _clean(given)
    text = clean if isinstance(clean, str) else json.dumps(clean, ensure_ascii=False)
    if len(text) <= MAX_VALUE:
        return clean
    return f"{text[:_KEPT]}… (cut: {len(text)} characters in all)"


def _clean(given: Any) -> Any:
    if isinstance(given, str):
        return scrub(storable(given))
    if isinstance(given, Mapping):
        return {_clean(str(key)): _named(str(key), item) for key, item in given.items()}
    if isinstance(given, list | tuple | set | frozenset):
        return [_clean(item) for item in given]
    return given.isoformat() if isinstance(given, date) else given


def _named(name: str, item: Any) -> Any:
    clean = _clean(item)
    if not isinstance(clean, str):
        return clean
    pair = f"{name}={clean}"  # the name may tell that it is a secret
    return clean if scrub(pair) == pair else MASK


def storable(text: str) -> str:
    """Return *text* as PostgreSQL takes it: without NUL and half characters."""
    return _UNSTORABLE.sub("\ufffd", text)
