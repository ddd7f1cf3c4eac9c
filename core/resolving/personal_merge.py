"""What becomes of personal data, merged of the layers of a scope. No I/O; nothing is imported for who has no such row.

A value that makes no sense, as raw SQL may leave it, counts as not there: what is below it, and at last the default, holds.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from .explanation import BUILT_IN, Candidates
from .layers import Layer, strongest_first
from .limited import HeldValue
from .limits import PERSONAL, Bindings, Limit, hold
from .personal_data import (
    CHOICES,
    LONGEST_ENGINE,
    LONGEST_OWN_PATTERN,
    PATTERN_NAME,
    UNLESS_SET,
    OwnPattern,
    PersonalDataRules,
)

PREFIX: Final = f"{PERSONAL}."
PERSONAL_FIELDS: Final[tuple[str, ...]] = PersonalDataRules._fields
_LISTS: Final = frozenset({"types", "countries", "patterns", "allow"})
_DEFAULTS: Final[Mapping[str, Candidates]] = {
    PREFIX + name: ((BUILT_IN, list(value) if isinstance(value, tuple) else value),)
    for name, value in UNLESS_SET._asdict().items()
}


def is_limited(limits: Iterable[Limit]) -> bool:
    """Tell whether any of the limits is of personal data."""
    return any(field.partition(".")[0] == PERSONAL for limit in limits for field in limit.fields)


def merged(
    layers: Iterable[Layer], limits: tuple[Limit, ...] = ()
) -> tuple[dict[str, Candidates], dict[str, HeldValue]]:
    """Return who says what of each field, the strongest first and the built-in default last, and what limits do to it.

    Args:
        layers: Rows of ``llm_pii_settings``, in any order.
        limits: That count.
    """
    down = strongest_first(layers)
    bindings = Bindings(limits)
    found: dict[str, Candidates] = {}
    held: dict[str, HeldValue] = {}
    for name in PERSONAL_FIELDS:
        field = PREFIX + name
        said = ((layer, fitting(name, layer.values.get(name))) for layer in down)
        found[field] = (
            *((layer.source(name), value) for layer, value in said if value is not None),
            *_DEFAULTS[field],
        )
        if field in bindings or PERSONAL in bindings:
            found[field], _, held[field] = hold(bindings, field, found[field], None, None)
    return found, held


def rules_of(candidates: Mapping[str, Candidates]) -> PersonalDataRules:
    """Return what is in force, of what :func:`merged` found."""
    found = {name: candidates[PREFIX + name][0][1] for name in PERSONAL_FIELDS}
    own = tuple(OwnPattern(each["name"], each["pattern"]) for each in found["patterns"])
    lists = {name: tuple(value) for name in _LISTS if (value := found[name]) is not None}
    rules = PersonalDataRules(**{**found, **lists, "patterns": own})
    return UNLESS_SET if rules == UNLESS_SET else rules


def fitting(name: str, value: Any) -> Any:
    """Return what a field is read as: of a list what makes sense in it; None: nothing does, and it counts as not there."""
    if name == "restore":
        return value if isinstance(value, bool) else None
    if name in _LISTS:
        if not isinstance(value, list):
            return None
        kept = _entries(name, value)
        return kept if kept or not value else None
    if not isinstance(value, str):
        return None
    if name == "engine":
        return value if 0 < len(value) <= LONGEST_ENGINE else None
    return value if value in get_args(CHOICES[name]) else None


def _entries(name: str, said: list[Any]) -> list[Any]:
    if name == "patterns":
        return _patterns(said)
    texts = list(dict.fromkeys(each for each in said if isinstance(each, str) and each))
    if name != "types":
        return texts
    from ..privacy.spans import TYPES  # noqa: PLC0415 - not for who has no such row

    return [each for each in texts if each in TYPES]


def _patterns(said: list[Any]) -> list[dict[str, str]]:
    """Return the own patterns that can be looked for: each of another name, and compiled."""
    found: dict[str, str] = {}
    for each in said:
        name, pattern = (each.get("name"), each.get("pattern")) if isinstance(each, dict) else (None, None)
        if (
            isinstance(name, str)
            and isinstance(pattern, str)
            and name not in found
            and can_be_looked_for(name, pattern)
        ):
            found[name] = pattern
    return [{"name": name, "pattern": pattern} for name, pattern in found.items()]


def can_be_looked_for(name: str, pattern: str) -> bool:
    """Tell whether an own pattern has a name for placeholders, and is a regular expression of ours."""
    import re  # noqa: PLC0415 - as the types

    if not re.fullmatch(PATTERN_NAME, name) or not 0 < len(pattern) <= LONGEST_OWN_PATTERN:
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning):
        return False
    return True
