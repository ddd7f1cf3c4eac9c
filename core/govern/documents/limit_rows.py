"""Limits in a document: a list, each with its owner and the names of its scope."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session, col, select

from ...manage import limits
from ...resolving.limits import DEFAULT_PROVIDER
from ...store.organization_tables import LlmLimits
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
from .schema import Document, path_of

_SCOPE: Final = ("owner", "organization", "feature", "provider")


def _load(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(scope.of(select(LlmLimits), col(LlmLimits.organization_id))):
        organization = None if row.organization_id is None else names.organizations.get(row.organization_id)
        if row.organization_id is not None and organization is None:
            continue  # of a deleted one
        feature = None if row.feature_id is None else names.features.get(row.feature_id)
        provider = None if row.provider_id is None else names.providers.get(row.provider_id)
        fields = {"limits": _said(row.limits, names.providers), "note": row.note}
        found[row.owner, organization, feature, provider] = stored_of(row, without_nothing(fields))
    return found


def _said(rules: Mapping[str, Any], names: Mapping[Any, Any]) -> dict[str, Any]:
    """Return limits with other names of providers in the list of default ones; what *names* has not is left out."""
    said = {field: dict(rule) if isinstance(rule, Mapping) else rule for field, rule in rules.items()}
    rule = said.get(DEFAULT_PROVIDER)
    if isinstance(rule, dict) and isinstance(rule.get("in"), list):
        rule["in"] = [names[each] for each in rule["in"] if each in names]
    return said


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for part in document.limits or ():
        key = (part.owner, part.organization, part.feature, part.provider)
        yield key, without_nothing({"limits": part.checked(), "note": part.note})


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    of = without_nothing(dict(zip(_SCOPE, key, strict=True)))
    data.setdefault("limits", []).append(of | fields)


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    owner, organization, feature, provider = key
    names = writing.names
    rule = wanted["limits"].get(DEFAULT_PROVIDER, {})
    ids = {name: names.provider(name) for name in rule.get("in", ())}
    data = {
        "owner": owner,
        "organization_id": None if organization is None else names.organization(organization),
        "feature_id": None if feature is None else names.feature(feature),
        "provider_id": None if provider is None else names.provider(provider),
        "limits": _said(wanted["limits"], ids),
        "note": wanted.get("note"),
    }
    version = 0 if before is None else before.version
    limits.save(writing.session, writing.actor, data, version=version)


def _remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    limits.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


LIMITS: Final = RowKind(
    name="limits",
    section="limits",
    tables=("llm_limits",),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of("limits", *(each for each in key if each is not None)),
    write=_write,
    remove=_remove,
    late=True,
    of_organizations=True,
)
