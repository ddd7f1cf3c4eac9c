"""Effective settings: the answer that explains itself. :mod:`~.merge` makes it of rows. No I/O, no ORM."""

import json
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, cast

from ..crypto import Box
from ..errors import (
    ApiKeyUnavailable,
    Invalid,
    KeyMissing,
    KeyNotReadable,
    KeyOutOfReach,
    ModelMissing,
    NoProvider,
    OrganizationInactive,
    OrganizationMissing,
    ProviderInactive,
    ProviderMissing,
    ProviderNotAllowed,
    Unavailable,
)
from ..models.adapt import Adapted, Adjustment, Standing, Unfit, standing
from ..models.apis import api_of, host_of
from ..models.facts import ModelFacts
from ..models.knowledge import Knowledge, vendored
from ..parameters import PARAMETERS, SENDABLE
from . import options
from .budgets import Budget
from .carried import NOTHING, Carried, Opened
from .decision import Basis, called_otherwise, decide, values_of
from .explanation import BUILT_IN, Candidates, Explained, Source, Why
from .limited import FREE, LimitedBy
from .personal_data import UNLESS_SET, PersonalDataRules
from .rate_limits import RateLimit

Status = Literal[Unavailable, "ok"]
KeyOwner = Literal["organization", "installation"]
LogLevel = Literal["full", "minimal", "errors_only"]

CURES: Final[Mapping[str, str]] = {
    "store_unavailable": "the database cannot be reached and nothing is cached; check DATABASE_URL and that the server runs.",
    "unknown_provider": "there is no provider of that name; check the spelling, or add it on the Providers page.",
    "no_provider": "no provider was named, and none that may be used is the default; name one, or choose a default provider.",
    "unknown_organization": "there is no organisation of that name; check the spelling, or add it on the Organisations page.",
    "organization_disabled": "the organisation is not active; activate it on the Organisations page.",
    "disabled": "the provider is not active; activate it on the Providers page.",
    "not_allowed": "the organisation may not use this provider; allow it on the organisation's page.",
    "no_model": "no model is chosen; choose a default model on the Providers page.",
    "no_key": "no API key is stored; enter one on the Providers page.",
    "key_unreadable": "the stored API key cannot be opened; the Providers page says why.",
}


_UNAVAILABLE: Final[Mapping[Unavailable, type[ApiKeyUnavailable]]] = {
    "store_unavailable": KeyOutOfReach,
    "unknown_provider": ProviderMissing,
    "no_provider": NoProvider,
    "unknown_organization": OrganizationMissing,
    "organization_disabled": OrganizationInactive,
    "disabled": ProviderInactive,
    "not_allowed": ProviderNotAllowed,
    "no_model": ModelMissing,
    "no_key": KeyMissing,
    "key_unreadable": KeyNotReadable,
}


