"""The tables of who is told of changes, and of each message to them. Raw SQL meets their CHECKs too."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from .table import FINGERPRINT_PATTERN, Table, active_column, changes_column, now_column, one_of, version_column

TARGET_KINDS: Final = ("webhook", "slack", "email")
"""How a target is reached. Programs of this version take deliveries of these alone: a later one may add to them."""
MOST_URL: Final = 2_000
"""Characters."""
MOST_RECIPIENTS: Final = 20
"""Addresses that one target writes to."""
MOST_PAYLOAD: Final = 65_536
"""Bytes of a message as JSON."""


class NotificationTarget(Table, table=True):
    """Who is told of what happens here. ``version``, ``updated_*`` and ``field_changes`` are written by a trigger.

    ``signing_*`` is the secret that signs what is sent, or of Slack the whole URL, of which ``url`` has the host alone; ``former_*`` is
    the secret before, which signs beside it until ``both_until``.
    """

    __tablename__ = "notification_targets"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
        CheckConstraint(one_of("kind", TARGET_KINDS), name="kind"),
        CheckConstraint(f"url ~ '^https?://' AND char_length(url) <= {MOST_URL}", name="url"),
        CheckConstraint("(kind = 'email') = (url IS NULL)", name="address"),
        CheckConstraint(
            "CASE WHEN jsonb_typeof(recipients) = 'array' THEN kind = 'email' AND jsonb_array_length(recipients) BETWEEN 1 AND "
            f"{MOST_RECIPIENTS} ELSE kind <> 'email' AND recipients IS NULL END",
            name="recipients",
        ),
        CheckConstraint(
            "CASE WHEN jsonb_typeof(events) = 'array' THEN jsonb_array_length(events) BETWEEN 1 AND 100 ELSE false END",
            name="events",
        ),
        CheckConstraint("char_length(off_reason) <= 500", name="off_reason"),
        CheckConstraint(f"signing_fingerprint ~ '{FINGERPRINT_PATTERN}'", name="signing_fingerprint"),
        CheckConstraint(f"former_fingerprint ~ '{FINGERPRINT_PATTERN}'", name="former_fingerprint"),
        Index(None, "name", unique=True),
        {"comment": "Who is told of what happens here"},
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    kind: str = Field(default="webhook", sa_type=Text)
    url: str | None = Field(default=None, sa_type=Text, repr=False)
    """Of Slack scheme and host; NULL: it is reached by e-mail."""
    recipients: list[str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    """Addresses of e-mail."""
    events: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    """The types of events that it hears of."""
    signing_encrypted: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    signing_masked: str | None = Field(default=None, sa_type=Text)
    signing_key_id: str | None = Field(default=None, sa_type=Text)
    signing_binding: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    signing_fingerprint: str | None = Field(default=None, sa_type=Text, exclude=True)
    signing_set_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    former_encrypted: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    former_masked: str | None = Field(default=None, sa_type=Text)
    former_key_id: str | None = Field(default=None, sa_type=Text)
    former_binding: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    former_fingerprint: str | None = Field(default=None, sa_type=Text, exclude=True)
    former_set_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    both_until: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    is_active: bool = Field(default=True, sa_column=active_column())
    off_reason: str | None = Field(default=None, sa_type=Text)
    """Why it was switched off by itself; NULL: it is on, or a person switched it off."""
    off_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    failing_since: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    """The first of the tries that failed since one succeeded."""
    generation: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the settings: up to here it was told."""
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class NotificationDelivery(Table, table=True):
    """One message to one target. It waits while neither ``done_at`` nor ``failed_at`` is set, and is tried at ``next_at``."""

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        CheckConstraint(
            f"jsonb_typeof(payload) = 'object' AND octet_length(payload::text) <= {MOST_PAYLOAD}", name="payload"
        ),
        CheckConstraint("done_at IS NULL OR failed_at IS NULL", name="ended"),
        CheckConstraint("char_length(last_error) <= 500", name="last_error"),
        Index(None, "target_id", "id"),
        Index(
            "notification_deliveries_waiting_idx",
            "target_id",
            "next_at",
            "id",
            postgresql_where=text("done_at IS NULL AND failed_at IS NULL"),
        ),
        Index(None, "done_at", postgresql_where=text("done_at IS NOT NULL")),
        Index(None, "failed_at", postgresql_where=text("failed_at IS NOT NULL")),
        {"comment": "Messages to those who are told of what happens here"},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    target_id: int = Field(
        sa_column=Column(Integer, ForeignKey("notification_targets.id", ondelete="CASCADE"), nullable=False)
    )
    event: str = Field(sa_type=Text)
    webhook_id: str = Field(sa_type=Text)
    """The same at each try: by it a receiver knows a repetition."""
    generation: int | None = Field(default=None, sa_column=Column(BigInteger))
    """Of the settings; NULL: it is about something else."""
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    recipients: list[str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    """The addresses that it has yet to reach; NULL: all those of its target."""
    created_at: datetime = Field(default=None, sa_column=now_column())
    next_at: datetime = Field(default=None, sa_column=now_column())
    """While somebody sends it: when it is tried again, should they never be heard of."""
    tries: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    last_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    last_status: int | None = Field(default=None, sa_column=Column(Integer))
    """Of HTTP or SMTP; NULL: there was no answer."""
    last_error: str | None = Field(default=None, sa_type=Text)
    done_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    failed_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
