"""Encryption keys: what each holds and whether it may go, the move to the primary one, and wrong key or damaged row.

Why it is as it is, and what each step may meet: docs/decisions/key-rotation.md.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..crypto import KeyRing, Place, SealedKey
from ..errors import (
    EncryptionKeyMissing,
    KeyUnreadable,
    OutdatedEncryptionKey,
    ProcessesLackKey,
    Sealed,
    WrongEncryptionKey,
)
from ..store import sealed
from ..store.sealed import SealedColumn, Tried
from ..store.tables import EncryptionCanary
from ..wording import counted
from . import services

BATCH: Final = 100
"""Rows of one transaction, which are locked until it ends."""
PASSES: Final = 6
PAUSE: Final = 0.5
"""Rows that somebody else has locked are met again: in so many passes, with so many seconds in between."""

_CANARIES: Any = EncryptionCanary.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_SAMPLE = "a sample, not a key"
_LOCK = 0x6C6C6D6B  # "llmk": of two processes that are the first to use a key, the second sees the first one's canary


class Canary(NamedTuple):
    """What this database knows of a process's primary key."""

    state: Literal["sealed", "first_use", "new_primary", "ok", "damaged", "wrong_key", "behind"]
    message: str
    """For people: what is wrong and the cure, or what to do next; empty for ``first_use`` and ``ok``."""
    known: tuple[str, ...] = ()
    """With ``wrong_key`` and ``sealed``: ids of the keys this database was used with; with ``behind`` those that are newer, and in use."""


class HeldKeys(NamedTuple):
    """One encryption key, and what it holds."""

    key_id: str
    role: Literal["primary", "extra", "unknown"]
    """``unknown``: rows need it, and it is not in this process's key ring."""
    rows: int
    unbound: int
    """Values of other programs, not adopted yet, that this key opens."""
    may_go: bool
    advice: str
    """For people: whether it may go, or what to do."""


class RingStatus(NamedTuple):
    """The key ring against the database."""

    keys: tuple[HeldKeys, ...]
    """The primary one first."""
    canary: Canary
    nobodys: int
    """Values without a key id that no key of the ring opens, or of whose record a part is missing."""


class Batch(NamedTuple):
    """What one transaction of a rotation did."""

    moved: int
    unreadable: tuple[Tried, ...]
    last_id: int | None
    """None: there was nothing left to do in this pass."""


def look_at_canary(session: Session, ring: KeyRing) -> Canary:
    """Return whether this database knows the ring's primary key; writes nothing."""
    canaries = {row.key_id: row for row in session.execute(select(_CANARIES).order_by(_CANARIES.c.created_at))}
    known = tuple(canaries) or tuple(
        key_id for key_id in sealed.held(session) if key_id
    )  # rows may be older than the canaries
    if ring.primary_id is None:
        return Canary("sealed", str(_without_key(ring, known)), known)
    if ring.primary_id in canaries:
        return _of_a_known_key(session, ring, ring.primary_id, canaries)
    if not known or (not canaries and ring.primary_id in known):
        return Canary("first_use", "")
    if set(known) & set(ring.ids):
        return Canary(
            "new_primary",
            f"{ring.kept_in} is a new key, {ring.primary_id}. Once every process uses it, "
            "`python -m core keys rotate` moves the stored API keys to it.",
        )
    return Canary("wrong_key", str(WrongEncryptionKey(ring.primary_id, known, ring.kept_in)), known)


def _without_key(ring: KeyRing, known: tuple[str, ...]) -> Sealed:
    return EncryptionKeyMissing(known, ring.kept_in) if known else Sealed()


