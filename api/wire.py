"""Settings rows and effective settings as they go over the wire; the models are OpenAPI's too."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from functools import partial
from typing import Any, Literal

from pydantic import Field

from api.envelopes import Wire, picked, plain
from api.names import camel
from api.wire_providers import Provider, ProviderBrief, provider
from core.manage.organization_members import INSTALLATION
from core.models.adapt import Adjustment, Unfit
from core.parameters import PARAMETERS
from core.resolving.effective import CURES, EffectiveSettings, LogLevel
from core.resolving.explanation import Explained, LayerName, Source
from core.resolving.limited import LimitedBy
from core.resolving.limits import PERSONAL
from core.store.organization_tables import FeatureLlmOverride
from core.store.tables import LlmSettings


class SettingsRow(Wire):
    """A settings row; null inherits."""

    id: int
    organization_id: int | None = Field(description="null: nobody's")
    feature_id: int | None = Field(description="null: of no feature. A feature's row is changed below /llm/overrides")
    provider_id: int | None = Field(description="null: the row of all providers")
    default_provider_id: int | None = Field(description="of a row of all providers: which one who names none gets")
    preferred_model: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    reasoning_effort: str | None
    stop: list[str] | None
    unfit_parameters: Unfit | None
    max_retries: int | None
    retry_backoff_ms: int | None
    request_timeout_ms: int | None
    enable_logging: bool | None
    log_level: LogLevel | None
    log_request_data: bool | None
    log_response_data: bool | None
    omitted_parameters: list[str] | None
    custom_settings: dict[str, Any] | None
    extra_parameters: dict[str, Any] | None
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime
    warnings: list[str] | None = Field(
        default=None,
        description="after a change: what is not sent as it is set, and what others override; not there without any",
    )


class ValueSource(Wire):
    """Where a value comes from. A built-in default has no row."""

    layer: LayerName
    row_id: int | None
    version: int | None
    changed_at: datetime | None
    changed_by: str | None
    scope: str | None = Field(
        description="the organisation or template, and the feature, that the row is of; null: nobody's"
    )


class Shadowed(Wire):
    """A value of a lower layer that is hidden."""

    source: ValueSource
    value: Any


class AdjustedParameter(Wire):
    """How one parameter is sent otherwise than it stands in the settings, as the vendor's API or the model wants it."""

    parameter: str = Field(description="by the name of the settings' request, as max_tokens")
    what: Literal["renamed", "left_out", "clamped", "added"]
    to: float | str | list[str] | None = Field(description="the name, or the value, that is sent; null: nothing is")
    why: str
    source: Literal["operator", "vendor", "catalogue", "API rule", "family"] = Field(
        description="family: assumed from another model of it"
    )
    as_of: date = Field(description="the day on which the source was true")
    asked_for: bool = Field(description="whether somebody has set the value; false: it is a built-in default")


class LimitedValue(Wire):
    """The rule of a limit that decides a value, or whether it is sent."""

    limit_id: int
    owner: Literal["installation", "organization"]
    layer: LayerName = Field(description="of the scope that the limit is set on")
    rule: Literal["lock", "in", "min", "max", "send"]
    bound: Any = Field(description="what the rule has; true of a lock")
    note: str | None
    version: int | None
    changed_at: datetime | None
    changed_by: str | None
    scope: str | None


class ExplainedValue(Wire):
    """One value, and why."""

    name: str
    value: Any
    sent: bool = Field(description="whether it goes to the model with a request")
    source: ValueSource
    shadows: list[Shadowed]
    omitted_by: ValueSource | None = Field(description="who says that it is not sent to the model; null: nobody")
    adjusted: AdjustedParameter | None = Field(
        description="how it is sent otherwise, or that it is not; null: as it is"
    )
    passed_over: list[Shadowed] = Field(description="models that somebody chose and the organisation may not use")
    limited_by: LimitedValue | None = Field(description="the limit that decides the value; null: none changes it")
    wanted: Any = Field(description="with limitedBy: what would be in force without limits")
    put_out: list[Shadowed] = Field(description="values that a lock or a list of a limit puts out of force")
    omission_limited_by: LimitedValue | None = Field(
        description="the limit that decides whether it is sent; null: none changes that"
    )
    omission_wanted: ValueSource | None = Field(
        description="who says that it is not sent, and by a limit is not heeded; null: nobody"
    )


