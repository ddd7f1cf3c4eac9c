"""The merge: rows as they are stored, layer over layer, become the settings in force. No I/O, no ORM."""

import json
from collections.abc import Callable, Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from ..crypto import Box, KeyRing, Place
from ..errors import KeyUnreadable, StoreUnavailable
from ..kinds import base_url_of, origin_of
from ..models.knowledge import Knowledge
from ..parameters import PARAMETERS, SENDABLE, Parameter
from . import extra, options, personal_merge
from .carried import Carried
from .decision import Basis, called_otherwise, decide
from .effective import EffectiveSettings, KeyOwner, NoKey, Status, otherwise
from .explanation import BUILT_IN, Candidates, Source, Why
from .layers import Layer, layer_name, names_provider, source_of, strongest_first
from .limited import HeldValue
from .limits import MODEL, Bindings, Limit, below, hold, unlocked
from .personal_data import UNLESS_SET
from .tenant import Tenant

DEEPEST: Final = 100
"""Levels of a JSON column; what is nested deeper came by raw SQL, and counts as not set."""


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """A provider, as the merge sees it."""

    id: int
    name: str
    display_name: str
    kind: str
    base_url: str | None
    default_model: str | None
    is_active: bool
    version: int
    changes: Mapping[str, Any]
    open_box: Callable[[], Box] | None = field(repr=False)
    """Verifies the stored key and returns its box, or raises KeyUnreadable, or StoreUnavailable where only the database has
    it; None without a key."""
    needs_key: bool = True
    """False: it is called without one, whatever is stored."""
    open_carried: Callable[[], Carried] | None = field(default=None, repr=False)
    """The same for headers and query parameters; None without any."""


def build(
    provider: ProviderFacts | None,
    layers: Iterable[Layer],
    *,
    name: str | None = None,
    missing: Status = "unknown_provider",
    problem: str | None = None,
    generation: int = 0,
    knowledge: Knowledge | None = None,
    tenant: Tenant | None = None,
    feature: str | None = None,
    again: Callable[[], Iterable[Layer]] | None = None,
    limits: tuple[Limit, ...] = (),
    personal: Callable[[], Iterable[Layer]] | None = None,
) -> EffectiveSettings:
    """Merge *layers*, in the order of :data:`~.explanation.LAYERS`, over the built-in defaults.

    A NULL inherits; an explicit 0 or False is a value. *Do not send* is decided by the highest layer that says
    anything of a parameter, a value or an omission; in one row the omission wins, and the attribute keeps the value. But an
    omission by a layer that names the provider is undone only by a value of a higher layer that names it too.

    Args:
        provider: None when it is not known: the answer then has the status *missing* and only built-in defaults.
        layers: Active settings rows, in any order.
        name: The name asked for, where there is no provider.
        missing: The status without a provider.
        problem: Its reason and cure, where more is known than the status says.
        generation: The store's generation.
        knowledge: What is known of models. Default: the catalogue of this version.
        tenant: The organisation, with what it may use of the provider.
        feature: The feature's name.
        again: Reads the layers once more, when somebody asks why; None: they are kept.
        limits: That count, in any order: what they put out of force is as if it were not said.
        personal: Reads the rows of personal data that count; None: there are none.
    """
    kept = list(layers) if provider else []
    personal = personal if provider else None
    default = _default_model(provider)
    why = _why(default, tenant, kept, limits)
    candidates, omitted_by = why.candidates, why.omitted_by
    custom, more = _merged("custom_settings.", candidates), _merged(extra.PREFIX, candidates)
    model = candidates["model"][0][1]
    found = _Standing(missing, problem=problem) if provider is None else _standing(provider, model, tenant)
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v := candidates[name][0][1], list) else v for name in PARAMETERS
    }
    kind = provider.kind if provider else None
    base_url = base_url_of(provider.kind, provider.base_url) if provider else None
    explicit = tuple(
        name
        for name in SENDABLE
        if candidates[name][0][0] is not BUILT_IN or (name in why.held and why.held[name].limited_by is not None)
    )
    personal_data = UNLESS_SET
    if personal is not None or (provider and personal_merge.is_limited(limits)):
        personal_data = personal_merge.rules_of(personal_merge.merged(personal() if personal else (), limits)[0])
    unfit = values["unfit_parameters"]
    basis = Basis(kind, base_url, model, values, explicit, omitted_by, custom, knowledge, more, unfit)
    sent, adjustments = decide(basis)
    request = options.request_options(kind, model, sent, more.keys() | called_otherwise(basis))
    return EffectiveSettings(
        provider=provider.name if provider else name or "",
        status=found.status,
        provider_id=provider.id if provider else None,
        display_name=provider.display_name if provider else name or "",
        kind=kind,
        base_url=base_url,
        model=model,
        omitted=tuple(p for p in SENDABLE if p in omitted_by),
        generation=generation,
        key_problem=found.problem,
        _custom=json.dumps(custom),
        _extra=json.dumps(more),
        _why=partial(
            _why_again, default, tenant, again if again and provider else partial(iter, kept), limits, personal
        ),
        _explicit=explicit,
        _box=found.box,
        _request=request,
        _inner=tuple(
            (name, deepcopy if _is_deep(value) else copy)
            for name, value in request.items()
            if isinstance(value, dict | list)
        ),
        adjustments=adjustments,
        _carried=found.carried,
        _knowledge=knowledge,
        organization=tenant.name if tenant else None,
        organization_id=tenant.id if tenant else None,
        feature=feature,
        key_owner=found.owner,
        personal_data=personal_data,
        **values,
    )


