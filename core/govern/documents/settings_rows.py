"""Settings rows in a document: of all providers, providers, features, organisations, and what is of two or all of these."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session, col, select

from ...manage import settings
from ...manage.scopes import SettingsScope
from ...parameters import PARAMETERS, SENDABLE
from ...store.organization_tables import FeatureLlmOverride
from ...store.tables import LlmSettings
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
from .schema import Document, SettingsPart, path_of

_OTHERS: Final = ("preferred_model", "custom_settings", "extra_parameters")


def fields_of(row: Any, default_provider: str | None) -> Fields:
    """Return what a row has, be it stored or a part of a document."""
    columns = {name: getattr(row, name) for name in (*_OTHERS, *PARAMETERS, "omitted_parameters")}
    return without_nothing({"default_provider": default_provider, **said_of(columns)})


def said_of(columns: Mapping[str, Any]) -> Fields:
    """Return the columns of a row as a document says them; those that are None or not there are not in it."""
    found: Fields = {name: columns.get(name) for name in (*_OTHERS, *PARAMETERS)}
    for name in set(columns.get("omitted_parameters") or ()) & set(SENDABLE):
        value = found[name]
        found[name] = {"omit": True} if value is None else {"omit": True, "value": value}
    return without_nothing(found)


def columns_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row with these fields, all of them; without the default provider."""
    found: dict[str, Any] = dict.fromkeys((*_OTHERS, *PARAMETERS))
    omitted = []
    for name, value in fields.items():
        if name in SENDABLE and isinstance(value, dict):
            omitted.append(name)
            found[name] = value.get("value")
        elif name in found:
            found[name] = value
    return {**found, "omitted_parameters": omitted or None}


def _load(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    found: dict[RowKey, StoredFields] = {}
    for model in (LlmSettings, FeatureLlmOverride):
        rows: Any = model
        for row in session.exec(scope.of(select(rows).where(rows.is_active), col(rows.organization_id))):
            organization = None if row.organization_id is None else names.organizations.get(row.organization_id)
            if row.organization_id is not None and organization is None:
                continue  # of a deleted one
            feature = names.features.get(row.feature_id) if model is FeatureLlmOverride else None
            provider = None if row.provider_id is None else names.providers.get(row.provider_id)
            default = None if row.default_provider_id is None else names.providers.get(row.default_provider_id)
            found[organization, feature, provider] = stored_of(row, fields_of(row, default))
    return found


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    if document.defaults is not None:
        yield (None, None, None), _wanted(document.defaults)
    for name, provider in (document.providers or {}).items():
        if provider.settings is not None:
            yield (None, None, name), _wanted(provider.settings)
    for name, feature in (document.features or {}).items():
        yield from _of_feature(None, name, feature)
    for slug, organization in (document.organizations or {}).items():
        if organization.settings is not None:
            yield (slug, None, None), _wanted(organization.settings)
        for name, terms in (organization.providers or {}).items():
            if terms.settings is not None:
                yield (slug, None, name), _wanted(terms.settings)
        for name, said in (organization.features or {}).items():
            yield from _of_feature(slug, name, said)


def _of_feature(organization: str | None, feature: str, part: Any) -> Iterator[tuple[RowKey, Fields]]:
    if part.settings is not None:
        yield (organization, feature, None), _wanted(part.settings)
    for provider, said in (part.providers or {}).items():
        if said.settings is not None:
            yield (organization, feature, provider), _wanted(said.settings)


def _wanted(part: SettingsPart) -> Fields:
    return fields_of(part, part.default_provider)


def _steps(key: RowKey) -> tuple[str, ...]:
    organization, feature, provider = key
    if key == (None, None, None):
        return ("defaults",)
    named = (("organizations", organization), ("features", feature), ("providers", provider))
    return (*(step for name, each in named if each is not None for step in (name, each)), "settings")


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    within(data, *_steps(key)).update(fields)


def _scope(writing: Writing, key: RowKey) -> SettingsScope:
    organization, feature, provider = key
    return SettingsScope(
        None if provider is None else writing.names.provider(provider),
        None if organization is None else writing.names.organization(organization),
        None if feature is None else writing.names.feature(feature),
    )


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    patch = columns_of(wanted)
    default = wanted.get("default_provider")
    if key[2] is None:
        patch["default_provider_id"] = None if default is None else writing.names.provider(default)
    elif default is not None:
        patch["default_provider_id"] = writing.names.provider(default)  # which is refused, in words
    version = 0 if before is None else before.version
    settings.upsert(writing.session, writing.actor, _scope(writing, key), patch, version=version)


def _remove(writing: Writing, key: RowKey, stored: StoredFields) -> None:
    delete = settings.delete if key[1] is None else settings.delete_override
    delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


_COLUMNS: Final = {
    **{name: (name, "omitted_parameters") for name in SENDABLE},
    "default_provider": ("default_provider_id",),
}
SETTINGS: Final = RowKind(
    name="settings",
    section="",
    tables=("llm_settings", "feature_llm_overrides"),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of(*_steps(key)),
    write=_write,
    remove=_remove,
    nothing=lambda _key: {},
    columns=_COLUMNS,
    of_organizations=True,
)
