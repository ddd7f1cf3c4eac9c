"""The tables of what happened: sign-ins, the audit, calls and their figures, periodic work. Raw SQL meets their CHECKs too."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from .table import Table, changes_column, now_column, one_of

CALL_STATUSES = ("ok", "error", "cancelled")
CALL_OPERATIONS = ("chat", "embed")
SPEND_OUTCOMES = ("answered", "broken_off", "cancelled", "failed", "refused", "timed_out")
JOB_OUTCOMES = ("done", "unfinished", "failed")
AUDITED_ORGANIZATION = "changes #>> '{organization_id,after}'"
"""SQL, of an event: the id of the organisation that it is about, as text. Among the changes, which the chain covers."""


class LoginAttempt(Table, table=True):
    """One try to sign in; ``succeeded`` is false while the password is being checked."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index(None, "address", "username", "at"), Index(None, "at"))

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    username: str = Field(sa_type=Text)
    address: str = Field(sa_type=Text)
    at: datetime = Field(default=None, sa_column=now_column())
    succeeded: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))


EXPLAINED: Final = "(changes ? 'comment')"
"""The condition that somebody said why they did it."""


class AuditEvent(Table, table=True):
    """One entry of the audit. ``at``, ``seq`` and ``hash`` are written by triggers, the last two at commit."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "seq", unique=True),
        Index(None, "at"),
        Index(None, "actor", "at"),
        Index("audit_events_target_at_idx", "target", "at", postgresql_ops={"target": "text_pattern_ops"}),
        Index(None, "action", "at"),
        Index(
            "audit_events_organization_at_idx",
            text(f"({AUDITED_ORGANIZATION})"),
            "at",
            postgresql_where=text(f"({AUDITED_ORGANIZATION}) IS NOT NULL"),
        ),
        Index("audit_events_explained_at_idx", "at", "id", postgresql_where=text(EXPLAINED)),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    seq: int | None = Field(default=None, sa_column=Column(BigInteger))
    hash: str | None = Field(default=None, sa_type=Text)
    at: datetime = Field(default=None, sa_column=now_column())
    actor: str = Field(sa_type=Text)
    actor_id: int | None = None
    address: str | None = Field(default=None, sa_type=Text)
    action: str = Field(sa_type=Text)
    target_type: str = Field(sa_type=Text)
    target_id: int | None = None
    target: str = Field(sa_type=Text)
    changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class AuditHead(Table, table=True):
    """One row: number and hash of the newest event of the chain."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(default=1, sa_column=Column(Integer, primary_key=True, autoincrement=False))
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    hash: str = Field(sa_type=Text)


class AuditLinesPlace(Table, table=True):
    """Up to which event the audit was written out, and which process writes it now: see :mod:`core.govern.audit_lines`."""

    __tablename__ = "audit_lines"
    __table_args__ = ({"comment": "Up to which event the audit was written out"},)

    target: str = Field(sa_column=Column(Text, primary_key=True))
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    run: str | None = Field(default=None, sa_type=Text)
    run_until: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class KeyNotice(Table, table=True):
    """An API key of whose age somebody was told: once a key, known by when it was set."""

    __tablename__ = "key_notices"
    __table_args__ = ({"comment": "Of which API keys' age somebody was told"},)

    table_name: str = Field(sa_column=Column(Text, primary_key=True))
    row_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    set_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))


class AuditCheckpoint(Table, table=True):
    """What a purge leaves: up to which event the chain was cut, and the hash it goes on from."""

    __tablename__ = "audit_checkpoints"

    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hash: str = Field(sa_type=Text)
    at: datetime = Field(default=None, sa_column=now_column())
    by: str = Field(sa_type=Text)
    removed: int = Field(sa_column=Column(BigInteger, nullable=False))


