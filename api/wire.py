"""What goes over the wire as an answer: providers, settings rows and effective settings; the models are OpenAPI's too."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from api.names import camel
from core.kinds import KINDS
from core.manage import provider_secrets
from core.manage.connection import Report
from core.models.adapt import Adjustment, Unfit
from core.parameters import PARAMETERS
from core.resolving.effective import CURES, EffectiveSettings, Explained, LayerName, LogLevel, Source
from core.store.sealed import fingerprint_of
from core.store.tables import LlmProvider, LlmProviderSecret, LlmSettings

Data = TypeVar("Data")
_KIND: Final = f"{', '.join(KINDS)}; a newer version may have stored another"


class Wire(BaseModel):
    """What all of it has in common: names of the wire, and nothing unknown."""

    model_config = ConfigDict(alias_generator=camel, extra="forbid", frozen=True)


class Answer(BaseModel, Generic[Data]):
    """The envelope of what was served."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[True]
    data: Data


class _Change(Wire):
    stored: Any
    yours: Any


class _Told(Wire):
    code: str = Field(description="in capitals: what a program goes by", examples=["FORBIDDEN"])
    message: str = Field(description="for people: what happened, and the cure")
    request_id: str = Field(description="of this request, as in the header X-Request-ID and in the app's log")
    fields: dict[str, str] | None = Field(default=None, description="field at fault -> the rule it breaks")
    version: int | None = Field(default=None, description="of a conflict: the version that is stored now")
    changed_by: str | None = None
    changed_at: datetime | None = None
    changes: dict[str, _Change] | None = Field(default=None, description="of a conflict: both values of each field")
    checks: dict[str, str] | None = Field(default=None, description="of a process that is not ready: check -> state")


class Failure(BaseModel):
    """The envelope of what was refused, or failed."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False]
    error: _Told


class Live(BaseModel):
    """That the process answers."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["live"]


class Ready(Wire):
    """Whether the process can do its work."""

    status: Literal["ready", "degraded"] = Field(description="degraded: it works, and somebody should look at a check")
    checks: dict[str, str] = Field(description="check -> ok, or what is the matter")
    snapshot_age_seconds: float | None = Field(description="since the settings in memory were known to be those stored")
    details: dict[str, Any] | None = Field(default=None, description="for admins alone")


class Deleted(Wire):
    """What a deletion took with it."""

    id: int
    deleted: list[str]


class Provider(Wire):
    """A provider, as an admin sees it. The key itself never leaves."""

    id: int
    name: str
    display_name: str
    description: str | None
    kind: str = Field(description=_KIND)
    api_key_masked: str | None = Field(description="how the key begins; null without a key")
    api_key_fingerprint: str | None = Field(
        description="by which two keys with one mask are told apart, as #3f9a07c2; null: not known, or without a key"
    )
    api_base_url: str | None = Field(description="null: the vendor's own")
    needs_key: bool = Field(description="false: it is called without an API key, as a server of one's own may be")
    available_models: list[str]
    default_model: str | None
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class ProviderBrief(Wire):
    """A provider, as an analyst sees it."""

    id: int
    name: str
    display_name: str
    description: str | None
    kind: str = Field(description=_KIND)
    available_models: list[str]
    default_model: str | None
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class Carried(Wire):
    """A header or a query parameter of a provider."""

    name: str
    sealed: bool = Field(description="whether it is a secret: the value itself then never leaves")
    value: str | None = Field(description="null: it is sealed")
    value_masked: str | None = Field(description="how a sealed value begins")
    value_fingerprint: str | None = Field(description="of a sealed value, as #3f9a07c2")
    set_at: datetime | None
    version: int


class NextKey(Wire):
    """The key beside a provider's current one."""

    state: Literal["next", "former"] = Field(description="former: it was the current one, and waits to be retired")
    api_key_masked: str | None
    api_key_fingerprint: str | None
    set_at: datetime | None
    version: int


class TestedStage(Wire):
    """One stage of a connection test."""

    name: Literal["name", "address", "connected", "tls", "key", "model", "call"]
    state: Literal["verified", "refused", "not_checked"]
    latency_ms: int | None = Field(description="null: nothing was tried")
    words: str = Field(description="for people: the vendor's own, where it said something")


class TestReport(Wire):
    """What a connection test found out."""

    state: Literal["verified", "refused", "not_checked"] = Field(
        description="verified: the call was answered; refused: a stage was; else not checked"
    )
    model: str | None
    stages: list[TestedStage]
    new_models: list[str] = Field(description="in the vendor's list, and not among the provider's")
    gone_models: list[str] = Field(description="among the provider's, and not in the vendor's list")


class SettingsRow(Wire):
    """A settings row; null inherits."""

    id: int
    organization_id: int | None = Field(description="always null: there are no organisations yet")
    provider_id: int | None = Field(description="null: the row of all providers")
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
        default=None, description="after a change: what is not sent as it is set; not there if all is"
    )


class ValueSource(Wire):
    """Where a value comes from. A built-in default has no row."""

    layer: LayerName
    row_id: int | None
    version: int | None
    changed_at: datetime | None
    changed_by: str | None


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


