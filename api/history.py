"""Routes of the history: what was changed, what differs between two moments, and restoring. Another's answers as what is not there."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator, Field
from sqlmodel import Session

from api import wire_history as wire
from api.callers import MemberReader, MemberWriter, write
from api.effective import caught_up
from api.errors import success
from api.ids import LARGEST, PAGE, Most, digits
from api.names import NotAsNamed, camel
from api.request_schemas import VERSION, body_schema
from api.responses import READ, WRITE, answers, named
from api.writes import MemberBody, documented
from core.actors import Actor
from core.errors import NotFound
from core.govern import history, history_restore, history_writers
from core.govern.history_moments import newest, parse_moment
from core.govern.history_queries import Filters, VersionPlace
from core.manage import organizations
from core.store import db

router = APIRouter(generate_unique_id_function=named, tags=["history"])

_TABLES: Final = sorted(history_writers.WRITERS)
_GENERATION: Final[dict[str, Any]] = {"type": "integer", "minimum": 0, "maximum": 2**62}
_DRY_RUN: Final[dict[str, Any]] = {"type": "boolean", "description": "true: say what would change, and change nothing"}
_MOMENT: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 40}, _GENERATION],
    "description": "a time in ISO 8601, or a generation",
}
_RESTORE: Final[dict[str, Any]] = {
    "anyOf": [
        body_schema(
            required=("table", "row", "generation"),
            table={"type": "string", "enum": _TABLES},
            row={"type": "integer", "minimum": 1, "maximum": LARGEST},
            generation=_GENERATION | {"description": "the newest version of the row up to this one counts"},
            version=VERSION | {"description": "the row's version that this was decided on; 0: it was not there"},
            fields={"type": "array", "items": {"type": "string"}, "description": "only these fields"},
            dryRun=_DRY_RUN,
        ),
        body_schema(
            required=("organization", "at"),
            organization={"type": "string", "description": "a name of the organisation's"},
            at=_MOMENT,
            lookedAt=_GENERATION | {"description": "of the preview: rows that were changed since are refused"},
            dryRun=_DRY_RUN,
        ),
    ],
    "example": {"table": "llm_settings", "row": 7, "generation": 41, "version": 9},
}
Number = Annotated[
    Annotated[int, Field(ge=1, le=LARGEST)] | None, BeforeValidator(lambda value: value and digits(value))
]
Time = Annotated[str | None, Query(max_length=40, description="a time in ISO 8601, UTC unless it says its zone")]
Name = Annotated[str | None, Query(max_length=200, description="a name of an organisation: only what is its own")]


@router.get("/llm/history", responses=answers(list[wire.HistoryChange], 404, *READ), summary="List what was changed")
def list_history(  # noqa: PLR0917 - by name, of the query
    actor: MemberReader,
    organization: Name = None,
    table: Annotated[str | None, Query(max_length=100, description="only rows of one table")] = None,
    row: Annotated[Number, Query(description="only the row of this id, with its table")] = None,
    since: Time = None,
    until: Time = None,
    by: Annotated[str | None, Query(max_length=200, description="only what this one did")] = None,
    field: Annotated[str | None, Query(max_length=100, description="only where this field was changed")] = None,
    provider: Annotated[
        str | None, Query(max_length=100, description="only this provider, and what is set for it")
    ] = None,
    after: Annotated[str | None, Query(max_length=100, description="the place that the page before ended with")] = None,
    limit: Most = PAGE,
) -> Response:
    """What the caller may see, newest first, a page of it: as long as it is full, the next begins after its last place."""
    filters = Filters(
        table=table,
        row_id=row,
        since=_time(since, "since"),
        until=_time(until, "until"),
        by=by or None,
        field=_field(field),
        provider=provider or None,
    )
    place = None if after is None else VersionPlace.parse(after)
    with db.transaction() as session:
        filters = filters._replace(organization_id=_organization(session, actor, organization))
        found = history.changes(session, actor, filters, after=place, limit=limit)
        return success([wire.change(each) for each in found.rows])


@router.get(
    "/llm/history/difference",
    responses=answers(wire.HistoryDifferences, 404, 410, *READ),
    summary="Compare two moments",
)
def history_difference(
    actor: MemberReader,
    before: Annotated[str, Query(alias="from", max_length=40, description="a time in ISO 8601, or a generation")],
    after: Annotated[str, Query(alias="to", max_length=40, description="another one")],
    organization: Name = None,
) -> Response:
    """The rows that are not the same at two moments, field by field; 410 if the history does not reach back so far."""
    one, other = parse_moment(before, "from"), parse_moment(after, "to")
    with db.transaction() as session:
        of = _organization(session, actor, organization)
        return success(wire.differences(history.difference(session, actor, one, other, organization_id=of)))


@router.post(
    "/llm/history/restore",
    responses=answers(wire.HistoryRestored, 404, 410, *WRITE),
    openapi_extra=documented(_RESTORE),
    summary="Restore a row, or an organisation",
)
def restore_history(request: Request, actor: MemberWriter, body: MemberBody) -> Response:
    """Make a row, or some of its fields, or all that is an organisation's, what it was: a new write, by the rules of today.

    Keys do not come back. Of an organisation, rows that cannot be restored are named, and the others are restored.
    """
    data = dict(body)
    if "organization" in data:
        return _restore_organization(request, actor, data)
    table, row, generation = (data.pop(name, None) for name in ("table", "row", "generation"))
    version, fields, dry_run = data.pop("version", None), data.pop("fields", None), _flag(data)
    _nothing_more(data)
    if not isinstance(table, str) or table not in history_writers.WRITERS:
        raise NotAsNamed({"table": f"must be one of {', '.join(_TABLES)}"})
    of = _whole(row, "row", 1, LARGEST), _whole(generation, "generation", 0, 2**62)
    known = {camel(name): name for name in history_writers.WRITERS[table].fields}
    if fields is not None and not (isinstance(fields, list) and all(isinstance(n, str) and n in known for n in fields)):
        raise NotAsNamed({"fields": f"must be a list of {', '.join(known)}"})
    if version is not None:
        version = _whole(version, "version", 0, LARGEST)
    names = None if fields is None else [known[name] for name in fields]

    def work(session: Session) -> dict[str, Any]:
        done = history_restore.restore_row(session, actor, table, *of, fields=names, version=version, dry_run=dry_run)
        return {"generation": of[1], "lookedAt": newest(session).generation, "outcomes": [wire.outcome(done)]}

    found = write(request, actor, work)
    caught_up()
    return success(found)


def _restore_organization(request: Request, actor: Actor, data: dict[str, Any]) -> Response:
    name, at, looked_at, dry_run = (
        data.pop("organization"),
        data.pop("at", None),
        data.pop("lookedAt", None),
        _flag(data),
    )
    _nothing_more(data)
    if not isinstance(name, str):
        raise NotAsNamed({"organization": "must be a name of an organisation"})
    moment = parse_moment(at) if isinstance(at, str) else _whole(at, "at", 0, 2**62)
    if looked_at is not None:
        looked_at = _whole(looked_at, "lookedAt", 0, 2**62)

    def work(session: Session) -> dict[str, Any]:
        number = _organization(session, actor, name)
        if number is None:
            raise NotFound("organisation", name)
        return wire.restored(
            history_restore.restore_organization(session, actor, number, moment, looked_at=looked_at, dry_run=dry_run)
        )

    found = write(request, actor, work)
    caught_up()
    return success(found)


def _organization(session: Session, actor: Actor, name: str | None) -> int | None:
    return None if name is None else organizations.get_by_name(session, actor, name).id


def _time(given: str | None, name: str) -> Any:
    if given is None:
        return None
    found = parse_moment(given, name)
    if isinstance(found, int):
        raise NotAsNamed({name: "must be a time in ISO 8601"})
    return found


def _field(given: str | None) -> str | None:
    """Return a field's name as it is stored."""
    return None if not given else "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in given)


def _flag(data: dict[str, Any]) -> bool:
    given = data.pop("dryRun", False)
    if not isinstance(given, bool):
        raise NotAsNamed({"dryRun": "must be true or false"})
    return given


def _whole(given: Any, name: str, least: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise NotAsNamed({name: f"is needed: a whole number from {least} to {most}"})
    return given


def _nothing_more(data: dict[str, Any]) -> None:
    if data:
        raise NotAsNamed({name[:50]: "is not a field here" for name in list(data)[:20]})
