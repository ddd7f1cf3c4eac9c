"""Organisations, their names, members and providers, and features as they go over the wire; the models are OpenAPI's too."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.envelopes import Wire, picked
from api.errors import described
from core.manage.organization_members import Member as StoredMember
from core.manage.organizations import Entered
from core.store.organization_tables import (
    Installation,
    LlmFeature,
    Organization,
    OrganizationName,
    OrganizationProvider,
)
from core.store.sealed import fingerprint_of


class OrganizationOut(Wire):
    """A tenant of the services that resolve, or a template that others build on."""

    id: int
    slug: str
    name: str
    kind: Literal["organization", "template"]
    template_id: int | None = Field(description="the template that it builds on")
    shares_keys: bool = Field(description="whether the installation's keys serve it where it has none of its own")
    is_active: bool = Field(description="false: its services get no key")
    keep_calls_days: int | None = Field(
        description="days that its calls stay in the request log, if the installation does not say fewer; null: as it says"
    )
    external_names: list[str] = Field(description="what services call it besides its slug")
    former_slugs: list[str] = Field(description="slugs that it had, and still answers to")
    deleted_at: datetime | None = Field(description="null: it is not deleted")
    version: int
    created_at: datetime
    updated_at: datetime


class Refusal(Wire):
    """Why an entry was not taken."""

    code: str
    message: str
    fields: dict[str, str] | None = Field(default=None, description="field at fault -> the rule it breaks")


class OrganizationOutcome(Wire):
    """What became of one entry of a list."""

    organization: OrganizationOut | None = Field(description="null: it was not made")
    error: Refusal | None = Field(description="null: it was made")


class Names(Wire):
    """By what services ask for an organisation."""

    slug: str
    external_names: list[str]
    former_slugs: list[str]


class Member(Wire):
    """A user, and what they are in an organisation."""

    user_id: int
    username: str
    role: Literal["admin", "analyst"]
    is_active: bool = Field(description="false: the user is disabled")


class ProviderOfOrganization(Wire):
    """What an organisation may of a provider, and whether it has a key of its own. The key itself never leaves."""

    organization_id: int
    provider_id: int
    is_allowed: bool | None = Field(description="null: as its template says, and if that says nothing: yes")
    requires_own_key: bool = Field(description="true: the installation's key does not serve it here")
    allowed_models: list[str] | None = Field(description="null: all; an empty list: none")
    own_models: list[str] = Field(description="beside the provider's; they count only together with an own key")
    api_key_masked: str | None = Field(description="how its own key begins; null: it has none")
    api_key_fingerprint: str | None
    api_key_set_at: datetime | None
    version: int = Field(description="0: nothing is stored, it may what all may")
    created_at: datetime | None
    updated_at: datetime | None


class Feature(Wire):
    """A purpose of the programs that resolve."""

    id: int
    name: str
    display_name: str
    description: str | None
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class InstallationOut(Wire):
    """What an admin decides for the whole store."""

    organizations: Literal["closed", "open"] = Field(
        description="closed: an organisation that nobody registered has no key; open: it is served as without one"
    )
    require_reason: bool = Field(description="true: each change needs a reason, in the header Change-Comment")
    keep_history_days: int | None = Field(description="days that the history is kept; null: for ever")
    keep_calls_days: int | None = Field(description="days that calls stay in the request log; null: for ever")
    keep_audit_days: int | None = Field(description="days that events stay in the audit; null: for ever")
    version: int
    updated_at: datetime


def organization(row: Organization, names: Iterable[OrganizationName]) -> dict[str, Any]:
    """Return an organisation with its *names* as it goes over the wire."""
    known = list(names)
    return picked(
        row,
        OrganizationOut,
        external_names=[each.name for each in known if each.kind == "external"],
        former_slugs=[each.name for each in known if each.kind == "former"],
    )


def outcome(entered: Entered, names: Iterable[OrganizationName]) -> dict[str, Any]:
    """Return what became of one entry as it goes over the wire."""
    made, error = entered
    return {
        "organization": None if made is None else organization(made, names),
        "error": None if error is None else described(error),
    }


def names_of(row: Organization, names: Iterable[OrganizationName]) -> dict[str, Any]:
    """Return an organisation's names as they go over the wire."""
    whole = organization(row, names)
    return {name: whole[name] for name in ("slug", "externalNames", "formerSlugs")}


def member(found: StoredMember) -> dict[str, Any]:
    """Return a member as it goes over the wire."""
    return picked(found._asdict(), Member)


def provider_of(organization_id: int, provider_id: int, row: OrganizationProvider | None) -> dict[str, Any]:
    """Return what an organisation may of a provider as it goes over the wire; of what is not stored, what all may."""
    if row is None:
        row = OrganizationProvider(organization_id=organization_id, provider_id=provider_id, own_models=[], version=0)
    known = fingerprint_of(row.api_key_fingerprint, row.api_key_encrypted) or None
    return picked(row, ProviderOfOrganization, api_key_fingerprint=known)


def feature(row: LlmFeature) -> dict[str, Any]:
    """Return a feature as it goes over the wire."""
    return picked(row, Feature)


def installation(row: Installation) -> dict[str, Any]:
    """Return what is decided for the whole store as it goes over the wire."""
    return picked(row, InstallationOut)
