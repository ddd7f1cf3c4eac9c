"""Routes of models: what is known of one, which of those in use end, and what admins say of them.

A path of ours needs no escape, and names of models may: such a name stands in the query.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BeforeValidator, Field
from sqlmodel import Session

from api import request_schemas, wire_models
from api.callers import Writer, admitted, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id, digits
from api.names import NotAsNamed, from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_version
from core.actors import Actor
from core.errors import Invalid, NotFound
from core.govern import lifecycle
from core.manage import model_facts
from core.models.apis import APIS
from core.store import db
from core.store.table import id_of
from core.store.tables import LlmModelFacts

router = APIRouter(generate_unique_id_function=named, tags=["models"])

Viewer = Annotated[Actor, admitted("models.view", "analyst")]
MOST_NAME: Final = 300
FURTHEST: Final = 36_500
"""Days: a hundred years."""

Api = Annotated[
    str,
    Path(
        alias="api", json_schema_extra={"enum": list(APIS)}, description="where the model is called: openai, azure, …"
    ),
]
ModelInPath = Annotated[
    str, Path(alias="model", pattern=r"^[A-Za-z0-9]([A-Za-z0-9._~-]*[A-Za-z0-9])?$", description="as it is called")
]
ModelInQuery = Annotated[
    str, Query(alias="model", min_length=1, max_length=MOST_NAME, description="as it is called, whatever it is made of")
]
Host = Annotated[
    str,
    Query(
        max_length=260,
        pattern=r"^[A-Za-z0-9.:_\[\]-]*$",
        description="of the base URL, where something holds at one host",
    ),
]
Days = Annotated[
    Annotated[int, Field(ge=0, le=FURTHEST)],
    BeforeValidator(digits),
    Query(description="only those that end within so many days, or have ended"),
]
_KNOWN: Final = answers(wire_models.KnownModel, 404, *READ)


@router.get("/llm/models", responses=answers(list[wire_models.RetiringModel], *READ), summary="Models in use that end")
def retiring_models(actor: Viewer, retiring: Days = lifecycle.QUIET_DAYS) -> Response:
    """Each model in use whose vendor takes it away, the nearest end first; with who uses it and what comes after."""
    with db.transaction() as session:
        return success([wire_models.retiring(line) for line in lifecycle.retiring(session, actor, retiring)])


@router.get("/llm/models/{api:api}", responses=_KNOWN, summary="What is known of a model, by any name")
def model_by_name(_actor: Viewer, api: Api, model: ModelInQuery, host: Host = "") -> Response:
    """The same as with the model in the path, for names with a slash, a colon and the like."""
    return _known(api, model, host)


@router.get("/llm/models/{api:api}/{model:model}", responses=_KNOWN, summary="What is known of a model")
def known_model(_actor: Viewer, api: Api, model: ModelInPath, host: Host = "") -> Response:
    """Each fact with its source, and what becomes of each parameter; of an unknown model what the API does."""
    return _known(api, model, host)


@router.get(
    "/llm/model-facts", responses=answers(list[wire_models.SaidOfModel], *READ), summary="What admins say of models"
)
def list_model_facts(
    _actor: Viewer, *, withdrawn: Annotated[bool, Query(description="those that were taken back, instead")] = False
) -> Response:
    """Every row, by pattern and API."""
    with db.transaction() as session:
        return success([wire_models.model_fact(row) for row in model_facts.list_all(session, withdrawn=withdrawn)])


@router.get("/llm/model-facts/{id:row}", responses=answers(wire_models.SaidOfModel, 404, *READ), summary="One of them")
def one_of_model_facts(_actor: Viewer, row_id: Id) -> Response:
    """One row; its ETag is its version, for If-Match. One that was taken back is there too."""
    with db.transaction() as session:
        row = _operators(session, row_id)
        return success(wire_models.model_fact(row), headers={"ETag": f'"{row.version}"'})


@router.post(
    "/llm/model-facts",
    responses=answers(wire_models.SaidOfModel, 404, *WRITE) | {201: answers(wire_models.SaidOfModel, status=201)[201]},
    openapi_extra=documented(request_schemas.MODEL_FACTS),
    summary="Say what holds of a model",
)
def set_model_facts(request: Request, actor: Writer, body: Body, if_match: IfMatch = None) -> Response:
    """Say what holds of the models whose names match, in place of what was said before (200), or newly (201)."""

    def work(session: Session) -> tuple[LlmModelFacts, bool, list[str]]:
        data = dict(body)
        version = take_version(data, if_match, needed=False)
        typed = from_wire(data, ("pattern", "api", "facts", "why"))
        if missing := [name for name in ("pattern", "facts", "why") if name not in typed]:
            raise NotAsNamed(dict.fromkeys(missing, "is needed"))
        before = {row.id for row in model_facts.list_all(session)}
        try:
            row = model_facts.set_facts(session, actor, version=version, **typed)
        except Invalid as error:
            raise NotAsNamed(error.fields) from None  # keys inside facts are no names of the wire
        return row, row.id not in before, model_facts.warnings(session, row)

    row, new, warnings = write(request, actor, work)
    caught_up()
    return success(wire_models.model_fact(row, warnings), 201 if new else 200, {"ETag": f'"{row.version}"'})


@router.delete(
    "/llm/model-facts/{id:row}", responses=answers(wire_models.SaidOfModel, 404, *WRITE), summary="Take it back"
)
def withdraw_model_facts(
    request: Request,
    actor: Writer,
    row_id: Id,
    why: Annotated[str, Query(max_length=500, description="for the audit")] = "",
    if_match: IfMatch = None,
) -> Response:
    """Take back what an admin said: the next source counts again. The row stays, and is not active any more."""

    def work(session: Session) -> LlmModelFacts:
        version = take_version({}, if_match, needed=False)
        return model_facts.withdraw(session, actor, row_id, version=version, why=why)

    row = write(request, actor, work)
    caught_up()
    return success(wire_models.model_fact(row), headers={"ETag": f'"{row.version}"'})


def _known(api: str, model: str, host: str) -> Response:
    if api not in APIS:
        raise NotFound("API", api)
    with db.transaction() as session:
        found: dict[str, Any] = wire_models.known(model_facts.explain(session, api, model, host=host))
    return success(found)


def _operators(session: Session, row_id: int) -> LlmModelFacts:
    row = model_facts.get(session, row_id)
    if row.origin != "operator":
        raise NotFound("facts of a model", id_of(row))
    return row
