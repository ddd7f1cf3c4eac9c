"""Named sets of parameters, copied into the settings of any scope. The vendors' facts are in :mod:`core.presets`, another thing.

Admins of the installation keep them; whoever may change a scope may apply one there.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..errors import AlreadyExists, NotFound
from ..parameters import PARAMETERS, SENDABLE
from ..resolving.words import notes_of, value_text
from ..store import violations
from ..store.preset_schemas import PRESET_FIELDS, PresetInput
from ..store.preset_tables import SettingsPreset
from ..store.schemas import could_be_id, validate
from ..store.versions import refuse_stale
from . import inherited, settings
from .scopes import SettingsRow, SettingsScope

FIELDS: Final = tuple(PresetInput.model_fields)
OMITTED: Final = "not sent"
INHERITED: Final = "inherits"
_OBJECTS: Final = ("custom_settings", "extra_parameters")


class PresetChange(NamedTuple):
    """What applying a preset does to one field of a settings row."""

    field: str
    before: str
    """In words: a value, :data:`OMITTED` or :data:`INHERITED`."""
    after: str
    note: str
    """What becomes of it for the model that is called there; empty: it is sent as it is, or no model is known."""


class PresetPreview(NamedTuple):
    """What a preset would do to a scope now; nothing is changed."""

    changes: tuple[PresetChange, ...]
    """Empty: all of it is so already."""
    version: int
    """Of the row that it is based on; 0: there is none."""


def list_all(session: Session, actor: Actor) -> list[SettingsPreset]:
    """Return the presets by name, to whoever may change settings somewhere; raises Forbidden."""
    require(session, actor, "preset.list", role="manager")
    return list(session.exec(select(SettingsPreset).order_by(col(SettingsPreset.name))))


def get(session: Session, actor: Actor, preset_id: int) -> SettingsPreset:
    """Return a preset; raises Forbidden, NotFound."""
    require(session, actor, "preset.list", role="manager")
    row = session.get(SettingsPreset, preset_id) if could_be_id(preset_id) else None
    if row is None:
        raise NotFound("preset", preset_id)
    return row


def get_by_name(session: Session, actor: Actor, name: str) -> SettingsPreset:
    """Return the preset of that name; raises Forbidden, NotFound."""
    row = next((row for row in list_all(session, actor) if row.name == name), None)
    if row is None:
        raise NotFound("preset", name[:100])
    return row


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> SettingsPreset:
    """Make a preset; *data* is a :class:`~core.store.preset_schemas.PresetInput`.

    Raises:
        Forbidden, Invalid: As everywhere.
        AlreadyExists: If the name is taken.
    """
    require(session, actor, "preset.create")
    row = SettingsPreset(**validate(PresetInput, data).model_dump())
    session.add(row)
    _flush(session, row)
    _record(session, actor, "preset.create", row, before={}, after=row.model_dump(include=set(FIELDS)))
    return row


def update(
    session: Session, actor: Actor, preset_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> SettingsPreset:
    """Change name, description or all the fields. Where it was applied before, nothing changes: a preset is copied.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, AlreadyExists: As everywhere.
    """
    require(session, actor, "preset.update")
    row = _locked(session, preset_id)
    refuse_stale("preset", row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    wanted = validate(PresetInput, {**before, **patch}).model_dump()
    for name, value in wanted.items():
        if value != before[name]:
            setattr(row, name, value)
    _flush(session, row)
    if wanted != before:
        _record(session, actor, "preset.update", row, before=before, after=wanted)
    return row


def delete(session: Session, actor: Actor, preset_id: int, *, version: int | None = None) -> str:
    """Delete a preset and return its name. What it was applied to stays as it is.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere.
    """
    require(session, actor, "preset.delete")
    row = _locked(session, preset_id)
    refuse_stale("preset", row, version, {})
    before, name = row.model_dump(include=set(FIELDS)), row.name
    session.delete(row)
    session.flush()
    _record(session, actor, "preset.delete", row, before=before, after={})
    return name


def patch_of(fields: Mapping[str, Any], current: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the *fields* of a preset alter in a settings row that has *current*; None: there is no row.

    A value takes the omission of its parameter away, and an omission the value; what the preset does not name stays.
    """
    now = current or {}
    omits = set(fields.get("omitted_parameters") or ())
    before = set(now.get("omitted_parameters") or ())
    after = (before - fields.keys()) | omits
    wanted: dict[str, Any] = {name: value for name, value in fields.items() if name != "omitted_parameters"}
    wanted |= dict.fromkeys(omits)
    patch = {name: value for name, value in wanted.items() if value != now.get(name)}
    if after != before:
        patch["omitted_parameters"] = [name for name in SENDABLE if name in after] or None
    return patch


def preview(session: Session, actor: Actor, preset: SettingsPreset, scope: SettingsScope) -> PresetPreview:
    """Return what :func:`apply` would change there now, and what becomes of it for the model that is called.

    Raises:
        Forbidden, NotFound: If *actor* may not change the scope, or there is no such one.
    """
    found = inherited.editable(session, actor, scope)
    current = {} if found.row is None else found.row.model_dump(include=set(PRESET_FIELDS))
    patch = patch_of(preset.fields, current)
    notes = {}
    if scope.provider_id is not None:
        notes = notes_of(inherited.drafted(session, actor, scope, patch))
    after = {**current, **patch}
    changes = [
        PresetChange(name, before, now, notes[name].text if name in notes and now != INHERITED else "")
        for name in (*PARAMETERS, *_OBJECTS)
        if (before := said(current, name)) != (now := said(after, name))
    ]
    return PresetPreview(tuple(changes), 0 if found.row is None else found.row.version)


def apply(
    session: Session, actor: Actor, preset: SettingsPreset, scope: SettingsScope, *, version: int | None = None
) -> SettingsRow | None:
    """Copy a preset into the settings of *scope*: a write as any other, whose event names the preset.

    Returns:
        The row; None if there is none and the preset changes nothing.

    Raises:
        Forbidden, NotFound, Invalid, Conflict: As :func:`~.settings.upsert`.
    """
    row = settings.get_of(session, actor, scope)
    patch = patch_of(preset.fields, None if row is None else row.model_dump(include=set(PRESET_FIELDS)))
    if row is None and not patch:
        return None
    return settings.upsert(session, actor, scope, patch, version=version, preset=preset.name)


def said(fields: Mapping[str, Any], name: str) -> str:
    """Return in words what the fields of a settings row, or of a preset, say of a parameter."""
    if name in (fields.get("omitted_parameters") or ()):
        return OMITTED
    value = fields.get(name)
    if value is None:
        return INHERITED
    return value_text(f"{name}." if name in _OBJECTS else name, value)


def _locked(session: Session, preset_id: int) -> SettingsPreset:
    row = None
    if could_be_id(preset_id):
        row = session.get(SettingsPreset, preset_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("preset", preset_id)
    return row


def _flush(session: Session, row: SettingsPreset) -> None:
    violations.flush(session, AlreadyExists("preset", row.name))
    session.refresh(row)


def _record(
    session: Session,
    actor: Actor,
    action: str,
    row: SettingsPreset,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    record(session, actor, action, Target("preset", row.id, row.name), changes_between(before, after, FIELDS))