def _of_a_known_key(session: Session, ring: KeyRing, primary: str, canaries: Mapping[str, Any]) -> Canary:
    own = canaries[primary]
    try:
        ring.open(own.blob, own.key_id, own.binding, _canary_place(own.key_id))
    except KeyUnreadable:
        return Canary(
            "damaged",
            f"The canary of encryption key {primary} is damaged: the row in encryption_canaries, not the key. "
            "`python -m core keys rotate` makes it anew.",
        )
    later = [key_id for key_id, row in canaries.items() if row.created_at > own.created_at]
    lacks = [key_id for key_id in later if key_id not in ring.ids]
    newer = tuple(key_id for key_id in lacks if sealed.held(session)[key_id])
    return Canary("behind", str(OutdatedEncryptionKey(primary, newer)), newer) if newer else Canary("ok", "")


def check_canary(session: Session, ring: KeyRing) -> Canary:
    """Return what :func:`look_at_canary` does; a primary key that is rightly new here gets its canary."""
    canary = look_at_canary(session, ring)
    if canary.state in {"first_use", "new_primary"}:
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        canary = look_at_canary(session, ring)
        if canary.state in {"first_use", "new_primary"}:
            _put_canary(session, ring)
    return canary


def require_known(session: Session, ring: KeyRing) -> None:
    """Return when *ring* may seal values for this database.

    Raises:
        Sealed: Without a primary key; EncryptionKeyMissing if a file should hold it that has been there before.
        WrongEncryptionKey: If this database was used with other keys, and none of them is in the ring.
        OutdatedEncryptionKey: If a newer key seals what is stored, and is not in the ring.
    """
    canary = check_canary(session, ring)
    if canary.state == "sealed":
        raise _without_key(ring, canary.known)
    if canary.state == "wrong_key":
        raise WrongEncryptionKey(ring.primary_id or "", canary.known, ring.kept_in)
    if canary.state == "behind":
        raise OutdatedEncryptionKey(ring.primary_id or "", canary.known)


def status(session: Session, ring: KeyRing) -> RingStatus:
    """Count what each key holds. Only values that have no key id beside them are tried."""
    held, unbound = sealed.held(session), sealed.unbound(session, ring)
    since = {row.key_id: row.created_at for row in session.execute(select(_CANARIES))}
    ids = [*ring.ids, *sorted(key_id for key_id in held if key_id and key_id not in ring.ids)]
    canary = look_at_canary(session, ring)
    return RingStatus(
        keys=tuple(
            _describe(key_id, held[key_id], unbound[key_id], ring=ring, since=since, canary=canary) for key_id in ids
        ),
        canary=canary,
        nobodys=held[""] - sum(unbound[key_id] for key_id in ring.ids),
    )


def rotate(
    run: Callable[[Callable[[Session], Any]], Any],
    actor: Actor,
    ring: KeyRing,
    *,
    batch: int = BATCH,
    dry_run: bool = False,
    old_key_lost: bool = False,
    force: bool = False,
) -> Iterator[Batch]:
    """Seal anew, with the primary key, what other keys of the ring hold; yields each batch once it is committed.

    May be killed at any moment and run again; several may run at once.

    Args:
        run: Runs its argument in a transaction of its own: ``db.retrying``.
        actor: An admin.
        ring: The primary key, and the keys to move away from.
        batch: Rows of one transaction.
        dry_run: Open everything, and write nothing.
        old_key_lost: Go on with the primary key, though the ring has none that this database was used with.
        force: Go on, though connected processes lack the primary key.

    Raises:
        Forbidden, Sealed, WrongEncryptionKey, OutdatedEncryptionKey, ProcessesLackKey: Before anything is done.
        KeyUnreadable: If a value does not read back; its batch is rolled back.
    """
    run(lambda session: _begin(session, actor, ring, dry_run=dry_run, old_key_lost=old_key_lost, force=force))
    for number in range(PASSES):
        time.sleep(PAUSE if number else 0)
        unreadable = 0
        for column in sealed.SEALED:
            done: Batch | None = None
            while done is None or done.last_id is not None:
                work = partial(rotate_batch, actor=actor, ring=ring, column=column, limit=batch, dry_run=dry_run)
                done = run(partial(work, after=done and done.last_id))
                unreadable += len(done.unreadable)
                yield done
        if dry_run or run(lambda session: _others(session, ring)) <= unreadable:
            break
    if not dry_run:
        for _ in write_fingerprints(run, actor, ring, batch=batch):
            pass  # of what was sealed with the primary key already


