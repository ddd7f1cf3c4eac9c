"""Routes of settings rows that are nobody's, and of changing one by its id. Effective settings are in :mod:`api.effective`."""

from collections.abc import MutableMapping
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api import envelopes, request_schemas, wire
from api.callers import MemberWriter, Reader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import LARGEST, Id, ProviderId
from api.names import NotAsNamed, from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, MemberBody, documented, take_read_only, take_version
from core.actors import Actor
from core.manage import fitting, overriding, providers, settings
from core.manage.scopes import SettingsRow
from core.store import db
from core.store.tables import LlmSettings

router = APIRouter(generate_unique_id_function=named, tags=["settings"])


@router.get("/llm/settings/global", responses=answers(list[wire.SettingsRow], 404, *READ), summary="List settings rows")
def list_settings(_actor: Reader, provider_id: ProviderId = None) -> Response:
    """Every active row, the one of all providers first; or the one of a provider, if it has one."""
    with db.transaction() as session:
        if provider_id is None:
            rows = settings.list_global(session)
        else:
            providers.get(session, provider_id)
            rows = [row for row in (settings.get_global(session, provider_id),) if row is not None]
        return success([wire.settings_row(row) for row in rows])


@router.post(
    "/llm/settings/global",
    responses=answers(wire.SettingsRow, 404, *WRITE) | {201: answers(wire.SettingsRow, status=201)[201]},
    openapi_extra=documented(request_schemas.UPSERTED_SETTINGS),
    summary="Set the settings of a provider, or of all",
)
def upsert_settings(request: Request, actor: Writer, body: Body, if_match: IfMatch = None) -> Response:
    """Set the fields that are named; null inherits, the others stay. The row is made if there is none (201)."""

    def work(session: Session) -> tuple[LlmSettings, bool, list[str]]:
        data = dict(body)
        version = take_version(data, if_match, needed=False)
        scope = take_id(data, "providerId", "a provider, or null for all providers")
        row = settings.get_global(session, scope)
        new = row is None
        if row is not None:
            take_read_only(data, wire.settings_row(row), version)
        row = settings.upsert_global(session, actor, scope, from_wire(data, settings.ALL_FIELDS), version=version)
        return row, new, warnings_of(session, actor, row)

    row, new, warnings = write(request, actor, work)
    caught_up()
    return success(wire.settings_row(row, warnings), 201 if new else 200, {"ETag": f'"{row.version}"'})


@router.put(
    "/llm/settings/{id:row}",
    responses=answers(wire.SettingsRow, 404, 428, *WRITE),
    openapi_extra=documented(request_schemas.CHANGED_SETTINGS),
    summary="Change a settings row",
)
def change_settings(
    request: Request, actor: MemberWriter, settings_id: Id, body: MemberBody, if_match: IfMatch = None
) -> Response:
    """Set the fields that are named; null inherits, the others stay. What GET gave may be sent back whole.

    A row of an organisation is its own admins' too.
    """

    def work(session: Session) -> tuple[LlmSettings, list[str]]:
        stored = wire.settings_row(settings.find(session, actor, settings_id, "settings.update"))
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, stored, version)
        row = settings.update(session, actor, settings_id, from_wire(data, settings.ALL_FIELDS), version=version)
        return row, warnings_of(session, actor, row)

    row, warnings = write(request, actor, work)
    caught_up()
    return success(wire.settings_row(row, warnings), headers={"ETag": f'"{row.version}"'})


@router.delete(
    "/llm/settings/{id:row}", responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete a settings row"
)
def delete_settings(request: Request, actor: MemberWriter, settings_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a row: its scope inherits everything again. A row of an organisation is its own admins' too."""

    def work(session: Session) -> None:
        version = take_version({}, if_match, needed=False)
        settings.delete(session, actor, settings_id, version=version)

    write(request, actor, work)
    caught_up()
    return success({"id": settings_id, "deleted": [f"the settings row {settings_id}"]})


def take_id(body: MutableMapping[str, Any], name: str, what: str) -> int | None:
    """Take out of *body* the id of *what*, or null, which a scope is made of.

    Raises:
        NotAsNamed: If it is neither, or missing: a program whose variable is undefined would else change every provider.
    """
    if name not in body:
        raise NotAsNamed({name: f"is needed: the id of {what}"})
    given = body.pop(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 0 < given <= LARGEST:
        raise NotAsNamed({name: f"must be the id of {what}"})
    return given


def warnings_of(session: Session, actor: Actor, row: SettingsRow) -> list[str]:
    """Return what becomes of the values that were just stored: what is not sent as it is set, and what overrides them."""
    unfit: list[str] = []
    if isinstance(row, LlmSettings) and row.organization_id is None:
        unfit = fitting.warnings(session, row)
    return [*unfit, *overriding.warnings(session, actor, row)]
