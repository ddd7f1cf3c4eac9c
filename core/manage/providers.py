"""Providers and their keys. Opening a key is always an explicit call."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlmodel import Session, col, func, or_, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..calling import addresses
from ..config import get_config
from ..crypto import get_ring
from ..errors import AlreadyExists, Invalid, NotFound
from ..kinds import origin_of
from ..resolving.carried import USES
from ..store import base_urls, violations
from ..store.schemas import ProviderInput, SettingsInput, could_be_id, could_be_provider, validate
from ..store.table import id_of
from ..store.tables import LlmProvider, LlmProviderSecret, LlmSettings
from ..store.versions import refuse_stale
from ..wording import counted
from . import provider_holders, provider_keys

FIELDS = tuple(ProviderInput.model_fields)
_SETTINGS = set(SettingsInput.model_fields)


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> LlmProvider:
    """Add a provider; *data* is a :class:`~core.store.schemas.ProviderInput` and may have an ``api_key``.

    Raises:
        Forbidden, Invalid, Sealed: The last if a key is given and this process has no encryption key. Invalid also if
            the base URL names a host that it may not.
        AlreadyExists: If the name is taken.
    """
    require(session, actor, "provider.create")
    fields, api_key = _split(data)
    provider = LlmProvider(**validate(ProviderInput, fields).model_dump())
    _guard_base_url(provider.kind, provider.api_base_url)
    session.add(provider)
    violations.flush(session, AlreadyExists("provider", provider.name))
    if api_key is not None:
        provider_keys.seal(session, provider, api_key)
    _record(session, actor, "provider.create", provider, before={}, after=_recorded(provider))
    return _stored(session, provider)


def get(session: Session, provider_id: int) -> LlmProvider:
    """Return a provider.

    Raises:
        NotFound: If there is none with that id.
    """
    provider = session.get(LlmProvider, provider_id) if could_be_id(provider_id) else None
    if provider is None:
        raise NotFound("provider", provider_id)
    return provider


def get_by_name(session: Session, name: str) -> LlmProvider:
    """Return a provider by its name; raises NotFound."""
    found = select(LlmProvider).where(LlmProvider.name == name)
    provider = session.exec(found).one_or_none() if could_be_provider(name) else None
    if provider is None:
        raise NotFound("provider", name)
    return provider


def list_all(
    session: Session,
    *,
    active: bool | None = None,
    search: str = "",
    since: datetime | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[LlmProvider]:
    """Return providers by display name; *search* is looked for in name, display name, kind and models.

    Of those unchanged since *since* none, unless that is None.
    """
    query = matching(select(LlmProvider), active, search, since)
    query = query.order_by(func.lower(LlmProvider.display_name), col(LlmProvider.id)).offset(offset).limit(limit)
    return list(session.exec(query))


def count(session: Session, *, active: bool | None = None, search: str = "", since: datetime | None = None) -> int:
    """Return how many providers :func:`list_all` has without its limit."""
    number: int = session.exec(matching(select(func.count()).select_from(LlmProvider), active, search, since)).one()
    return number


def names(session: Session, *, active: bool | None = None) -> dict[str, str]:
    """Return name -> display name of all providers, by display name; no other column is read."""
    query = select(LlmProvider.name, LlmProvider.display_name).order_by(
        func.lower(LlmProvider.display_name), col(LlmProvider.id)
    )
    return dict(session.exec(matching(query, active, "")).all())


def update(
    session: Session, actor: Actor, provider_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> LlmProvider:
    """Change the fields in *patch*; ``api_key`` may be one of them, and an empty one is left as it is.

    Args:
        session: The transaction.
        actor: An admin.
        provider_id: Which provider.
        patch: Field -> new value.
        version: The version the edit was based on; None writes whatever is there.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, AlreadyExists, Sealed: Invalid also if the origin of the base URL
            changes while a key is stored and the key is not typed again, if it names a host that it may not, and if a
            model is taken away that a settings row prefers.
    """
    require(session, actor, "provider.update")
    provider = locked(session, provider_id)
    fields, api_key = _split(patch)
    refuse_stale("provider", provider, version, fields)
    current, before = provider.model_dump(include=set(FIELDS)), _recorded(provider)
    wanted = validate(ProviderInput, {**current, **fields}).model_dump()
    # Only what changes is guarded. A row from before this rule, or from before the operator shortened the list, can still
    # be renamed, and deactivated above all; a test of the connection looks at the address again whatever is stored.
    if (wanted["kind"], wanted["api_base_url"]) != (provider.kind, provider.api_base_url):
        _guard_base_url(wanted["kind"], wanted["api_base_url"])
    provider_holders.keep_preferred(session, provider_id, wanted["available_models"])
    if provider.is_active and not wanted["is_active"]:
        provider_holders.keep_default(session, provider_id, "is_active")
    if _refuse_moved_key(session, provider, wanted, fields, api_key) and (
        keys := provider_holders.own_keys(session, provider_id)
    ):
        before["own_keys"] = f"{keys} of organisations"
    for name, value in wanted.items():
        if value != current[name]:
            setattr(provider, name, value)
    violations.flush(session, AlreadyExists("provider", wanted["name"]))
    if api_key is not None:
        provider_keys.seal(session, provider, api_key)
        session.flush()
    after = _recorded(provider) | ({"own_keys": "to be entered again"} if "own_keys" in before else {})
    only_the_key = api_key is not None and changes_between(before, after, FIELDS) == {}
    _record(
        session,
        actor,
        "provider.set_key" if only_the_key else "provider.update",
        provider,
        before=before,
        after=after,
        key_set=api_key is not None,
    )
    return _stored(session, provider)


def deletion(session: Session, provider_id: int) -> list[str]:
    """Return, in words, what deleting the provider takes with it; raises NotFound."""
    provider = get(session, provider_id)
    goes = [f"the provider {provider.name}, with {counted(len(provider.available_models), 'model')}"]
    if provider.api_key_encrypted:
        goes.append(f"its API key {provider_keys.shown_key(provider)}")
    carried = session.exec(
        select(LlmProviderSecret.use, func.count())
        .where(LlmProviderSecret.provider_id == provider_id)
        .group_by(col(LlmProviderSecret.use))
        .order_by(col(LlmProviderSecret.use))
    )
    goes += [f"its {counted(number, USES[use])}" for use, number in carried]
    rows = session.exec(
        select(func.count()).select_from(LlmSettings).where(LlmSettings.provider_id == provider_id)
    ).one()
    if rows:
        goes.append(f"its {counted(rows, 'settings row')}")
    return [*goes, *provider_holders.goes_with(session, provider_id)]


def other_secrets(session: Session, provider_id: int) -> list[str]:
    """Return, in words, what is sealed for the provider's host besides its key: headers, query parameters, the next key."""
    found = session.exec(
        select(LlmProviderSecret)
        .where(LlmProviderSecret.provider_id == provider_id, col(LlmProviderSecret.value_encrypted).is_not(None))
        .order_by(col(LlmProviderSecret.id))
    )
    return [words_for(row.use, row.name) for row in found]


