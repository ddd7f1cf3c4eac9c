"""One change for several providers: what it would do to each, then all of it in one transaction, or nothing.

What may be changed so: whether they are active, their default model, and each parameter of their defaults.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlmodel import Session, col, func, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import ask_reason, explained
from ..errors import Invalid
from ..parameters import PARAMETERS, SENDABLE
from ..resolving.words import label_of, value_text
from ..store.schemas import SettingsInput, validate
from ..store.table import id_of
from ..store.tables import LlmProvider, LlmSettings
from . import provider_keys, providers, settings

PROVIDER_FIELDS: Final = {"is_active": "Active", "default_model": "Default model"}
"""Of the provider itself, and how people call them."""
FIELDS: Final = (*PROVIDER_FIELDS, *PARAMETERS)
"""What can be changed, in the order that a form offers it."""
MODELS: Final = 1000
"""Models that are offered at most."""


class Change(NamedTuple):
    """What several providers get."""

    field: str
    """One of :data:`FIELDS`."""
    mode: Literal["value", "inherit", "omit"] = "value"
    """Only of a parameter another one than ``value``."""
    value: Any = None


class Row(NamedTuple):
    """What a change would do to one provider."""

    id: int
    display_name: str
    version: int
    """Of what is changed: the provider, or the settings row of its own; 0: it has none."""
    before: str
    """In words."""
    after: str
    """In words; as before where nothing changes."""
    note: str = ""
    """Why it stays as it is, or what is to be known."""

    @property
    def changes(self) -> bool:
        """Whether anything is written."""
        return self.before != self.after


def label(field: str) -> str:
    """Return what people call one of :data:`FIELDS`."""
    return PROVIDER_FIELDS.get(field) or label_of(field)


def models(session: Session, ids: Collection[int]) -> list[str]:
    """Return the models of these providers, those that most of them have first; at most :data:`MODELS`."""
    names: Any = func.jsonb_array_elements_text(LlmProvider.available_models).table_valued("value")
    model = names.c.value
    query = (
        select(model)
        .select_from(LlmProvider)
        .join(names, onclause=col(LlmProvider.id).is_not(None))
        .where(col(LlmProvider.id).in_(list(ids)))
        .group_by(model)
        .order_by(func.count().desc(), model)
        .limit(MODELS)
    )
    return list(session.exec(query))


def preview(session: Session, ids: Collection[int], change: Change) -> list[Row]:
    """Return what *change* would do to each of the providers, by display name; one that is gone is missing.

    Raises:
        Invalid: If the value is none that the field may have.
    """
    _check(change)
    query = select(LlmProvider).where(col(LlmProvider.id).in_(list(ids)))
    found = session.exec(query.order_by(func.lower(LlmProvider.display_name), col(LlmProvider.id))).all()
    if change.field in PROVIDER_FIELDS:
        return [_of_provider(provider, change) for provider in found]
    own, common = _own(session, ids), settings.get_global(session, None)
    return [_of_settings(provider, own.get(id_of(provider)), common, change) for provider in found]


def apply(
    session: Session, actor: Actor, versions: Mapping[int, int], change: Change, comment: str = ""
) -> Sequence[Row]:
    """Make *change*; returns what it did, without the providers that it leaves as they are.

    Args:
        session: The transaction.
        actor: An admin.
        versions: Id of each provider -> :attr:`Row.version` of what was seen before the change.
        change: What they get.
        comment: Why, put on record with each of the changes; empty: nothing.

    Raises:
        Forbidden: As everywhere.
        Invalid: If the value is none that the field may have; else each key is the display name, or the id, of a
            provider: somebody has changed or deleted it meanwhile, or a rule forbids it there. Nothing may be committed then.
    """
    require(session, actor, "provider.update" if change.field in PROVIDER_FIELDS else "settings.update")
    _lock(session, versions, change.field)
    rows = preview(session, versions, change)
    _refuse_stale(session, rows, versions, change.field)
    own = {} if change.field in PROVIDER_FIELDS else _own(session, versions)
    refused: dict[str, str] = {}
    with explained(session, comment):
        ask_reason(session, actor, "provider.update")
        for row in sorted((row for row in rows if row.changes), key=lambda row: row.id):
            try:
                if change.field in PROVIDER_FIELDS:
                    providers.update(session, actor, row.id, {change.field: change.value})
                else:
                    settings.upsert_global(session, actor, row.id, _patch(own.get(row.id), change))
            except Invalid as error:
                refused[row.display_name] = str(error)
    if refused:
        raise Invalid(refused)
    return [row for row in rows if row.changes]


def _check(change: Change) -> None:
    field, mode, value = change
    if field not in FIELDS:
        raise Invalid({"field": f"must be one of {', '.join(FIELDS)}"})
    if mode == "omit" and field not in SENDABLE:
        raise Invalid({field: "is not sent to a model: there is nothing to leave out"})
    if field == "is_active" and not (mode == "value" and isinstance(value, bool)):
        raise Invalid({field: "must be true or false"})
    if field == "default_model" and not (mode == "value" and isinstance(value, str) and value):
        raise Invalid({field: "must be the name of a model"})
    if field in PARAMETERS and mode == "value":
        if value is None:
            raise Invalid({field: f"must be {PARAMETERS[field].rule}"})
        validate(SettingsInput, {field: value})


def _lock(session: Session, ids: Collection[int], field: str) -> None:
    """Lock what is changed, by id, so that two such changes wait for each other: the providers, as everywhere, first."""
    shared = field not in PROVIDER_FIELDS
    query = select(LlmProvider).where(col(LlmProvider.id).in_(list(ids))).order_by(col(LlmProvider.id))
    session.exec(query.with_for_update(read=shared).execution_options(populate_existing=True)).all()
    if shared:
        rows = _own_rows(ids).order_by(col(LlmSettings.id)).with_for_update()
        session.exec(rows.execution_options(populate_existing=True)).all()


def _refuse_stale(session: Session, rows: Sequence[Row], versions: Mapping[int, int], field: str) -> None:
    changed = [row for row in rows if row.version != versions[row.id]]
    who: Any = select(LlmProvider.id, LlmProvider.updated_by).where(col(LlmProvider.id).in_(list(versions)))
    if field not in PROVIDER_FIELDS:  # the active row last: others count for nothing
        own = col(LlmSettings.provider_id)
        who = select(own, LlmSettings.updated_by).where(own.in_(list(versions)))
        who = who.order_by(col(LlmSettings.is_active), col(LlmSettings.updated_at))
    by: dict[int, str | None] = dict(session.exec(who).all()) if changed else {}
    problems = {row.display_name: f"was changed by {by.get(row.id) or 'somebody'} meanwhile" for row in changed}
    gone = sorted(versions.keys() - {row.id for row in rows})
    problems |= {f"number {each}": "was deleted meanwhile" for each in gone}
    if problems:
        raise Invalid(problems)


def _own_rows(ids: Collection[int]) -> Any:
    return select(LlmSettings).where(
        LlmSettings.is_active,
        col(LlmSettings.organization_id).is_(None),
        col(LlmSettings.provider_id).in_(list(ids)),
    )


def _own(session: Session, ids: Collection[int]) -> dict[int, LlmSettings]:
    return {row.provider_id: row for row in session.exec(_own_rows(ids))}


def _of_provider(provider: LlmProvider, change: Change) -> Row:
    words = {True: "Active", False: "Inactive"}
    row = Row(id_of(provider), provider.display_name, provider.version, "", "")
    if change.field == "is_active":
        note = ""
        if change.value and provider_keys.key_state(provider).state not in {"ok", "not_needed"}:
            note = "programs get no API key: it has none that can be read"
        return row._replace(before=words[provider.is_active], after=words[change.value], note=note)
    before = provider.default_model or "none chosen"
    if change.value not in provider.available_models:
        return row._replace(before=before, after=before, note="has no such model: it stays as it is")
    return row._replace(before=before, after=change.value)


def _of_settings(provider: LlmProvider, own: LlmSettings | None, common: LlmSettings | None, change: Change) -> Row:
    field = change.field
    inherited = _stored_text(common, field) or value_text(field, PARAMETERS[field].default)
    inherits = f"inherits {inherited}"
    after = {"value": value_text(field, change.value), "inherit": inherits, "omit": _OMITTED}[change.mode]
    version = own.version if own else 0
    return Row(id_of(provider), provider.display_name, version, _stored_text(own, field) or inherits, after)


_OMITTED: Final = "not sent"


def _stored_text(row: LlmSettings | None, field: str) -> str:
    """Return what a settings row says of a parameter, in words; empty: nothing."""
    if row is None:
        return ""
    if field in (row.omitted_parameters or ()):
        return _OMITTED
    value = getattr(row, field)
    return "" if value is None else value_text(field, value)


def _patch(own: LlmSettings | None, change: Change) -> dict[str, Any]:
    """Return what the change alters in a settings row; in one row an omission wins over a value."""
    omitted = set((own.omitted_parameters if own else None) or ())
    wanted = (omitted | {change.field}) if change.mode == "omit" else (omitted - {change.field})
    patch: dict[str, Any] = {change.field: change.value if change.mode == "value" else None}
    if wanted != omitted:
        patch["omitted_parameters"] = [name for name in SENDABLE if name in wanted] or None
    return patch
