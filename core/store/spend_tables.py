"""The tables of what admins do with spend: what vendors charge. Raw SQL meets their CHECKs too.

What calls have cost stands in :class:`~.records.LlmSpend`.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import CheckConstraint, Column, Date, Integer, Numeric, Text, text
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
