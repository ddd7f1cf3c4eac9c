"""Budgets and rate limits on calls in a document: their figures, with the names of their scope. What was spent or counted is none of it."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from types import ModuleType
from typing import Any, Final

from sqlmodel import Session, select

from ...manage import budgets, rate_limits
from ...store.budget_tables import LlmBudget
from ...store.rate_tables import LlmRateLimit
from .rows import DocumentScope, Fields, IdsAndNames, RowKey, RowKind, StoredFields, Writing, stored_of, within
from .schema import CALL_SCOPE, Document, path_of

_IDS: Final = {each: f"{each}_id" for each in CALL_SCOPE}


def _said(fields: Mapping[str, Any]) -> Fields:
    """Return fields as a document has them: money by its digits, and nothing that is none."""
    money = {name: budgets.plain(value) for name, value in fields.items() if isinstance(value, Decimal)}
    return {name: money.get(name, value) for name, value in fields.items() if value is not None}


def _load(
    table: Any, own: tuple[str, ...], session: Session, scope: DocumentScope, names: IdsAndNames
) -> dict[RowKey, StoredFields]:
    if scope.organization_id is not None:
        return {}
    known = {"organization": names.organizations, "feature": names.features, "provider": names.providers}
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(select(table)):
        ids = {each: getattr(row, column) for each, column in _IDS.items()}
        of = {each: known[each].get(number) for each, number in ids.items() if number is not None}
        if None not in of.values():  # of a deleted organisation
            found[row.name,] = stored_of(row, _said(of | {each: getattr(row, each) for each in own}))
    return found


def _kind(name: str, section: str, table: Any, manage: ModuleType, cleared: tuple[str, ...]) -> RowKind:
    """Return the kind of the rows of a table whose scope is that of calls.

    Args:
        name: Of the kind.
        section: Of the document.
        table: Whose rows they are.
        manage: Who writes them.
        cleared: Fields that have nothing, where a document does not say them: the others have a default.
    """
    own = tuple(each for each in manage.FIELDS if each not in {"name", *_IDS.values()})

    def find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
        for key, part in (getattr(document, section) or {}).items():
            yield (key,), _said({each: getattr(part, each) for each in (*CALL_SCOPE, *own)})

    def put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
        within(data, section)[str(key[0])] = dict(fields)

    def write(
        writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
    ) -> None:
        names = writing.names
        ids = {"organization": names.organization, "feature": names.feature, "provider": names.provider}
        data = {"name": key[0], **dict.fromkeys(cleared), **{each: wanted[each] for each in own if each in wanted}}
        data |= {column: ids[each](wanted[each]) if each in wanted else None for each, column in _IDS.items()}
        if before is None:
            manage.create(writing.session, writing.actor, data)
        else:
            manage.update(writing.session, writing.actor, before.id or 0, data, version=before.version)

    def remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
        manage.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)

    return RowKind(
        name=name,
        section=section,
        tables=(table.__tablename__,),
        load=partial(_load, table, own),
        find=find,
        put=put,
        path=lambda key: path_of(section, str(key[0])),
        write=write,
        remove=remove,
        late=True,
        columns={each: (column,) for each, column in _IDS.items()},
    )


BUDGETS: Final = _kind("budget", "budgets", LlmBudget, budgets, ("carry_cap",))
RATE_LIMITS: Final = _kind(
    "rate_limit",
    "rate_limits",
    LlmRateLimit,
    rate_limits,
    ("model", "requests_per_minute", "tokens_per_minute", "max_concurrent"),
)
