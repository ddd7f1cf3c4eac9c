"""What is in force, the slow and obvious way: written from docs/organisations.md alone, and from nothing of the merge.

The layers of one scope and provider are rows with an owner (None, ``template``, ``organization``), and with whether they name the
feature and the provider.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.parameters import RULES, SENT

ORDER = [
    "all providers",
    "provider",
    "template",
    "template+provider",
    "organisation",
    "organisation+provider",
    "feature",
    "feature+provider",
    "template+feature",
    "template+feature+provider",
    "organisation+feature",
    "organisation+feature+provider",
]
"""As the page has it, the lowest first."""


class Row(NamedTuple):
    """A settings row."""

    id: int
    owner: str | None
    of_feature: bool
    of_provider: bool
    values: Mapping[str, Any]
    is_active: bool = True

    @property
    def layer(self) -> str:
        """The layer's name on the page."""
        words = {"template": "template", "organization": "organisation", None: ""}[self.owner]
        parts = [words] * bool(words) + ["feature"] * self.of_feature + ["provider"] * self.of_provider
        return "+".join(parts) or "all providers"


class LimitRow(NamedTuple):
    """A row of limits."""

    id: int
    set_by: str
    """installation or organization."""
    owner: str | None
    """Of its scope, as a row's."""
    of_feature: bool
    of_provider: bool
    limits: Any
    """As stored, rubbish and all."""

    @property
    def place(self) -> int:
        """Where its scope stands in the order."""
        return ORDER.index(Row(0, self.owner, self.of_feature, self.of_provider, {}).layer)

    def rule(self, field: str, rule: str) -> Any:
        """What it says of a field; None: nothing that makes sense."""
        said = self.limits.get(field) if isinstance(self.limits, dict) else None
        found = said.get(rule) if isinstance(said, dict) else None
        default, legal = RULES.get(field, (None, lambda _: True))
        is_number = isinstance(default, int | float) and not isinstance(default, bool)
        if rule == "lock":
            return found if found is True else None
        if rule == "send":
            return found if isinstance(found, bool) and field in SENT else None
        if rule == "in":
            is_choice = field == "default_provider" or (not is_number and field != "stop")
            wanted = int if field == "default_provider" else bool if isinstance(default, bool) else str
            of_type = [one for one in found if type(one) is wanted] if isinstance(found, list) and is_choice else []
            return [one for one in of_type if legal(one)] or None
        fits = is_number and type(found) in (
            {int} if isinstance(default, int) and field not in FLOATS else {int, float}
        )
        return found if fits and legal(found) else None


FLOATS = ("frequency_penalty", "presence_penalty")
"""Their built-in default is written as a whole number, and they may have others."""


class Org(NamedTuple):
    """An organisation's own terms with the provider, its template's already among them."""

    is_active: bool = True
    shares_keys: bool = True
    is_allowed: bool = True
    requires_own_key: bool = False
    allowed_models: list[str] | None = None
    own_models: Sequence[str] = ()
    own_key: str = "none"
    """none, fine or broken."""


class Vendor(NamedTuple):
    """The provider."""

    default_model: str | None = "m1"
    is_active: bool = True
    needs_key: bool = True
    key: str = "fine"


def expected(rows: list[Row], vendor: Vendor, org: Org | None, limits: Sequence[LimitRow] = ()) -> dict[str, Any]:
    """Return what is in force."""
    stack = sorted((row for row in rows if row.is_active), key=lambda row: (ORDER.index(row.layer), row.id))
    found = {name: _value(stack, name, limits) for name in RULES}
    custom: dict[str, Any] = {}
    for row in stack:
        if isinstance(row.values.get("custom_settings"), dict):
            custom |= {
                key: value
                for key, value in row.values["custom_settings"].items()
                if row in _unlocked(stack, limits, f"custom_settings.{key}", "custom_settings")
            }
    omitted = [name for name in SENT if not _sent_under(stack, name, limits)]
    model = _model(_unlocked(stack, limits, "preferred_model"), vendor, org)
    status, owner = _status(vendor, org, model)
    return found | {
        "model": model,
        "omitted": omitted,
        "custom_settings": custom,
        "status": status,
        "key_owner": owner,
    }


def _unlocked(stack: list[Row], limits: Sequence[LimitRow], *fields: str) -> list[Row]:
    """Return the rows that locks leave: the installation's alone count if there is one, of those the lowest."""
    for set_by in ("installation", "organization"):
        locks = [one for one in limits if one.set_by == set_by and any(one.rule(each, "lock") for each in fields)]
        if locks:
            lowest = min(lock.place for lock in locks)
            return [row for row in stack if ORDER.index(row.layer) <= lowest]
    return stack