def _why_again(
    default: Candidates,
    tenant: Tenant | None,
    again: Callable[[], Iterable[Layer]],
    limits: tuple[Limit, ...],
    personal: Callable[[], Iterable[Layer]] | None,
) -> Why:
    why = _why(default, tenant, again(), limits)
    candidates, held = personal_merge.merged(() if personal is None else personal(), limits)
    return why._replace(candidates={**why.candidates, **candidates}, held={**why.held, **held})


class _Said(NamedTuple):
    """What a layer says, taken apart."""

    layer: Layer
    known: Mapping[str, Any]
    """Values of our own parameters among its extra parameters."""
    others: dict[str, Any]
    """The rest of those."""
    not_sent: list[Any]


def _why(default: Candidates, tenant: Tenant | None, layers: Iterable[Layer], limits: tuple[Limit, ...] = ()) -> Why:
    down = strongest_first(layers)
    stack = [
        _Said(layer, *extra.split(layer.values.get("extra_parameters")), _names(layer.values.get("omitted_parameters")))
        for layer in down
    ]
    if limits:
        return _limited(default, tenant, stack, limits)
    models, passed_over = _models(default, tenant, down)
    candidates: dict[str, Candidates] = {"model": models}
    omitted_by: dict[str, Source | None] = {}
    for parameter in PARAMETERS.values():
        candidates[parameter.name], omission = _of_parameter(parameter, stack)
        if omission is not None:
            omitted_by[parameter.name] = omission
    candidates |= _merge("custom_settings", down, [_object(layer.values.get("custom_settings")) for layer in down])
    candidates |= _merge("extra_parameters", down, [each.others for each in stack])
    return Why(candidates, omitted_by, passed_over)


