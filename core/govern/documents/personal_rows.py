"""What becomes of personal data in a document: a list, each with the names of its scope."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session, col, select

from ...manage import personal_data
from ...manage.personal_data import CHANGEABLE
from ...manage.scopes import SettingsScope
from ...resolving.personal_merge import PERSONAL_FIELDS
from ...store.personal_data_tables import LlmPiiSettings
from .rows import (
    DocumentScope,
    Fields,
    IdsAndNames,
    RowKey,
    RowKind,
    StoredFields,
    Writing,
    stored_of,
    without_nothing,
)
from .schema import CALL_SCOPE, Document, path_of


def _load(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    known = {"organization": names.organizations, "feature": names.features, "provider": names.providers}
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(scope.of(select(LlmPiiSettings), col(LlmPiiSettings.organization_id))):
        ids = {each: getattr(row, f"{each}_id") for each in CALL_SCOPE}
        of = {each: None if number is None else known[each].get(number) for each, number in ids.items()}
        if any(of[each] is None and ids[each] is not None for each in CALL_SCOPE):
            continue  # of a deleted organisation
        fields = without_nothing({name: getattr(row, name) for name in CHANGEABLE})
        found[tuple(of[each] for each in CALL_SCOPE)] = stored_of(row, fields)
    return found


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for part in document.personal_data or ():
        key = tuple(getattr(part, each) for each in CALL_SCOPE)
        yield key, without_nothing({name: getattr(part, name) for name in CHANGEABLE})


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    data.setdefault("personal_data", []).append(without_nothing(dict(zip(CALL_SCOPE, key, strict=True))) | fields)


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    names = writing.names
    ids = (names.organization, names.feature, names.provider)
    organization, feature, provider = (
        None if name is None else id_of_name(name) for name, id_of_name in zip(key, ids, strict=True)
    )
    patch = dict.fromkeys(PERSONAL_FIELDS) | wanted
    scope = SettingsScope(provider, organization, feature)
    version = 0 if before is None else before.version
    personal_data.save(writing.session, writing.actor, scope, patch, version=version)


def _remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    personal_data.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


PERSONAL_DATA: Final = RowKind(
    name="personal_data",
    section="personal_data",
    tables=("llm_pii_settings",),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of("personal_data", *(each for each in key if each is not None)),
    write=_write,
    remove=_remove,
    of_organizations=True,
)
