"""Routes of presets: named sets of parameters, kept by the installation's admins and applied by whoever may change a scope."""

from collections.abc import MutableMapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from api import envelopes
from api import wire_presets as wire
from api.callers import MemberReader, MemberWriter, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id
from api.names import NotAsNamed, from_wire
from api.responses import READ, WRITE, answers, named
from api.settings import take_id
from api.wire import SettingsRow, settings_row
from api.writes import Body, IfMatch, MemberBody, documented, take_read_only, take_version
from core.manage import scopes, settings_presets
from core.manage.scopes import SettingsScope
from core.manage.settings_presets import PresetPreview
from core.store import db
from core.store.preset_schemas import PRESET_FIELDS
from core.store.preset_tables import SettingsPreset

router = APIRouter(generate_unique_id_function=named, tags=["presets"])


@router.get("/llm/presets", responses=answers(list[wire.Preset], *READ), summary="List presets")
def list_presets(actor: MemberReader) -> Response:
    """Named sets of parameters, by name."""
    with db.transaction() as session:
        return success([wire.preset(row) for row in settings_presets.list_all(session, actor)])


@router.post(
    "/llm/presets",
    status_code=201,
    responses=answers(wire.Preset, *WRITE, status=201),
    openapi_extra=documented(wire.NEW),
    summary="Make a preset",
)
def add_preset(request: Request, actor: Writer, body: Body) -> Response:
    """Make a named set of parameters. No model is in it: it may be applied to any provider."""
    row = write(request, actor, lambda s: settings_presets.create(s, actor, _typed(body)))
    return success(wire.preset(row), 201, {"Location": f"presets/{row.id}", "ETag": f'"{row.version}"'})


@router.get("/llm/presets/{id:row}", responses=answers(wire.Preset, 404, *READ), summary="One preset")
def one_preset(actor: MemberReader, preset_id: Id) -> Response:
    """One preset; its ETag is its version, for If-Match."""
    with db.transaction() as session:
        return _whole(settings_presets.get(session, actor, preset_id))


@router.put(
    "/llm/presets/{id:row}",
    responses=answers(wire.Preset, 404, 428, *WRITE),
    openapi_extra=documented(wire.CHANGED),
    summary="Change a preset",
)
def change_preset(request: Request, actor: Writer, preset_id: Id, body: Body, if_match: IfMatch = None) -> Response:
    """Change what is named; ``fields`` is replaced whole. Where it was applied before, nothing changes."""

    def work(session: Session) -> SettingsPreset:
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.preset(settings_presets.get(session, actor, preset_id)), version)
        return settings_presets.update(session, actor, preset_id, _typed(data), version=version)

    return _whole(write(request, actor, work))


@router.delete("/llm/presets/{id:row}", responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete a preset")
def delete_preset(request: Request, actor: Writer, preset_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a preset. What it was applied to stays as it is."""

    def work(session: Session) -> str:
        version = take_version({}, if_match, needed=False)
        return settings_presets.delete(session, actor, preset_id, version=version)

    name = write(request, actor, work)
    return success({"id": preset_id, "deleted": [f"the preset {name}"]})


@router.post(
    "/llm/presets/{id:row}/apply",
    responses=answers(wire.PresetPreview | SettingsRow, 404, *WRITE),
    openapi_extra=documented(wire.APPLIED),
    summary="Apply a preset",
)
def apply_preset(
    request: Request,
    actor: MemberWriter,
    preset_id: Id,
    body: MemberBody,
    if_match: IfMatch = None,
    *,
    dry_run: Annotated[
        bool, Query(alias="dryRun", description="only say what would change, and what becomes of it for the model")
    ] = False,
) -> Response:
    """Copy a preset into the settings of a scope, made if there are none; an organisation's are its own admins' too.

    Answers the settings row, and with ``dryRun`` what would change in it.
    """

    def work(session: Session) -> tuple[PresetPreview, dict[str, Any] | None]:
        data = dict(body)
        version = take_version(data, if_match, needed=False)
        scope = _scope(data)
        scopes.named(session, actor, "settings.update", scope)  # first: who may not is told no more
        preset = settings_presets.get(session, actor, preset_id)
        found = settings_presets.preview(session, actor, preset, scope)
        row = None if dry_run else settings_presets.apply(session, actor, preset, scope, version=version)
        return found, None if row is None else settings_row(row)

    found, row = write(request, actor, work)
    caught_up()
    if row is None:
        return success(wire.preview(found))
    return success(row, headers={"ETag": f'"{row["version"]}"'})


def _scope(data: MutableMapping[str, Any]) -> SettingsScope:
    for name in ("organizationId", "featureId"):
        data.setdefault(name, None)
    scope = SettingsScope(
        take_id(data, "providerId", "a provider, or null for all providers"),
        take_id(data, "organizationId", "an organisation, or null"),
        take_id(data, "featureId", "a feature, or null"),
    )
    if data:
        raise NotAsNamed({name[:50]: "is not a field here" for name in list(data)[:20]})
    return scope


def _typed(body: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return the fields of *body* with our names, those of the parameters in it too."""
    typed = from_wire(body, settings_presets.FIELDS)
    if isinstance(fields := typed.get("fields"), dict):
        try:
            typed["fields"] = from_wire(fields, PRESET_FIELDS)
        except NotAsNamed as error:
            raise NotAsNamed({f"fields.{name}": rule for name, rule in error.fields.items()}) from None
    return typed


def _whole(row: SettingsPreset) -> Response:
    return success(wire.preset(row), headers={"ETag": f'"{row.version}"'})