def _lists(field: str, limits: Sequence[LimitRow]) -> list[Any]:
    """Return what all lists have, in the first one's order; one that would leave nothing does not count."""
    allowed: list[Any] = []
    for set_by in ("installation", "organization"):
        for one in sorted(limits, key=lambda limit: (limit.place, limit.id)):
            if one.set_by == set_by and (entries := one.rule(field, "in")):
                both = [each for each in allowed if each in entries] if allowed else list(dict.fromkeys(entries))
                allowed = both or allowed
    return allowed


def _value(stack: list[Row], name: str, limits: Sequence[LimitRow]) -> Any:
    default, legal = RULES[name]
    values = [row.values[name] for row in _unlocked(stack, limits, name) if row.values.get(name) is not None]
    values = [default, *filter(legal, values)]
    if allowed := _lists(name, limits):
        values = [value for value in values if value in allowed] or [allowed[0]]
    value = values[-1]
    for set_by in ("organization", "installation"):
        for rule, tightest in (("min", max), ("max", min)):
            bounds = [bound for one in limits if one.set_by == set_by and (bound := one.rule(name, rule)) is not None]
            if bounds and value is not None:
                # At least the highest floor, at most the lowest ceiling
                value = max(value, tightest(bounds)) if rule == "min" else min(value, tightest(bounds))
    return value


def _sent_under(stack: list[Row], name: str, limits: Sequence[LimitRow]) -> bool:
    sent = _is_sent(_unlocked(stack, limits, name), name)
    for set_by in ("organization", "installation"):
        said = [one.rule(name, "send") for one in limits if one.set_by == set_by]
        said = [one for one in said if one is not None]
        if said:
            sent = all(said)
    return sent


def _is_sent(stack: list[Row], name: str) -> bool:
    """From the lowest up: an omission stands until a value of a higher layer undoes it, and may undo it."""
    standing: list[bool] = []
    for row in stack:
        value = row.values.get(name)
        if value is not None and RULES[name][1](value):
            standing = [of_provider for of_provider in standing if of_provider and not row.of_provider]
        said = row.values.get("omitted_parameters")
        if isinstance(said, list) and name in said:
            standing.append(row.of_provider)
    return not standing


def _model(stack: list[Row], vendor: Vendor, org: Org | None) -> str | None:
    preferred = [row.values.get("preferred_model") for row in stack if row.of_provider]
    for model in [*reversed(preferred), vendor.default_model]:
        if model and (org is None or _may_use(org, model)):
            return str(model)
    return None


def _may_use(org: Org, model: str) -> bool:
    if model in org.own_models and org.own_key != "none":
        return True
    if org.allowed_models is None:
        return model not in org.own_models
    return model in org.allowed_models


def _status(vendor: Vendor, org: Org | None, model: str | None) -> tuple[str, str | None]:
    first: list[tuple[str, Callable[[], bool]]] = [
        ("organization_disabled", lambda: org is not None and not org.is_active),
        ("disabled", lambda: not vendor.is_active),
        ("not_allowed", lambda: org is not None and not org.is_allowed),
        ("no_model", lambda: model is None),
    ]
    for status, holds in first:
        if holds():
            return status, None
    if not vendor.needs_key:
        return "ok", None
    if org is not None and org.own_key != "none":
        return ("ok" if org.own_key == "fine" else "key_unreadable"), "organization"
    if org is not None and (not org.shares_keys or org.requires_own_key):
        return "no_key", None
    if vendor.key == "none":
        return "no_key", None
    return ("ok" if vendor.key == "fine" else "key_unreadable"), "installation"


def default_provider(rows: list[Row], is_usable: Callable[[int], bool], limits: Sequence[LimitRow] = ()) -> int | None:
    """Return the provider of a scope that names none; of limits those that name none."""
    limits = [one for one in limits if not one.of_provider]
    stack = sorted((row for row in rows if row.is_active), key=lambda row: (ORDER.index(row.layer), row.id))
    allowed = _lists("default_provider", limits)
    for row in reversed(_unlocked(stack, limits, "default_provider")):
        chosen = row.values.get("default_provider_id")
        if chosen is not None and not row.of_provider and is_usable(chosen) and (not allowed or chosen in allowed):
            return int(chosen)
    return next(filter(is_usable, allowed), None)
