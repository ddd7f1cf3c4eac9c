"""Effective settings: built-in defaults, the merge of layers, and the answer that explains itself. No I/O, no ORM."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple, cast

from ..crypto import Box, KeyRing, Place
from ..errors import (
    ApiKeyUnavailable,
    Invalid,
    KeyMissing,
    KeyNotReadable,
    KeyOutOfReach,
    KeyUnreadable,
    ModelMissing,
    ProviderInactive,
    ProviderMissing,
    StoreUnavailable,
    Unavailable,
)
from ..kinds import base_url_of, origin_of
from ..models.adapt import Adapted, Adjustment, Standing, standing
from ..models.apis import api_of
from ..parameters import PARAMETERS, SENDABLE
from . import options
from .carried import NOTHING, Carried, Opened
from .decision import Basis, decide, values_of

Status = Literal[Unavailable, "ok"]
LayerName = Literal["built_in", "all_providers", "provider_default", "provider"]
LogLevel = Literal["full", "minimal", "errors_only"]

LAYERS: Final[Mapping[str, str]] = {
    "built_in": "built-in default",
    "all_providers": "all providers",
    "provider_default": "the provider's default model",
    "provider": "this provider",
}

CURES: Final[Mapping[str, str]] = {
    "store_unavailable": "the database cannot be reached and nothing is cached; check DATABASE_URL and that the server runs.",
    "unknown_provider": "there is no provider of that name; check the spelling, or add it on the Providers page.",
    "disabled": "the provider is not active; activate it on the Providers page.",
    "no_model": "no model is chosen; choose a default model on the Providers page.",
    "no_key": "no API key is stored; enter one on the Providers page.",
    "key_unreadable": "the stored API key cannot be opened; the Providers page says why.",
}


_UNAVAILABLE: Final[Mapping[Unavailable, type[ApiKeyUnavailable]]] = {
    "store_unavailable": KeyOutOfReach,
    "unknown_provider": ProviderMissing,
    "disabled": ProviderInactive,
    "no_model": ModelMissing,
    "no_key": KeyMissing,
    "key_unreadable": KeyNotReadable,
}


class Source(NamedTuple):
    """Where a value comes from. A built-in default has no row, no version and nobody who changed it."""

    layer: LayerName
    row_id: int | None = None
    version: int | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it; the time as ISO 8601."""
        return self._asdict() | {"changed_at": self.changed_at.isoformat() if self.changed_at else None}


NOT_NEEDED: Final = "not-needed"
"""What :meth:`EffectiveSettings.api_key` gives for a provider that needs none: SDKs insist on a text, such servers look at
none. It is no secret."""

DEEPEST: Final = 100
"""Levels of a JSON column; what is nested deeper came by raw SQL, and counts as not set."""

BUILT_IN: Final = Source("built_in")


class Explained(NamedTuple):
    """One parameter, and why it has its value."""

    name: str
    value: Any
    source: Source
    shadows: tuple[tuple[Source, Any], ...]
    """The values of lower layers that this one hides, nearest first."""
    omitted_by: Source | None
    """The layer that says *do not send*, or None."""
    adjusted: Adjustment | None = None
    """How it is sent otherwise than it stands here, or that it is not: what the vendor's API and the model take decides."""

    @property
    def sent(self) -> bool:
        """Whether it is sent to the model: see :meth:`EffectiveSettings.request_options`."""
        sendable = self.name == "model" or self.name in SENDABLE
        if self.adjusted is not None:
            return self.adjusted.what != "left_out"
        return sendable and self.omitted_by is None and self.value is not None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "name": self.name,
            "value": self.value,
            "sent": self.sent,
            "source": self.source.as_dict(),
            "shadows": [{"source": source.as_dict(), "value": value} for source, value in self.shadows],
            "omitted_by": self.omitted_by.as_dict() if self.omitted_by else None,
            "adjusted": self.adjusted.as_dict() if self.adjusted else None,
        }


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