def _limited(default: Candidates, tenant: Tenant | None, stack: list[_Said], limits: tuple[Limit, ...]) -> Why:
    """Return the same under limits."""
    bindings = Bindings(limits)
    down = [each.layer for each in stack]
    held: dict[str, HeldValue] = {}
    lock = bindings.lock(MODEL)
    models, passed_over = _models(
        default, tenant, down if lock is None else [each for each in down if below(lock, each.name)]
    )
    if lock is not None:
        free = _models(default, tenant, down)[0]
        put_out = tuple(each for each in free if each not in models and each[0] is not BUILT_IN)
        held["model"] = HeldValue(lock, free[0][1], put_out) if models[0] != free[0] else HeldValue()
    candidates: dict[str, Candidates] = {"model": models}
    omitted_by: dict[str, Source | None] = {}
    for parameter in PARAMETERS.values():
        name = parameter.name
        found, omission = _of_parameter(parameter, stack)
        if name in bindings:
            lock, locked = bindings.lock(name), omission
            if lock is not None:
                locked = _of_parameter(parameter, [each for each in stack if below(lock, each.layer.name)])[1]
            found, omission, held[name] = hold(bindings, name, found, omission, locked)
        candidates[name] = found
        if omission is not None or (name in held and held[name].is_kept_back):
            omitted_by[name] = omission
    objects = {
        "custom_settings": [_object(each.layer.values.get("custom_settings")) for each in stack],
        "extra_parameters": [each.others for each in stack],
    }
    for column, said in objects.items():
        for name, every in _merge(column, down, said).items():
            lock = bindings.lock(name)
            left = unlocked(every, lock)
            if left != every:
                held[name] = HeldValue(lock, every[0][1], every[: len(every) - len(left)])
            if left:
                candidates[name] = left
    return Why(candidates, omitted_by, passed_over, held)


def _of_parameter(parameter: Parameter, stack: Iterable[_Said]) -> tuple[Candidates, Source | None]:
    """Return who says what of a parameter, the strongest first and the built-in default last, and who says that it is not sent."""
    found: list[tuple[Source, Any]] = []
    omitted_by = None
    name = parameter.name
    is_said = is_said_of_provider = not parameter.sendable
    for layer, known, _, not_sent in stack:
        value, column = layer.values.get(name), name
        if value is None and known:
            value, column = known.get(column), "extra_parameters"
        if value is None and not not_sent:
            continue
        of_provider = names_provider(layer.name)
        undone = is_said_of_provider if of_provider else is_said
        if not_sent and not undone and name in not_sent and omitted_by is None:
            omitted_by = layer.source("omitted_parameters")
        if parameter.fits(value):  # None does not
            found.append((layer.source(column), value))
            is_said = True
            is_said_of_provider = is_said_of_provider or of_provider
    return (*found, (BUILT_IN, parameter.default)), omitted_by


def _default_model(provider: ProviderFacts | None) -> Candidates:
    if provider is None or not provider.default_model:
        return ()
    source = source_of("provider_default", provider.id, provider.version, provider.changes, "default_model")
    return ((source, provider.default_model),)


def _models(default: Candidates, tenant: Tenant | None, down: list[Layer]) -> tuple[Candidates, Candidates]:
    """Return the models that may be used, the strongest first, and those that somebody chose and that may not."""
    found = [
        *(
            (layer.source("preferred_model"), layer.values["preferred_model"])
            for layer in down
            if names_provider(layer.name) and layer.values.get("preferred_model")
        ),
        *default,
    ]
    if tenant is None:
        return tuple(found) or ((BUILT_IN, None),), ()
    usable = tuple(each for each in found if tenant.may_use(each[1]))
    return usable or ((BUILT_IN, None),), tuple(each for each in found if not tenant.may_use(each[1]))


def _merge(column: str, down: list[Layer], objects: list[dict[str, Any]]) -> dict[str, Candidates]:
    """Merge the *objects* that the layers have in *column*, key by key at the top level; the higher layer wins."""
    merged: dict[str, list[tuple[Source, Any]]] = {}
    for layer, found in zip(down, objects, strict=True):
        for key, value in found.items():
            merged.setdefault(key, []).append((layer.source(column), value))
    return {f"{column}.{key}": tuple(merged[key]) for key in sorted(merged)}


def _merged(prefix: str, candidates: Mapping[str, Candidates]) -> dict[str, Any]:
    return {name.removeprefix(prefix): found[0][1] for name, found in candidates.items() if name.startswith(prefix)}


class _Standing(NamedTuple):
    """Whether there is a key to call with, and what it is called with."""

    status: Status
    box: Box | NoKey | None = None
    carried: Carried | None = None
    problem: str | None = None
    owner: KeyOwner | None = None


_OWN_KEY_MISSING: Final = "the organisation has no API key of its own, and does not use the installation's; enter one on the organisation's page."


