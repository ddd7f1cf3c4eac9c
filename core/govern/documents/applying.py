"""Applying a document: one transaction, in which the writes that pages and REST use put each row on record; or none of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ...actors import APPLIER, Actor
from ...audit.record import Target, ask_reason, explained, record, tried
from ...errors import Conflict, Invalid
from . import planning, writing
from .planning import ChangePlan, RowChange
from .rows import IdsAndNames, StoredFields, Writing
from .schema import Document, Secrets
from .wording import shown

DOCUMENT: Final = "document"
"""The kind of a conflict about fields in dispute."""
_ONE_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(5823114, 22)")


def put(
    session: Session,
    actor: Actor,
    document: Document,
    *,
    organization: str | None = None,
    prune: bool = False,
    take: bool = False,
    dry_run: bool = False,
    generation: int | None = None,
    secrets: Secrets | None = None,
    missing: bool = False,
    comment: str = "",
) -> ChangePlan:
    """Compare *document* with what is stored and apply it, or with *dry_run* try it and take it back; returns what it does.

    Documents are applied one after another: a second one waits, and is compared with what the first has left.

    Args:
        session: The transaction.
        actor: An admin; of one organisation also an admin of it. What is changed is put down to ``apply:`` and its name.
        document: What is wanted.
        organization: As of :func:`~.planning.plan`, as are *prune*, *secrets* and *missing*.
        prune: See there.
        secrets: See there.
        missing: See there.
        take: Whether fields that somebody changed since the last apply are changed back.
        dry_run: Whether nothing is kept of it. What would be refused is refused; what is in dispute is only listed.
        generation: The one that the document was made of; another one is stored by now: a conflict. None: any.
        comment: Why, for the audit.

    Raises:
        Forbidden, NotFound, Invalid, AlreadyExists, Sealed: Invalid names paths.
        Conflict: If fields are in dispute and *take* is not set, or *generation* is another.
        StoreUnavailable: If another document was being applied for longer than a lock is waited for.
    """
    session.execute(_ONE_AT_A_TIME)
    stored = writing.generation(session)
    if generation is not None and generation != stored:
        raise Conflict("installation", stored, None, None, {"generation": (stored, generation)})
    applier = replace(actor, name=f"{APPLIER}{actor.name}")
    found = planning.plan(
        session, applier, document, organization=organization, prune=prune, secrets=secrets, missing=missing
    )
    if found.disputed and not take:
        if dry_run:
            return found
        raise _conflict(found)
    if dry_run:
        trying = session.begin_nested()
        try:
            with tried(session):
                apply(session, applier, found, comment=comment)
        finally:
            trying.rollback()
        return found
    apply(session, applier, found, comment=comment)
    return found


def apply(session: Session, actor: Actor, plan: ChangePlan, *, comment: str = "") -> None:
    """Write what *plan* says, which was made in this transaction; an empty one writes nothing.

    Raises:
        Forbidden, NotFound, Invalid, AlreadyExists, Conflict, Sealed: As the writes of each row; Invalid names paths.
    """
    if not plan.changes:
        return
    how = Writing(session, actor, plan.names or IdsAndNames(session))
    with explained(session, comment):
        ask_reason(session, actor, "document.apply")  # before the first row, whose path would stand beside it
        late = []
        for change in plan.changes:
            if change.what == "delete":
                continue
            with _at(change):
                if (rest := _write(how, change)) is not None:
                    late.append(rest)
        removed = [change for change in plan.changes if change.what == "delete"]
        for change in removed:
            if change.kind.name != "provider":
                _remove(how, change)
        for change in late:
            with _at(change):
                change.kind.write(how, change.key, change.before, change.wanted, change.differing)
        for change in removed:
            if change.kind.name == "provider":
                _remove(how, change)
        session.flush()
        target = Target(DOCUMENT, plan.scope.organization_id, plan.scope.slug or "installation")
        counts: dict[str, tuple[Any, Any]] = {
            what: (None, number)
            for what in ("create", "update", "delete")
            if (number := sum(change.what == what for change in plan.changes))
        }
        record(session, actor, "document.apply", target, counts, organization=plan.scope.organization_id)


def _write(how: Writing, change: RowChange) -> RowChange | None:
    """Write a row; return what of it has to wait for all others, if there is such."""
    kind, before = change.kind, change.before
    if kind.late and before is None:
        return change
    first = kind.first(before, change.wanted) if kind.first is not None and before is not None else None
    if first is None or before is None:
        kind.write(how, change.key, before, change.wanted, change.differing)
        return None
    now = {name: first.get(name) for name in change.differing if first.get(name) != before.fields.get(name)}
    kind.write(how, change.key, before, first, now)
    left = {name: value for name, value in change.wanted.items() if value != first.get(name)}
    return replace(change, before=StoredFields(first, before.id, None), differing=left)


def _remove(how: Writing, change: RowChange) -> None:
    if change.kind.remove is not None and change.before is not None:
        with _at(change):
            change.kind.remove(how, change.key, change.before)


@contextmanager
def _at(change: RowChange) -> Iterator[None]:
    """Name the path in what is refused."""
    try:
        yield
    except Invalid as error:
        names = {column: name for name, columns in change.kind.columns.items() for column in columns}
        problems = {f"{change.path}.{names.get(field, field)}": rule for field, rule in error.fields.items()}
    else:
        return
    raise Invalid(problems)


def _conflict(plan: ChangePlan) -> Conflict:
    changes: dict[str, tuple[Any, Any]] = {}
    for change, disputed in plan.disputed:
        stored = change.before.fields.get(disputed.name) if change.before is not None and disputed.name else "there"
        wanted = change.wanted.get(disputed.name) if disputed.name else None
        path = f"{change.path}.{disputed.name}" if disputed.name else change.path
        changes[path] = (shown(stored), shown(wanted))
    _, first = plan.disputed[0]
    return Conflict(DOCUMENT, plan.generation, first.by, first.at, changes)
