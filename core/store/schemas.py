"""The only validator: pages, REST, command line and imports all go through these models."""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)

from ..errors import Invalid
from ..kinds import KINDS, Kind, base_url_of, vendor_at
from ..parameters import PARAMETERS, SENDABLE, Parameter
from ..redaction import remember
from ..resolving import extra
from . import api_keys, carried_values, passwords
from .api_keys import MAX_KEY
from .tables import USERNAME_PATTERN
from .values import (
    MAX_CUSTOM_DEPTH,
    MAX_MODELS,
    MAX_TEXT,
    custom,
    distinct,
    empty_is_none,
    no_halves,
    no_line_breaks,
    normalised,
    paragraph,
    trimmed,
    url,
)

MAX_PASSWORD_BYTES = 72
"""bcrypt reads no further."""

_KINDS = f"one of {', '.join(KINDS)}"
_PROVIDER_NAME = "[a-z0-9_-]{1,50}"
M = TypeVar("M", bound=BaseModel)


def _extra(value: dict[str, Any]) -> dict[str, Any]:
    if (rule := extra.refusal(value)) is not None:
        raise ValueError(rule)
    return value


OneLine = BeforeValidator(normalised)
ModelName = Annotated[str, OneLine, Field(min_length=1, max_length=200)]
OptionalModel = Annotated[
    ModelName | None,
    BeforeValidator(empty_is_none),  # runs last: of several, pydantic runs the lowest BeforeValidator first
    BeforeValidator(normalised),
    Field(description="a name of 1 to 200 characters"),
]
BaseUrl = Annotated[str, OneLine, Field(max_length=500), AfterValidator(url)]


def could_be_provider(name: str) -> bool:
    """Return whether a provider could have this name; with any other there is no need to ask the database."""
    return re.fullmatch(_PROVIDER_NAME, name) is not None


def could_be_id(number: int) -> bool:
    """Return whether a row could have this id; the column cannot even be compared with a larger one."""
    return 0 < number < 2**31


class Input(BaseModel):
    """What somebody typed, or a program sent: strict, and nothing of it in errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class ProviderInput(Input):
    """A whole provider, without its key."""

    name: Annotated[
        str,
        OneLine,
        Field(
            pattern=f"^{_PROVIDER_NAME}$", description="1 to 50 of the characters a to z, 0 to 9, hyphen and underscore"
        ),
    ]
    display_name: Annotated[str, OneLine, Field(min_length=1, max_length=100, description="1 to 100 characters")]
    description: Annotated[
        Annotated[str, Field(max_length=2000)] | None,
        BeforeValidator(empty_is_none),
        BeforeValidator(paragraph),
        Field(description="at most 2000 characters"),
    ] = None
    kind: Annotated[Kind, Field(description=_KINDS)]
    api_base_url: Annotated[
        BaseUrl | None,
        BeforeValidator(empty_is_none),
        BeforeValidator(normalised),
        Field(description="an http or https URL of at most 500 characters"),
    ] = None
    needs_key: Annotated[bool, Field(description="true or false")] = True
    available_models: Annotated[
        list[ModelName],
        Field(min_length=1, max_length=MAX_MODELS, description=f"a list of 1 to {MAX_MODELS:,} model names"),
        AfterValidator(distinct),
    ]
    default_model: OptionalModel = None
    is_active: Annotated[bool, Field(description="true or false")] = True

    @model_validator(mode="after")
    def _together(self) -> Self:
        problems = {}
        if self.default_model is not None and self.default_model not in self.available_models:
            problems["default_model"] = "must be one of the available models"
        if base_url_of(self.kind, self.api_base_url) is None:
            problems["api_base_url"] = f"is needed for the kind {self.kind}: it has no address of its own"
        elif not self.needs_key and (vendor := vendor_at(self.kind, self.api_base_url)):
            problems["needs_key"] = f"must be true: {vendor.label} answers nobody without a key"
        if problems:
            raise Problems(problems)
        return self


class _SecretInput(Input):
    def __reduce__(self) -> NoReturn:
        raise TypeError("What somebody typed as a secret cannot be pickled.")


def _remembered(value: SecretStr) -> SecretStr:
    remember(value.get_secret_value())
    return value


class ApiKeyInput(_SecretInput):
    """A provider's API key, as typed."""

    api_key: Annotated[
        SecretStr,
        BeforeValidator(no_line_breaks),
        Field(min_length=1, max_length=MAX_KEY, repr=False, description=f"1 to {MAX_KEY:,} characters"),
        AfterValidator(_remembered),
    ]
    kind: Annotated[Kind, Field(description=_KINDS)] = "openai_compatible"
    """Of its provider. The default has the fewest rules: for where the provider is not known yet."""

    @model_validator(mode="after")
    def _is_a_key(self) -> Self:
        if rule := api_keys.look(self.kind, self.api_key.get_secret_value()).refused:
            raise Problems({"api_key": rule})
        return self