def _standing(provider: ProviderFacts, model: str | None, tenant: Tenant | None) -> _Standing:
    """Return the first status that holds; the order is that of :data:`~core.errors.Unavailable`."""
    obstacles: tuple[tuple[Status, bool], ...] = (
        ("organization_disabled", tenant is not None and not tenant.is_active),
        ("disabled", not provider.is_active),
        ("not_allowed", tenant is not None and not tenant.is_allowed),
        ("no_model", model is None),
    )
    for obstacle, holds in obstacles:
        if holds:
            return _Standing(obstacle)
    owner: KeyOwner | None = None
    open_box = provider.open_box
    if provider.needs_key:
        owner = "installation"
        if tenant is not None and not tenant.may_share:
            owner, open_box = "organization", tenant.open_own
        if open_box is None:
            return _Standing("no_key", problem=_OWN_KEY_MISSING if owner == "organization" else None)
    try:
        box = open_box() if provider.needs_key and open_box else NoKey()
        return _Standing("ok", box, provider.open_carried() if provider.open_carried else None, owner=owner)
    except (KeyUnreadable, StoreUnavailable) as error:
        status: Status = "key_unreadable" if isinstance(error, KeyUnreadable) else "store_unavailable"
        return _Standing(status, problem=str(error), owner=owner)


def with_unknown(settings: EffectiveSettings, organization: str | None, feature: str | None) -> EffectiveSettings:
    """Return *settings* as they are for somebody who asked for an unknown organisation, or feature; None: not asked for.

    Without an organisation that is known there is no key: a misspelt name must not spend the installation's money.
    """
    changed: dict[str, Any] = {}
    if feature is not None:
        changed |= {"feature": feature, "feature_known": False}
    if organization is not None:
        changed |= {"organization": organization, "organization_known": False, "key_problem": None, "key_owner": None}
        changed |= {"_box": None, "_carried": None}
        if settings.provider_id is not None:
            changed["status"] = "unknown_organization"
    return otherwise(settings, **changed)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_deep(value: object) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(isinstance(part, dict | list) for part in parts)


def _names(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def read_json(text: str | bytes) -> Any:
    """Read a JSON column; what Python cannot hold, or not handle (a number of 5,000 digits, 500 levels), is None, no error."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if is_deeper(found, DEEPEST) else found


def is_deeper(value: Any, levels: int) -> bool:
    """Tell whether lists and dicts are nested in *value* in more than so many levels."""
    level = [value]
    for _ in range(levels + 1):
        level = [v for v in level if isinstance(v, dict | list)]
        if not level:
            return False
        level = [child for v in level for child in (v.values() if isinstance(v, dict) else v)]
    return True


def provider_of(
    row: Mapping[str, Any],
    ring: KeyRing,
    open_box: Callable[[], Box] | None = None,
    open_carried: Callable[[], Carried] | None = None,
) -> ProviderFacts:
    """Read a row of ``llm_providers``, given as column -> value.

    *open_box* stands for a key that the row does not have; *open_carried* is :func:`~.carried.carried_of` its rows.
    """
    blob = row["api_key_encrypted"]
    if blob:
        place = Place("llm_providers", row["id"], "api_key", origin_of(row["kind"], row["api_base_url"]))
        open_box = partial(ring.box, blob, row["api_key_key_id"], row["api_key_binding"], place)
    return ProviderFacts(
        id=row["id"],
        name=row["name"],
        display_name=row["display_name"],
        kind=row["kind"],
        base_url=row["api_base_url"],
        default_model=row["default_model"],
        is_active=row["is_active"],
        version=row["version"],
        changes=row["field_changes"],
        open_box=open_box,
        needs_key=row["needs_key"] is not False,  # a version before, and raw SQL, may have none
        open_carried=open_carried,
    )


def layer_of(row: Mapping[str, Any]) -> Layer:
    """Read a row of ``llm_settings``, given as column -> value."""
    name = layer_name("nobody", feature=False, provider=row["provider_id"] is not None)
    return Layer(name, row["id"], row["version"], row, row["field_changes"])