def rotate_batch(
    session: Session,
    actor: Actor,
    ring: KeyRing,
    column: SealedColumn,
    *,
    after: int | None = None,
    limit: int = BATCH,
    dry_run: bool = False,
) -> Batch:
    """Seal up to *limit* rows behind id *after* anew, read them back, and write one audit event.

    Rows that are locked are passed over, and rows that cannot be opened are left as they are. Raises as
    :func:`rotate` does.
    """
    require(session, actor, "keys.rotate")
    query = column.query().where(column.columns()[1] != ring.primary_id).limit(limit)
    if after is not None:
        query = query.where(column.table.c.id > after)
    rows = session.execute(query if dry_run else query.with_for_update(skip_locked=True, of=column.table)).all()
    tried = [(row, *sealed.try_open(column, row, ring)) for row in rows]
    plain = {row.id: text for row, _, text in tried if text is not None}
    if plain and not dry_run:
        moving = [row for row in rows if row.id in plain]
        _seal_anew(session, ring, column, moving, plain)
        changes = {
            "encryption_key": (sorted({row.key_id for row in moving}), ring.primary_id),
            "rows": (None, {"count": len(moving), "first": moving[0].id, "last": moving[-1].id}),
        }
        record(session, actor, "keys.rotate", Target("keys", None, column.table.name), changes)
    unreadable = tuple(outcome for _, outcome, text in tried if text is None)
    return Batch(len(plain), unreadable, rows[-1].id if rows else None)


def write_fingerprints(
    run: Callable[[Callable[[Session], Any]], Any], actor: Actor, ring: KeyRing, *, batch: int = BATCH
) -> Iterator[int]:
    """Write the fingerprints that are missing, of values that this ring opens; yields how many each transaction wrote.

    They are missing where a value was sealed by a version before fingerprints, or by another program. May be killed and
    run again, as :func:`rotate`, which raises the same.
    """
    for column in sealed.SEALED:
        last: int | None = 0
        while column.fingerprinted and last is not None:
            written, last = run(
                partial(_write_fingerprints, actor=actor, ring=ring, column=column, after=last, limit=batch)
            )
            yield written


def _write_fingerprints(
    session: Session, actor: Actor, ring: KeyRing, column: SealedColumn, *, after: int, limit: int
) -> tuple[int, int | None]:
    require(session, actor, "keys.fingerprint")
    missing = column.missing_fingerprint()
    query = column.query().where(missing, column.table.c.id > after).limit(limit)
    rows = session.execute(query.with_for_update(skip_locked=True, of=column.table)).all()
    written = 0
    for row in rows:
        plain = sealed.try_open(column, row, ring)[1]
        if plain is not None:
            values = column.fingerprints(ring, plain, SealedKey(row.blob, row.key_id, row.binding))
            session.execute(update(column.table).where(column.table.c.id == row.id).values(values))
            written += 1
    if written:
        changes = {"fingerprints": (None, written)}
        record(session, actor, "keys.fingerprint", Target("keys", None, column.table.name), changes)
    return written, rows[-1].id if rows else None


