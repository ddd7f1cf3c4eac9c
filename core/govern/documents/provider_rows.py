"""Providers in a document: each with its keys, and the headers and query parameters that its calls carry."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlmodel import Session, col, select

from ...errors import Invalid
from ...manage import next_keys, provider_secrets, providers
from ...manage.provider_secrets import Use
from ...store import carried_values
from ...store.tables import LlmProvider, LlmProviderSecret
from .rows import (
    DocumentScope,
    Fields,
    IdsAndNames,
    RowKey,
    RowKind,
    SecretStored,
    SecretWanted,
    StoredFields,
    Writing,
    stored_of,
    stored_secret,
    within,
    without_nothing,
)
from .schema import Document, path_of

_FIELDS: Final = tuple(name for name in providers.FIELDS if name != "name")
_SECTIONS: Final[dict[str, Use]] = {"headers": "header", "query": "query"}
_SECTION_OF: Final[dict[str, str]] = {use: section for section, use in _SECTIONS.items()}


def _load(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    if scope.organization_id is not None:
        return {}
    waiting = {
        row.provider_id: stored_secret(row, "value")
        for row in session.exec(select(LlmProviderSecret).where(LlmProviderSecret.use == "next_key"))
        if row.name == "next"
    }
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(select(LlmProvider)):
        fields = row.model_dump(include=set(_FIELDS))
        fields |= {"api_key": stored_secret(row, "api_key"), "next_key": waiting.get(row.id or 0)}
        found[(names.providers[row.id or 0],)] = stored_of(row, without_nothing(fields))
    return found


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for name, part in (document.providers or {}).items():
        fields = part.model_dump(include=set(_FIELDS))
        for secret in ("api_key", "next_key"):
            said = getattr(part, secret)
            fields[secret] = None if said is None else SecretWanted(said)
        yield (name,), without_nothing(fields)


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    within(data, "providers", str(key[0])).update(exported(fields))


def exported(fields: Fields) -> Fields:
    """Return fields as a document says them, secrets too."""
    return {name: value.exported() if isinstance(value, SecretStored) else value for name, value in fields.items()}


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, differing: Mapping[str, Any]
) -> None:
    session, actor = writing.session, writing.actor
    data = {name: wanted.get(name) for name in _FIELDS}
    secret, coming = differing.get("api_key"), differing.get("next_key")
    moves = bool(differing.keys() & {"kind", "api_base_url"})
    given = wanted.get("api_key") if moves else secret  # another host wants the key again, be it the same
    if isinstance(given, SecretWanted) and given.plain is not None:
        data["api_key"] = given.plain
    if before is None:
        number = providers.create(session, actor, {"name": key[0], **data}).id or 0
    else:
        number, version = before.id or 0, before.version
        if isinstance(secret, SecretWanted) and secret.plain is None:
            version = providers.remove_api_key(session, actor, number).version
        if differing.keys() - {"api_key", "next_key"} or "api_key" in data:
            providers.update(session, actor, number, data, version=version)
    if isinstance(coming, SecretWanted):
        if coming.plain is not None:
            next_keys.add(session, actor, number, coming.plain)
        else:
            next_keys.retire(session, actor, number)


def _remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    providers.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


def _load_carried(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    if scope.organization_id is not None:
        return {}
    query = select(LlmProviderSecret).where(col(LlmProviderSecret.use).in_(list(_SECTION_OF)))
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(query):
        value: Any = row.plain_value
        if value is None:
            value = stored_secret(row, "value") or SecretStored("", None)
        found[_carried_key(names.providers[row.provider_id], row.use, row.name)] = stored_of(
            row, {"value": value, "name": row.name}
        )
    return found


def _carried_key(provider: str, use: str, name: str) -> RowKey:
    return provider, use, name.lower() if use == "header" else name


def _find_carried(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for name, part in (document.providers or {}).items():
        for section, use in _SECTIONS.items():
            found: set[RowKey] = set()
            for carried, said in (getattr(part, section) or {}).items():
                key = _carried_key(name, use, carried)
                if key in found:
                    raise Invalid({path_of("providers", name, section, carried): "stands twice: case does not count"})
                found.add(key)
                value = said.value if said.value is not None else SecretWanted(said)
                yield key, {"value": value, "name": carried}


def _put_carried(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    provider, use, _ = key
    value = fields["value"]
    if isinstance(value, SecretStored):
        value = value.exported()
    elif carried_values.warning(fields["name"], value):
        value = {"set": True}  # stored plain, and nothing to be kept in a repository
    within(data, "providers", str(provider), _SECTION_OF[str(use)])[fields["name"]] = value


def _write_carried(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    provider, use, _ = key
    number, value = writing.names.provider(str(provider)), wanted["value"]
    of: Use = "header" if use == "header" else "query"
    version = None if before is None else before.version
    if isinstance(value, SecretWanted) and value.plain is None:
        if value.part.set is False and before is not None:
            name = before.fields["name"]
            provider_secrets.remove_value(writing.session, writing.actor, number, of, name, version=version)
        return
    sealed = isinstance(value, SecretWanted)
    provider_secrets.set_value(
        writing.session,
        writing.actor,
        number,
        of,
        wanted["name"],
        value=str(value.plain if isinstance(value, SecretWanted) else value),
        sealed=sealed,
        version=version,
    )


def _remove_carried(writing: Writing, key: RowKey, stored: StoredFields) -> None:
    provider, use, _ = key
    of: Use = "header" if use == "header" else "query"
    number = writing.names.provider(str(provider))
    provider_secrets.remove_value(
        writing.session, writing.actor, number, of, stored.fields["name"], version=stored.version
    )


def _first(before: StoredFields, wanted: Fields) -> Fields | None:
    """Return what is written before settings rows are, where these hold on to what goes: models, and being active."""
    had, has = before.fields["available_models"], wanted["available_models"]
    gone = [model for model in had if model not in has]
    if not gone and (wanted["is_active"] or not before.fields["is_active"]):
        return None
    return {**wanted, "available_models": [*has, *gone], "is_active": before.fields["is_active"] or wanted["is_active"]}


PROVIDERS: Final = RowKind(
    name="provider",
    section="providers",
    tables=("llm_providers",),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of("providers", str(key[0])),
    write=_write,
    remove=_remove,
    first=_first,
)
CARRIED: Final = RowKind(
    name="carried",
    section="providers",
    tables=("llm_provider_secrets",),
    load=_load_carried,
    find=_find_carried,
    put=_put_carried,
    path=lambda key: path_of("providers", str(key[0]), _SECTION_OF[str(key[1])], str(key[2])),
    write=_write_carried,
    remove=_remove_carried,
    names=("name",),
)