class NoKey:
    """What is opened in place of a key by a provider that needs none."""

    __slots__ = ()

    def open(self) -> str:
        """Return :data:`NOT_NEEDED`."""
        return NOT_NEEDED


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """The settings in force for one provider. Frozen; the same object answers every caller."""

    provider: str
    status: Status
    provider_id: int | None
    display_name: str
    kind: str | None
    base_url: str | None
    model: str | None
    temperature: float
    max_tokens: int
    top_p: float
    frequency_penalty: float
    presence_penalty: float
    max_retries: int
    retry_backoff_ms: int
    request_timeout_ms: int
    enable_logging: bool
    log_level: LogLevel
    log_request_data: bool
    log_response_data: bool
    omitted: tuple[str, ...]
    generation: int
    """The store's generation that this was built from; 0 without a store."""
    key_problem: str | None
    """With status ``key_unreadable``, or ``store_unavailable`` without its key: why, and the cure."""
    _custom: str = field(repr=False)
    _candidates: Mapping[str, tuple[tuple[Source, Any], ...]] = field(repr=False, compare=False)
    _omitted_by: Mapping[str, Source] = field(repr=False, compare=False)
    _box: Box | NoKey | None = field(repr=False, compare=False)
    _request: dict[str, Any] = field(repr=False, compare=False)
    """What :meth:`request_options` returns, made once: every call of a service asks for it."""
    _nested: tuple[str, ...] = field(repr=False, compare=False)
    """What of it is a dict itself."""
    adjustments: tuple[Adjustment, ...]
    """What is sent otherwise than it stands here, and what is not, as the vendor's API or the model would refuse it."""
    _carried: Carried | None = field(repr=False, compare=False)

    @property
    def custom_settings(self) -> dict[str, Any]:
        """The merged custom settings: a new dict each time, so that no caller can change another's."""
        return cast("dict[str, Any]", json.loads(self._custom))

    @property
    def cure(self) -> str | None:
        """What to do about a status other than ok."""
        return self.key_problem or CURES.get(self.status)

    def source(self, name: str) -> Source:
        """Return where the value of *name* comes from: a parameter, ``model``, or ``custom_settings.<key>``.

        Raises:
            Invalid: If there is no such name.
        """
        return self._candidates_of(name)[0][0]

    def explain(self) -> list[Explained]:
        """Return every value with its source, what it shadows, and who says it is not sent; all of it the caller's own."""
        adjusted = {each.parameter: each for each in self.adjustments}
        return [
            Explained(
                name, candidates[0][1], candidates[0][0], candidates[1:], self._omitted_by.get(name), adjusted.get(name)
            )
            for name, candidates in deepcopy(dict(self._candidates)).items()
        ]

    def api_key(self) -> str:
        """Open the key now, in memory only; :data:`NOT_NEEDED` for a provider that needs none.

        Raises:
            ApiKeyUnavailable: For every status but ``ok``, a subclass for each; names the provider and the cure.
        """
        if self._box is None:
            status = cast("Unavailable", self.status)  # a key that is ok has its box
            raise _UNAVAILABLE[status](self.provider, status, self.cure or "")
        return self._box.open()

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of the client of the vendor's SDK: ``openai.OpenAI(**settings.client_options())``.

        They have the key, the address, the time for a request and the retries, as ``OpenAI`` and ``Anthropic`` name them
        (``api_key``, ``base_url``, ``timeout`` in seconds, ``max_retries``), ``AzureOpenAI``, or Google's ``Client``. The
        address is always named, so that no ``OPENAI_BASE_URL`` in the environment can send the key elsewhere. Where the
        provider has headers or query parameters of its own, they stand in ``default_headers`` and ``default_query``, or in
        Google's ``http_options``.

        Raises:
            ApiKeyUnavailable: As :meth:`api_key`.
        """
        made = options.client_options(
            self.kind,
            api_key=self.api_key(),
            base_url=self.base_url,
            timeout_ms=self.request_timeout_ms,
            max_retries=self.max_retries,
        )
        if self._carried is not None:
            options.add_carried(made, self.kind, self._carried.open())
        return made

    def carried(self) -> Opened:
        """Return the headers and query parameters of the provider, opened now, in memory only.

        Empty where there are none, and for every status but ``ok``: nothing is called then.
        """
        return NOTHING if self._carried is None else self._carried.open()

    def request_options(self, **more: Any) -> dict[str, Any]:
        """Return the arguments of a request by the vendor's SDK: ``model``, and what is sent, by the vendor's names.

        That is every parameter that is set, not omitted, and taken by the vendor's API and the model: ``adjustments`` says
        what is left out, brought into the range, renamed or added, and why. What the SDK's method has no argument for
        stands in ``extra_body``; for Google all but the model stands in ``config``.

        Args:
            more: What the program adds to the request. By our names (``temperature=0.2``, and ``model``) it counts more than
                the settings'; all else is sent as it is, and what goes with it is decided anew: ``reasoning_effort="none"``.
                None leaves a parameter out.
        """
        if more:
            model = more.pop("model", None) or self.model
            given = {name: value for name, value in more.items() if name in SENDABLE and value is not None}
            others = {name: value for name, value in more.items() if name not in given}
            return options.request_options(self.kind, model, self.adapted(given, others, model=model).sent)
        made = self._request.copy()
        for name in self._nested:
            made[name] = made[name].copy()
        return made

    def adapted(
        self,
        given: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
        without: Collection[str] = (),
        *,
        model: str | None = None,
    ) -> Adapted:
        """Return what is sent, by the API's names, with what one call adds, and what became of the rest.

        Args:
            given: Our parameters -> a value that counts more than the settings'.
            more: By the vendor's names or ours: sent as it is; None leaves our parameter of that name out.
            without: Our parameters that are not sent.
            model: In place of the settings' own.
        """
        return decide(self.basis(model), given or {}, more or {}, without)

    def basis(self, model: str | None = None) -> Basis:
        """Return what of these settings decides what is sent to *model*, or to their own."""
        return Basis(
            self.kind,
            self.base_url,
            model or self.model,
            values_of(self),
            [name for name in SENDABLE if self._candidates[name][0][0] is not BUILT_IN],
            self.omitted,
            self.custom_settings,
        )

    @property
    def model_is(self) -> Standing:
        """Whether the model is ``known``, ``assumed`` to take what its family takes, or ``unknown``: then all is sent."""
        return standing(api_of(self.kind, self.base_url), self.model)

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON can hold them: no key, not even sealed."""
        return {
            "provider": self.provider,
            "status": self.status,
            "kind": self.kind,
            "model": self.model,
            **{name: getattr(self, name) for name in PARAMETERS},
            "omitted": list(self.omitted),
            "custom_settings": self.custom_settings,
            "generation": self.generation,
        }

    def _candidates_of(self, name: str) -> tuple[tuple[Source, Any], ...]:
        try:
            return self._candidates[name]
        except KeyError:
            raise Invalid({"name": f"no such parameter; there are {', '.join(self._candidates)}."}) from None


