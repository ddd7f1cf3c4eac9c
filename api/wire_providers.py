"""Providers as they go over the wire, with their headers, keys and connection tests; the models are OpenAPI's too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from api.envelopes import Wire, picked, reader
from api.names import camel
from core.kinds import KINDS
from core.manage import provider_secrets
from core.manage.connection import Report
from core.store.sealed import fingerprint_of
from core.store.tables import LlmProvider, LlmProviderSecret

_KIND: Final = f"{', '.join(KINDS)}; a newer version may have stored another"


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


def provider(row: LlmProvider | Mapping[str, Any], *, brief: bool = False) -> dict[str, Any]:
    """Return a provider as it goes over the wire; *brief*: without mask and base URL."""
    if brief:
        return picked(row, ProviderBrief)
    read = reader(row)
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
