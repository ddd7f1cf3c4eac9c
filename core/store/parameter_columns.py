"""The columns of stored parameters, which rows of several tables have alike, and the CHECKs on them."""

from typing import Any, Final

from sqlalchemy import CheckConstraint, Double, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from ..parameters import PARAMETERS
from .table import Table, one_of

MAX_JSON: Final = 32_768
"""Bytes of a JSON object, as PostgreSQL writes it."""


class _Json(JSONB):
    """JSON where None is NULL; a column's type, so that each table has a column of its own."""

    def __init__(self) -> None:
        super().__init__(none_as_null=True)


class Parameters(Table):
    """What a row may say of parameters; NULL inherits."""

    preferred_model: str | None = Field(default=None, sa_type=Text)
    temperature: float | None = Field(default=None, sa_type=Double)
    max_tokens: int | None = None
    top_p: float | None = Field(default=None, sa_type=Double)
    frequency_penalty: float | None = Field(default=None, sa_type=Double)
    presence_penalty: float | None = Field(default=None, sa_type=Double)
    reasoning_effort: str | None = Field(default=None, sa_type=Text)
    stop: list[str] | None = Field(default=None, sa_type=_Json)
    unfit_parameters: str | None = Field(default=None, sa_type=Text)
    max_retries: int | None = None
    retry_backoff_ms: int | None = None
    request_timeout_ms: int | None = None
    enable_logging: bool | None = None
    log_level: str | None = Field(default=None, sa_type=Text)
    log_request_data: bool | None = None
    log_response_data: bool | None = None
    omitted_parameters: list[str] | None = Field(default=None, sa_type=_Json)
    custom_settings: dict[str, Any] | None = Field(default=None, sa_type=_Json)
    extra_parameters: dict[str, Any] | None = Field(default=None, sa_type=_Json)


def checks() -> tuple[CheckConstraint, ...]:
    """Return the CHECKs of one table that has :class:`Parameters`, ``provider_id`` and ``default_provider_id``."""
    parameters = PARAMETERS.values()
    return (
        *(
            CheckConstraint(f"{p.name} BETWEEN {p.minimum} AND {p.maximum}", name=p.name)
            for p in parameters
            if p.minimum is not None
        ),
        *(CheckConstraint(one_of(p.name, p.choices), name=p.name) for p in parameters if p.choices),
        *(CheckConstraint(f"{p.name} ~ '^{p.pattern}$'", name=p.name) for p in parameters if p.pattern),
        *(
            CheckConstraint(
                f"{p.name} IS NULL OR CASE WHEN jsonb_typeof({p.name}) = 'array' THEN jsonb_array_length({p.name}) BETWEEN 1 AND {p.most} ELSE false END",
                name=p.name,
            )
            for p in parameters
            if p.most
        ),
        CheckConstraint("preferred_model IS NULL OR provider_id IS NOT NULL", name="preferred_model"),
        CheckConstraint("default_provider_id IS NULL OR provider_id IS NULL", name="default_provider_id"),
        CheckConstraint("jsonb_typeof(omitted_parameters) = 'array'", name="omitted_parameters"),
        *(
            CheckConstraint(
                f"jsonb_typeof({name}) = 'object' AND octet_length({name}::text) <= {MAX_JSON}",
                name=name,
            )
            for name in ("custom_settings", "extra_parameters")
        ),
    )
