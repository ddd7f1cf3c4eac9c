"""Routes of providers and their keys: for admins."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from api import envelopes, request_schemas, wire_providers
from api.callers import Reader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id
from api.names import from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_read_only, take_version
from core.kinds import kind_for
from core.manage import connection, observed, providers
from core.store import db
from core.store.schemas import ApiKeyInput, validate
from core.store.tables import LlmProvider

router = APIRouter(generate_unique_id_function=named, tags=["providers"])


def _typed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of *body* with our names. A key left empty means "as it was" in a form; here it is refused."""
    fields = from_wire(body, (*providers.FIELDS, "api_key"))
    if "api_key" in fields:
        validate(ApiKeyInput, {"api_key": fields["api_key"]})
    return fields


def _with_kind(fields: dict[str, Any]) -> dict[str, Any]:
    """Add the kind where it is not named and name or base URL tell it."""
    name, base_url = fields.get("name"), fields.get("api_base_url")
    if "kind" not in fields and isinstance(name, str) and (base_url is None or isinstance(base_url, str)):
        kind = kind_for(name.strip(), base_url)
        return {**fields, "kind": kind} if kind else fields
    return fields


@router.get("/llm/providers", responses=answers(list[wire_providers.Provider], *READ), summary="List providers")
def list_providers(
    _actor: Reader,
    active: Annotated[bool | None, Query(description="only active, or only inactive ones")] = None,
    search: Annotated[str, Query(max_length=100, description="in name, display name, kind and models")] = "",
) -> Response:
    """Every provider, by display name."""
    with db.transaction() as session:
        return success(
            [wire_providers.provider(row) for row in providers.list_all(session, active=active, search=search)]
        )


@router.post(
    "/llm/providers",
    status_code=201,
    responses=answers(wire_providers.Provider, *WRITE, status=201),
    openapi_extra=documented(request_schemas.NEW_PROVIDER),
    summary="Add a provider",
)
def add_provider(request: Request, actor: Writer, body: Body) -> Response:
    """Add a provider, with or without its key. Without a kind, its name or base URL says which."""
    row = write(request, actor, lambda s: providers.create(s, actor, _with_kind(_typed(body))))
    caught_up()
    return success(wire_providers.provider(row), 201, {"Location": f"providers/{row.id}", "ETag": f'"{row.version}"'})


@router.get("/llm/providers/{id:row}", responses=answers(wire_providers.Provider, 404, *READ), summary="One provider")
def one_provider(_actor: Reader, provider_id: Id) -> Response:
    """One provider; its ETag is its version, for If-Match."""
    with db.transaction() as session:
        row = providers.get(session, provider_id)
    return success(wire_providers.provider(row), headers={"ETag": f'"{row.version}"'})


@router.put(
    "/llm/providers/{id:row}",
    responses=answers(wire_providers.Provider, 404, 428, *WRITE),
    openapi_extra=documented(request_schemas.CHANGED_PROVIDER),
    summary="Change a provider",
)
def change_provider(request: Request, actor: Writer, provider_id: Id, body: Body, if_match: IfMatch = None) -> Response:
    """Change the fields that are named; the others stay. A base URL of another host takes the key again.

    What GET gave may be sent back whole: its read-only fields are ignored, and its version counts.
    """

    def work(session: Session) -> LlmProvider:
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire_providers.provider(providers.get(session, provider_id)), version)
        return providers.update(session, actor, provider_id, _typed(data), version=version)

    row = write(request, actor, work)
    caught_up()
    return success(wire_providers.provider(row), headers={"ETag": f'"{row.version}"'})


@router.delete(
    "/llm/providers/{id:row}", responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete a provider"
)
def delete_provider(request: Request, actor: Writer, provider_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a provider with its key and its settings rows."""

    def work(session: Session) -> list[str]:
        version = take_version({}, if_match, needed=False)
        return providers.delete(session, actor, provider_id, version=version)

    went = write(request, actor, work)
    caught_up()
    return success({"id": provider_id, "deleted": went})


@router.post(
    "/llm/providers/{id:row}/api-key",
    responses=answers(wire_providers.Provider, 404, *WRITE),
    openapi_extra=documented(request_schemas.API_KEY),
    summary="Set a provider's API key",
)
def set_api_key(request: Request, actor: Writer, provider_id: Id, body: Body) -> Response:
    """Seal a key and store it in place of the one there."""

    def work(session: Session) -> LlmProvider:
        typed = validate(ApiKeyInput, from_wire(body, ("api_key",)))
        return providers.set_api_key(session, actor, provider_id, typed.api_key.get_secret_value())

    row = write(request, actor, work)
    caught_up()
    return success(wire_providers.provider(row), headers={"ETag": f'"{row.version}"'})


@router.post(
    "/llm/providers/{id:row}/test",
    responses=answers(wire_providers.TestReport, 404, *WRITE),
    openapi_extra=documented(request_schemas.TESTED_PROVIDER),
    summary="Test a provider's connection",
)
def test_provider(request: Request, actor: Writer, provider_id: Id, body: Body) -> Response:
    """Dial the vendor, stage by stage, up to one minimal call: at most ten seconds. Nothing is changed.

    The body, which may be {}, has what to test instead of what is stored. A stored key goes to its own host alone.
    """
    target = write(request, actor, lambda s: connection.prepare(s, actor, provider_id, _typed(body)))
    report = connection.run(target)
    if any(report.facts.values()):
        write(request, actor, lambda s: observed.keep(s, actor, target.kind, target.base_url, report.facts))
    return success(wire_providers.test_report(target.model, report))
