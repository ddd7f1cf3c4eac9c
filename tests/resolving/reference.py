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


def expected(rows: list[Row], vendor: Vendor, org: Org | None) -> dict[str, Any]:
    """Return what is in force."""
    stack = sorted((row for row in rows if row.is_active), key=lambda row: (ORDER.index(row.layer), row.id))
    found: dict[str, Any] = {name: default for name, (default, _) in RULES.items()}
    custom: dict[str, Any] = {}
    for row in stack:
        for name, (_, legal) in RULES.items():
            if row.values.get(name) is not None and legal(row.values[name]):
                found[name] = row.values[name]
        if isinstance(row.values.get("custom_settings"), dict):
            custom |= row.values["custom_settings"]
    omitted = [name for name in SENT if not _is_sent(stack, name)]
    model = _model(stack, vendor, org)
    status, owner = _status(vendor, org, model)
    return found | {
        "model": model,
        "omitted": omitted,
        "custom_settings": custom,
        "status": status,
        "key_owner": owner,
    }


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


def default_provider(rows: list[Row], is_usable: Callable[[int], bool]) -> int | None:
    """Return the provider of a scope that names none."""
    stack = sorted((row for row in rows if row.is_active), key=lambda row: (ORDER.index(row.layer), row.id))
    for row in reversed(stack):
        chosen = row.values.get("default_provider_id")
        if chosen is not None and not row.of_provider and is_usable(chosen):
            return int(chosen)
    return None