class CarriedInput(_SecretInput):
    """A header or a query parameter of a provider, as typed. Only one that is to be sealed is a secret."""

    kind: str
    """Of its provider."""
    use: Annotated[Literal["header", "query"], Field(description="header or query")]
    name: Annotated[str, BeforeValidator(no_halves), BeforeValidator(trimmed)]
    value: Annotated[SecretStr, BeforeValidator(no_halves), BeforeValidator(trimmed), Field(repr=False)]
    sealed: bool

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        value = self.value.get_secret_value()
        problems = {
            "name": carried_values.refused_name(self.kind, self.use, self.name),
            "value": carried_values.refused_value(value),
        }
        if any(problems.values()):
            raise Problems({field: rule for field, rule in problems.items() if rule})
        if self.sealed:
            remember(value)
        return self


class UserInput(Input):
    """A person who may sign in."""

    username: Annotated[
        str,
        BeforeValidator(lambda v: v.casefold() if isinstance(v, str) and len(v) <= MAX_TEXT else v),
        OneLine,
        Field(
            pattern=USERNAME_PATTERN,
            description="1 to 64 of the characters a to z, 0 to 9, dot, underscore, @ and hyphen, beginning with a letter or digit",
        ),
    ]
    role: Annotated[Literal["admin", "analyst", "member"], Field(description="one of admin, analyst, member")]


class TokenInput(Input):
    """An API token, to be made."""

    name: Annotated[str, OneLine, Field(min_length=1, max_length=100, description="1 to 100 characters")]
    role: Annotated[Literal["admin", "analyst", "metrics"], Field(description="one of admin, analyst, metrics")]
    expires_in_days: Annotated[
        Annotated[int, Field(ge=1, le=3650)] | None,
        Field(description="a whole number from 1 to 3650, or nothing: it does not expire"),
    ] = None
    organization_id: Annotated[
        Annotated[int, Field(ge=1, lt=2**31)] | None, Field(description="the id of an organisation, or nothing")
    ] = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.organization_id is not None and self.role == "metrics":
            raise Problems({"role": "must be admin or analyst for a token of one organisation"})
        return self


def _password(value: SecretStr) -> SecretStr:
    plain = value.get_secret_value()
    if "\x00" in plain:
        raise ValueError("has a NUL character")
    size = len(plain.encode())
    if size > MAX_PASSWORD_BYTES:
        raise ValueError(f"takes {size} bytes; at most {MAX_PASSWORD_BYTES} (accents and emoji take several)")
    if plain != plain.strip():
        raise ValueError("must not begin or end with a space: the sign-in form trims it away")
    if passwords.is_easy(plain):
        raise ValueError(
            "is easy to guess: common words and patterns, or the same again. Add words that do not go together"
        )
    return value


class PasswordInput(_SecretInput):
    """A new password. Length and no common ones, by NIST SP 800-63B-4 §3.1.1 for a single factor; no composition rules."""

    password: Annotated[
        SecretStr,
        BeforeValidator(no_halves),
        Field(min_length=15, max_length=64, repr=False, description="15 to 64 characters"),
        AfterValidator(_password),
        AfterValidator(_remembered),
    ]


def _fitting(parameter: Parameter, value: Any) -> Any:
    if value is not None and not parameter.fits(value):
        raise ValueError(f"must be {parameter.rule}")
    return value


def _parameter_type(parameter: Parameter) -> Any:
    if parameter.choices:
        return Annotated[Literal[parameter.choices] | None, Field(description=parameter.rule)]
    if parameter.value_type is bool:
        return Annotated[bool | None, Field(description=parameter.rule)]
    if parameter.pattern or parameter.most:
        return Annotated[
            parameter.value_type | None if parameter.pattern else list[str] | None,
            AfterValidator(partial(_fitting, parameter)),
            Field(description=parameter.rule),
        ]
    bounds = Field(ge=parameter.minimum, le=parameter.maximum, description=parameter.rule)
    zero = AfterValidator(lambda v: v + 0.0 if isinstance(v, float) else v)  # -0.0 is 0.0
    return Annotated[parameter.value_type | None, bounds, zero]


