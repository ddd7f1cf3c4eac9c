"""What an organisation may of a provider, and its own key there: sealed for its row, the organisation, the provider and the host."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Changes, changes_between, record
from ..crypto import KeyRing, Place, get_ring, mask
from ..errors import AlreadyExists, Invalid, KeyUnreadable, NotFound
from ..kinds import origin_of
from ..resolving.tenant import place_of_own_key
from ..store import violations
from ..store.organization_schemas import OrganizationProviderInput
from ..store.organization_tables import Organization, OrganizationProvider
from ..store.schemas import ApiKeyInput, could_be_id, validate
from ..store.sealed import fingerprint, fingerprint_of
from ..store.table import id_of
from ..store.tables import LlmProvider
from . import keys
from .organization_members import refuse_stale_row
from .organization_rows import reach
from .organizations import target_of
from .provider_keys import KeyState

FIELDS: Final = tuple(OrganizationProviderInput.model_fields)
_OWN: Final = ("own_models",)
"""What an organisation's own admins may change; the rest is what the installation lets them."""


def get(session: Session, actor: Actor, organization_id: int, provider_id: int) -> OrganizationProvider | None:
    """Return what is stored of an organisation and a provider; None: nothing, it may what all may.

    Raises:
        Forbidden, NotFound: As :func:`~.organization_rows.reach`.
    """
    reach(session, actor, "organization.read_provider", organization_id)
    return _find(session, organization_id, provider_id)


def list_of(session: Session, actor: Actor, organization_id: int) -> list[OrganizationProvider]:
    """Return what is stored of an organisation's providers; to its admins and the installation's, for the masks in it."""
    reach(session, actor, "organization.read_provider", organization_id)
    found = select(OrganizationProvider).where(OrganizationProvider.organization_id == organization_id)
    return list(session.exec(found.order_by(col(OrganizationProvider.provider_id))))


def update(
    session: Session,
    actor: Actor,
    organization_id: int,
    provider_id: int,
    patch: Mapping[str, Any],
    *,
    version: int | None = None,
) -> OrganizationProvider:
    """Change what an organisation may of a provider: ``is_allowed``, ``requires_own_key``, ``allowed_models``, ``own_models``.

    Args:
        session: The transaction.
        actor: An admin; one of the organisation may change ``own_models``, and demand a key of its own.
        organization_id: Which.
        provider_id: Of which provider.
        patch: Field -> value.
        version: The version that the edit was based on, 0 if there was no row; None writes whatever is there.

    Raises:
        Forbidden, NotFound, Invalid, Conflict: As everywhere.
        AlreadyExists: If somebody else has just made the row.
    """
    action = "organization.update_provider"
    organization = reach(session, actor, action, organization_id)
    if any(name not in _OWN and (name, value) != ("requires_own_key", True) for name, value in patch.items()):
        require(session, actor, action)  # what an organisation may is the installation's to say
    provider = _provider(session, provider_id)
    row = _find(session, organization_id, provider_id, lock=True)
    if row is None and version:
        raise NotFound("provider of this organisation with version", version)
    current = row.model_dump(include=set(FIELDS)) if row else OrganizationProviderInput().model_dump()
    if row is not None:
        refuse_stale_row(session, actor, "provider of this organisation", row, version=version, patch=patch)
    wanted = validate(OrganizationProviderInput, {**current, **patch}).model_dump()
    if row is None:
        row = OrganizationProvider(organization_id=organization_id, provider_id=provider_id)
        session.add(row)
    for name, value in wanted.items():
        if row.id is None or value != current[name]:
            setattr(row, name, value)
    _flush(session, row, provider)
    _record(session, actor, action, organization, provider, changes=changes_between(current, wanted, FIELDS))
    return row


def set_api_key(
    session: Session, actor: Actor, organization_id: int, provider_id: int, api_key: str, *, version: int | None = None
) -> OrganizationProvider:
    """Seal and store an organisation's own key, in place of the one there; with the first, it needs one of its own from now on.

    Args:
        session: The transaction.
        actor: An admin, or one of the organisation.
        organization_id: Whose.
        provider_id: Of which provider.
        api_key: As typed.
        version: As of :func:`update`.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, Sealed: Invalid also for a template, which has no keys, and for a provider
            that needs none.
    """
    action = "organization.set_key"
    organization = reach(session, actor, action, organization_id)
    provider = _provider(session, provider_id)
    if organization.kind == "template":
        raise Invalid({"api_key": "cannot be a template's: each organisation has its own"})
    plain = validate(ApiKeyInput, {"api_key": api_key, "kind": provider.kind}).api_key.get_secret_value()
    if not provider.needs_key:
        raise Invalid({"api_key": "would not be used: this provider needs none"})
    row = _find(session, organization_id, provider_id, lock=True)
    if row is None and version:
        raise NotFound("provider of this organisation with version", version)
    if row is None:
        row = OrganizationProvider(id=_next_id(session), organization_id=organization_id, provider_id=provider_id)
    else:
        refuse_stale_row(session, actor, "provider of this organisation", row, version=version, patch={})
    before, needed = shown_key(row), row.requires_own_key
    seal(session, provider, row, plain)
    row.api_key_set_at = datetime.now(UTC)
    if before is None:
        row.requires_own_key = True
    session.add(row)
    _flush(session, row, provider)
    changes: Changes = {"api_key": (before, shown_key(row))}
    if row.requires_own_key != needed:
        changes["requires_own_key"] = (needed, row.requires_own_key)
    _record(session, actor, action, organization, provider, changes=changes)
    return row


