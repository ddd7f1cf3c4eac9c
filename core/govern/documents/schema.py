"""The form of a document: models around those of :mod:`core.store.schemas`, so that there is one validator, and its JSON Schema."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ...errors import Invalid
from ...parameters import PARAMETERS, SENDABLE
from ...store import carried_values, fact_schemas
from ...store.budget_schemas import BudgetInput
from ...store.limit_schemas import LimitsInput
from ...store.organization_schemas import (
    FeatureInput,
    InstallationInput,
    OrganizationInput,
    OrganizationProviderInput,
)
from ...store.personal_data_schemas import PersonalDataInput
from ...store.preset_schemas import PRESET_FIELDS, PresetInput, PresetNaming
from ...store.rate_schemas import RateLimitInput
from ...store.schemas import Input, Problems, ProviderInput, SettingsInput, validate
from . import parsing
from .refusing import explained, path_of, step_of

VERSION: Final = 1
CALL_SCOPE: Final = ("organization", "feature", "provider")
"""What a budget, or a rate limit, names of its scope."""
NO_NULL: Final = "has no value: leave it out"
WRITTEN_OUT: Final = "must not be written out: put it into a variable, {env: NAME}, or a file, {file: PATH}, which the command line reads"
_MASK: Final = "is the mask of a stored value: leave it out to keep what is stored, or write {env: NAME}"


class DocumentPart(Input):
    """A part of a document: what it does not name is not set, and nothing is null."""

    hidden: ClassVar[frozenset[str]] = frozenset()
    """Fields of the model behind it that a document says in another way."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        problems = {name: "is not a field here" for name in cls.hidden if name in data}
        problems |= {name: NO_NULL for name, value in data.items() if value is None}
        if problems:
            raise Problems(problems)
        return data


