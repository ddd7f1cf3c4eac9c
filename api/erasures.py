"""Routes that erase a person from the request log: by an admin, or in one organisation by its own."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.callers import Provisioner, Writer, write
from api.envelopes import Wire
from api.errors import success
from api.ids import Id
from api.names import NotAsNamed, from_wire
from api.request_schemas import body_schema
from api.responses import WRITE, answers, named
from api.writes import Body, ProvisionerBody, documented
from core.govern import call_erasure
from core.govern.call_erasure import ERASED_AT_ONCE, MOST_ID, Erased

router = APIRouter(generate_unique_id_function=named, tags=["logs"])

_WHOM: Final = body_schema(
    required=("userId",),
    userId={
        "type": "string",
        "minLength": 1,
        "maxLength": MOST_ID,
        "description": "the id of a person, as programs give it with each call",
    },
) | {"example": {"userId": "42"}}


class ErasedCalls(Wire):
    """What one request has erased."""

    calls: int = Field(description=f"from which the person was erased now; at most {ERASED_AT_ONCE:,}")
    left: int = Field(description="of the same person; as long as there are some, send the same again")


@router.post(
    "/llm/logs/erasures",
    responses=answers(ErasedCalls, *WRITE),
    openapi_extra=documented(_WHOM),
    summary="Erase a person from the request log",
)
def erase_person(request: Request, actor: Writer, body: Body) -> Response:
    """Erase who it was and what was said from a person's calls, the oldest first. Their numbers stay; it is on record without the id."""
    whom = _whom(body)
    return _said(write(request, actor, lambda s: call_erasure.erase_some(s, actor, whom)))


@router.post(
    "/llm/organizations/{id:row}/erasures",
    responses=answers(ErasedCalls, 404, *WRITE),
    openapi_extra=documented(_WHOM),
    summary="Erase a person from the calls of an organisation",
)
def erase_person_of_organization(
    request: Request, actor: Provisioner, organization_id: Id, body: ProvisionerBody
) -> Response:
    """The same of one organisation's calls alone; its own admins may."""
    whom = _whom(body)
    work = lambda s: call_erasure.erase_some(s, actor, whom, organization_id=organization_id)  # noqa: E731 - one line
    return _said(write(request, actor, work, "provisioning"))


def _whom(body: dict[str, Any]) -> str:
    whom = from_wire(body, ("user_id",)).get("user_id")
    if not isinstance(whom, str):
        raise NotAsNamed({"userId": "is needed: the id of a person, as text"})
    return whom


def _said(erased: Erased) -> Response:
    return success({"calls": erased.calls, "left": erased.left})
