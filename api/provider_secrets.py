"""Routes of what a provider's calls carry besides its key, and of its next key: for admins.

A header is named in the body, or in the query: a path of ours needs no escape, and names of headers may.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from api import envelopes, request_schemas, wire_providers
from api.callers import Reader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id
from api.names import NotAsNamed, from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_version
from core.errors import NotFound
from core.manage import connection, next_keys, provider_secrets, providers
from core.manage.provider_secrets import Use
from core.store import db
from core.store.carried_values import MAX_NAME
from core.store.schemas import ApiKeyInput, validate
from core.store.tables import LlmProvider, LlmProviderSecret

router = APIRouter(generate_unique_id_function=named, tags=["headers, query parameters, next keys"])

Name = Annotated[str, Query(min_length=1, max_length=MAX_NAME, description="of what is removed")]
_HEADERS: Final = "/llm/providers/{id:row}/headers"
_QUERY: Final = "/llm/providers/{id:row}/query"
_NEXT: Final = "/llm/providers/{id:row}/next-key"
_LISTED: Final = answers(list[wire_providers.Carried], 404, *READ)
_SET: Final = answers(wire_providers.Carried, 404, *WRITE) | {201: answers(wire_providers.Carried, status=201)[201]}
_REMOVED: Final = answers(envelopes.Deleted, 404, *WRITE)
_PROVIDER: Final = answers(wire_providers.Provider, 404, *WRITE)


@router.get(_HEADERS, responses=_LISTED, summary="List a provider's headers")
def list_headers(_actor: Reader, provider_id: Id) -> Response:
    """Each header that calls carry; of a sealed one mask and fingerprint, never the value."""
    return _list(provider_id, "header")


@router.post(
    _HEADERS,
    responses=_SET,
    openapi_extra=documented(request_schemas.SET_CARRIED),
    summary="Set a header of a provider",
)
def set_header(request: Request, actor: Writer, provider_id: Id, body: Body, if_match: IfMatch = None) -> Response:
    """Add a header (201), or replace the one of that name, whatever its case. Sealed unless the body says otherwise."""
    return _set(request, actor, provider_id, "header", body, if_match=if_match)


@router.delete(_HEADERS, responses=_REMOVED, summary="Remove a header of a provider")
def remove_header(request: Request, actor: Writer, provider_id: Id, name: Name, if_match: IfMatch = None) -> Response:
    """Remove a header."""
    return _remove(request, actor, provider_id, "header", name, if_match=if_match)


@router.get(_QUERY, responses=_LISTED, summary="List a provider's query parameters")
def list_query(_actor: Reader, provider_id: Id) -> Response:
    """Each query parameter that calls carry; of a sealed one mask and fingerprint, never the value."""
    return _list(provider_id, "query")


@router.post(
    _QUERY,
    responses=_SET,
    openapi_extra=documented(request_schemas.SET_CARRIED),
    summary="Set a query parameter of a provider",
)
def set_query(request: Request, actor: Writer, provider_id: Id, body: Body, if_match: IfMatch = None) -> Response:
    """Add a query parameter (201), or replace the one of that name. Sealed unless the body says otherwise."""
    return _set(request, actor, provider_id, "query", body, if_match=if_match)


@router.delete(_QUERY, responses=_REMOVED, summary="Remove a query parameter of a provider")
def remove_query(request: Request, actor: Writer, provider_id: Id, name: Name, if_match: IfMatch = None) -> Response:
    """Remove a query parameter."""
    return _remove(request, actor, provider_id, "query", name, if_match=if_match)


@router.get(_NEXT, responses=answers(wire_providers.NextKey, 404, *READ), summary="A provider's next key")
def next_key(_actor: Reader, provider_id: Id) -> Response:
    """The key beside the current one: the next, or after promote the former; 404 where there is none."""
    with db.transaction() as session:
        provider = providers.get(session, provider_id)
        row = next_keys.get(session, provider_id)
    if row is None:
        raise NotFound("next key of provider", provider.name)
    return _of_next(row)


@router.post(
    _NEXT,
    status_code=201,
    responses=answers(wire_providers.NextKey, 404, *WRITE, status=201),
    openapi_extra=documented(request_schemas.API_KEY),
    summary="Add a provider's next key",
)
def add_next_key(request: Request, actor: Writer, provider_id: Id, body: Body) -> Response:
    """Seal a key and store it beside the current one, which goes on being used; in place of a next one that was there."""

    def work(session: Session) -> LlmProviderSecret:
        typed = validate(ApiKeyInput, from_wire(body, ("api_key",)))
        return next_keys.add(session, actor, provider_id, typed.api_key.get_secret_value())

    row = write(request, actor, work)
    return _of_next(row, 201)


@router.post(f"{_NEXT}/promote", responses=_PROVIDER, summary="Make a provider's next key the current one")
def promote_key(request: Request, actor: Writer, provider_id: Id, if_match: IfMatch = None) -> Response:
    """Exchange the two keys: the current one becomes the former, and stays until it is retired. If-Match: of the next key."""

    def work(session: Session) -> LlmProvider:
        version = take_version({}, if_match, needed=False)
        return next_keys.promote(session, actor, provider_id, version=version)

    row = write(request, actor, work)
    caught_up()
    return success(wire_providers.provider(row), headers={"ETag": f'"{row.version}"'})


@router.delete(_NEXT, responses=_REMOVED, summary="Retire the key beside a provider's current one")
def retire_key(request: Request, actor: Writer, provider_id: Id, if_match: IfMatch = None) -> Response:
    """Forget the former key, or a next one that is not wanted. Revoke it at the vendor's too."""

    def work(session: Session) -> str:
        version = take_version({}, if_match, needed=False)
        row = next_keys.get(session, provider_id)
        next_keys.retire(session, actor, provider_id, version=version)
        return "" if row is None else f"{providers.words_for(row.use, row.name)} {provider_secrets.shown(row)}"

    went = write(request, actor, work)
    return success({"id": provider_id, "deleted": [went]})


