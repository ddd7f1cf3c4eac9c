"""The tables of rate limits on calls: how many requests, tokens and calls at once go to vendors, and what of it is left."""

import uuid
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Text,
    Uuid,
    text,
)
from sqlalchemy.types import TypeEngine
from sqlmodel import Field

from .table import Table, active_column, changes_column, now_column, one_of, reference, version_column

WHEN_FULL: Final = ("wait", "refuse")
FIGURES: Final = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
"""What may be limited; NULL: it is not."""


class LlmRateLimit(Table, table=True):
    """So many calls for a scope; NULL in a scope's column: all of them. The last columns are written by a trigger."""

    __tablename__ = "llm_rate_limits"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
        CheckConstraint("char_length(model) BETWEEN 1 AND 200", name="model"),
        *(CheckConstraint(f"{figure} >= 1", name=figure) for figure in FIGURES),
        CheckConstraint(f"num_nonnulls({', '.join(FIGURES)}) > 0", name="figures"),
        CheckConstraint("burst_seconds BETWEEN 0.1 AND 60", name="burst_seconds"),
        CheckConstraint(one_of("when_full", WHEN_FULL), name="when_full"),
        CheckConstraint("max_wait_ms BETWEEN 0 AND 60000", name="max_wait_ms"),
        Index(None, "name", unique=True),
        Index(
            "llm_rate_limits_active_scope_key",
            "organization_id",
            "feature_id",
            "provider_id",
            "model",
            unique=True,
            postgresql_where=text("is_active"),
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "organization_id"),
        Index(None, "feature_id"),
        Index(None, "provider_id"),
        {"comment": "How many calls go to vendors"},
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    organization_id: int | None = Field(default=None, sa_column=reference("organizations", ondelete="CASCADE"))
    feature_id: int | None = Field(default=None, sa_column=reference("llm_features", ondelete="CASCADE"))
    provider_id: int | None = Field(default=None, sa_column=reference("llm_providers", ondelete="CASCADE"))
    model: str | None = Field(default=None, sa_type=Text)
    """As calls name it; NULL: all."""
    requests_per_minute: int | None = Field(default=None, sa_type=Integer)
    tokens_per_minute: int | None = Field(default=None, sa_type=Integer)
    max_concurrent: int | None = Field(default=None, sa_type=Integer)
    burst_seconds: float = Field(default=6, sa_column=Column(Double, nullable=False, server_default=text("6")))
    """So much of a minute may go at once."""
    when_full: str = Field(default="wait", sa_column=Column(Text, nullable=False, server_default=text("'wait'")))
    max_wait_ms: int = Field(default=2000, sa_column=Column(Integer, nullable=False, server_default=text("2000")))
    is_active: bool = Field(default=True, sa_column=active_column())
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


def _none(kind: type[TypeEngine[Any]]) -> Column[Any]:
    return Column(kind, nullable=False, server_default=text("0"))


def _limit() -> Column[int]:
    of = ForeignKey("llm_rate_limits.id", ondelete="CASCADE")
    return Column(Integer, of, primary_key=True, autoincrement=False)


def _later() -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=True)


class LlmRateLevel(Table, table=True):
    """What of a rate limit is left. It and what follows are hot: functions of the migration write them, and no trigger hears of it."""

    __tablename__ = "llm_rate_levels"
    __table_args__ = ({"comment": "What of rate limits on calls is left", "postgresql_with": {"fillfactor": "50"}},)

    rate_limit_id: int = Field(sa_column=_limit())
    requests: float = Field(sa_column=Column(Double, nullable=False))
    """As of ``filled_at``; a call that was larger than what was there makes it less than 0."""
    tokens: float = Field(sa_column=Column(Double, nullable=False))
    filled_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    lent_requests: float = Field(default=None, sa_column=_none(Double))
    lent_tokens: float = Field(default=None, sa_column=_none(Double))
    lent_places: int = Field(default=None, sa_column=_none(Integer))
    in_use: int = Field(default=None, sa_column=_none(Integer))
    """Calls under way."""
    holders: int = Field(default=None, sa_column=_none(Integer))
    recall_at: datetime | None = Field(default=None, sa_column=_later())
    """When a process last lacked what others hold: they give back what they do not use."""
    swept_at: datetime = Field(default=None, sa_column=now_column())
    minute: datetime | None = Field(default=None, sa_column=_later())
    minute_requests: int = Field(default=None, sa_column=_none(BigInteger))
    minute_tokens: int = Field(default=None, sa_column=_none(BigInteger))


class LlmRateLease(Table, table=True):
    """What of a rate limit is lent to one process, until it ends by itself."""

    __tablename__ = "llm_rate_leases"
    __table_args__ = (
        Index(None, "rate_limit_id"),
        {"comment": "What of a rate limit on calls is lent to a process", "postgresql_with": {"fillfactor": "50"}},
    )

    holder: uuid.UUID = Field(sa_column=Column(Uuid, primary_key=True))
    rate_limit_id: int = Field(sa_column=_limit())
    requests: float = Field(sa_column=Column(Double, nullable=False))
    tokens: float = Field(sa_column=Column(Double, nullable=False))
    places: int = Field(sa_type=Integer)
    in_use: int = Field(sa_type=Integer)
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the last message; a repetition changes nothing."""
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    name: str = Field(sa_type=Text)


class LlmRateHour(Table, table=True):
    """What counted against a rate limit in an hour; kept for 30 days."""

    __tablename__ = "llm_rate_hours"
    __table_args__ = (
        {
            "comment": "What counted against a rate limit on calls, by the hour",
            "postgresql_with": {"fillfactor": "50"},
        },
    )

    rate_limit_id: int = Field(sa_column=_limit())
    slot: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    requests: int = Field(default=None, sa_column=_none(BigInteger))
    tokens: int = Field(default=None, sa_column=_none(BigInteger))
    waited: int = Field(default=None, sa_column=_none(BigInteger))
    """Calls that waited."""
    waited_ms: int = Field(default=None, sa_column=_none(BigInteger))
    refused: int = Field(default=None, sa_column=_none(BigInteger))
    peak_requests: int = Field(default=None, sa_column=_none(BigInteger))
    """The most of a minute."""
    peak_tokens: int = Field(default=None, sa_column=_none(BigInteger))
    peak_places: int = Field(default=None, sa_column=_none(Integer))


class LlmVendorRate(Table, table=True):
    """What a vendor said that it allows a key a minute for a model; NULL: it did not say."""

    __tablename__ = "llm_vendor_rates"
    __table_args__ = (
        Index(None, "closed_until"),
        {"comment": "What vendors said they allow a key a minute"},
    )

    provider_id: int = Field(
        sa_column=Column(
            Integer, ForeignKey("llm_providers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    fingerprint: str = Field(sa_column=Column(Text, primary_key=True))
    """Of the key."""
    model: str = Field(sa_column=Column(Text, primary_key=True))
    requests: int | None = Field(default=None, sa_type=BigInteger)
    tokens: int | None = Field(default=None, sa_type=BigInteger)
    input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    closed_until: datetime | None = Field(default=None, sa_column=_later())
    """Until then it lets nothing through, as it said."""
    heard_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
