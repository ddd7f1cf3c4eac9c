"""Restore: what a row, a field, an organisation was becomes a new write, by the rules, limits and rights of today; and undo.

Each row is written by the function that any other edit of it is written by (:mod:`.history_writers`), in a savepoint: so a
preview is the write itself, taken back. Keys and other sealed values are not in the history, and never come back.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..actors import Actor
from ..audit.record import Target, ask_reason, explained, record, tried
from ..errors import Conflict, CoreError, Invalid, NotFound
from ..manage.organization_members import known_by
from . import history, history_names, history_writers
from .history import Differences
from .history_moments import Moment, moment, newest
from .history_writers import Edit, RowWriter

RESTORE: Final = "settings.restore"
MOST_AT_ONCE: Final = 10_000
"""Rows that are restored by one transaction: some 10 ms each, in which whoever writes them waits."""
_KEY_GONE: Final = "The API key does not come back: enter it again."
_KEY_STAYS: Final = "The API key stays as it is now: keys are not in the history."
_VALUE: Final = "A value that is stored encrypted does not come back: enter it again."


class RowOutcome(NamedTuple):
    """What became, or would become, of one row."""

    table: str
    row_id: int
    """Of the history; what is made again has an id of its own."""
    name: str
    done: str
    """``changed``, ``made``, ``deleted``, ``nothing``, or ``refused``."""
    fields: dict[str, tuple[Any, Any]]
    """Field -> (as it is now, as it becomes)."""
    problem: str = ""
    """Why it was refused, and the cure."""
    notes: tuple[str, ...] = ()
    """What does not come back."""
    version: int | None = None
    """Of the row as it is now, on which this was worked out; 0: it is not there. Given back, it refuses what was changed since."""


class Restored(NamedTuple):
    """What became, or would become, of some rows."""

    moment: Moment
    """As of which they are."""
    outcomes: list[RowOutcome]
    looked_at: int
    """The generation that this was worked out at: given back, it refuses what was changed since."""

    @property
    def refused(self) -> list[RowOutcome]:
        """Those that cannot be restored."""
        return [each for each in self.outcomes if each.done == "refused"]


class _Wanted(NamedTuple):
    """What a row is to become."""

    table: str
    row_id: int
    organization_id: int | None
    image: Mapping[str, Any] | None
    """None: it is not to be there."""
    name: str


def restore_row(
    session: Session,
    actor: Actor,
    table: str,
    row_id: int,
    generation: int,
    *,
    fields: Iterable[str] | None = None,
    version: int | None = None,
    dry_run: bool = False,
) -> RowOutcome:
    """Make a row what it was at a generation; one that was deleted since is made again.

    Args:
        session: The transaction.
        actor: Who may change such a row now.
        table: Of the history.
        row_id: Which row.
        generation: Its newest version up to this one counts.
        fields: Only these; None: all.
        version: The row's version that this was decided on, 0 if it was not there; None writes whatever is there.
        dry_run: Whether nothing is to stay written.

    Raises:
        Forbidden, NotFound, Invalid, AlreadyExists, Gone: NotFound also if what the row belongs to is gone, with the cure.
        Conflict: If the row is not at *version* any more; with both values.
    """
    found = history.eyes(session, actor)
    if found.seen.everything and not found.is_admin:
        history_writers.refuse(session, actor, RESTORE, None)  # before anything is said of what is there
    was = history.version(session, actor, table, row_id, generation)
    wanted = _Wanted(table, row_id, was.organization_id, was.image, was.name)
    if not found.reads_all(was.organization_id):
        history_writers.refuse(session, actor, RESTORE, was.organization_id)
    nested = session.begin_nested()
    try:
        with tried(session) if dry_run else nullcontext():
            only = None if fields is None else set(fields)
            outcome = _write(session, actor, wanted, was.generation, fields=only, version=version)
    except BaseException:
        nested.rollback()
        raise
    if dry_run:
        nested.rollback()
        session.expire_all()
    else:
        nested.commit()
    return outcome


def restore_organization(
    session: Session,
    actor: Actor,
    organization_id: int,
    at: datetime | int,
    *,
    looked_at: int | None = None,
    dry_run: bool = False,
) -> Restored:
    """Make all that is an organisation's what it was at a moment, as one transaction of new writes.

    Rows that cannot be restored are named, with the reason and the cure; the others are restored.

    Args:
        session: The transaction.
        actor: An admin, or one of the organisation: such a one restores what its admins may change.
        organization_id: Which.
        at: A time or a generation.
        looked_at: The generation that the preview was worked out at: rows that were changed since are refused.
        dry_run: Whether nothing is to stay written.

    Raises:
        Forbidden, NotFound, Gone, Invalid: As :func:`.history.difference`.
    """
    history_writers.refuse(session, actor, RESTORE, organization_id)
    now = newest(session).generation
    found = history.difference(session, actor, at, now, organization_id=organization_id, most=MOST_AT_ONCE)
    if found.is_cut:
        rule = f"has more than {MOST_AT_ONCE:,} rows that differ from then, the most that are restored at once"
        raise Invalid({"organization": f"{rule}: nothing was changed. Restore row by row, by table and id"})
    images = _images_at(session, found)
    wanted = [
        _Wanted(row.table, row.row_id, row.organization_id, images.get((row.table, row.row_id)), row.name)
        for row in found.rows
    ]
    if not dry_run:
        ask_reason(session, actor, RESTORE)
    with tried(session) if dry_run else nullcontext():
        return _write_all(session, actor, wanted, found.before, looked_at=looked_at, dry_run=dry_run)


def undo(session: Session, actor: Actor, generation: int, *, dry_run: bool = False) -> Restored:
    """Take one's own last write back: each row of a generation becomes what it was before it; all of them, or none.

    Raises:
        Forbidden: If somebody else made it, or the actor may not write such rows any more.
        NotFound: If there is no such generation.
        Conflict: If a row was changed since; with both values.
        NotFound, Invalid, AlreadyExists, Gone: If a row cannot be written.
    """
    then = moment(session, generation)
    if then.generation != generation:
        raise NotFound("generation", generation)
    if then.by != actor.name:
        history_writers.refuse_undo(session, actor)
    rows = session.execute(text(_OF_GENERATION), {"generation": generation}).all()
    names = history_names.Names(session, [(row.table_name, row.row_id, row.image or row.before) for row in rows])
    wanted = []
    for row in rows:
        if row.moved_on:
            _refuse_moved(session, actor, row)
        wanted.append(
            _Wanted(
                row.table_name,
                row.row_id,
                row.organization_id,
                row.before,
                names.of(row.table_name, row.image or row.before),
            )
        )
    before = Moment(generation - 1, then.at, then.by, then.comment)
    with explained(session, f"Undo of generation {generation}"):
        return _write_all(session, actor, wanted, before, strict=True, dry_run=dry_run)


# --- inside ---


def _write_all(
    session: Session,
    actor: Actor,
    wanted: Sequence[_Wanted],
    then: Moment,
    *,
    looked_at: int | None = None,
    strict: bool = False,
    dry_run: bool = False,
) -> Restored:
    """Write rows, what others refer to first, and what is not to be there last; with *strict* the first refusal is raised."""
    now = newest(session).generation
    whole = session.begin_nested()
    outcomes: list[RowOutcome] = []
    kept: set[tuple[str, int]] = set()
    try:
        for each in sorted(wanted, key=history_writers.order):
            nested = session.begin_nested()
            try:
                if looked_at is not None:
                    _refuse_changed_since(session, actor, each, looked_at)
                outcomes.append(_write(session, actor, each, then.generation, kept=kept))
                nested.commit()
            except CoreError as error:
                nested.rollback()
                if strict:
                    raise
                outcomes.append(RowOutcome(each.table, each.row_id, each.name, "refused", {}, str(error)))
    except BaseException:
        if whole.is_active:
            whole.rollback()
        raise
    if dry_run:
        whole.rollback()
        session.expire_all()
    else:
        whole.commit()
    return Restored(then, outcomes, now)


def _write(
    session: Session,
    actor: Actor,
    wanted: _Wanted,
    generation: int,
    *,
    fields: set[str] | None = None,
    version: int | None = None,
    kept: set[tuple[str, int]] | None = None,
) -> RowOutcome:
    """Write one row; *kept* has those that stand for another one of then, and are not to be deleted."""
    writer = history_writers.writer_of(wanted.table)
    session.flush()
    before = writer.now(session, wanted.row_id, wanted.image)
    at = before.get("version") if before is not None else 0
    if wanted.image is None and (before is None or (wanted.table, wanted.row_id) in (kept or ())):
        return RowOutcome(wanted.table, wanted.row_id, wanted.name, "nothing", {}, version=at)
    edit = Edit(before or {}, {}, {}, version)
    made: object = None
    if wanted.image is None:
        writer.delete(session, actor, edit)
        done = "deleted"
    else:
        image = history_writers.with_ids_of_today(session, wanted.image)
        edit = edit._replace(image=image, patch=_patch(writer, image, fields))
        if before is None and version:
            raise NotFound("row with version", version)
        made = (writer.make if before is None else writer.change)(session, actor, edit)
        done = "made" if before is None else "changed"
    session.flush()
    own = getattr(made, "id", None) if before is None else None
    after = writer.now(session, own or wanted.row_id, wanted.image)
    if after is not None and kept is not None:
        kept.add((wanted.table, after["id"]))
    changed = _between(before, after, writer.fields)
    if done == "changed" and not changed:
        done = "nothing"
    notes = _notes(before, wanted.image)
    if done != "nothing":
        kind = history_writers.TARGETS.get(wanted.table, "settings")
        details = {"generation": (None, generation), "done": (None, done), **changed}
        record(
            session,
            actor,
            RESTORE,
            Target(kind, wanted.row_id, wanted.name),
            details,
            organization=wanted.organization_id,
        )
    return RowOutcome(wanted.table, wanted.row_id, wanted.name, done, changed, notes=notes, version=at)


def _patch(writer: RowWriter, image: Mapping[str, Any], fields: set[str] | None) -> dict[str, Any]:
    if fields is not None and (odd := fields - set(writer.fields)):
        raise Invalid(dict.fromkeys(sorted(odd), "is not a field that can be restored here"))
    return {
        name: image.get(name)
        for name in writer.fields
        if (fields is None or name in fields) and (name in image or name in writer.nullable)
    }


def _between(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, fields: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    one, other = before or {}, after or {}
    return {name: (one.get(name), other.get(name)) for name in fields if one.get(name) != other.get(name)}


def _notes(before: Mapping[str, Any] | None, then: Mapping[str, Any] | None) -> tuple[str, ...]:
    now, was = bool((before or {}).get("api_key_encrypted")), bool((then or {}).get("api_key"))
    notes = [_KEY_GONE] * (was and not now) + [_KEY_STAYS] * (now and then is not None and not was)
    return tuple(notes + [_VALUE] * bool((then or {}).get("value")))


def _images_at(session: Session, found: Differences) -> dict[tuple[str, int], Mapping[str, Any] | None]:
    """Return what each row was at the earlier moment: table and id -> image; those that were made later are missing."""
    values = {
        "tables": [row.table for row in found.rows],
        "rows": [row.row_id for row in found.rows],
        "generation": found.before.generation,
    }
    return {(table, row_id): image for table, row_id, image in session.execute(text(_IMAGES), values)}


def _refuse_changed_since(session: Session, actor: Actor, wanted: _Wanted, looked_at: int) -> None:
    values = {"table": wanted.table, "row": wanted.row_id, "generation": looked_at}
    row = session.execute(text(_SINCE), values).one_or_none()
    if row is not None:
        fields = history.fields_between(row.image, wanted.image)
        by = known_by(session, actor, wanted, row.by)
        raise Conflict(history_names.KINDS.get(wanted.table, "row"), row.version or 0, by, row.at.isoformat(), fields)


def _refuse_moved(session: Session, actor: Actor, row: Any) -> None:
    changed = history.fields_between(row.image, row.newest_image)
    fields = {name: (row.newest_image or {}).get(name) for name in changed}
    pairs = {name: (value, (row.before or {}).get(name)) for name, value in fields.items()}
    raise Conflict(
        history_names.KINDS.get(row.table_name, "row"),
        row.newest_version or 0,
        known_by(session, actor, row, row.newest_by),
        row.newest_at.isoformat(),
        pairs,
    )


_IMAGES: Final = """
    SELECT k.table_name, k.row_id, v.image
    FROM unnest(CAST(:tables AS text[]), CAST(:rows AS integer[])) AS k (table_name, row_id) CROSS JOIN LATERAL (
        SELECT image FROM settings_history h WHERE h.table_name = k.table_name AND h.row_id = k.row_id
            AND h.generation <= :generation ORDER BY generation DESC LIMIT 1
    ) v
"""
_SINCE: Final = """
    SELECT image, version, by, at FROM settings_history WHERE table_name = :table AND row_id = :row AND generation > :generation
    ORDER BY generation DESC LIMIT 1
"""
_OF_GENERATION: Final = """
    SELECT h.table_name, h.row_id, h.organization_id, h.image, p.image AS before, n.generation > h.generation AS moved_on,
        n.image AS newest_image, n.version AS newest_version, n.by AS newest_by, n.at AS newest_at
    FROM settings_history h
    LEFT JOIN LATERAL (
        SELECT image FROM settings_history p WHERE p.table_name = h.table_name AND p.row_id = h.row_id
            AND p.generation < h.generation ORDER BY generation DESC LIMIT 1
    ) p ON true
    CROSS JOIN LATERAL (
        SELECT * FROM settings_history n WHERE n.table_name = h.table_name AND n.row_id = h.row_id ORDER BY generation DESC LIMIT 1
    ) n
    WHERE h.generation = :generation ORDER BY h.table_name, h.row_id
"""
