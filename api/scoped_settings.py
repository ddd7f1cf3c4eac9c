"""Routes of settings rows of organisations and of features."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api import envelopes, organization_schemas, wire
from api.callers import MemberReader, MemberWriter, Reader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import FeatureId, FeatureInPath, Id, OrgId, ProviderId
from api.names import from_wire
from api.responses import READ, WRITE, answers, named
from api.settings import take_id, warnings_of
from api.writes import Body, IfMatch, MemberBody, documented, take_read_only, take_version
from core.actors import Actor
from core.manage import settings
from core.manage.scopes import SettingsRow, SettingsScope
from core.store import db

router = APIRouter(generate_unique_id_function=named, tags=["settings of organisations and features"])

_ORGANIZATION: Final = "/llm/settings/organization/{orgId:row}"
_FEATURE: Final = "/llm/settings/feature/{featureId:row}"
_OVERRIDE: Final = "/llm/overrides/{id:row}"
_LISTED: Final = answers(list[wire.SettingsRow], 404, *READ)
_SET: Final = answers(wire.SettingsRow, 404, *WRITE) | {201: answers(wire.SettingsRow, status=201)[201]}


@router.get(_ORGANIZATION, responses=_LISTED, summary="List an organisation's settings rows")
def list_organization_settings(
    actor: MemberReader, organization_id: OrgId, provider_id: ProviderId = None, feature_id: FeatureId = None
) -> Response:
    """Every active row of an organisation, those of features last; or those that name a provider, or a feature."""
    with db.transaction() as session:
        rows = settings.list_of(
            session, actor, organization_id=organization_id, feature_id=feature_id, provider_id=provider_id
        )
        return success([wire.settings_row(row) for row in rows])


@router.post(
    _ORGANIZATION,
    responses=_SET,
    openapi_extra=documented(organization_schemas.ORGANIZATION_SETTINGS),
    summary="Set the settings of an organisation",
)
def set_organization_settings(
    request: Request, actor: MemberWriter, organization_id: OrgId, body: MemberBody, if_match: IfMatch = None
) -> Response:
    """Set the fields that are named, of all its providers or one, of all its features or one. Else as of a provider."""

    def scope_of(data: dict[str, Any]) -> SettingsScope:
        provider_id = take_id(data, "providerId", "a provider, or null for all its providers")
        data.setdefault("featureId", None)
        return SettingsScope(provider_id, organization_id, take_id(data, "featureId", "a feature, or null"))

    return _set(request, actor, scope_of, body, if_match)


@router.get(_FEATURE, responses=_LISTED, summary="List a feature's settings rows")
def list_feature_settings(actor: Reader, feature_id: FeatureInPath, provider_id: ProviderId = None) -> Response:
    """Every active row of a feature that is of no organisation."""
    with db.transaction() as session:
        rows = settings.list_of(session, actor, feature_id=feature_id, provider_id=provider_id)
        return success([wire.settings_row(row) for row in rows])


@router.post(
    _FEATURE,
    responses=_SET,
    openapi_extra=documented(organization_schemas.FEATURE_SETTINGS),
    summary="Set the settings of a feature",
)
def set_feature_settings(
    request: Request, actor: Writer, feature_id: FeatureInPath, body: Body, if_match: IfMatch = None
) -> Response:
    """Set the fields that are named, for every organisation, of all providers or one. Else as of a provider."""

    def scope_of(data: dict[str, Any]) -> SettingsScope:
        return SettingsScope(take_id(data, "providerId", "a provider, or null for all providers"), None, feature_id)

    return _set(request, actor, scope_of, body, if_match)


@router.put(
    _OVERRIDE,
    responses=answers(wire.SettingsRow, 404, 428, *WRITE),
    openapi_extra=documented(organization_schemas.CHANGED_OVERRIDE),
    summary="Change a feature's settings row",
)
def change_override(
    request: Request, actor: MemberWriter, override_id: Id, body: MemberBody, if_match: IfMatch = None
) -> Response:
    """Set the fields that are named; null inherits, the others stay. An organisation's row is its own admins' too."""

    def work(session: Session) -> tuple[SettingsRow, list[str]]:
        stored = wire.settings_row(settings.find_override(session, actor, override_id, "settings.update"))
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, stored, version)
        patch = from_wire(data, settings.ALL_FIELDS)
        row = settings.update_override(session, actor, override_id, patch, version=version)
        return row, warnings_of(session, actor, row)

    row, warnings = write(request, actor, work)
    caught_up()
    return success(wire.settings_row(row, warnings), headers={"ETag": f'"{row.version}"'})


@router.delete(_OVERRIDE, responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete a feature's settings row")
def delete_override(request: Request, actor: MemberWriter, override_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a row: its scope inherits everything again."""

    def work(session: Session) -> None:
        version = take_version({}, if_match, needed=False)
        settings.delete_override(session, actor, override_id, version=version)

    write(request, actor, work)
    caught_up()
    return success({"id": override_id, "deleted": [f"the feature's settings row {override_id}"]})


def _set(
    request: Request,
    actor: Actor,
    scope_of: Callable[[dict[str, Any]], SettingsScope],
    body: Mapping[str, Any],
    if_match: str | None,
) -> Response:
    def work(session: Session) -> tuple[SettingsRow, bool, list[str]]:
        data = dict(body)
        scope = scope_of(data)
        before = settings.get_of(session, actor, scope)
        version = take_version(data, if_match, needed=False)
        if before is not None:
            take_read_only(data, wire.settings_row(before), version)
        row = settings.upsert(session, actor, scope, from_wire(data, settings.ALL_FIELDS), version=version)
        return row, before is None, warnings_of(session, actor, row)

    row, new, warnings = write(request, actor, work)
    caught_up()
    return success(wire.settings_row(row, warnings), 201 if new else 200, {"ETag": f'"{row.version}"'})