def words_for(use: str, name: str) -> str:
    """Return what people call a row of ``llm_provider_secrets``: ``the header X-Api-Key``, ``the former key``."""
    return f"the {name} key" if use == "next_key" else f"the {USES.get(use, use)} {name}"


def delete(session: Session, actor: Actor, provider_id: int, *, version: int | None = None) -> list[str]:
    """Delete the provider and its settings rows; returns what went, as :func:`deletion`.

    Raises:
        Forbidden, NotFound, Conflict: The last if it was changed since *version*.
        Invalid: If it is the default provider of a scope.
    """
    require(session, actor, "provider.delete")
    provider = locked(session, provider_id)
    refuse_stale("provider", provider, version, {})
    provider_holders.keep_default(session, provider_id, "provider")
    goes = deletion(session, provider_id)
    rows = session.exec(select(LlmSettings).where(LlmSettings.provider_id == provider_id).order_by(col(LlmSettings.id)))
    carried = session.exec(select(LlmProviderSecret).where(LlmProviderSecret.provider_id == provider_id))
    went = {
        **_recorded(provider),
        "carried": sorted(words_for(row.use, row.name) for row in carried) or None,
        "settings": [row.model_dump(include=_SETTINGS, exclude_none=True) for row in rows] or None,
    }
    session.delete(provider)
    session.flush()
    _record(session, actor, "provider.delete", provider, before=went, after={})
    return goes


def set_api_key(session: Session, actor: Actor, provider_id: int, api_key: str) -> LlmProvider:
    """Seal and store a key in place of the one there.

    Raises:
        Forbidden, NotFound, Invalid, Sealed: The last if this process has no encryption key.
    """
    require(session, actor, "provider.set_key")
    provider = locked(session, provider_id)
    before = _recorded(provider)
    provider_keys.seal(session, provider, api_key)
    _record(session, actor, "provider.set_key", provider, before=before, after=_recorded(provider), key_set=True)
    return _stored(session, provider)


def remove_api_key(session: Session, actor: Actor, provider_id: int) -> LlmProvider:
    """Forget the key; raises Forbidden, NotFound, and Invalid while there is a next key, or a former one."""
    require(session, actor, "provider.remove_key")
    provider = locked(session, provider_id)
    waiting = select(LlmProviderSecret.name).where(
        LlmProviderSecret.provider_id == provider_id, LlmProviderSecret.use == "next_key"
    )
    if (name := session.exec(waiting).one_or_none()) is not None:
        raise Invalid({"api_key": f"has a {name} key beside it: promote that one, or retire it first"})
    before = _recorded(provider)
    provider_keys.put_key(provider, None)
    _record(session, actor, "provider.remove_key", provider, before=before, after=_recorded(provider))
    return _stored(session, provider)


