"""Limits: which rules bind a field of a scope, and what they do to it. Pure functions; docs/decisions/limits.md says why so.

``llm_limits.limits`` is ``{field: rule}``, where a rule has any of ``lock: true``, ``min``, ``max``, ``in: [...]``, ``send: true|false``.
What makes no sense for its field, as raw SQL may leave it, counts as not there. Nothing here raises.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, cast, get_args

from ..parameters import PARAMETERS, SENDABLE
from .decision import SPELLINGS
from .explanation import BUILT_IN, Candidates, LayerName, Source
from .layers import rank, source_of
from .limited import HeldValue, LimitedBy, LimitOwner, RuleName
from .personal_data import CHOICES, PersonalDataRules

MODEL: Final = "preferred_model"
DEFAULT_PROVIDER: Final = "default_provider"
"""Of a scope that names no provider; its list has ids of providers."""
OBJECTS: Final = ("custom_settings", "extra_parameters")
"""Merged key by key: all of one may be locked, or one key, as ``custom_settings.region``."""
PERSONAL: Final = "personal_data"
"""What becomes of personal data: all of it may be locked, or one field, as ``personal_data.logs``."""
OWNERS: Final[tuple[LimitOwner, ...]] = ("organization", "installation")
"""In the order in which their bounds are applied: the installation's come last, and hold."""
Rules = Mapping[str, Any]
"""Rule -> what it has; only what makes sense for the field."""


class Limit(NamedTuple):
    """A row of limits that counts for what was asked for."""

    owner: LimitOwner
    layer: LayerName
    """Of the scope that it is set on."""
    id: int
    version: int
    fields: Mapping[str, Rules]
    changes: Mapping[str, Any]
    """The column ``field_changes``; of each field on its own, as ``limits.max_tokens``."""
    note: str | None = None
    scope: str | None = None

    def by(self, field: str, rule: RuleName) -> LimitedBy:
        """Return what is shown of a rule."""
        of = source_of(self.layer, self.id, self.version, self.changes, f"limits.{field}")
        bound = self.fields[field][rule]
        return LimitedBy(
            *(self.id, self.owner, self.layer, rule, bound),
            *(self.note, of.version, of.changed_at, of.changed_by, self.scope),
        )


def rules_for(field: str, *, names_provider: bool = False) -> tuple[RuleName, ...]:
    """Return the rules that make sense for a field; empty: there is no such field, or none does.

    Args:
        field: A parameter, ``preferred_model``, ``default_provider``, an object of :data:`OBJECTS` or ``object.key``,
            ``personal_data`` or ``personal_data.field``.
        names_provider: Whether the limit's scope names a provider, which then is no default that could be limited.
    """
    parameter = PARAMETERS.get(field)
    if parameter is None:
        if field == DEFAULT_PROVIDER:
            return () if names_provider else ("lock", "in")
        column, dot, key = field.partition(".")
        if column == PERSONAL:
            return _of_personal(key) if dot else ("lock",)
        if column not in OBJECTS:
            return ("lock",) if field == MODEL else ()
        return ("lock",) if not dot or (key and not (column == "extra_parameters" and key in SPELLINGS)) else ()
    found: list[RuleName] = ["lock"]
    if parameter.minimum is not None:
        found += ["min", "max"]
    elif parameter.value_type is not list:
        found.append("in")
    return (*found, "send") if parameter.sendable else tuple(found)


def _of_personal(name: str) -> tuple[RuleName, ...]:
    if name in CHOICES or name == "restore":
        return ("lock", "in")
    return ("lock",) if name in PersonalDataRules._fields else ()


def personal_choices(field: str) -> tuple[Any, ...]:
    """Return what a list of a field of personal data may have; empty: it has none."""
    name = field.removeprefix(f"{PERSONAL}.")
    if name == field:
        return ()
    return (True, False) if name == "restore" else get_args(CHOICES.get(name))


def bound_of(field: str, rule: RuleName, bound: object) -> Any:
    """Return what a rule has, as it is applied; None: it cannot have that. The rule is one of :func:`rules_for`."""
    if rule == "lock":
        return True if bound is True else None
    if rule == "send":
        return bound if isinstance(bound, bool) else None
    parameter = PARAMETERS.get(field)
    if rule == "in":
        found = bound if isinstance(bound, list | tuple) else ()
        fits = parameter.fits if parameter is not None else _fits_personal(field) or _is_id
        return tuple(dict.fromkeys(each for each in found if fits(each))) or None
    if parameter is None or not parameter.fits(bound):
        return None
    return float(cast("float", bound)) if parameter.value_type is float else bound


def _fits_personal(field: str) -> Callable[[object], bool] | None:
    choices = personal_choices(field)
    if not choices:
        return None
    return lambda value: isinstance(value, str | bool) and value in choices


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def parse(limits: object, *, names_provider: bool = False) -> dict[str, Rules]:
    """Read the column ``limits``; what makes no sense is left out."""
    found: dict[str, Rules] = {}
    for field, said in limits.items() if isinstance(limits, dict) else ():
        rules: dict[str, Any] = {}
        for rule in rules_for(field, names_provider=names_provider) if isinstance(said, dict) else ():
            bound = bound_of(field, rule, said.get(rule))
            if bound is not None:
                rules[rule] = bound
        if rules:
            found[field] = rules
    return found


def limit_of(row: Mapping[str, Any], layer: LayerName, scope: str | None = None) -> Limit | None:
    """Read a row of ``llm_limits``, given as column -> value; None: no rule of it makes sense."""
    fields = parse(row["limits"], names_provider=row["provider_id"] is not None)
    if not fields or row["owner"] not in OWNERS:
        return None
    return Limit(row["owner"], layer, row["id"], row["version"], fields, row["field_changes"], row["note"], scope)