class SecretPart(DocumentPart):
    """A secret: where the command line finds it, or that there is one."""

    env: Annotated[
        str | None, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,199}$", description="the name of a variable")
    ] = None
    file: Annotated[str | None, Field(min_length=1, max_length=4096, description="the path of a file")] = None
    set: Annotated[bool | None, Field(description="true: there is one; false: there is none")] = None
    fingerprint: Annotated[
        str | None, Field(pattern="^#[0-9a-f]{8}$", description="# and 8 hex digits, as export writes it")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _no_secret(cls, data: Any) -> Any:
        if isinstance(data, str):
            raise ValueError(_MASK if "***" in data else WRITTEN_OUT)  # noqa: TRY004 - what pydantic takes for a rule
        return data

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not self.is_plain and sum(each is not None for each in (self.env, self.file, self.set)) != 1:
            raise ValueError("must be one of {env: NAME}, {file: PATH}, {set: true, fingerprint: …}, {set: false}")
        if self.fingerprint is not None and not self.set:
            raise ValueError("has a fingerprint without set: true")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether it is no secret."""
        return False

    @property
    def reference(self) -> str:
        """What it refers to, as ``{env: NAME}``; empty if it is no reference."""
        if self.env is not None:
            return f"{{env: {self.env}}}"
        return f"{{file: {self.file}}}" if self.file is not None else ""


class CarriedPart(SecretPart):
    """A header or a query parameter: plain text, or a secret."""

    value: Annotated[str | None, Field(description="text")] = None

    @model_validator(mode="before")
    @classmethod
    def _no_secret(cls, data: Any) -> Any:
        if isinstance(data, dict) and "value" in data:
            raise Problems({"value": "is not a field here"})
        return {"value": data} if isinstance(data, str) else data

    @property
    def is_plain(self) -> bool:
        """Whether it is no secret."""
        return self.value is not None


class SettingsPart(DocumentPart, SettingsInput):
    """A settings row. What it does not name inherits; {omit: true} is not sent to the model."""

    hidden = frozenset({"is_active"})
    default_provider: Annotated[str | None, Field(description="the name of a provider")] = None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        flat, problems, omitted = dict(data), {}, []
        if "omitted_parameters" in data:
            problems["omitted_parameters"] = "is not a field here: write {omit: true} at each parameter"
        for name in SENDABLE:
            said = data.get(name)
            if not isinstance(said, dict):
                continue
            if (
                not said
                or said.keys() - {"omit", "value"}
                or said.get("omit") is not True
                or said.get("value", 0) is None
            ):
                problems[name] = f"must be {PARAMETERS[name].rule}; or {{omit: true}}, which does not send it"
                continue
            omitted.append(name)
            del flat[name]
            if "value" in said:
                flat[name] = said["value"]
        if problems:
            raise Problems(problems)
        return {**flat, "omitted_parameters": omitted} if omitted else flat


class ProviderPart(DocumentPart, ProviderInput):
    """A provider, with all that it has. Its name is its key in the document."""

    api_key: SecretPart | None = None
    next_key: SecretPart | None = None
    headers: dict[str, CarriedPart] | None = None
    query: dict[str, CarriedPart] | None = None
    settings: SettingsPart | None = None

    @model_validator(mode="after")
    def _carried(self) -> Self:
        problems = {}
        for section, use in (("headers", "header"), ("query", "query")):
            for name, part in (getattr(self, section) or {}).items():
                rule = carried_values.refused_name(self.kind, use, name)
                if part.value is not None and not rule:
                    rule = carried_values.refused_value(part.value)
                    if not rule and carried_values.warning(name, part.value):
                        rule = f"looks like a secret, which {WRITTEN_OUT}"
                if rule:
                    problems[f"{section}.{step_of(name)}"] = rule
        if problems:
            raise Problems(problems)
        return self


class ProviderSettingsPart(DocumentPart):
    """What a feature has of one provider."""

    settings: SettingsPart | None = None


class FeaturePart(DocumentPart, FeatureInput):
    """A feature. Its name is its key in the document."""

    settings: SettingsPart | None = None
    providers: dict[str, ProviderSettingsPart] | None = None


class OrganizationFeaturePart(DocumentPart):
    """What an organisation says of a feature."""

    settings: SettingsPart | None = None
    providers: dict[str, ProviderSettingsPart] | None = None


class TermsPart(DocumentPart, OrganizationProviderInput):
    """What an organisation may of a provider, its own key and its settings there."""

    api_key: SecretPart | None = None
    settings: SettingsPart | None = None


class OrganizationPart(DocumentPart, OrganizationInput):
    """An organisation or a template. Its slug is its key in the document."""

    hidden = frozenset({"template_id"})
    template: Annotated[str | None, Field(description="the slug of a template")] = None
    settings: SettingsPart | None = None
    providers: dict[str, TermsPart] | None = None
    features: dict[str, OrganizationFeaturePart] | None = None

    @model_validator(mode="after")
    def _builds_on(self) -> Self:
        if self.kind == "template" and self.template is not None:
            raise Problems({"template": "must be left out: a template builds on no other"})
        return self


class InstallationPart(DocumentPart, InstallationInput):
    """What an admin decides for the whole store."""


class ModelFactsPart(DocumentPart):
    """What an admin says of models; *facts* as on the Models page."""

    pattern: Annotated[str, Field(description="a name of models; * and ? stand for characters")]
    api: Annotated[str | None, Field(description="an API, perhaps with @ and a host")] = None
    facts: Annotated[dict[str, Any], Field(description="a JSON object")]
    why: Annotated[str, Field(description="the reason, in 1 to 2000 characters")]

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            self.checked()
        except Invalid as error:
            problems = error.fields
        else:
            return self
        raise Problems(problems)

    def checked(self) -> tuple[str, str | None, dict[str, Any], str]:
        """Return pattern, API, facts and reason as they are stored; raises Invalid."""
        return (
            fact_schemas.pattern_of(self.pattern),
            fact_schemas.api_of(self.api),
            fact_schemas.facts_of(self.facts),
            fact_schemas.why_of(self.why),
        )


class LimitsPart(DocumentPart):
    """Limits of one owner on one scope, which names nobody, or any of an organisation, a feature and a provider."""

    owner: Annotated[Literal["installation", "organization"], Field(description="installation or organization")] = (
        "installation"
    )
    organization: Annotated[str | None, Field(description="the slug of an organisation")] = None
    feature: Annotated[str | None, Field(description="the name of a feature")] = None
    provider: Annotated[str | None, Field(description="the name of a provider")] = None
    limits: Annotated[
        dict[str, Any],
        Field(description='an object, as {"max_tokens": {"max": 4000}, "log_level": {"in": ["minimal"]}}'),
    ]
    note: Annotated[str | None, Field(description="a line")] = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        try:
            self.checked()
        except Invalid as error:
            problems = {name.removesuffix("_id"): rule for name, rule in error.fields.items()}
        else:
            return self
        raise Problems(problems)

    def checked(self) -> dict[str, Any]:
        """Return the limits as they are stored, but for names of providers in place of ids; raises Invalid."""
        said, names = dict(self.limits), []
        rule = said.get("default_provider")
        if isinstance(rule, dict) and isinstance(rule.get("in"), list):
            if not all(isinstance(name, str) for name in rule["in"]):
                raise Invalid({"limits.default_provider": "must have names of providers"})
            names = list(dict.fromkeys(rule["in"]))
            said["default_provider"] = {**rule, "in": [names.index(name) + 1 for name in rule["in"]]}
        of = {
            f"{each}_id": 1 if getattr(self, each) is not None else None
            for each in ("organization", "feature", "provider")
        }
        found = validate(LimitsInput, {"owner": self.owner, **of, "limits": said, "note": self.note}).rules
        if names and "in" in found.get("default_provider", ()):
            found["default_provider"]["in"] = [names[number - 1] for number in found["default_provider"]["in"]]
        return found


class PresetSettingsPart(SettingsPart):
    """What a preset says of parameters: of each a value, or {omit: true}."""

    hidden = frozenset({"is_active", "preferred_model", "default_provider"})


class PresetPart(DocumentPart, PresetNaming):
    """A preset. Its name is its key in the document."""

    settings: PresetSettingsPart

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        try:
            self.checked()
        except Invalid as error:
            problems = {name.replace("fields", "settings", 1): rule for name, rule in error.fields.items()}
        else:
            return self
        raise Problems(problems)

    def checked(self) -> dict[str, Any]:
        """Return the fields as they are stored; raises Invalid."""
        said = {name: value for name in PRESET_FIELDS if (value := getattr(self.settings, name)) is not None}
        return validate(PresetInput, {"name": self.name, "description": self.description, "fields": said}).fields


class BudgetPart(DocumentPart, BudgetInput):
    """A budget. Its name is its key in the document; what of its scope it does not name is all of them."""

    hidden = frozenset(f"{each}_id" for each in CALL_SCOPE)
    organization: Annotated[str | None, Field(description="the slug of an organisation")] = None
    feature: Annotated[str | None, Field(description="the name of a feature")] = None
    provider: Annotated[str | None, Field(description="the name of a provider")] = None


class RateLimitPart(DocumentPart, RateLimitInput):
    """A rate limit on calls. Its name is its key in the document; what of its scope it does not name is all of them."""

    hidden = frozenset(f"{each}_id" for each in CALL_SCOPE)
    organization: Annotated[str | None, Field(description="the slug of an organisation")] = None
    feature: Annotated[str | None, Field(description="the name of a feature")] = None
    provider: Annotated[str | None, Field(description="the name of a provider")] = None


class PersonalDataPart(DocumentPart, PersonalDataInput):
    """What becomes of personal data in a scope; what of its scope it does not name is all of them."""

    hidden = frozenset(f"{each}_id" for each in CALL_SCOPE)
    organization: Annotated[str | None, Field(description="the slug of an organisation or a template")] = None
    feature: Annotated[str | None, Field(description="the name of a feature")] = None
    provider: Annotated[str | None, Field(description="the name of a provider")] = None


def _named(field: str) -> Callable[[Any], Any]:
    """Return what puts the key of each part into its *field*."""

    def put(data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if field == "name" and (
            twice := [key for key, part in data.items() if isinstance(part, dict) and field in part]
        ):
            raise Problems({f"{step_of(key)}.{field}": "is not a field here: the key is the name" for key in twice})
        return {key: {**part, field: key} if isinstance(part, dict) else part for key, part in data.items()}

    return put


class Document(DocumentPart):
    """The whole document. A section that it does not name is left as it is."""

    version: Annotated[Literal[1], Field(description="1")]
    installation: InstallationPart | None = None
    defaults: SettingsPart | None = None
    providers: Annotated[dict[str, ProviderPart], BeforeValidator(_named("name"))] | None = None
    model_facts: list[ModelFactsPart] | None = None
    features: Annotated[dict[str, FeaturePart], BeforeValidator(_named("name"))] | None = None
    organizations: Annotated[dict[str, OrganizationPart], BeforeValidator(_named("slug"))] | None = None
    limits: list[LimitsPart] | None = None
    presets: Annotated[dict[str, PresetPart], BeforeValidator(_named("name"))] | None = None
    budgets: Annotated[dict[str, BudgetPart], BeforeValidator(_named("name"))] | None = None
    rate_limits: Annotated[dict[str, RateLimitPart], BeforeValidator(_named("name"))] | None = None
    personal_data: list[PersonalDataPart] | None = None

    def secrets(self) -> Iterator[tuple[str, SecretPart]]:
        """Yield each secret that it names, by the path where it stands."""
        for name, provider in (self.providers or {}).items():
            at = f"providers.{step_of(name)}"
            for field in ("api_key", "next_key"):
                if (part := getattr(provider, field)) is not None:
                    yield f"{at}.{field}", part
            for section in ("headers", "query"):
                for key, carried in (getattr(provider, section) or {}).items():
                    if carried.value is None:
                        yield f"{at}.{section}.{step_of(key)}", carried
        for slug, organization in (self.organizations or {}).items():
            for name, terms in (organization.providers or {}).items():
                if terms.api_key is not None:
                    yield f"organizations.{step_of(slug)}.providers.{step_of(name)}.api_key", terms.api_key


def read(text: str, bounds: parsing.Bounds = parsing.EVERYWHERE) -> Document:
    """Return the document that *text*, YAML or JSON, is; no larger than *bounds*.

    Raises:
        Invalid: Each path at fault, and the rule with its line. No value stands in it.
        MissingExtra: If it is YAML and no reader of it is installed.
    """
    return of(parsing.parse(text, bounds))


def of(data: Any) -> Document:
    """Return *data* as a document; raises Invalid as :func:`read`."""
    if not isinstance(data, dict):
        raise Invalid({parsing.DOCUMENT: "must be a mapping, as version: 1"})
    try:
        return Document.model_validate(data)
    except ValidationError as error:
        problems = dict(explained(Document, error, data))
    raise Invalid(problems)  # out here: chained, even silently, the cause would hold what was written


Secrets = Mapping[str, str]
"""Path of a secret, as :meth:`Document.secrets` has it -> its plain value."""

__all__ = ["Document", "SecretPart", "Secrets", "SettingsPart", "of", "path_of", "read"]