def build(
    provider: ProviderFacts | None,
    layers: Iterable[Layer],
    *,
    name: str | None = None,
    missing: Status = "unknown_provider",
    problem: str | None = None,
    generation: int = 0,
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
    """
    down = list(layers)[::-1] if provider else []
    candidates: dict[str, tuple[tuple[Source, Any], ...]] = {"model": _model_candidates(provider, down)}
    omitted_by: dict[str, Source] = {}
    for parameter in PARAMETERS.values():
        found = []
        undecided = parameter.sendable
        for layer in down:
            value = layer.values.get(parameter.name)
            if undecided and parameter.name in _names(layer.values.get("omitted_parameters")):
                omitted_by[parameter.name] = layer.source("omitted_parameters")
                undecided = False
            if value is not None and parameter.fits(value):
                found.append((layer.source(parameter.name), value))
                undecided = False
        candidates[parameter.name] = (*found, (BUILT_IN, parameter.default))
    custom = _merge_custom(down, candidates)
    status, box, carried, problem = (
        _status(provider, candidates["model"][0][1]) if provider else (missing, None, None, problem)
    )
    values = {parameter: candidates[parameter][0][1] for parameter in PARAMETERS}
    kind, model = provider.kind if provider else None, candidates["model"][0][1]
    base_url = base_url_of(provider.kind, provider.base_url) if provider else None
    explicit = [name for name in SENDABLE if candidates[name][0][0] is not BUILT_IN]
    sent, adjustments = decide(Basis(kind, base_url, model, values, explicit, omitted_by, custom))
    request = options.request_options(kind, model, sent)
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
        _candidates=candidates,
        _omitted_by=omitted_by,
        _box=box,
        _request=request,
        _nested=tuple(name for name in ("config", "extra_body") if name in request),
        adjustments=adjustments,
        _carried=carried,
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


def _merge_custom(down: list[Layer], candidates: dict[str, tuple[tuple[Source, Any], ...]]) -> dict[str, Any]:
    merged: dict[str, list[tuple[Source, Any]]] = {}
    for layer in down:
        custom = layer.values.get("custom_settings")
        for key, value in custom.items() if isinstance(custom, dict) else ():
            merged.setdefault(key, []).append((layer.source("custom_settings"), value))
    for key in sorted(merged):
        candidates[f"custom_settings.{key}"] = tuple(merged[key])
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
