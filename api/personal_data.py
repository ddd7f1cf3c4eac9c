"""Routes of what becomes of personal data, for each scope."""

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api import envelopes
from api import wire_personal_data as wire
from api.callers import Reader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id
from api.names import from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_read_only, take_version
from core.manage import personal_data
from core.manage.personal_data import PersonalDataRow
from core.store import db

router = APIRouter(generate_unique_id_function=named, tags=["personal data"])


@router.get(
    "/llm/pii-settings", responses=answers(list[wire.LlmPersonalData], *READ), summary="List settings of personal data"
)
def list_personal_data(actor: Reader) -> Response:
    """The rows of all scopes, nobody's first."""
    with db.transaction() as session:
        return success([wire.personal_data(found) for found in personal_data.list_all(session, actor)])


@router.post(
    "/llm/pii-settings",
    status_code=201,
    responses=answers(wire.LlmPersonalData, 404, *WRITE, status=201),
    openapi_extra=documented(wire.NEW),
    summary="Say what becomes of personal data in a scope",
)
def add_personal_data(request: Request, actor: Writer, body: Body) -> Response:
    """Say it for a scope that has said nothing yet; what is not named is inherited."""
    found = write(request, actor, lambda s: personal_data.create(s, actor, from_wire(body, personal_data.FIELDS)))
    caught_up()
    headers = {"Location": f"pii-settings/{found.row.id}", "ETag": f'"{found.row.version}"'}
    return success(wire.personal_data(found), 201, headers)


@router.get(
    "/llm/pii-settings/{id:row}",
    responses=answers(wire.LlmPersonalData, 404, *READ),
    summary="Settings of personal data of one scope",
)
def one_personal_data(actor: Reader, personal_data_id: Id) -> Response:
    """One row; its ETag is its version, for If-Match."""
    with db.transaction() as session:
        return _whole(personal_data.get(session, actor, personal_data_id))


@router.put(
    "/llm/pii-settings/{id:row}",
    responses=answers(wire.LlmPersonalData, 404, 428, *WRITE),
    openapi_extra=documented(wire.CHANGED),
    summary="Change settings of personal data",
)
def change_personal_data(
    request: Request, actor: Writer, personal_data_id: Id, body: Body, if_match: IfMatch = None
) -> Response:
    """Change what is named; the scope stays. To save what an upgrade wrote, as it is, decides it."""

    def work(session: Session) -> PersonalDataRow:
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.personal_data(personal_data.get(session, actor, personal_data_id)), version)
        patch = from_wire(data, personal_data.FIELDS)
        return personal_data.update(session, actor, personal_data_id, patch, version=version)

    found = write(request, actor, work)
    caught_up()
    return _whole(found)


@router.delete(
    "/llm/pii-settings/{id:row}",
    responses=answers(envelopes.Deleted, 404, *WRITE),
    summary="Have a scope inherit what becomes of personal data",
)
def delete_personal_data(request: Request, actor: Writer, personal_data_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a row: its scope inherits everything again."""

    def work(session: Session) -> str:
        version = take_version({}, if_match, needed=False)
        return personal_data.delete(session, actor, personal_data_id, version=version)

    words = write(request, actor, work)
    caught_up()
    return success({"id": personal_data_id, "deleted": [f"the settings of personal data of {words}"]})


def _whole(found: PersonalDataRow) -> Response:
    return success(wire.personal_data(found), headers={"ETag": f'"{found.row.version}"'})