class Bindings:
    """The limits that count for what was asked for, by field."""

    __slots__ = ("_fields",)

    def __init__(self, limits: Iterable[Limit]) -> None:
        fields: dict[str, list[Limit]] = {}
        for limit in sorted(limits, key=lambda each: (rank(each.layer), each.id)):
            for field in limit.fields:
                fields.setdefault(field, []).append(limit)
        self._fields = fields

    def __contains__(self, field: str) -> bool:
        return field in self._fields

    def fields(self) -> list[str]:
        """Return what is limited, in the order of the alphabet."""
        return sorted(self._fields)

    def lock(self, field: str) -> LimitedBy | None:
        """Return the lock that counts: the installation's if it has any, of those the one on the lowest layer."""
        fields = (field, field.partition(".")[0])  # of an object's key the whole object's too
        found = [
            (each, one)
            for one in dict.fromkeys(fields)
            for each in self._fields.get(one, ())
            if "lock" in each.fields[one]
        ]
        for owner in reversed(OWNERS):
            mine = [(rank(each.layer), each.by(one, "lock")) for each, one in found if each.owner == owner]
            if mine:
                return min(mine, key=lambda pair: pair[0])[1]
        return None

    def among(self, field: str) -> tuple[tuple[Any, ...], list[LimitedBy]]:
        """Return what all lists have, in the order of the first, and the lists; empty: there is none.

        The installation's come first. A list that would leave nothing of those before it does not count.
        """
        lists = [
            each.by(field, "in")
            for owner in reversed(OWNERS)
            for each in self._fields.get(field, ())
            if each.owner == owner and "in" in each.fields[field]
        ]
        if not lists:
            return (), []
        fits: tuple[Any, ...] = lists[0].bound
        counting = lists[:1]
        for each in lists[1:]:
            both = tuple(one for one in fits if one in each.bound)
            if both:
                fits = both
                counting.append(each)
        return fits, counting

    def bounds(self, field: str) -> list[LimitedBy]:
        """Return the bounds of a number, in the order in which they are applied: of each owner the highest min, the lowest max."""
        found = []
        for owner in OWNERS:
            mine = [each for each in self._fields.get(field, ()) if each.owner == owner]
            for rule, tightest in (("min", max), ("max", min)):
                those = [each for each in mine if rule in each.fields[field]]
                if those:
                    bound = tightest(each.fields[field][rule] for each in those)
                    first = next(each for each in those if each.fields[field][rule] == bound)
                    found.append(first.by(field, cast("RuleName", rule)))
        return found

    def sending(self, field: str) -> LimitedBy | None:
        """Return the rule that says whether it is sent: the installation's if it has any; of one owner *must not* counts more."""
        for owner in reversed(OWNERS):
            mine = [
                each for each in self._fields.get(field, ()) if each.owner == owner and "send" in each.fields[field]
            ]
            if mine:
                return min(mine, key=lambda each: each.fields[field]["send"]).by(field, "send")
        return None


def below(lock: LimitedBy, layer: LayerName) -> bool:
    """Tell whether what *layer* says counts under *lock*."""
    return rank(layer) <= rank(cast("LayerName", lock.layer))


def unlocked(free: Candidates, lock: LimitedBy | None) -> Candidates:
    """Return the candidates that a lock leaves; the provider's own default model is no row's word, and always there."""
    if lock is None:
        return free
    return tuple(each for each in free if each[0].layer == "provider_default" or below(lock, each[0].layer))


def hold(
    bindings: Bindings,
    field: str,
    free: Candidates,
    free_omission: Source | None,
    locked_omission: Source | None,
) -> tuple[Candidates, Source | None, HeldValue]:
    """Return what of a field is in force under limits, who says that it is not sent, and what the limits did.

    Args:
        bindings: The limits.
        field: A parameter, or a field of personal data.
        free: Who says what, the strongest first, the built-in default last: as without limits.
        free_omission: Who says that it is not sent: as without limits.
        locked_omission: The same of the layers that the lock leaves.
    """
    lock = bindings.lock(field)
    kept = unlocked(free, lock)
    by = lock if kept[0] != free[0] else None
    fits, lists = bindings.among(field)
    if lists:
        fitting = tuple(each for each in kept if each[1] in fits) or ((BUILT_IN, fits[0]),)
        if fitting[0] != kept[0]:
            by = next((each for each in lists if kept[0][1] not in each.bound), lists[-1])
        kept = fitting
    source, value = kept[0]
    for bound in bindings.bounds(field):
        if value is not None and (value < bound.bound if bound.rule == "min" else value > bound.bound):
            value, by = bound.bound, bound
    if (source, value) == free[0]:
        by = None
    put_out = tuple(each for each in free if each not in kept and each[0] is not BUILT_IN)
    omission, omission_by = _omission(bindings, field, lock, free_omission, locked_omission)
    is_sent = omission is None and (omission_by is None or omission_by.bound is True)
    held = HeldValue(
        by,
        None if by is None else free[0][1],
        put_out,
        omission_by,
        free_omission if is_sent and omission_by is not None else None,
    )
    return ((source, value), *kept[1:]), omission, held


def _omission(
    bindings: Bindings, field: str, lock: LimitedBy | None, free: Source | None, locked: Source | None
) -> tuple[Source | None, LimitedBy | None]:
    """Return who says that it is not sent, and the rule that decided that; with None and a ``send: false`` nobody but the limit does."""
    by = lock if locked != free else None
    sending = bindings.sending(field) if field in SENDABLE else None
    if sending is None or sending.bound == (locked is None):
        return locked, by
    if sending.bound and free is None:
        return None, None  # as without limits
    return None, sending
