"""The tables of what admins do with spend: what vendors charge, and months that are closed. Raw SQL meets their CHECKs too.

What calls have cost stands in :class:`~.records.LlmSpend`.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, ForeignKey, Integer, Numeric, Text, text
from sqlmodel import Field

from .table import Table, now_column, one_of

BILL_SOURCES: Final = ("typed", "uploaded")


class LlmVendorBill(Table, table=True):
    """What a provider's vendor charges for a month, by its own figure. It outlives the provider, as what was spent does."""

    __tablename__ = "llm_vendor_bills"
    __table_args__ = (
        CheckConstraint("extract(day FROM month) = 1", name="month"),
        CheckConstraint("currency = 'USD'", name="currency"),
        CheckConstraint(one_of("source", BILL_SOURCES), name="source"),
        CheckConstraint("char_length(note) BETWEEN 1 AND 500", name="note"),
        {"comment": "What vendors charge for a month, by their own figure"},
    )

    provider: str = Field(sa_column=Column(Text, primary_key=True))
    month: date = Field(sa_column=Column(Date, primary_key=True))
    """Its first day."""
    zone: str = Field(default="UTC", sa_column=Column(Text, nullable=False, server_default=text("'UTC'")))
    """Whose month it is: vendors count in UTC, with few exceptions."""
    amount: Decimal = Field(sa_column=Column(Numeric(20, 10), nullable=False))
    """US dollars; below 0 where credits are more than what was charged."""
    currency: str = Field(default="USD", sa_column=Column(Text, nullable=False, server_default=text("'USD'")))
    source: str = Field(sa_type=Text)
    note: str | None = Field(default=None, sa_type=Text)
    version: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default=text("1")))
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str = Field(sa_type=Text)


class LlmSpendClosing(Table, table=True):
    """A month of spend that is closed."""

    __tablename__ = "llm_spend_closings"
    __table_args__ = (
        CheckConstraint("extract(day FROM month) = 1", name="month"),
        {"comment": "Months of spend that are closed"},
    )

    month: date = Field(sa_column=Column(Date, primary_key=True))
    """Its first day."""
    zone: str = Field(sa_type=Text)
    """Whose month it is."""
    closed_at: datetime = Field(default=None, sa_column=now_column())
    closed_by: str = Field(sa_type=Text)


class LlmSpendClosed(Table, table=True):
    """What was counted of a month when it was closed, by whom it is charged to."""

    __tablename__ = "llm_spend_closed"
    __table_args__ = ({"comment": "What was counted of a month when it was closed"},)

    month: date = Field(
        sa_column=Column(Date, ForeignKey("llm_spend_closings.month", ondelete="CASCADE"), primary_key=True)
    )
    organization_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    feature: str = Field(sa_column=Column(Text, primary_key=True))
    cost_centre: str = Field(sa_column=Column(Text, primary_key=True))
    calls: int = Field(sa_column=Column(BigInteger, nullable=False))
    input_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    output_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost: Decimal = Field(sa_column=Column(Numeric(20, 10), nullable=False))
    estimated: Decimal = Field(sa_column=Column(Numeric(20, 10), nullable=False))
    unpriced: int = Field(sa_column=Column(BigInteger, nullable=False))
