"""The merge: rows as they are stored, layer over layer, become the settings in force. No I/O, no ORM."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from ..crypto import Box, KeyRing, Place
from ..errors import KeyUnreadable, StoreUnavailable
from ..kinds import base_url_of, origin_of
from ..models.knowledge import Knowledge
from ..parameters import PARAMETERS, SENDABLE
from . import extra, options
from .carried import Carried
from .decision import Basis, called_otherwise, decide
from .effective import BUILT_IN, EffectiveSettings, LayerName, NoKey, Source, Status

DEEPEST: Final = 100
"""Levels of a JSON column; what is nested deeper came by raw SQL, and counts as not set."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A settings row, as the merge sees it. A missing or None value inherits."""

    name: LayerName
    row_id: int
    version: int
    values: Mapping[str, Any]
    changes: Mapping[str, Any]
    """The column ``field_changes``: field -> {"by", "at", "version"}."""

    def source(self, field_name: str) -> Source:
        """Return who set *field_name* in this row, and when."""
        return _source(self.name, self.row_id, self.version, self.changes, field_name)


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
) -> EffectiveSettings:
    """Merge *layers*, the lowest first, over the built-in defaults.

    A NULL inherits; an explicit 0 or False is a value. *Do not send* is decided by the highest layer that says
    anything of a parameter, a value or an omission; in one row the omission wins, and the attribute keeps the value.

    Args:
        provider: None when it is not known: the answer then has the status *missing* and only built-in defaults.
        layers: Active settings rows, from all-providers up.
        name: The name asked for, where there is no provider.
        missing: The status without a provider.
        problem: Its reason and cure, where more is known than the status says.
        generation: The store's generation.
        knowledge: What is known of models. Default: the catalogue of this version.
    """
    down = list(layers)[::-1] if provider else []
    candidates: dict[str, tuple[tuple[Source, Any], ...]] = {"model": _model_candidates(provider, down)}
    omitted_by: dict[str, Source] = {}
    extras = [extra.split(layer.values.get("extra_parameters")) for layer in down]
    for parameter in PARAMETERS.values():
        found = []
        undecided = parameter.sendable
        for layer, (known, _) in zip(down, extras, strict=True):
            value, column = layer.values.get(parameter.name), parameter.name
            if value is None and known:
                value, column = known.get(column), "extra_parameters"
            if undecided and parameter.name in _names(layer.values.get("omitted_parameters")):
                omitted_by[parameter.name] = layer.source("omitted_parameters")
                undecided = False
            if parameter.fits(value):  # None does not
                found.append((layer.source(column), value))
                undecided = False
        candidates[parameter.name] = (*found, (BUILT_IN, parameter.default))
    custom = _merge(
        "custom_settings", down, [_object(layer.values.get("custom_settings")) for layer in down], candidates
    )
    more = _merge("extra_parameters", down, [others for _, others in extras], candidates)
    model = candidates["model"][0][1]
    status, box, carried, problem = _status(provider, model) if provider else (missing, None, None, problem)
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v := candidates[name][0][1], list) else v for name in PARAMETERS
    }
    kind = provider.kind if provider else None
    base_url = base_url_of(provider.kind, provider.base_url) if provider else None
    explicit = [name for name in SENDABLE if candidates[name][0][0] is not BUILT_IN]
    unfit = values["unfit_parameters"]
    basis = Basis(kind, base_url, model, values, explicit, omitted_by, custom, knowledge, more, unfit)
    sent, adjustments = decide(basis)
    request = options.request_options(kind, model, sent, more.keys() | called_otherwise(basis))
    return EffectiveSettings(
        provider=provider.name if provider else name or "",
        status=status,
        provider_id=provider.id if provider else None,
        display_name=provider.display_name if provider else name or "",
        kind=kind,
        base_url=base_url,
        model=model,
        omitted=tuple(p for p in SENDABLE if p in omitted_by),
        generation=generation,
        key_problem=problem,
        _custom=json.dumps(custom),
        _extra=json.dumps(more),
        _candidates=candidates,
        _omitted_by=omitted_by,
        _box=box,
        _request=request,
        _nested=tuple(
            name for name, value in request.items() if isinstance(value, dict | list) and not _is_deep(value)
        ),
        _deep=tuple(name for name, value in request.items() if _is_deep(value)),
        adjustments=adjustments,
        _carried=carried,
        _knowledge=knowledge,
        **values,
    )


def _model_candidates(provider: ProviderFacts | None, down: list[Layer]) -> tuple[tuple[Source, Any], ...]:
    found = [
        (layer.source("preferred_model"), layer.values["preferred_model"])
        for layer in down
        if layer.name == "provider" and layer.values.get("preferred_model")
    ]
    if provider and provider.default_model:
        source = _source("provider_default", provider.id, provider.version, provider.changes, "default_model")
        found.append((source, provider.default_model))
    return tuple(found) or ((BUILT_IN, None),)


def _merge(
    column: str,
    down: list[Layer],
    objects: list[dict[str, Any]],
    candidates: dict[str, tuple[tuple[Source, Any], ...]],
) -> dict[str, Any]:
    """Merge the *objects* that the layers have in *column*, key by key at the top level; the higher layer wins."""
    merged: dict[str, list[tuple[Source, Any]]] = {}
    for layer, found in zip(down, objects, strict=True):
        for key, value in found.items():
            merged.setdefault(key, []).append((layer.source(column), value))
    for key in sorted(merged):
        candidates[f"{column}.{key}"] = tuple(merged[key])
    return {key: merged[key][0][1] for key in sorted(merged)}


def _status(
    provider: ProviderFacts, model: str | None
) -> tuple[Status, Box | NoKey | None, Carried | None, str | None]:
    if not provider.is_active:
        return "disabled", None, None, None
    if model is None:
        return "no_model", None, None, None
    if provider.needs_key and provider.open_box is None:
        return "no_key", None, None, None
    try:
        box = provider.open_box() if provider.needs_key and provider.open_box else NoKey()
        return "ok", box, provider.open_carried() if provider.open_carried else None, None
    except (KeyUnreadable, StoreUnavailable) as error:
        status: Status = "key_unreadable" if isinstance(error, KeyUnreadable) else "store_unavailable"
        return status, None, None, str(error)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_deep(value: object) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(isinstance(part, dict | list) for part in parts)


def _names(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _source(layer: LayerName, row_id: int, version: int, changes: Mapping[str, Any], name: str) -> Source:
    change = changes.get(name) if isinstance(changes, dict) else None
    if not isinstance(change, dict):
        return Source(layer, row_id, version)
    try:
        changed_at = datetime.fromisoformat(change["at"])
    except (KeyError, TypeError, ValueError):
        changed_at = None
    return Source(layer, row_id, change.get("version", version), changed_at, change.get("by"))


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
    name: LayerName = "all_providers" if row["provider_id"] is None else "provider"
    return Layer(name, row["id"], row["version"], row, row["field_changes"])
