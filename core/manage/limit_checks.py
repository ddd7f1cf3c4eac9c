"""What limits forbid a settings row to be set to. What an edit does not touch may stay forbidden: else nothing else could be saved."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlmodel import Session, col, select

from ..access.authority import visible
from ..actors import Actor
from ..errors import Invalid
from ..parameters import PARAMETERS, SENDABLE
from ..resolving import extra
from ..resolving.explanation import LayerName
from ..resolving.layers import Owner, layer_name
from ..resolving.limit_words import rule_text, who_text
from ..resolving.limited import LimitedBy
from ..resolving.limits import DEFAULT_PROVIDER, MODEL, OBJECTS, PERSONAL, Bindings, below
from ..store.organization_tables import LlmFeature, Organization
from ..store.tables import LlmProvider
from .organization_members import shown_names
from .scope_rows import ScopeRows
from .scopes import Named, SettingsScope

_COLUMNS: Final = {"default_provider_id": DEFAULT_PROVIDER, "preferred_model": MODEL}
"""Columns that limits call otherwise, or that are none of the parameters."""


def bindings_of(session: Session, actor: Actor, of: Named) -> Bindings:
    """Return the limits that hold for every resolution in which a row of this scope counts."""
    organization_id = of.organization.id if of.organization else None
    shown = shown_names(session, visible(session, actor, "settings.read"), organization_id)
    return Bindings(ScopeRows(session, of.organization, of.feature, shown, whole=True).limits(of.provider))


def layer_of(of: Named) -> LayerName:
    """Return the layer of a row of this scope."""
    owner: Owner = "nobody"
    if of.organization is not None:
        owner = "template" if of.organization.kind == "template" else "organization"
    return layer_name(owner, feature=of.feature is not None, provider=of.provider is not None)


def rules_at(bindings: Bindings, layer: LayerName, field: str) -> list[LimitedBy]:
    """Return the rules that bind a field of a row of *layer*: the lock first; one on the row's own layer lets the row be."""
    lock = bindings.lock(field)
    found = [lock] if lock is not None and not below(lock, layer) else []
    found += bindings.among(field)[1]
    found += bindings.bounds(field)
    sending = bindings.sending(field) if field in SENDABLE else None
    return [*found, sending] if sending is not None else found


def refuse(session: Session, actor: Actor, of: Named, current: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Return when limits allow what an edit changes.

    Args:
        session: The transaction.
        actor: Who edits.
        of: The row's scope.
        current: Its fields before; empty: it is a new one.
        wanted: Its fields after.

    Raises:
        Invalid: Field -> the rule, whose it is, since when and why.
    """
    changed = {name for name, value in wanted.items() if value is not None and value != current.get(name)}
    if not changed - {"is_active"}:
        return
    here = _Here(session, bindings_of(session, actor, of), layer_of(of))
    problems: dict[str, str] = {}
    for name in changed:
        if name in PARAMETERS or name in _COLUMNS:
            field = _COLUMNS.get(name, name)
            if (problem := here.value(field, wanted[name])) is not None:
                problems[name] = problem
    before = current.get("omitted_parameters") or ()
    for name in wanted.get("omitted_parameters") or ():
        if name not in before and (problem := here.omission(name)) is not None:
            problems[name] = problem
    for column in changed.intersection(OBJECTS):
        problems |= here.entries(column, current.get(column) or {}, wanted[column])
    if problems:
        raise Invalid(problems)


def refuse_personal(
    session: Session, actor: Actor, of: Named, current: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Return when limits allow what an edit changes of a row of personal data; *current* and *wanted* as of :func:`refuse`.

    Raises:
        Invalid: Field -> the rule, whose it is, since when and why.
    """
    changed = [name for name, value in wanted.items() if value is not None and value != current.get(name)]
    here = _Here(session, bindings_of(session, actor, of), layer_of(of))
    problems = {
        name: problem for name in changed if (problem := here.value(f"{PERSONAL}.{name}", wanted[name])) is not None
    }
    if problems:
        raise Invalid(problems)


class _Here(NamedTuple):
    """What binds a row."""

    session: Session
    bindings: Bindings
    layer: LayerName

    def value(self, field: str, value: Any) -> str | None:
        """Return what forbids a value; None: nothing."""
        for by in rules_at(self.bindings, self.layer, field):
            if _is_out(by, value):
                names = provider_names(self.session, by.bound) if field == DEFAULT_PROVIDER and by.rule == "in" else {}
                return f"{rule_text(field, by.rule, by.bound, names)} here: {who_text(by)}"
        return None

    def omission(self, name: str) -> str | None:
        """Return what forbids *do not send*; None: nothing."""
        lock, sending = self.bindings.lock(name), self.bindings.sending(name)
        if lock is not None and not below(lock, self.layer):
            return f"locked here: {who_text(lock)}"
        return f"must be sent here: {who_text(sending)}" if sending is not None and sending.bound else None

    def entries(self, column: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
        """Return what forbids new and changed entries of a JSON object: column -> the first problem."""
        for key, value in wanted.items():
            if key not in stored or stored[key] != value:
                problem = self._entry(column, key, value)
                if problem is not None:
                    return {column: f"{key}: {problem}"}
        return {}

    def _entry(self, column: str, key: str, value: Any) -> str | None:
        """Return what forbids an entry; of our own parameters among the extra ones as of the parameters."""
        known = extra.split({key: value})[0] if column == "extra_parameters" else {}
        if known:
            problems = (self.value(ours, given) for ours, given in known.items() if given is not None)
            return next(filter(None, problems), None)
        lock = self.bindings.lock(f"{column}.{key}")
        return f"locked here: {who_text(lock)}" if lock is not None and not below(lock, self.layer) else None


def _is_out(by: LimitedBy, value: Any) -> bool:
    if by.rule == "lock" or (by.rule == "in" and value not in by.bound):
        return True
    return bool((by.rule == "min" and value < by.bound) or (by.rule == "max" and value > by.bound))


def provider_names(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Return the names of these providers: id -> name."""
    query = select(LlmProvider.id, LlmProvider.name).where(col(LlmProvider.id).in_(list(ids)))
    return {number: name for number, name in session.exec(query) if number is not None}


def scope_words(session: Session, scope: SettingsScope) -> str:
    """Return what people call a scope: ``acme · summarise · openai``; ``all providers`` of what names no provider."""
    organization = session.get(Organization, scope.organization_id) if scope.organization_id else None
    feature = session.get(LlmFeature, scope.feature_id) if scope.feature_id else None
    provider = session.get(LlmProvider, scope.provider_id) if scope.provider_id else None
    return Named(organization, provider, feature).words
