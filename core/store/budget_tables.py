"""The tables of budgets: what may be spent, the periods, what of them is lent to processes, alerts. Raw SQL meets their CHECKs too.

``llm_budget_periods``, ``llm_leases`` and ``llm_budget_ledger`` are written by functions of the migrations alone, and hot: no trigger
hears of them.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field

from .table import Table, active_column, changes_column, now_column, one_of, reference, version_column

PERIODS: Final = ("day", "week", "month", "quarter", "year", "total")
MODES: Final = ("hard", "soft")
UNPRICED: Final = ("refuse", "count")
WHEN_AWAY: Final = ("closed", "open")
CARRY: Final = ("none", "unused", "both")
LEDGER_KINDS: Final = ("top_up", "correction", "presumed", "taken_back", "repriced", "carry")
ALERT_KINDS: Final = ("threshold", "unpriced", "presumed", "forecast", "spike", "delivery")
ALERT_STATES: Final = ("open", "acknowledged", "resolved")
MOST_THRESHOLDS: Final = 10
MOST_PERCENT: Final = 1_000
_THRESHOLDS: Final = (
    f"cardinality(thresholds) <= {MOST_THRESHOLDS} AND 1 <= ALL (thresholds) AND {MOST_PERCENT} >= ALL (thresholds)"
    " AND array_position(thresholds, NULL) IS NULL"
    + "".join(f" AND coalesce(thresholds[{n}] < thresholds[{n + 1}], true)" for n in range(1, MOST_THRESHOLDS))
)
"""They ascend: sorted, and each once."""


def _money(default: str | None = None) -> Column[Decimal]:
    return Column(Numeric(20, 10), nullable=False, server_default=None if default is None else text(default))


def _moment(*, nullable: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class LlmBudget(Table, table=True):
    """So much money for a scope in a period; NULL in a scope's column: all of them. The last columns are written by a trigger."""

    __tablename__ = "org_llm_budgets"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("currency = 'USD'", name="currency"),
        CheckConstraint(one_of("period", PERIODS), name="period"),
        CheckConstraint("week_starts BETWEEN 1 AND 7", name="week_starts"),
        CheckConstraint("first_month BETWEEN 1 AND 12", name="first_month"),
        CheckConstraint(one_of("mode", MODES), name="mode"),
        CheckConstraint(one_of("unpriced", UNPRICED), name="unpriced"),
        CheckConstraint(one_of("when_away", WHEN_AWAY), name="when_away"),
        CheckConstraint(_THRESHOLDS, name="thresholds"),
        CheckConstraint(f"{one_of('carry', CARRY)} AND (carry = 'none' OR period <> 'total')", name="carry"),
        CheckConstraint("carry_cap >= 0", name="carry_cap"),
        Index(None, "name", unique=True),
        Index(
            "org_llm_budgets_active_scope_key",
            "organization_id",
            "feature_id",
            "provider_id",
            "period",
            unique=True,
            postgresql_where=text("is_active"),
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "organization_id"),
        Index(None, "feature_id"),
        Index(None, "provider_id"),
        {"comment": "What may be spent in a period"},
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    organization_id: int | None = Field(default=None, sa_column=reference("organizations", ondelete="CASCADE"))
    feature_id: int | None = Field(default=None, sa_column=reference("llm_features", ondelete="CASCADE"))
    provider_id: int | None = Field(default=None, sa_column=reference("llm_providers", ondelete="CASCADE"))
    amount: Decimal = Field(sa_column=_money())
    currency: str = Field(default="USD", sa_column=Column(Text, nullable=False, server_default=text("'USD'")))
    period: str = Field(sa_type=Text)
    time_zone: str = Field(default="UTC", sa_column=Column(Text, nullable=False, server_default=text("'UTC'")))
    week_starts: int = Field(default=1, sa_column=Column(SmallInteger, nullable=False, server_default=text("1")))
    """Monday is 1."""
    first_month: int = Field(default=1, sa_column=Column(SmallInteger, nullable=False, server_default=text("1")))
    """Of a year, and of its quarters."""
    mode: str = Field(sa_type=Text)
    """``hard`` refuses what does not fit; ``soft`` only counts."""
    unpriced: str = Field(sa_type=Text)
    """What becomes of a call whose price nobody knows."""
    when_away: str = Field(sa_type=Text)
    """What becomes of a call when the database does not answer."""
    thresholds: list[int] = Field(
        default=None,
        sa_column=Column(ARRAY(SmallInteger), nullable=False, server_default=text("'{50,80,100}'::smallint[]")),
    )
    """Percent of what is allowed: an alert each, once it is spent."""
    forecast: bool = Field(default=True, sa_column=active_column())
    """Whether there is an alert when the money will be spent before the period ends."""
    carry: str = Field(default="none", sa_column=Column(Text, nullable=False, server_default=text("'none'")))
    """What a period hands on to the next: nothing, what it left unused, or that and what it overspent."""
    carry_cap: Decimal | None = Field(default=None, sa_column=Column(Numeric(20, 10)))
    """The most of it, either way; NULL: one amount."""
    is_active: bool = Field(default=True, sa_column=active_column())
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class LlmBudgetPeriod(Table, table=True):
    """One stretch of a budget. Nothing is ever reset: a new period is a new row."""

    __tablename__ = "llm_budget_periods"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="ends_at"),
        UniqueConstraint("budget_id", "starts_at"),
        {"comment": "The periods of budgets, and what was spent in each", "postgresql_with": {"fillfactor": "50"}},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    budget_id: int = Field(sa_column=reference("org_llm_budgets", nullable=False, ondelete="CASCADE"))
    starts_at: datetime = Field(sa_column=_moment())
    ends_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    """NULL: never."""
    amount: Decimal = Field(sa_column=_money())
    """The budget's; of a period that is over, as it was then."""
    carried: Decimal = Field(default=None, sa_column=_money("0"))
    """What the period before left, or below 0 what it overspent."""
    topped_up: Decimal = Field(default=None, sa_column=_money("0"))
    spent: Decimal = Field(default=None, sa_column=_money("0"))
    estimated: Decimal = Field(default=None, sa_column=_money("0"))
    """What of ``spent`` was computed from lengths."""
    unpriced: int = Field(default=None, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    """Calls whose price nobody knows."""
    leased: Decimal = Field(default=None, sa_column=_money("0"))
    """Lent to processes."""
    holders: int = Field(default=None, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    recall_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    """When a process last lacked what others hold: they give back what they do not use."""
    swept_at: datetime = Field(default=None, sa_column=now_column())
    closed_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    """When nothing of it was lent any more, after its end. What is told later counts all the same."""


class LlmLease(Table, table=True):
    """What of a period is lent to one process, until it ends by itself."""

    __tablename__ = "llm_leases"
    __table_args__ = (
        Index(None, "period_id"),
        {"comment": "What of a budget's period is lent to a process", "postgresql_with": {"fillfactor": "50"}},
    )

    holder: uuid.UUID = Field(sa_column=Column(Uuid, primary_key=True))
    period_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("llm_budget_periods.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    granted: Decimal = Field(sa_column=_money())
    in_flight: Decimal = Field(sa_column=_money())
    """What of it is reserved by calls under way."""
    presumed: Decimal = Field(sa_column=_money())
    """What was in flight when the lease ended, and counts as spent until the process speaks again."""
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the last message; a repetition changes nothing."""
    expires_at: datetime = Field(sa_column=_moment())
    name: str = Field(sa_type=Text)


class LlmBudgetLedger(Table, table=True):
    """What was added to a period other than by calls, or taken from it."""

    __tablename__ = "llm_budget_ledger"
    __table_args__ = (
        CheckConstraint(one_of("kind", LEDGER_KINDS), name="kind"),
        Index(None, "period_id"),
        {"comment": "What was added to a budget's period other than by calls"},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    at: datetime = Field(default=None, sa_column=now_column())
    period_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("llm_budget_periods.id", ondelete="CASCADE"), nullable=False)
    )
    kind: str = Field(sa_type=Text)
    amount: Decimal = Field(sa_column=_money())
    by: str = Field(sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)


class LlmAlert(Table, table=True):
    """Something that somebody is to look at. Made once; what it tells of may be over, and begin anew as the next *occurrence*.

    Those of a period are made by functions of the migrations, in the transaction that adds the money.
    """

    __tablename__ = "llm_alerts"
    __table_args__ = (
        CheckConstraint(one_of("kind", ALERT_KINDS), name="kind"),
        CheckConstraint(one_of("state", ALERT_STATES), name="state"),
        CheckConstraint("(kind = 'threshold') = (threshold IS NOT NULL)", name="threshold"),
        CheckConstraint("(state = 'resolved') = (resolved_at IS NOT NULL)", name="resolved_at"),
        UniqueConstraint("period_id", "kind", "threshold", "occurrence", postgresql_nulls_not_distinct=True),
        Index("llm_alerts_untold_idx", "id", postgresql_where=text("told_at IS NULL")),
        Index("llm_alerts_live_idx", "id", postgresql_where=text("state <> 'resolved'")),
        Index("llm_alerts_holds_idx", "kind", postgresql_where=text("cleared_at IS NULL")),
        {"comment": "What somebody is to look at: of budgets, of spend, of messages that fail"},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    at: datetime = Field(default=None, sa_column=now_column())
    budget_id: int | None = Field(default=None, sa_column=Column(Integer))
    """No reference: who changes a budget and who counts in it do not wait for each other. It goes with its period."""
    period_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("llm_budget_periods.id", ondelete="CASCADE"))
    )
    organization_id: int | None = Field(default=None, sa_column=Column(Integer))
    """Whose admins see it; NULL: the installation's alone."""
    kind: str = Field(sa_type=Text)
    threshold: int | None = Field(default=None, sa_column=Column(SmallInteger))
    """Percent of what is allowed."""
    occurrence: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default=text("1")))
    state: str = Field(default="open", sa_column=Column(Text, nullable=False, server_default=text("'open'")))
    facts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    """As they were when it was made; money as text."""
    acknowledged_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    acknowledged_by: str | None = Field(default=None, sa_type=Text)
    resolved_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    resolved_by: str | None = Field(default=None, sa_type=Text)
    """NULL: by itself."""
    cleared_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    """When what it tells of was over. Until then there is no other of its kind, resolved by hand or not."""
    told_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    """When it was handed to the outbox."""