def remove_api_key(
    session: Session, actor: Actor, organization_id: int, provider_id: int, *, version: int | None = None
) -> OrganizationProvider:
    """Forget an organisation's own key. It has none then, until an admin says that the installation's serves it again.

    Raises:
        Forbidden, NotFound, Conflict: NotFound also if there is no key.
    """
    action = "organization.remove_key"
    organization = reach(session, actor, action, organization_id)
    provider = _provider(session, provider_id)
    row = _find(session, organization_id, provider_id, lock=True)
    if row is None or not row.api_key_encrypted:
        raise NotFound("API key of this organisation for provider", provider.name)
    refuse_stale_row(session, actor, "provider of this organisation", row, version=version, patch={})
    before = shown_key(row)
    row.api_key_encrypted = row.api_key_masked = row.api_key_fingerprint = None
    row.api_key_key_id = row.api_key_binding = row.api_key_set_at = None
    _flush(session, row, provider)
    _record(session, actor, action, organization, provider, changes={"api_key": (before, None)})
    return row


def adopt_api_key(session: Session, actor: Actor, organization_id: int, provider_id: int) -> OrganizationProvider:
    """Bind a key that another program wrote (*unbound*) to its row, organisation, provider and the provider's present host.

    Raises:
        Forbidden, NotFound: As everywhere; it takes an admin of the installation.
        Invalid: If the key is not unbound.
        KeyUnreadable: If no key of the ring opens it.
        Sealed: If this process has no encryption key.
    """
    action = "organization.adopt_key"
    require(session, actor, action)
    organization = reach(session, actor, action, organization_id)
    provider = _provider(session, provider_id)
    row = _find(session, organization_id, provider_id, lock=True)
    if row is None or not row.api_key_encrypted or key_state(provider, row).state != "unbound":
        raise Invalid({"api_key": "is not waiting to be adopted"})
    before = shown_key(row)
    seal(session, provider, row, get_ring().open_unbound(row.api_key_encrypted))
    row.api_key_set_at = datetime.now(UTC)
    _flush(session, row, provider)
    _record(session, actor, action, organization, provider, changes={"api_key": (before, shown_key(row))})
    return row


def key_state(provider: LlmProvider, row: OrganizationProvider | None, ring: KeyRing | None = None) -> KeyState:
    """Return whether an organisation's own key can be opened: as :func:`core.manage.provider_keys.key_state`."""
    if row is None or not row.api_key_encrypted:
        return KeyState("none", "")
    try:
        (ring or get_ring()).box(
            row.api_key_encrypted, row.api_key_key_id, row.api_key_binding, place_of(provider, row)
        )
    except KeyUnreadable as error:
        return KeyState(error.reason, str(error))
    return KeyState("ok", "")


def shown_key(row: OrganizationProvider) -> str | None:
    """Return what is shown of a key, ``sk-proj...**** #3f9a07c2``; None without one."""
    if not row.api_key_encrypted:
        return None
    return f"{row.api_key_masked or '****'} {fingerprint_of(row.api_key_fingerprint, row.api_key_encrypted)}".rstrip()


def place_of(provider: LlmProvider, row: OrganizationProvider) -> Place:
    """Return where an organisation's own key belongs."""
    origin = origin_of(provider.kind, provider.api_base_url)
    return place_of_own_key(id_of(row), row.organization_id, row.provider_id, origin)


def seal(session: Session, provider: LlmProvider, row: OrganizationProvider, plain: str) -> None:
    """Seal *plain* for *row*, which has its id; raises Invalid, Sealed and WrongEncryptionKey."""
    ring = get_ring()
    with session.no_autoflush:  # half of a change would be an edit of its own
        keys.require_known(session, ring)
    place = place_of(provider, row)
    if not place.origin:  # written by SQL: what is bound to no host would fit the next such URL too
        raise Invalid({"api_base_url": "is no URL that a key can be bound to: correct it first"})
    stored = ring.seal(plain, place)
    row.api_key_encrypted, row.api_key_key_id, row.api_key_binding = stored
    row.api_key_masked, row.api_key_fingerprint = mask(plain), fingerprint(ring, plain, stored)


def _find(
    session: Session, organization_id: int, provider_id: int, *, lock: bool = False
) -> OrganizationProvider | None:
    query = select(OrganizationProvider).where(
        OrganizationProvider.organization_id == organization_id, OrganizationProvider.provider_id == provider_id
    )
    if not could_be_id(provider_id):
        return None
    query = query.with_for_update() if lock else query
    row: OrganizationProvider | None = session.exec(query.execution_options(populate_existing=True)).one_or_none()
    return row


def _provider(session: Session, provider_id: int) -> LlmProvider:
    """Return a provider, share-locked: its host stays what a key is sealed for until the transaction ends."""
    row = None
    if could_be_id(provider_id):
        row = session.get(LlmProvider, provider_id, with_for_update={"read": True}, populate_existing=True)
    if row is None:
        raise NotFound("provider", provider_id)
    return row


def _next_id(session: Session) -> int:
    number: int = session.scalar(text("SELECT nextval(pg_get_serial_sequence('organization_providers', 'id'))")) or 0
    return number


def _flush(session: Session, row: OrganizationProvider, provider: LlmProvider) -> None:
    violations.flush(session, AlreadyExists("provider of this organisation", provider.name, "provider_id"))
    session.refresh(row)


def _record(
    session: Session, actor: Actor, action: str, organization: Organization, provider: LlmProvider, *, changes: Changes
) -> None:
    if changes:
        named = {"provider": (None, provider.name), **changes}
        record(session, actor, action, target_of(organization), named, organization=id_of(organization))
