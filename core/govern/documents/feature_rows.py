"""Features in a document, and what admins say of models."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session, select

from ...manage import features, model_facts
from ...store.organization_tables import LlmFeature
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

_FIELDS: Final = tuple(name for name in features.FIELDS if name != "name")


def _load(session: Session, scope: DocumentScope, _names: IdsAndNames) -> dict[RowKey, StoredFields]:
    if scope.organization_id is not None:
        return {}
    return {
        (row.name,): stored_of(row, without_nothing(row.model_dump(include=set(_FIELDS))))
        for row in session.exec(select(LlmFeature))
    }


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for name, part in (document.features or {}).items():
        yield (name,), without_nothing(part.model_dump(include=set(_FIELDS)))


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    within(data, "features", str(key[0])).update(fields)


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    data = {name: wanted.get(name) for name in _FIELDS}
    if before is None:
        features.create(writing.session, writing.actor, {"name": key[0], **data})
    else:
        features.update(writing.session, writing.actor, before.id or 0, data, version=before.version)


def _remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    features.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


FEATURES: Final = RowKind(
    name="feature",
    section="features",
    tables=("llm_features",),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of("features", str(key[0])),
    write=_write,
    remove=_remove,
)


def _load_facts(session: Session, scope: DocumentScope, _names: IdsAndNames) -> dict[RowKey, StoredFields]:
    if scope.organization_id is not None:
        return {}
    return {
        (row.pattern, row.api): stored_of(row, {"facts": row.facts, "why": row.why})
        for row in model_facts.list_all(session)
    }


def _find_facts(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for part in document.model_facts or ():
        pattern, api, facts, why = part.checked()
        yield (pattern, api), {"facts": facts, "why": why}


def _put_facts(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    pattern, api = key
    data.setdefault("model_facts", []).append(without_nothing({"pattern": pattern, "api": api}) | fields)


def _write_facts(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    pattern, api = key
    version = 0 if before is None else before.version
    model_facts.set_facts(
        writing.session, writing.actor, str(pattern), wanted["facts"], why=wanted["why"], api=api, version=version
    )


def _remove_facts(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    model_facts.withdraw(writing.session, writing.actor, stored.id or 0, version=stored.version)


MODEL_FACTS: Final = RowKind(
    name="model facts",
    section="model_facts",
    tables=("llm_model_facts",),
    load=_load_facts,
    find=_find_facts,
    put=_put_facts,
    path=lambda key: path_of("model_facts", "@".join(filter(None, key))),
    write=_write_facts,
    remove=_remove_facts,
)
