"""Routes of what an organisation may of a provider, and of its own key there, which never comes out."""

from typing import Final

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api import organization_schemas, request_schemas
from api import wire_organizations as wire
from api.callers import MemberReader, Provisioner, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id, ProviderInPath
from api.names import from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import IfMatch, ProvisionerBody, documented, take_read_only, take_version
from core.actors import Actor
from core.manage import organization_keys, providers
from core.store import db
from core.store.organization_tables import OrganizationProvider
from core.store.schemas import ApiKeyInput, validate

router = APIRouter(generate_unique_id_function=named, tags=["organizations"])

_LIST: Final = "/llm/organizations/{id:row}/providers"
_ONE: Final = "/llm/organizations/{id:row}/providers/{providerId:row}"
_KEY: Final = f"{_ONE}/api-key"
_SET: Final = answers(wire.ProviderOfOrganization, 404, *WRITE)


@router.get(
    _LIST,
    responses=answers(list[wire.ProviderOfOrganization], 404, *READ),
    summary="What an organisation may of providers",
)
def list_organization_providers(actor: MemberReader, organization_id: Id) -> Response:
    """Of each provider of which something is stored; of the others it may what all may."""
    with db.transaction() as session:
        rows = organization_keys.list_of(session, actor, organization_id)
        return success([wire.provider_of(organization_id, row.provider_id, row) for row in rows])


@router.get(
    _ONE, responses=answers(wire.ProviderOfOrganization, 404, *READ), summary="What an organisation may of a provider"
)
def one_organization_provider(actor: MemberReader, organization_id: Id, provider_id: ProviderInPath) -> Response:
    """What it may, and mask and fingerprint of its own key; version 0: nothing is stored, it may what all may."""
    with db.transaction() as session:
        row = _read(session, actor, organization_id, provider_id)
        return _answer(organization_id, provider_id, row)


@router.put(
    _ONE,
    responses=answers(wire.ProviderOfOrganization, 404, 428, *WRITE),
    openapi_extra=documented(organization_schemas.CHANGED_ORGANIZATION_PROVIDER),
    summary="Change what an organisation may of a provider",
)
def change_organization_provider(
    request: Request,
    actor: Provisioner,
    organization_id: Id,
    provider_id: ProviderInPath,
    body: ProvisionerBody,
    *,
    if_match: IfMatch = None,
) -> Response:
    """Change the fields that are named. Its own admins change ``ownModels``, and may demand a key of its own."""

    def work(session: Session) -> OrganizationProvider:
        stored = _read(session, actor, organization_id, provider_id)
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.provider_of(organization_id, provider_id, stored), version)
        patch = from_wire(data, organization_keys.FIELDS)
        return organization_keys.update(session, actor, organization_id, provider_id, patch, version=version)

    row = write(request, actor, work, "provisioning")
    caught_up()
    return _answer(organization_id, provider_id, row)


@router.post(
    _KEY, responses=_SET, openapi_extra=documented(request_schemas.API_KEY), summary="Set an organisation's own API key"
)
def set_own_key(
    request: Request,
    actor: Provisioner,
    organization_id: Id,
    provider_id: ProviderInPath,
    body: ProvisionerBody,
    *,
    if_match: IfMatch = None,
) -> Response:
    """Seal a key and store it in place of the one there. With its first it needs one of its own from now on."""

    def work(session: Session) -> OrganizationProvider:
        _read(session, actor, organization_id, provider_id)
        version = take_version({}, if_match, needed=False)
        typed = validate(ApiKeyInput, from_wire(body, ("api_key",)))
        key = typed.api_key.get_secret_value()
        return organization_keys.set_api_key(session, actor, organization_id, provider_id, key, version=version)

    row = write(request, actor, work, "provisioning")
    caught_up()
    return _answer(organization_id, provider_id, row)


@router.delete(_KEY, responses=_SET, summary="Forget an organisation's own API key")
def remove_own_key(
    request: Request,
    actor: Provisioner,
    organization_id: Id,
    provider_id: ProviderInPath,
    if_match: IfMatch = None,
) -> Response:
    """Forget the key. The organisation has none then, until an admin says that the installation's serves it again."""

    def work(session: Session) -> OrganizationProvider:
        _read(session, actor, organization_id, provider_id)
        version = take_version({}, if_match, needed=False)
        return organization_keys.remove_api_key(session, actor, organization_id, provider_id, version=version)

    row = write(request, actor, work, "provisioning")
    caught_up()
    return _answer(organization_id, provider_id, row)


def _read(session: Session, actor: Actor, organization_id: int, provider_id: int) -> OrganizationProvider | None:
    """Return what is stored; the organisation is looked for first: of another's nothing is said, nor of what it asks for."""
    row = organization_keys.get(session, actor, organization_id, provider_id)
    if row is None:
        providers.get(session, provider_id)
    return row


def _answer(organization_id: int, provider_id: int, row: OrganizationProvider | None) -> Response:
    found = wire.provider_of(organization_id, provider_id, row)
    return success(found, headers={"ETag": f'"{found["version"]}"'})
