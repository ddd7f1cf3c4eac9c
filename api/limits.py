"""Routes of limits: the installation's, set by admins, and organisations' own, set by theirs."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator
from sqlmodel import Session

from api import envelopes
from api import wire_limits as wire
from api.callers import MemberReader, MemberWriter, write
from api.effective import caught_up
from api.errors import success
from api.ids import PAGE, Id, Most, digits
from api.names import from_wire
from api.request_schemas import AS_READ, VERSION, body_schema
from api.responses import READ, WRITE, answers, named
from api.writes import IfMatch, MemberBody, documented, take_read_only, take_version
from core.manage import limits
from core.store import db
from core.store.limit_schemas import LimitsInput
from core.store.organization_tables import LlmLimits

router = APIRouter(generate_unique_id_function=named, tags=["limits"])

_EXAMPLE: Final = {"organizationId": 7, "limits": {"maxTokens": {"max": 4000}}, "note": "contract"}
_NEW: Final = body_schema(LimitsInput, required=("limits",)) | {"example": _EXAMPLE}
_CHANGED: Final = body_schema(LimitsInput, required=(), version=VERSION, effect={"type": "null"}, **AS_READ) | {
    "example": {"limits": {"maxTokens": {"max": 8000}}, "version": 1}
}
_FIELDS: Final = tuple(LimitsInput.model_fields)
_Number = Annotated[int, BeforeValidator(digits)]


@router.get("/llm/limits", responses=answers(list[wire.LimitsOut], 404, *READ), summary="List limits")
def list_limits(
    actor: MemberReader,
    *,
    organization_id: Annotated[
        Annotated[_Number, Query(ge=1, le=2**31 - 1)] | None,
        Query(alias="organizationId", description="only those of this organisation"),
    ] = None,
    feature_id: Annotated[
        Annotated[_Number, Query(ge=1, le=2**31 - 1)] | None,
        Query(alias="featureId", description="only those of this feature"),
    ] = None,
    provider_id: Annotated[
        Annotated[_Number, Query(ge=1, le=2**31 - 1)] | None,
        Query(alias="providerId", description="only those of this provider"),
    ] = None,
    owner: Annotated[Literal["installation", "organization"] | None, Query(description="only this owner's")] = None,
    field: Annotated[
        Annotated[str, Query(max_length=200)] | None,
        Query(description="only those that limit it, as maxTokens; of customSettings any key of it too"),
    ] = None,
    after: Annotated[_Number, Query(ge=0, le=2**31 - 1, description="the id that the page before ended with")] = 0,
    limit: Most = PAGE,
) -> Response:
    """By id, a page of them; who belongs to an organisation sees those of it, the installation's for it too."""
    with db.transaction() as session:
        rows = limits.list_of(
            session,
            actor,
            organization_id=organization_id,
            feature_id=feature_id,
            provider_id=provider_id,
            owner=owner,
            field=None if field is None else wire.field_from_wire(field),
            after=after,
            limit=limit,
        )
        return success([wire.limits(row) for row in rows])


@router.post(
    "/llm/limits",
    status_code=201,
    responses=answers(wire.LimitsOut, 404, *WRITE, status=201),
    openapi_extra=documented(_NEW),
    summary="Set limits on a scope",
)
def add_limits(request: Request, actor: MemberWriter, body: MemberBody) -> Response:
    """Set limits on a scope that has none of that owner. What they put out of force stays stored, and is counted in the answer."""

    def work(session: Session) -> tuple[LlmLimits, dict[str, Any]]:
        row = limits.create(session, actor, _data(body))
        return row, wire.limits(row, limits.outcome(session, actor, row))

    row, found = write(request, actor, work)
    caught_up()
    return success(found, 201, {"Location": f"limits/{row.id}", "ETag": f'"{row.version}"'})


@router.post(
    "/llm/limits/preview",
    responses=answers(wire.LimitsEffect, 404, *WRITE),
    openapi_extra=documented(_NEW),
    summary="What limits would put out of force",
)
def preview_limits(request: Request, actor: MemberWriter, body: MemberBody) -> Response:
    """Count and list what saving these limits would put out of force; nothing is stored."""
    found = write(request, actor, lambda s: limits.preview(s, actor, _data(body), own=limits.stored_id(s, _data(body))))
    return success(wire.effect(found))


@router.get("/llm/limits/{id:row}", responses=answers(wire.LimitsOut, 404, *READ), summary="Limits of one scope")
def one_limit(actor: MemberReader, limit_id: Id) -> Response:
    """Limits of one scope and owner; their ETag is their version, for If-Match."""
    with db.transaction() as session:
        row = limits.find(session, actor, limit_id)
        return success(wire.limits(row), headers={"ETag": f'"{row.version}"'})


@router.put(
    "/llm/limits/{id:row}",
    responses=answers(wire.LimitsOut, 404, 428, *WRITE),
    openapi_extra=documented(_CHANGED),
    summary="Change limits",
)
def change_limits(
    request: Request, actor: MemberWriter, limit_id: Id, body: MemberBody, if_match: IfMatch = None
) -> Response:
    """Put other rules in place of those that are there, all of them, or change the note. What GET gave may be sent back whole."""

    def work(session: Session) -> tuple[LlmLimits, dict[str, Any]]:
        stored = limits.find(session, actor, limit_id, "limit.update", role="admin")
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.limits(stored), version)
        if data.get("owner") == stored.owner:
            del data["owner"]
        if data.get("effect", 0) is None:
            del data["effect"]
        row = limits.update(session, actor, limit_id, _data(data), version=version)
        return row, wire.limits(row, limits.outcome(session, actor, row))

    row, found = write(request, actor, work)
    caught_up()
    return success(found, headers={"ETag": f'"{row.version}"'})


@router.delete("/llm/limits/{id:row}", responses=answers(envelopes.Deleted, 404, *WRITE), summary="Lift limits")
def delete_limits(request: Request, actor: MemberWriter, limit_id: Id, if_match: IfMatch = None) -> Response:
    """Lift limits: what they put out of force counts again."""

    def work(session: Session) -> None:
        limits.delete(session, actor, limit_id, version=take_version({}, if_match, needed=False))

    write(request, actor, work)
    caught_up()
    return success({"id": limit_id, "deleted": [f"the limits {limit_id}"]})


@router.post(
    "/llm/limits/{id:row}/clear",
    responses=answers(wire.Cleared, 404, *WRITE),
    summary="Clear what limits put out of force",
)
def clear_limits(request: Request, actor: MemberWriter, limit_id: Id) -> Response:
    """Take what these limits put out of force out of the rows that have it, 1,000 at once; each is an edit in the audit."""

    def work(session: Session) -> tuple[int, int]:
        cleared = limits.clear(session, actor, limit_id)
        row = limits.find(session, actor, limit_id)
        return cleared, limits.outcome(session, actor, row).effects.rows

    cleared, left = write(request, actor, work)
    caught_up()
    return success({"cleared": cleared, "left": left})


def _data(body: dict[str, Any]) -> dict[str, Any]:
    found = from_wire(body, _FIELDS)
    if isinstance(found.get("limits"), dict):
        found["limits"] = wire.from_wire(found["limits"])
    return found
