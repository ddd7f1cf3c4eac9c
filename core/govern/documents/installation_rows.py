"""What an admin decides for the whole store, in a document: one row, of which only what is named is written."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session

from ...manage import installation
from ...store.organization_tables import Installation
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
from .schema import Document

_KEY: Final[RowKey] = ()


def _load(session: Session, scope: DocumentScope, _names: IdsAndNames) -> dict[RowKey, StoredFields]:
    row = session.get(Installation, 1) if scope.organization_id is None else None
    if row is None:
        return {}
    return {_KEY: stored_of(row, without_nothing(row.model_dump(include=set(installation.FIELDS))))}


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    if document.installation is not None:
        yield _KEY, without_nothing(document.installation.model_dump(exclude_unset=True))


def _write(
    writing: Writing, _key: RowKey, before: StoredFields | None, _wanted: Fields, differing: Mapping[str, Any]
) -> None:
    version = None if before is None else before.version
    installation.update(writing.session, writing.actor, differing, version=version)


def _put(data: dict[str, Any], _key: RowKey, fields: Fields) -> None:
    within(data, "installation").update(fields)


INSTALLATION: Final = RowKind(
    name="installation",
    section="installation",
    tables=("installation",),
    load=_load,
    find=_find,
    put=_put,
    path=lambda _key: "installation",
    write=_write,
    partial=True,
)