NOT_NEEDED: Final = "not-needed"
"""What :meth:`EffectiveSettings.api_key` gives for a provider that needs none: SDKs insist on a text, such servers look at
none. It is no secret."""


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
    reasoning_effort: str | None
    stop: tuple[str, ...] | None
    unfit_parameters: Unfit
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
    _extra: str = field(repr=False)
    _why: Callable[[], Why] = field(repr=False, compare=False)
    """Merges once more, for who asks why: kept, it would be most of an answer."""
    _explicit: tuple[str, ...] = field(repr=False, compare=False)
    """What is sent and is no built-in default."""
    _box: Box | NoKey | None = field(repr=False, compare=False)
    _request: dict[str, Any] = field(repr=False, compare=False)
    """What :meth:`request_options` returns, made once: every call of a service asks for it."""
    _inner: tuple[tuple[str, Callable[[Any], Any]], ...] = field(repr=False, compare=False)
    """What of it is a dict or a list itself, and how that is copied."""
    adjustments: tuple[Adjustment, ...]
    """What is sent otherwise than it stands here, and what is not, as the vendor's API or the model would refuse it."""
    _carried: Carried | None = field(repr=False, compare=False)
    _knowledge: Knowledge | None = field(default=None, repr=False, compare=False)
    """What is known of models; None: the catalogue of this version."""
    organization: str | None = None
    """The organisation's slug; of an unknown one what was asked for; None: nobody's."""
    organization_id: int | None = None
    feature: str | None = None
    organization_known: bool = True
    """False: one was asked for, and there is none of that name."""
    feature_known: bool = True
    """The same of the feature: the settings are those without one."""
    key_owner: KeyOwner | None = None
    """Whose key it is, also where it cannot be opened; None: there is none, or none is needed."""
    default_by: Source | None = field(default=None, compare=False)
    """Who chose this provider as the default of the scope; None: it was asked for by name, or nobody chose one."""
    default_limited_by: LimitedBy | None = field(default=None, compare=False)
    """The rule of a limit that decides which provider is the default; None: no limit changes it."""
    budgets: tuple[Budget, ...] = ()
    """What calls count against. That a budget is spent is nothing of these settings: a call is told, by BudgetExceeded."""
    rate_limits: tuple[RateLimit, ...] = ()
    """What calls count against as well; those with a model count calls of it alone. A call that has no room is told, by RateLimited."""
    personal_data: PersonalDataRules = UNLESS_SET
    """What becomes of personal data in prompts, answers and the log."""

    @property
    def custom_settings(self) -> dict[str, Any]:
        """The merged custom settings: a new dict each time, so that no caller can change another's."""
        return cast("dict[str, Any]", json.loads(self._custom))

    @property
    def extra_parameters(self) -> dict[str, Any]:
        """The merged extra request parameters, by the vendor's names: a new dict each time. None is not sent.

        What of them is one of our own parameters is a value of that parameter, and stands there.
        """
        return cast("dict[str, Any]", json.loads(self._extra))

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
        adjusted, why = {each.parameter: each for each in self.adjustments}, self._why()
        locked_out = [
            Explained(name, None, BUILT_IN, (), None, None, (), *held)
            for name, held in why.held.items()
            if name not in why.candidates
        ]
        return [
            Explained(
                name,
                found[0][1],
                found[0][0],
                found[1:],
                why.omitted_by.get(name),
                adjusted.get(name),
                why.passed_over if name == "model" else (),
                *why.held.get(name, FREE),
            )
            for name, found in deepcopy(dict(why.candidates)).items()
        ] + locked_out

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
            basis = self.basis(model)
            beside = (basis.extra.keys() - more) | called_otherwise(basis)
            return options.request_options(self.kind, model, decide(basis, given, others).sent, beside)
        made = self._request.copy()
        for name, copied in self._inner:
            made[name] = copied(made[name])
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
            self._explicit,
            self.omitted,
            self.custom_settings,
            self._knowledge,
            self.extra_parameters,
            self.unfit_parameters,
        )

    @property
    def model_is(self) -> Standing:
        """Whether the model is ``known``, ``assumed`` to take what its family takes, or ``unknown``: then all is sent."""
        api, host = api_of(self.kind, self.base_url), host_of(self.kind, self.base_url)
        return standing(api, self.model, self._knowledge, host)

    @property
    def model_facts(self) -> ModelFacts | None:
        """What is known of the model, by the strongest source of each fact; None: nothing."""
        api, host = api_of(self.kind, self.base_url), host_of(self.kind, self.base_url)
        return self.knowledge.facts(api, self.model, host) if self.model else None

    @property
    def knowledge(self) -> Knowledge:
        """What is known of models, with what the database says of them."""
        return self._knowledge or vendored()

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON can hold them: no key, not even sealed."""
        return {
            "provider": self.provider,
            "status": self.status,
            "kind": self.kind,
            "model": self.model,
            **{name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in PARAMETERS},
            "omitted": list(self.omitted),
            "custom_settings": self.custom_settings,
            "extra_parameters": self.extra_parameters,
            "generation": self.generation,
            "organization": self.organization,
            "feature": self.feature,
        }

    def _candidates_of(self, name: str) -> Candidates:
        found = self._why().candidates
        try:
            return found[name]
        except KeyError:
            raise Invalid({"name": f"no such parameter; there are {', '.join(found)}."}) from None


def otherwise(settings: EffectiveSettings, **changed: Any) -> EffectiveSettings:
    """Return *settings* with other values of some fields; five times as quick as :func:`dataclasses.replace`."""
    new = object.__new__(EffectiveSettings)
    for get, put in _SLOTS:
        put(new, get(settings))
    for name, value in changed.items():
        object.__setattr__(new, name, value)
    return new


_SLOTS: Final[tuple[Any, ...]] = tuple(
    (slot.__get__, slot.__set__) for slot in (vars(EffectiveSettings)[each.name] for each in fields(EffectiveSettings))
)