class Effective(Wire):
    """The settings in force for one provider: a settings row with nothing left to inherit."""

    id: int | None = Field(
        description="of the provider's own settings row, or of that of all providers; null: there is neither"
    )
    provider: Provider | ProviderBrief
    provider_id: int
    organization_id: int | None
    organization: str | None = Field(description="the organisation's slug; null: nobody's")
    feature: str | None
    key_owner: Literal["organization", "installation"] | None = Field(
        description="whose key programs get; null: there is none, or none is needed"
    )
    status: Literal[
        "ok", "organization_disabled", "disabled", "not_allowed", "no_model", "no_key", "key_unreadable"
    ] = Field(description="ok, or the first that holds")
    cure: str | None = Field(description="what to do about a status other than ok")
    model: str | None = Field(description="the model to ask for")
    preferred_model: str | None = Field(description="the same, under the settings row's name")
    temperature: float
    max_tokens: int
    top_p: float
    frequency_penalty: float
    presence_penalty: float
    reasoning_effort: str | None
    stop: list[str] | None
    unfit_parameters: Unfit = Field(
        description="what becomes of a value that the model does not take: left out or brought into its range, or sent"
    )
    max_retries: int
    retry_backoff_ms: int
    request_timeout_ms: int
    enable_logging: bool
    log_level: LogLevel
    log_request_data: bool
    log_response_data: bool
    omitted_parameters: list[str] = Field(description="not to be sent to the model, though they have a value")
    custom_settings: dict[str, Any]
    extra_parameters: dict[str, Any] = Field(
        description="sent with each request by the names of the vendor's API, as they stand in request"
    )
    request: dict[str, Any] = Field(
        description="what goes to the model with each request, by the names of the vendor's API: the model, and each "
        "parameter that has a value, is not omitted, and is taken"
    )
    adjustments: list[AdjustedParameter] = Field(description="what in the request is not as it stands in the settings")
    model_is: Literal["known", "assumed", "unknown"] = Field(
        description="whether it is known what the model takes; unknown: everything is sent as it is"
    )
    is_active: bool
    is_overridden: bool = Field(description="whether something of an organisation or a feature decides a value")
    created_at: datetime | None = Field(description="of that settings row")
    updated_at: datetime | None = Field(description="of that settings row")
    explain: list[ExplainedValue] | None = Field(default=None, description="with ?explain=true")


def settings_row(row: LlmSettings | FeatureLlmOverride, warnings: list[str] | None = None) -> dict[str, Any]:
    """Return a settings row as it goes over the wire, with *warnings* if there are any."""
    found = picked(row, SettingsRow, feature_id=getattr(row, "feature_id", None), warnings=warnings)
    return found if warnings else {name: value for name, value in found.items() if name != "warnings"}


def effective(
    settings: EffectiveSettings,
    row: Mapping[str, Any],
    settings_row: Mapping[str, Any] | None = None,
    *,
    brief: bool,
    explain: bool = False,
    people: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return effective settings as they go over the wire.

    Args:
        settings: What is in force.
        row: The provider, column -> value.
        settings_row: The provider's own settings row, or that of all providers; None: there is neither.
        brief: For somebody who is no admin.
        explain: With the source of each value.
        people: Who is named in it; everybody else is ``installation``. None: all are named.
    """
    values = settings.as_dict()
    found = {
        "id": settings_row["id"] if settings_row else None,
        "provider": provider(row, brief=brief),
        "providerId": settings.provider_id,
        "organizationId": settings.organization_id,
        "organization": settings.organization,
        "feature": settings.feature,
        "keyOwner": settings.key_owner,
        "status": settings.status,
        "cure": _cure(settings, brief=brief),
        "model": settings.model,
        "preferredModel": settings.model,
        **{camel(name): values[name] for name in PARAMETERS},
        "omittedParameters": list(settings.omitted),
        "customSettings": settings.custom_settings,
        "extraParameters": settings.extra_parameters,
        "request": {"model": settings.model, **settings.adapted().sent},
        "adjustments": [_adjusted(each) for each in settings.adjustments],
        "modelIs": settings.model_is,
        "isActive": row["is_active"],
        "isOverridden": _is_overridden(settings),
        **{camel(name): plain(settings_row[name]) if settings_row else None for name in ("created_at", "updated_at")},
    }
    if explain:
        found["explain"] = [_explained(item, people) for item in settings.explain()]
    return found


def _is_overridden(settings: EffectiveSettings) -> bool:
    if settings.organization is None and settings.feature is None:
        return False
    return any(
        of.scope is not None for item in settings.explain() for of in (item.source, item.omitted_by) if of is not None
    )


def _cure(settings: EffectiveSettings, *, brief: bool) -> str | None:
    """Return what to do about a status; a key's own problem, which names encryption keys, is for admins."""
    if not brief or settings.cure is None:
        return settings.cure
    return f"{CURES.get(settings.status, '')} Ask an admin.".strip()


def _explained(item: Explained, people: Collection[str] | None) -> dict[str, Any]:
    head, dot, key = item.name.partition(".")
    of = partial(_source, people=people)
    return {
        "name": camel(head) + dot + (camel(key) if head == PERSONAL else key),
        "value": item.value,
        "sent": item.sent,
        "source": of(item.source),
        "shadows": [{"source": of(source), "value": value} for source, value in item.shadows],
        "omittedBy": of(item.omitted_by) if item.omitted_by else None,
        "adjusted": _adjusted(item.adjusted) if item.adjusted else None,
        "passedOver": [{"source": of(source), "value": value} for source, value in item.passed_over],
        "limitedBy": _limited(item.limited_by, people),
        "wanted": item.wanted,
        "putOut": [{"source": of(source), "value": value} for source, value in item.put_out],
        "omissionLimitedBy": _limited(item.omission_limited_by, people),
        "omissionWanted": of(item.omission_wanted) if item.omission_wanted else None,
    }


def _limited(by: LimitedBy | None, people: Collection[str] | None) -> dict[str, Any] | None:
    if by is None:
        return None
    if people is not None and by.changed_by is not None and by.changed_by not in people:
        by = by._replace(changed_by=INSTALLATION)
    return {camel(name): value for name, value in by.as_dict().items()}


def _adjusted(each: Adjustment) -> dict[str, Any]:
    return {camel(name): value for name, value in each.as_dict().items()}


def _source(source: Source, people: Collection[str] | None) -> dict[str, Any]:
    found = {camel(name): value for name, value in source.as_dict().items()}
    if people is not None and source.changed_by is not None and source.changed_by not in people:
        found["changedBy"] = INSTALLATION
    return found