class LlmLog(Table, table=True):
    """One call to a model, as far as the settings have it logged. It outlives its provider: no foreign key."""

    __tablename__ = "llm_logs"
    __table_args__ = (
        CheckConstraint(one_of("status", CALL_STATUSES), name="status"),
        CheckConstraint("attempts >= 0 AND latency_ms >= 0", name="counts"),
        CheckConstraint("cost >= 0", name="cost"),
        CheckConstraint(one_of("operation", CALL_OPERATIONS), name="operation"),
        Index(None, "at", "id"),
        Index(None, "provider", "at", "id"),
        Index(None, "model", "at", "id"),
        Index(None, "user_id", "at", "id", postgresql_where=text("user_id IS NOT NULL")),
        Index(None, "organization_id", "at", "id", postgresql_where=text("organization_id IS NOT NULL")),
        Index(None, "feature", "at", "id", postgresql_where=text("feature IS NOT NULL")),
        Index(None, "cost_centre", "at", "id", postgresql_where=text("cost_centre IS NOT NULL")),
        Index("llm_logs_failed_idx", "at", "id", postgresql_where=text("status = 'error'")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = Field(default=None, sa_column=now_column())
    user_id: str | None = Field(default=None, sa_type=Text)
    organization_id: int | None = None
    provider_id: int | None = None
    provider: str = Field(sa_type=Text)
    model: str = Field(sa_type=Text)
    status: str = Field(sa_type=Text)
    attempts: int
    latency_ms: int
    generation: int = Field(sa_column=Column(BigInteger, nullable=False))
    prompt: str | None = Field(default=None, sa_type=Text, repr=False)
    parameters: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    response: str | None = Field(default=None, sa_type=Text, repr=False)
    token_usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = Field(default=None, sa_column=Column(Numeric(20, 10)))
    error: str | None = Field(default=None, sa_type=Text)
    operation: str = Field(default="chat", sa_column=Column(Text, nullable=False, server_default="chat"))
    tags: list[Any] | None = Field(default=None, sa_column=Column(JSONB))
    correlation_id: str | None = Field(default=None, sa_type=Text)
    feature: str | None = Field(default=None, sa_type=Text)
    """As the caller named it, whether or not there is such a feature."""
    adjusted: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    cost_centre: str | None = Field(default=None, sa_type=Text)
    """Who pays for it within the house, as the caller said."""
    pii: dict[str, int] | None = Field(default=None, sa_column=Column(JSONB))
    """How many values of personal data have a placeholder, by type; nothing: there are none, or none were looked for."""


class LlmUsage(Table, table=True):
    """Figures of the logged calls, added up by a trigger: one row for each combination that occurs in five minutes."""

    __tablename__ = "llm_usage"

    slot: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    provider: str = Field(sa_column=Column(Text, primary_key=True))
    model: str = Field(sa_column=Column(Text, primary_key=True))
    status: str = Field(sa_column=Column(Text, primary_key=True))
    latency_bucket: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    calls: int = Field(sa_column=Column(BigInteger, nullable=False))
    priced: int = Field(sa_column=Column(BigInteger, nullable=False))
    input_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    output_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost: Decimal = Field(sa_column=Column(Numeric(20, 10), nullable=False))
    adjusted: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class LlmUsageDay(Table, table=True):
    """The same figures by days, in UTC: what ``llm_usage`` had of them once; a row for each combination of a day."""

    __tablename__ = "llm_usage_days"

    day: date = Field(sa_column=Column(Date, primary_key=True))
    provider: str = Field(sa_column=Column(Text, primary_key=True))
    model: str = Field(sa_column=Column(Text, primary_key=True))
    status: str = Field(sa_column=Column(Text, primary_key=True))
    latency_bucket: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    calls: int = Field(sa_column=Column(BigInteger, nullable=False))
    priced: int = Field(sa_column=Column(BigInteger, nullable=False))
    input_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    output_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost: Decimal = Field(sa_column=Column(Numeric(20, 10), nullable=False))
    adjusted: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class LlmSpend(Table, table=True):
    """What attempts to call a model have cost, added up by ``llm_tell_spend`` alone: a row for each combination of an hour.

    No organisation is 0, no feature and no cost centre are empty: these are a part of the key.
    """

    __tablename__ = "llm_spend"
    __table_args__ = (
        CheckConstraint(one_of("outcome", SPEND_OUTCOMES), name="outcome"),
        CheckConstraint(
            "calls >= 0 AND input_tokens >= 0 AND output_tokens >= 0 AND estimated >= 0 AND cost >= estimated"
            " AND unpriced BETWEEN 0 AND calls",
            name="sums",
        ),
        Index(None, "organization_id", "slot", postgresql_where=text("organization_id <> 0")),
        {"postgresql_with": {"fillfactor": 50}},
    )

    slot: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    organization_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    feature: str = Field(sa_column=Column(Text, primary_key=True))
    provider: str = Field(sa_column=Column(Text, primary_key=True))
    model: str = Field(sa_column=Column(Text, primary_key=True))
    outcome: str = Field(sa_column=Column(Text, primary_key=True))
    cost_centre: str = Field(sa_column=Column(Text, primary_key=True))
    calls: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Attempts: each counts by itself."""
    input_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    output_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost: Decimal = Field(sa_column=Column(Numeric(20, 10), nullable=False))
    """US dollars; of the calls whose price is known."""
    estimated: Decimal = Field(sa_column=Column(Numeric(20, 10), nullable=False))
    """So much of ``cost`` is computed from lengths."""
    unpriced: int = Field(sa_column=Column(BigInteger, nullable=False))
    """So many of ``calls`` have spent tokens whose price is not known."""


class SpendHolder(Table, table=True):
    """A process that tells what it has spent, and the number of what it told last: told again, that changes nothing."""

    __tablename__ = "llm_spend_holders"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    holder: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    name: str = Field(sa_type=Text)
    """Its host and process, as far as it says."""
    at: datetime = Field(default=None, sa_column=now_column())
    """When it told last."""


class PeriodicJob(Table, table=True):
    """When a piece of periodic work was done last, how that ended, and when it is due; ``run`` is whose turn it is now."""

    __tablename__ = "jobs"
    __table_args__ = (CheckConstraint(one_of("outcome", JOB_OUTCOMES), name="outcome"),)

    name: str = Field(sa_column=Column(Text, primary_key=True))
    next_at: datetime = Field(default=None, sa_column=now_column())
    run: str | None = Field(default=None, sa_type=Text)
    run_until: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    started_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    ended_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    outcome: str | None = Field(default=None, sa_type=Text)
    done: int | None = Field(default=None, sa_column=Column(BigInteger))
    error: str | None = Field(default=None, sa_type=Text)
    failures: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
