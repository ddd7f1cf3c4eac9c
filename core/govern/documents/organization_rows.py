"""Organisations and templates in a document: what they are called, what they may of providers, and their own keys."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session, col, select

from ...manage import organization_deletion, organization_keys, organization_names, organizations
from ...store.organization_schemas import OrganizationProviderInput
from ...store.organization_tables import Organization, OrganizationName, OrganizationProvider
from .provider_rows import exported
from .rows import (
    DocumentScope,
    Fields,
    IdsAndNames,
    RowKey,
    RowKind,
    SecretWanted,
    StoredFields,
    Writing,
    stored_of,
    stored_secret,
    within,
    without_nothing,
)
from .schema import Document, path_of

_PLAIN: Final = ("name", "kind", "shares_keys", "is_active", "keep_calls_days")
_TERMS: Final = organization_keys.FIELDS
_NO_TERMS: Final[Fields] = without_nothing(OrganizationProviderInput().model_dump())


def _load(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    external: dict[int, list[str]] = {}
    query = scope.of(
        select(OrganizationName).where(OrganizationName.kind == "external"), col(OrganizationName.organization_id)
    )
    for name in session.exec(query):
        external.setdefault(name.organization_id, []).append(name.name)
    rows = scope.of(select(Organization).where(col(Organization.deleted_at).is_(None)), col(Organization.id))
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(rows):
        fields = row.model_dump(include=set(_PLAIN))
        fields["template"] = None if row.template_id is None else names.organizations.get(row.template_id)
        fields["external_names"] = sorted(external.get(row.id or 0, ()))
        found[(row.slug,)] = stored_of(row, without_nothing(fields))
    return found


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for slug, part in (document.organizations or {}).items():
        fields = part.model_dump(include=set(_PLAIN))
        fields |= {"template": part.template, "external_names": sorted(part.external_names)}
        yield (slug,), without_nothing(fields)


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    within(data, "organizations", str(key[0])).update(fields)


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, differing: Mapping[str, Any]
) -> None:
    session, actor = writing.session, writing.actor
    data = {name: wanted.get(name) for name in _PLAIN}
    template = wanted.get("template")
    data["template_id"] = None if template is None else writing.names.organization(template)
    if before is None:
        entry = {"slug": key[0], "external_names": wanted["external_names"], **data}
        organizations.create_one(session, actor, entry)
        return
    number = before.id or 0
    if set(differing) - {"external_names"}:
        organizations.update(session, actor, number, data, version=before.version)
    if "external_names" in differing:
        was = before.fields["external_names"]
        organization_names.set_external(session, actor, number, wanted["external_names"], was=was)


def _remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    organization_deletion.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


def _load_terms(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(scope.of(select(OrganizationProvider), col(OrganizationProvider.organization_id))):
        slug = names.organizations.get(row.organization_id)
        if slug is not None:
            fields = {**row.model_dump(include=set(_TERMS)), "api_key": stored_secret(row, "api_key")}
            found[slug, names.providers[row.provider_id]] = stored_of(row, without_nothing(fields))
    return found


def _find_terms(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for slug, organization in (document.organizations or {}).items():
        for name, part in (organization.providers or {}).items():
            fields = part.model_dump(include=set(_TERMS))
            if part.api_key is not None:
                fields["api_key"] = SecretWanted(part.api_key)
                if "requires_own_key" not in part.model_fields_set:  # as with a key that is typed
                    fields["requires_own_key"] = part.api_key.set is not False
            yield (slug, name), without_nothing(fields)


def _put_terms(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    said = {name: value for name, value in exported(fields).items() if value != _NO_TERMS.get(name)}
    if "api_key" in fields:
        said["requires_own_key"] = fields["requires_own_key"]
    if said:
        within(data, "organizations", str(key[0]), "providers", str(key[1])).update(said)


def _write_terms(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, differing: Mapping[str, Any]
) -> None:
    session, actor = writing.session, writing.actor
    organization, provider = writing.names.organization(str(key[0])), writing.names.provider(str(key[1]))
    version = 0 if before is None or before.id is None else before.version
    secret = differing.get("api_key")
    patch = {name: wanted.get(name) for name in _TERMS if name in differing}
    if isinstance(secret, SecretWanted):
        if secret.plain is not None:
            row = organization_keys.set_api_key(session, actor, organization, provider, secret.plain, version=version)
        else:
            row = organization_keys.remove_api_key(session, actor, organization, provider, version=version)
        version = row.version
        # the first key demands one of its own from now on, unless the document says otherwise, which takes the right to
        if row.requires_own_key != wanted["requires_own_key"]:
            patch["requires_own_key"] = wanted["requires_own_key"]
        else:
            patch.pop("requires_own_key", None)
    if patch:
        organization_keys.update(session, actor, organization, provider, patch, version=version)


def _remove_terms(writing: Writing, key: RowKey, stored: StoredFields) -> None:
    none = OrganizationProviderInput().model_dump()
    patch = {name: value for name, value in none.items() if stored.fields.get(name) != value}
    if patch:
        organization, provider = writing.names.organization(str(key[0])), writing.names.provider(str(key[1]))
        organization_keys.update(writing.session, writing.actor, organization, provider, patch, version=stored.version)


ORGANIZATIONS: Final = RowKind(
    name="organization",
    section="organizations",
    tables=("organizations", "organization_names"),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of("organizations", str(key[0])),
    write=_write,
    remove=_remove,
    columns={"template": ("template_id",)},
    of_organizations=True,
    order=lambda key, fields: (fields.get("kind") != "template", key),
)
TERMS: Final = RowKind(
    name="terms",
    section="organizations",
    tables=("organization_providers",),
    load=_load_terms,
    find=_find_terms,
    put=_put_terms,
    path=lambda key: path_of("organizations", str(key[0]), "providers", str(key[1])),
    write=_write_terms,
    remove=_remove_terms,
    nothing=lambda _key: dict(_NO_TERMS),
    of_organizations=True,
)
