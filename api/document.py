"""Routes of the one document: all that people set, or all of one organisation, read and written as one."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlmodel import Session

from api.callers import MemberReader, MemberWriter, write
from api.effective import caught_up
from api.envelopes import Wire
from api.errors import Refused, success
from api.names import NAMED, NotAsNamed
from api.responses import READ, WRITE, answers, named
from api.writes import IfMatch, MemberBody, documented, take_version
from core.audit.record import value
from core.errors import Conflict, Invalid
from core.govern.documents import applying, schema, wording, writing
from core.govern.documents.planning import ChangePlan, RowChange
from core.govern.documents.rows import SecretStored, SecretWanted
from core.store import db
from core.store.organization_schemas import LONGEST_NAME

router = APIRouter(generate_unique_id_function=named, tags=["document"])

_DESCRIBED: Final = {
    "type": "object",
    "description": "A document, as docs/document.md has it; its JSON Schema is what python -m core export --schema prints.",
    "required": ["version"],
    "properties": {"version": {"type": "integer", "const": 1}},
    "example": {
        "version": 1,
        "defaults": {"temperature": 0.3},
        "providers": {"openai": {"settings": {"max_tokens": 4000}}},
    },
}
Organization = Annotated[
    str | None,
    Query(max_length=LONGEST_NAME, description="a name of an organisation's: its document alone; else of all"),
]


class FieldChange(Wire):
    """A field that differs."""

    name: str
    before: Any = Field(description="what is stored; null: nothing")
    after: Any = Field(description="what the document says; null: nothing")


class FieldDispute(Wire):
    """A field that somebody has changed since a document was applied last."""

    name: str = Field(description="empty: the row as a whole")
    by: str
    at: str


class RowDifference(Wire):
    """A row that differs."""

    path: str = Field(description="where it stands in the document")
    what: Literal["create", "update", "delete"]
    fields: list[FieldChange]
    disputed: list[FieldDispute]


class DocumentOutcome(Wire):
    """What a document changes."""

    applied: bool = Field(description="false: it was a dry run, or there is nothing to change")
    summary: str
    changes: list[RowDifference]
    to_enter: list[str] = Field(description="paths of keys that the document says are set, and that are to be entered")


@router.get("/llm/document", responses=answers(dict[str, Any], 404, *READ), summary="The document of what is stored")
def document(actor: MemberReader, organization: Organization = None) -> Response:
    """Everything that people set, without secrets, by names and sorted; its ETag is the generation, for If-Match."""
    with db.transaction() as session:
        generation = writing.generation(session)
        data = writing.data_of(session, actor, organization)
    return success(data, headers={"ETag": f'"{generation}"'})


@router.put(
    "/llm/document",
    responses=answers(DocumentOutcome, 404, 428, *WRITE),
    openapi_extra=documented(_DESCRIBED),
    summary="Apply a document",
)
def apply_document(
    request: Request,
    actor: MemberWriter,
    body: MemberBody,
    organization: Organization = None,
    if_match: IfMatch = None,
    *,
    dry_run: Annotated[bool, Query(alias="dryRun", description="say what would change, and change nothing")] = False,
    prune: Annotated[bool, Query(description="remove rows of its sections that it does not name")] = False,
    take: Annotated[bool, Query(description="change back what others changed since the last apply")] = False,
) -> Response:
    """Make the settings what the document says, as one write: all of it, or nothing. Secrets cannot be entered here: {set: true} keeps what is stored."""

    def work(session: Session) -> ChangePlan:
        writing.scope_of(session, actor, organization, "apply")  # who may not is told so first
        version = take_version({}, if_match, needed=not dry_run)
        return applying.put(
            session,
            actor,
            schema.of(body),
            organization=organization,
            prune=prune,
            take=take,
            dry_run=dry_run,
            generation=version,
        )

    try:
        plan = write(request, actor, work)
    except Invalid as error:
        problems = dict(list(error.fields.items())[:NAMED])
    except Conflict as conflict:
        if conflict.kind != applying.DOCUMENT:
            raise
        raise _disputed(conflict) from None
    else:
        if plan.changes and not dry_run:
            caught_up()
        return success(_outcome(plan, applied=bool(plan.changes) and not dry_run))
    raise NotAsNamed(problems)  # paths are not written otherwise here


def _outcome(plan: ChangePlan, *, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "summary": wording.summary(plan),
        "changes": [_row(change) for change in plan.changes],
        "toEnter": list(plan.to_enter),
    }


def _row(change: RowChange) -> dict[str, Any]:
    before = change.before.fields if change.before is not None else {}
    return {
        "path": change.path,
        "what": change.what,
        "fields": [
            {"name": name, "before": _shown(before.get(name)), "after": _shown(after)}
            for name, after in change.differing.items()
        ],
        "disputed": [each._asdict() for each in change.disputed],
    }


def _shown(given: Any) -> Any:
    if isinstance(given, SecretStored):
        return given.exported()
    return None if isinstance(given, SecretWanted) else value(given)


def _disputed(conflict: Conflict) -> Refused:
    """Return the refusal of fields in dispute, by their paths as the document has them."""
    text = (
        f"{conflict.changed_by} changed what is listed after the last apply. Nothing was changed. Take the values over into the "
        "document, or send take=true."
    )
    changes = {path: {"stored": stored, "yours": yours} for path, (stored, yours) in conflict.changes.items()}
    more = {
        "version": conflict.version,
        "changedBy": conflict.changed_by,
        "changedAt": conflict.changed_at,
        "changes": changes,
    }
    return Refused(409, "CONFLICT", text, more=more)
