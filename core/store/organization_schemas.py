"""What may be said of organisations and features: a part of :mod:`~.schemas`, the only validator."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .organization_tables import FEATURE_PATTERN, SLUG_PATTERN
from .schemas import Input, ModelName, OneLine, Problems, SettingsInput
from .values import MAX_MODELS, distinct, empty_is_none, exact, paragraph

MOST_NAMES: Final = 100
"""External names of one organisation."""
MOST_AT_ONCE: Final = 1_000
"""Organisations that one write makes."""
LONGEST_NAME: Final = 200

Slug = Annotated[
    str,
    Field(
        pattern=SLUG_PATTERN,
        description="1 to 63 of the characters a to z, 0 to 9, hyphen and underscore, beginning with a letter or digit",
    ),
]
DisplayName = Annotated[str, OneLine, Field(min_length=1, max_length=LONGEST_NAME, description="1 to 200 characters")]
ExternalName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(exact)]
ExternalNames = Annotated[
    list[ExternalName],
    Field(max_length=MOST_NAMES, description=f"a list of at most {MOST_NAMES} names of 1 to 200 characters"),
]
Flag = Annotated[bool, Field(description="true or false")]
Id = Annotated[int, Field(ge=1, lt=2**31)]
LEAST_AUDIT_DAYS: Final = 30
"""So many days of the audit stay, whoever decides."""


class OrganizationInput(Input):
    """An organisation, or a template, with what it is called; what it may and has stands in rows of its own."""

    slug: Slug
    name: DisplayName
    kind: Annotated[Literal["organization", "template"], Field(description="organization or template")] = "organization"
    template_id: Annotated[Id | None, Field(description="the id of a template, or nothing")] = None
    shares_keys: Flag = True
    is_active: Flag = True
    keep_calls_days: Annotated[
        int | None,
        Field(ge=1, le=36_500, description="a number of days from 1 to 36,500, or nothing: as the installation says"),
    ] = None
    external_names: ExternalNames = Field(default_factory=list)

    @model_validator(mode="after")
    def _together(self) -> Self:
        problems = {}
        if self.kind == "template" and self.template_id is not None:
            problems["template_id"] = "must be nothing: a template builds on no other"
        if self.kind == "template" and self.keep_calls_days is not None:
            problems["keep_calls_days"] = "must be nothing: a template makes no calls"
        if self.kind == "template" and self.external_names:
            problems["external_names"] = "must be empty: nobody asks for a template"
        if len({self.slug, *self.external_names}) <= len(self.external_names):
            problems["external_names"] = "must name each once, and not the slug"
        if problems:
            raise Problems(problems)
        return self


class NamesInput(Input):
    """The external names of an organisation, all of them."""

    external_names: ExternalNames


class OrganizationProviderInput(Input):
    """What an organisation may of one provider."""

    is_allowed: Annotated[bool | None, Field(description="true, false, or nothing: as the template says")] = None
    requires_own_key: Flag = False
    allowed_models: Annotated[
        Annotated[list[ModelName], Field(max_length=MAX_MODELS), AfterValidator(distinct)] | None,
        Field(description="a list of model names, or nothing: all"),
    ] = None
    own_models: Annotated[
        list[ModelName],
        Field(max_length=MAX_MODELS, description="a list of model names"),
        AfterValidator(distinct),
    ] = Field(default_factory=list)


class MemberInput(Input):
    """What a user is in an organisation."""

    role: Annotated[Literal["admin", "analyst"], Field(description="admin or analyst")]


class FeatureInput(Input):
    """A feature: a purpose of the programs that resolve."""

    name: Annotated[
        str,
        OneLine,
        Field(
            pattern=FEATURE_PATTERN,
            description="1 to 100 of the characters a to z, 0 to 9, dot, underscore and hyphen, beginning with a letter or digit",
        ),
    ]
    display_name: Annotated[str, OneLine, Field(min_length=1, max_length=100, description="1 to 100 characters")]
    description: Annotated[
        Annotated[str, Field(max_length=2000)] | None,
        BeforeValidator(empty_is_none),
        BeforeValidator(paragraph),
        Field(description="at most 2000 characters"),
    ] = None
    is_active: Flag = True


class ScopedSettingsInput(SettingsInput):
    """A settings row of any scope: one that names no provider may choose the default one."""

    default_provider_id: Annotated[Id | None, Field(description="the id of a provider, or nothing")] = None


class InstallationInput(Input):
    """What an admin decides for the whole store."""

    organizations: Annotated[Literal["closed", "open"], Field(description="closed or open")]
    require_reason: Flag = False
    keep_history_days: Annotated[
        int | None, Field(ge=1, le=36_500, description="a number of days from 1 to 36,500, or nothing: for ever")
    ] = None
    keep_calls_days: Annotated[
        int | None, Field(ge=1, le=36_500, description="a number of days from 1 to 36,500, or nothing: for ever")
    ] = None
    keep_audit_days: Annotated[
        int | None,
        Field(ge=LEAST_AUDIT_DAYS, le=36_500, description="a number of days from 30 to 36,500, or nothing: for ever"),
    ] = None


def could_be_name(name: Any) -> bool:
    """Return whether an organisation could have this name; with any other there is no need to ask the database."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return False
    try:
        return exact(name) == name
    except ValueError:
        return False
