"""Routes of rate limits on calls: how many go to vendors."""

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api import envelopes
from api import wire_rate_limits as wire
from api.callers import Reader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id
from api.names import from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_read_only, take_version
from core.manage import rate_limits
from core.manage.rate_limits import RateLimitNow
from core.store import db

router = APIRouter(generate_unique_id_function=named, tags=["rate limits"])


@router.get("/llm/rate-limits", responses=answers(list[wire.LlmRateLimit], *READ), summary="List rate limits on calls")
def list_rate_limits(actor: Reader) -> Response:
    """All rate limits on calls by name."""
    with db.transaction() as session:
        return success([wire.rate_limit(found) for found in rate_limits.list_all(session, actor)])


@router.post(
    "/llm/rate-limits",
    status_code=201,
    responses=answers(wire.LlmRateLimit, 404, *WRITE, status=201),
    openapi_extra=documented(wire.NEW),
    summary="Make a rate limit on calls",
)
def add_rate_limit(request: Request, actor: Writer, body: Body) -> Response:
    """Limit requests and tokens a minute, or calls at once: one of the three at least."""
    found = write(request, actor, lambda s: rate_limits.create(s, actor, from_wire(body, rate_limits.FIELDS)))
    caught_up()
    headers = {"Location": f"rate-limits/{found.row.id}", "ETag": f'"{found.row.version}"'}
    return success(wire.rate_limit(found), 201, headers)


@router.get(
    "/llm/rate-limits/{id:row}", responses=answers(wire.LlmRateLimit, 404, *READ), summary="One rate limit on calls"
)
def one_rate_limit(actor: Reader, rate_limit_id: Id) -> Response:
    """One rate limit; its ETag is its version, for If-Match."""
    with db.transaction() as session:
        return _whole(rate_limits.get(session, actor, rate_limit_id))


@router.put(
    "/llm/rate-limits/{id:row}",
    responses=answers(wire.LlmRateLimit, 404, 428, *WRITE),
    openapi_extra=documented(wire.CHANGED),
    summary="Change a rate limit on calls",
)
def change_rate_limit(
    request: Request, actor: Writer, rate_limit_id: Id, body: Body, if_match: IfMatch = None
) -> Response:
    """Change what is named; it acts within a second or two."""

    def work(session: Session) -> RateLimitNow:
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.rate_limit(rate_limits.get(session, actor, rate_limit_id)), version)
        return rate_limits.update(session, actor, rate_limit_id, from_wire(data, rate_limits.FIELDS), version=version)

    found = write(request, actor, work)
    caught_up()
    return _whole(found)


@router.delete(
    "/llm/rate-limits/{id:row}",
    responses=answers(envelopes.Deleted, 404, *WRITE),
    summary="Delete a rate limit on calls",
)
def delete_rate_limit(request: Request, actor: Writer, rate_limit_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a rate limit; what counted against it goes on."""

    def work(session: Session) -> str:
        version = take_version({}, if_match, needed=False)
        return rate_limits.delete(session, actor, rate_limit_id, version=version)

    name = write(request, actor, work)
    caught_up()
    return success({"id": rate_limit_id, "deleted": [f"the rate limit {name}"]})


def _whole(found: RateLimitNow) -> Response:
    return success(wire.rate_limit(found), headers={"ETag": f'"{found.row.version}"'})