def adopt_api_key(session: Session, actor: Actor, provider_id: int) -> LlmProvider:
    """Bind a key that another program wrote (*unbound*) to its provider and its present base URL.

    Raises:
        Forbidden, NotFound: As everywhere.
        Invalid: If the key is not unbound.
        KeyUnreadable: If no key of the ring opens it.
        Sealed: If this process has no encryption key.
    """
    require(session, actor, "provider.adopt_key")
    provider = locked(session, provider_id)
    if provider_keys.key_state(provider).state != "unbound" or provider.api_key_encrypted is None:
        raise Invalid({"api_key": "is not waiting to be adopted"})
    before = _recorded(provider)
    provider_keys.seal(session, provider, get_ring().open_unbound(provider.api_key_encrypted))
    _record(session, actor, "provider.adopt_key", provider, before=before, after=_recorded(provider), key_set=True)
    return _stored(session, provider)


def open_api_key(session: Session, provider_id: int) -> str:
    """Return the plain key. Internal: nothing that a person or REST sees calls it.

    Raises:
        NotFound: If there is no such provider, or it has no key.
        KeyUnreadable: With the reason and the cure.
    """
    provider = get(session, provider_id)
    if not provider.api_key_encrypted:
        raise NotFound("API key of provider", provider.name)
    return get_ring().open(
        provider.api_key_encrypted, provider.api_key_key_id, provider.api_key_binding, provider_keys.place_of(provider)
    )


def matching(query: Any, active: bool | None, search: str, since: datetime | None = None) -> Any:  # noqa: FBT001 - called by position, as a part of queries
    """Return a query of providers, narrowed to what :func:`list_all` has for these filters."""
    if active is not None:
        query = query.where(LlmProvider.is_active == active)
    if since is not None:
        query = query.where(LlmProvider.updated_at >= since)
    words = search.replace("\x00", "").encode("utf-8", "ignore").decode()[:100].split()
    model: Any = func.jsonb_array_elements_text(LlmProvider.available_models).column_valued("model")
    for word in words:
        pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = query.where(
            or_(
                col(LlmProvider.name).ilike(pattern),
                col(LlmProvider.display_name).ilike(pattern),
                col(LlmProvider.kind).ilike(pattern),
                select(model).where(model.ilike(pattern)).exists(),
            )
        )
    return query


def _split(data: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    fields = dict(data)
    api_key = fields.pop("api_key", None)
    if isinstance(api_key, str) and not api_key.strip():
        api_key = None
    return fields, api_key


def locked(session: Session, provider_id: int) -> LlmProvider:
    """Return a provider whose row is locked until the transaction ends; raises NotFound."""
    provider = None
    if could_be_id(provider_id):
        provider = session.get(LlmProvider, provider_id, with_for_update=True, populate_existing=True)
    if provider is None:
        raise NotFound("provider", provider_id)
    return provider


def _guard_base_url(kind: str, api_base_url: str | None) -> None:
    if api_base_url:  # an empty one is the vendor's own
        addresses.check_host(urlsplit(api_base_url).hostname or "", kind, get_config().private_hosts)
        if rule := base_urls.look(kind, api_base_url).refused:
            raise Invalid({"api_base_url": rule})


def _refuse_moved_key(
    session: Session, provider: LlmProvider, wanted: Mapping[str, Any], fields: Mapping[str, Any], api_key: str | None
) -> bool:
    """Refuse another origin while something is sealed for this one: who may edit a URL could have a key sent elsewhere.

    Returns whether it is another one.
    """
    if origin_of(wanted["kind"], wanted["api_base_url"]) == origin_of(provider.kind, provider.api_base_url):
        return False
    field = "api_base_url" if "api_base_url" in fields else "kind"
    if provider.api_key_encrypted and api_key is None:
        raise Invalid(
            {field: "changes the host that the stored key is sent to: type the API key again, or remove it first"}
        )
    if bound := other_secrets(session, id_of(provider)):
        raise Invalid(
            {field: f"changes the host that {', '.join(bound)} is sealed for: remove it first, and enter it again"}
        )
    return True


def _recorded(provider: LlmProvider) -> dict[str, Any]:
    key = {"api_key": shown} if (shown := provider_keys.shown_key(provider)) else {}
    return {**provider.model_dump(include=set(FIELDS)), **key}


def _record(
    session: Session,
    actor: Actor,
    action: str,
    provider: LlmProvider,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    key_set: bool = False,
) -> None:
    changes = changes_between(before, after, (*FIELDS, "api_key", "own_keys", "carried", "settings"))
    if key_set:  # also if its mask is that of the one before
        changes["api_key"] = (before.get("api_key"), after.get("api_key"))
    if changes:
        target = Target("provider", provider.id, (after or before)["name"])
        record(session, actor, action, target, changes)


def _stored(session: Session, provider: LlmProvider) -> LlmProvider:
    session.flush()
    session.refresh(provider)
    return provider