class Effective(Wire):
    """The settings in force for one provider: a settings row with nothing left to inherit."""

    id: int | None = Field(
        description="of the provider's own settings row, or of that of all providers; null: there is neither"
    )
    provider: Provider | ProviderBrief
    provider_id: int
    organization_id: int | None
    status: Literal["ok", "disabled", "no_model", "no_key", "key_unreadable"] = Field(
        description="ok, or the first that holds"
    )
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
    is_overridden: bool = Field(description="by an organisation's own settings; false until there are organisations")
    created_at: datetime | None = Field(description="of that settings row")
    updated_at: datetime | None = Field(description="of that settings row")
    explain: list[ExplainedValue] | None = Field(default=None, description="with ?explain=true")


def provider(row: LlmProvider | Mapping[str, Any], *, brief: bool = False) -> dict[str, Any]:
    """Return a provider as it goes over the wire; *brief*: without mask and base URL."""
    if brief:
        return picked(row, ProviderBrief)
    read = _reader(row)
    known = fingerprint_of(read("api_key_fingerprint"), read("api_key_encrypted")) or None
    return picked(row, Provider, api_key_fingerprint=known)


def carried(row: LlmProviderSecret) -> dict[str, Any]:
    """Return a header or a query parameter as it goes over the wire: of a sealed one no value."""
    return picked(
        row,
        Carried,
        sealed=row.plain_value is None,
        value=row.plain_value,
        value_fingerprint=provider_secrets.value_fingerprint(row) or None,
        set_at=row.value_set_at,
    )


def next_key(row: LlmProviderSecret) -> dict[str, Any]:
    """Return the key beside the current one as it goes over the wire."""
    return picked(
        row,
        NextKey,
        state=row.name,
        api_key_masked=row.value_masked,
        api_key_fingerprint=provider_secrets.value_fingerprint(row) or None,
        set_at=row.value_set_at,
    )


def test_report(model: str | None, report: Report) -> dict[str, Any]:
    """Return what a connection test found out as it goes over the wire."""
    return {
        "state": report.state,
        "model": model,
        "stages": [{camel(name): value for name, value in stage._asdict().items()} for stage in report.stages],
        "newModels": list(report.new),
        "goneModels": list(report.gone),
    }


def settings_row(row: LlmSettings, warnings: list[str] | None = None) -> dict[str, Any]:
    """Return a settings row as it goes over the wire, with *warnings* if there are any."""
    found = picked(row, SettingsRow, warnings=warnings)
    return found if warnings else {name: value for name, value in found.items() if name != "warnings"}


def effective(
    settings: EffectiveSettings,
    row: Mapping[str, Any],
    settings_row: Mapping[str, Any] | None = None,
    *,
    brief: bool,
    explain: bool = False,
) -> dict[str, Any]:
    """Return effective settings as they go over the wire.

    Args:
        settings: What is in force.
        row: The provider, column -> value.
        settings_row: The provider's own settings row, or that of all providers; None: there is neither.
        brief: For somebody who is no admin.
        explain: With the source of each value.
    """
    values = settings.as_dict()
    found = {
        "id": settings_row["id"] if settings_row else None,
        "provider": provider(row, brief=brief),
        "providerId": settings.provider_id,
        "organizationId": None,
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
        "isOverridden": False,  # settings of organisations are a layer to come
        **{camel(name): _plain(settings_row[name]) if settings_row else None for name in ("created_at", "updated_at")},
    }
    if explain:
        found["explain"] = [_explained(item) for item in settings.explain()]
    return found


def _cure(settings: EffectiveSettings, *, brief: bool) -> str | None:
    """Return what to do about a status; a key's own problem, which names encryption keys, is for admins."""
    if not brief or settings.cure is None:
        return settings.cure
    return f"{CURES.get(settings.status, '')} Ask an admin.".strip()


def _explained(item: Explained) -> dict[str, Any]:
    head, dot, key = item.name.partition(".")
    return {
        "name": camel(head) + dot + key,
        "value": item.value,
        "sent": item.sent,
        "source": _source(item.source),
        "shadows": [{"source": _source(source), "value": value} for source, value in item.shadows],
        "omittedBy": _source(item.omitted_by) if item.omitted_by else None,
        "adjusted": _adjusted(item.adjusted) if item.adjusted else None,
    }


def _adjusted(each: Adjustment) -> dict[str, Any]:
    return {camel(name): value for name, value in each.as_dict().items()}


def _source(source: Source) -> dict[str, Any]:
    return {camel(name): value for name, value in source.as_dict().items()}


def _reader(row: Any) -> Callable[[str], Any]:
    return row.__getitem__ if isinstance(row, Mapping) else lambda name: getattr(row, name)


def picked(row: Any, model: type[BaseModel], **made: Any) -> dict[str, Any]:
    """Return the fields of *model*: those in *made*, the others as *row* has them."""
    read = _reader(row)
    return {camel(name): _plain(made[name] if name in made else read(name)) for name in model.model_fields}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