@router.post(
    f"{_NEXT}/test",
    responses=answers(wire_providers.TestReport, 404, *WRITE),
    summary="Test a provider's next key, before promoting it",
)
def test_next_key(request: Request, actor: Writer, provider_id: Id) -> Response:
    """Dial the vendor as the provider's test does, with the next key in place of the current one. Nothing is changed."""
    target = write(request, actor, lambda s: connection.prepare(s, actor, provider_id, next_key=True))
    return success(wire_providers.test_report(target.model, connection.run(target)))


def _list(provider_id: int, use: Use) -> Response:
    with db.transaction() as session:
        providers.get(session, provider_id)
        rows = [row for row in provider_secrets.list_of(session, provider_id) if row.use == use]
        return success([wire_providers.carried(row) for row in rows])


def _set(
    request: Request, actor: Writer, provider_id: int, use: Use, body: Mapping[str, Any], *, if_match: str | None
) -> Response:
    def work(session: Session) -> tuple[LlmProviderSecret, bool]:
        data = dict(body)
        version = take_version(data, if_match, needed=False)
        typed = {"sealed": True, **from_wire(data, ("name", "value", "sealed"))}
        if missing := [name for name in ("name", "value") if name not in typed]:
            raise NotAsNamed(dict.fromkeys(missing, "is needed"))
        before = {row.id for row in provider_secrets.list_of(session, provider_id)}
        row = provider_secrets.set_value(session, actor, provider_id, use, version=version, **typed)
        return row, row.id not in before

    row, new = write(request, actor, work)
    caught_up()
    return success(wire_providers.carried(row), 201 if new else 200, {"ETag": f'"{row.version}"'})


def _remove(
    request: Request, actor: Writer, provider_id: int, use: Use, name: str, *, if_match: str | None
) -> Response:
    def work(session: Session) -> None:
        version = take_version({}, if_match, needed=False)
        provider_secrets.remove_value(session, actor, provider_id, use, name, version=version)

    write(request, actor, work)
    caught_up()
    return success({"id": provider_id, "deleted": [providers.words_for(use, name)]})


def _of_next(row: LlmProviderSecret, status: int = 200) -> Response:
    return success(wire_providers.next_key(row), status, {"ETag": f'"{row.version}"'})
