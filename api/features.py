"""Routes of features: registered by admins, seen by whoever has signed in."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from api import envelopes, organization_schemas
from api import wire_organizations as wire
from api.callers import MemberReader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import PAGE, Id, Most
from api.names import from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_read_only, take_version
from core.manage import features
from core.store import db
from core.store.organization_tables import FEATURE_PATTERN, LlmFeature

router = APIRouter(generate_unique_id_function=named, tags=["features"])

_SEARCHED: Final = 200


@router.get("/llm/features", responses=answers(list[wire.Feature], *READ), summary="Search in features")
def list_features(
    actor: MemberReader,
    search: Annotated[str, Query(max_length=_SEARCHED, description="in name and display name")] = "",
    after: Annotated[
        str | None, Query(pattern=FEATURE_PATTERN, description="the name that the page before ended with")
    ] = None,
    limit: Most = PAGE,
) -> Response:
    """By name, a page of them: as long as it is full, the next begins after its last name."""
    with db.transaction() as session:
        rows = features.search(session, actor, search, after=after, limit=limit)
        return success([wire.feature(row) for row in rows])


@router.post(
    "/llm/features",
    status_code=201,
    responses=answers(wire.Feature, *WRITE, status=201),
    openapi_extra=documented(organization_schemas.NEW_FEATURE),
    summary="Register a feature",
)
def add_feature(request: Request, actor: Writer, body: Body) -> Response:
    """Register a feature, which settings may be stored for."""
    row = write(request, actor, lambda s: features.create(s, actor, from_wire(body, features.FIELDS)))
    caught_up()
    return success(wire.feature(row), 201, {"Location": f"features/{row.id}", "ETag": f'"{row.version}"'})


@router.get("/llm/features/{id:row}", responses=answers(wire.Feature, 404, *READ), summary="One feature")
def one_feature(_actor: MemberReader, feature_id: Id) -> Response:
    """One feature; its ETag is its version, for If-Match."""
    with db.transaction() as session:
        return _whole(features.get(session, feature_id))


@router.put(
    "/llm/features/{id:row}",
    responses=answers(wire.Feature, 404, 428, *WRITE),
    openapi_extra=documented(organization_schemas.CHANGED_FEATURE),
    summary="Change a feature",
)
def change_feature(request: Request, actor: Writer, feature_id: Id, body: Body, if_match: IfMatch = None) -> Response:
    """Change the fields that are named. Another name is another feature to services. What GET gave may be sent back whole."""

    def work(session: Session) -> LlmFeature:
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.feature(features.get(session, feature_id)), version)
        return features.update(session, actor, feature_id, from_wire(data, features.FIELDS), version=version)

    row = write(request, actor, work)
    caught_up()
    return _whole(row)


@router.delete("/llm/features/{id:row}", responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete a feature")
def delete_feature(request: Request, actor: Writer, feature_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a feature and all settings that are stored for it."""

    def work(session: Session) -> list[str]:
        version = take_version({}, if_match, needed=False)
        return features.delete(session, actor, feature_id, version=version)

    went = write(request, actor, work)
    caught_up()
    return success({"id": feature_id, "deleted": went})


def _whole(row: LlmFeature) -> Response:
    return success(wire.feature(row), headers={"ETag": f'"{row.version}"'})