class _SettingsBase(Input):
    preferred_model: OptionalModel = None
    omitted_parameters: Annotated[
        list[Literal[SENDABLE]] | None,  # type: ignore[valid-type]  # the names are data, listed once in core.parameters
        Field(description=f"a list of some of {', '.join(SENDABLE)}"),
        AfterValidator(lambda names: None if names is None else [n for n in SENDABLE if n in names]),
    ] = None
    custom_settings: Annotated[
        dict[str, Any] | None,
        Field(description="a JSON object"),
        AfterValidator(lambda v: None if v is None else custom(v)),
    ] = None
    extra_parameters: Annotated[
        dict[str, Any] | None,
        Field(description="a JSON object"),
        AfterValidator(lambda v: None if v is None else _extra(custom(v))),
    ] = None
    is_active: Annotated[bool, Field(description="true or false")] = True

    @model_validator(mode="after")
    def _once(self) -> Self:
        rule = extra.twice(self.extra_parameters or {}, self.__dict__)
        if rule is not None:
            raise Problems({"extra_parameters": rule})
        return self


# Made from the one table of parameters; the price is that no type checker knows these fields: tests/test_parameters.py does.
_PARAMETER_FIELDS: dict[str, Any] = {name: (_parameter_type(p), None) for name, p in PARAMETERS.items()}
SettingsInput = create_model(
    "SettingsInput",
    __base__=_SettingsBase,
    __doc__="A settings row. A field that is None inherits; a field that is not named is left as it is.",
    **_PARAMETER_FIELDS,
)


class Problems(ValueError):
    """What a rule of several fields finds: field -> the rule it breaks."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("several fields")
        self.fields = fields


def validate(model: type[M], data: Mapping[str, Any]) -> M:
    """Return *data* as *model*.

    Raises:
        Invalid: Names each field at fault and the rule it breaks, never the value.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        problems = _explained(model, error)
    raise Invalid(problems)  # out here: chained, even silently, the cause would hold what was typed


def parse_json_object(text: str, field: str) -> dict[str, Any] | None:
    """Read a JSON object that a person typed; empty text is None.

    Raises:
        Invalid: Naming *field*, and where the text stops being JSON.
    """
    if not text.strip():
        return None
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Invalid({field: f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"}) from None
    except RecursionError:
        raise Invalid({field: f"must be at most {MAX_CUSTOM_DEPTH} levels deep"}) from None
    except ValueError as error:
        raise Invalid({field: f"is not JSON that can be stored: {error}"}) from None
    if not isinstance(value, dict):
        raise Invalid({field: 'must be a JSON object, as {"key": "value"}'})
    return value


def parse_models(text: str) -> list[str]:
    """Read model names that a person pasted: a JSON array, or one a line, or with commas between; perhaps in quotes, or as a list of YAML."""
    if text.lstrip().startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise Invalid({"available_models": 'is not a JSON array, as ["model-a", "model-b"]'}) from None
        if not all(isinstance(item, str) for item in value):
            raise Invalid({"available_models": "must hold names in quotes only"})
        return list(value)
    lines = (re.sub(r"^\s*[-*\u2022]\s+", "", line) for line in text.splitlines())  # lists of YAML and Markdown
    parts = (_quoted_or_not(found) for line in lines for found in re.finditer(_LISTED, line))
    return [name for name in parts if name]


_LISTED = re.compile(r"\s*(?P<quote>[\"'`])(?P<inner>.+?)(?P=quote)\s*(?:,|$)|(?P<plain>[^,]+)")
"""One name of a line: in quotes, where a comma is a part of it, or up to the next comma."""


def _quoted_or_not(found: re.Match[str]) -> str:
    return (found["inner"] or found["plain"]).strip()


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _explained(model: type[BaseModel], error: ValidationError) -> dict[str, str]:
    fields: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Problems):
            fields.update(cause.fields)
            continue
        name = str(item["loc"][0])[:50] if item["loc"] else "input"
        known = model.model_fields.get(name)
        if item["type"] == "missing":
            rule = "is needed"
        elif known is None:
            rule = "is not a field here"
        elif isinstance(cause, ValueError):
            rule = str(cause)
        elif name == "available_models" and len(item["loc"]) > 1:
            rule = f"must be names of 1 to 200 characters; number {int(item['loc'][1]) + 1} is not"
        else:
            rule = f"must be {known.description or _nested(item)}"
        fields.setdefault(name, rule)
    return fields


def _nested(item: Any) -> str:
    return str(item["msg"]).removeprefix("Input should be ").removeprefix("String should ")