def _seal_anew(
    session: Session, ring: KeyRing, column: SealedColumn, rows: list[Any], plain: Mapping[int, str]
) -> None:
    blob, key_id, binding = column.columns()
    c = column.table.c
    new = []
    for row in rows:
        fresh = ring.seal(plain[row.id], column.place(row))
        new.append({"row": row.id, **fresh._asdict(), **column.fingerprints(ring, plain[row.id], fresh)})
    values: Any = {blob: bindparam("blob"), key_id: bindparam("key_id"), binding: bindparam("binding")}
    if column.fingerprinted:
        name = f"{column.name}_fingerprint"
        values[c[name]] = bindparam(name)
    session.connection().execute(update(column.table).where(c.id == bindparam("row")).values(values), new)
    stored = session.execute(column.query().where(c.id.in_(plain))).all()
    back = {row.id: sealed.try_open(column, row, ring)[1] for row in stored if row.key_id == ring.primary_id}
    wrong = [row.label for row in rows if back.get(row.id) != plain[row.id]]
    if wrong:
        raise KeyUnreadable("damaged", f"Not read back as written: {', '.join(wrong)}. This batch was not changed.")


def _begin(session: Session, actor: Actor, ring: KeyRing, *, dry_run: bool, old_key_lost: bool, force: bool) -> None:
    require(session, actor, "keys.rotate")
    state = look_at_canary(session, ring).state
    if dry_run and state not in {"sealed", "wrong_key"}:
        return
    lack = [] if force or ring.primary_id is None else services.lacking(session, ring.primary_id)
    if lack:
        raise ProcessesLackKey(ring.primary_id or "", map(str, lack), sum(sealed.held(session).values()))
    if state == "damaged":
        _put_canary(session, ring)
    elif state in {"wrong_key", "behind"} and old_key_lost and not dry_run:
        _put_canary(session, ring)
        changes = {"encryption_key": (None, ring.primary_id)}
        record(session, actor, "keys.old_key_lost", Target("keys", None, _CANARIES.name), changes)
    else:
        require_known(session, ring)
        _put_canary(session, ring)  # the newest one from now on, where this is the way back to an older key


def _put_canary(session: Session, ring: KeyRing) -> None:
    sample = ring.seal(_SAMPLE, _canary_place(ring.primary_id or ""))._asdict()
    put = insert(_CANARIES).values({**sample, "created_at": func.clock_timestamp()})  # tells which key is the newer one
    new = {name: put.excluded[name] for name in ("blob", "binding", "created_at")}
    session.execute(put.on_conflict_do_update(index_elements=["key_id"], set_=new))


def _canary_place(key_id: str) -> Place:
    return Place("encryption_canaries", 0, key_id, "")


def _others(session: Session, ring: KeyRing) -> int:
    return sum(number for key_id, number in sealed.held(session).items() if key_id not in {"", ring.primary_id})


def _describe(
    key_id: str, rows: int, unbound: int, *, ring: KeyRing, since: Mapping[str, datetime], canary: Canary
) -> HeldKeys:
    holds = ((rows, ""), (unbound, " not adopted yet"))
    needs = " and ".join(f"{counted(number, 'API key')}{what}" for number, what in holds if number)
    primary = ring.primary_id
    role: Literal["primary", "extra", "unknown"] = "extra" if key_id in ring.ids else "unknown"
    may_go = False
    if key_id == primary:
        role = "primary"
        says = "Seals nothing: it is the wrong key." if canary.state == "wrong_key" else "Seals every new API key."
    elif role == "unknown":
        says = (
            f"Not in the key ring of this process: {needs} cannot be opened. Add it to LLM_ENCRYPTION_KEYS_EXTRA, or "
            "enter those API keys again."
        )
    elif needs:
        cure = "Run `python -m core keys rotate`." if rows else "Adopt them on the Providers page."
        verb = "needs" if rows + unbound == 1 else "need"
        says = f"Must stay: {needs} still {verb} it. {cure}"
    elif primary is None or key_id not in since or (primary in since and since[key_id] > since[primary]):
        says = "Holds nothing yet. If it is the next key, make it LLM_ENCRYPTION_KEY of every process."
    else:
        may_go = True
        says = (
            f"Holds nothing any more: take it out of LLM_ENCRYPTION_KEYS_EXTRA once every process uses {primary} as "
            "LLM_ENCRYPTION_KEY. Older backups still need it: keep it with them."
        )
    return HeldKeys(key_id, role, rows, unbound, may_go, says)
