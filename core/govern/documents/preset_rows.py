"""Presets in a document: named sets of parameters, which are copied where they are applied."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session, select

from ...manage import settings_presets
from ...store.preset_schemas import PRESET_FIELDS
from ...store.preset_tables import SettingsPreset
from .rows import (
    DocumentScope,
    Fields,
    IdsAndNames,
    RowKey,
    RowKind,
    StoredFields,
    Writing,
    stored_of,
    within,
    without_nothing,
)
from .schema import Document, path_of
from .settings_rows import columns_of, said_of

_SETTINGS: Final = "settings."
"""What stands before the name of a parameter, as in the paths of a document."""


def _load(session: Session, scope: DocumentScope, _names: IdsAndNames) -> dict[RowKey, StoredFields]:
    if scope.organization_id is not None:
        return {}
    return {
        (row.name,): stored_of(row, _fields(row.description, said_of(row.fields)))
        for row in session.exec(select(SettingsPreset))
    }


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for name, part in (document.presets or {}).items():
        yield (name,), _fields(part.description, said_of(part.checked()))


def _fields(description: str | None, said: Fields) -> Fields:
    return without_nothing({"description": description, **{_SETTINGS + name: value for name, value in said.items()}})


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    row = within(data, "presets", str(key[0]))
    for name, value in fields.items():
        if name.startswith(_SETTINGS):
            within(row, "settings")[name.removeprefix(_SETTINGS)] = value
        else:
            row[name] = value


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    said = {name.removeprefix(_SETTINGS): value for name, value in wanted.items() if name.startswith(_SETTINGS)}
    data = {"description": wanted.get("description"), "fields": without_nothing(columns_of(said))}
    if before is None:
        settings_presets.create(writing.session, writing.actor, {"name": key[0], **data})
    else:
        settings_presets.update(writing.session, writing.actor, before.id or 0, data, version=before.version)


def _remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    settings_presets.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


PRESETS: Final = RowKind(
    name="preset",
    section="presets",
    tables=("settings_presets",),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of("presets", str(key[0])),
    write=_write,
    remove=_remove,
    columns={_SETTINGS + name: (f"fields.{name}", "fields") for name in PRESET_FIELDS},
)
