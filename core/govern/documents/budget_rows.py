"""Budgets in a document: what may be spent, with the names of their scope. What was spent is none of it."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from sqlmodel import Session, select

from ...manage import budgets
from ...store.budget_tables import LlmBudget
from .rows import DocumentScope, Fields, IdsAndNames, RowKey, RowKind, StoredFields, Writing, stored_of, within
from .schema import BUDGET_SCOPE, Document, path_of

_FIELDS: Final = tuple(
    name for name in budgets.FIELDS if name not in {"name", *(f"{each}_id" for each in BUDGET_SCOPE)}
)


def _load(session: Session, scope: DocumentScope, names: IdsAndNames) -> dict[RowKey, StoredFields]:
    if scope.organization_id is not None:
        return {}
    known = {"organization": names.organizations, "feature": names.features, "provider": names.providers}
    found: dict[RowKey, StoredFields] = {}
    for row in session.exec(select(LlmBudget)):
        ids = {each: getattr(row, f"{each}_id") for each in BUDGET_SCOPE}
        of = {each: known[each].get(number) for each, number in ids.items() if number is not None}
        if None not in of.values():  # of a deleted organisation
            found[row.name,] = stored_of(row, _said(of | {name: getattr(row, name) for name in _FIELDS}))
    return found


def _find(document: Document) -> Iterator[tuple[RowKey, Fields]]:
    for name, part in (document.budgets or {}).items():
        yield (name,), _said({each: getattr(part, each) for each in (*BUDGET_SCOPE, *_FIELDS)})


def _said(fields: Mapping[str, Any]) -> Fields:
    """Return fields as a document has them: money by its digits, and nothing that is none."""
    money = {name: budgets.plain(value) for name, value in fields.items() if isinstance(value, Decimal)}
    return {name: money.get(name, value) for name, value in fields.items() if value is not None}


def _put(data: dict[str, Any], key: RowKey, fields: Fields) -> None:
    within(data, "budgets")[str(key[0])] = dict(fields)


def _write(
    writing: Writing, key: RowKey, before: StoredFields | None, wanted: Fields, _differing: Mapping[str, Any]
) -> None:
    names = writing.names
    ids = {"organization": names.organization, "feature": names.feature, "provider": names.provider}
    data = {"name": key[0], **{name: wanted[name] for name in _FIELDS if name in wanted}}
    data |= {"carry_cap": wanted.get("carry_cap")}
    data |= {f"{each}_id": ids[each](wanted[each]) if each in wanted else None for each in BUDGET_SCOPE}
    if before is None:
        budgets.create(writing.session, writing.actor, data)
    else:
        budgets.update(writing.session, writing.actor, before.id or 0, data, version=before.version)


def _remove(writing: Writing, _key: RowKey, stored: StoredFields) -> None:
    budgets.delete(writing.session, writing.actor, stored.id or 0, version=stored.version)


BUDGETS: Final = RowKind(
    name="budget",
    section="budgets",
    tables=("org_llm_budgets",),
    load=_load,
    find=_find,
    put=_put,
    path=lambda key: path_of("budgets", str(key[0])),
    write=_write,
    remove=_remove,
    late=True,
    columns={each: (f"{each}_id",) for each in BUDGET_SCOPE},
)
