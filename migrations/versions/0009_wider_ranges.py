"""Longer answers and timeouts: max_tokens to 1,000,000, request_timeout_ms to 3,600,000 (an hour)."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

WIDER = {"max_tokens": (1, 100_000, 1_000_000), "request_timeout_ms": (1000, 300_000, 3_600_000)}


def _check(column: str, low: int, high: int) -> None:
    name = f"llm_settings_{column}_check"
    op.drop_constraint(op.f(name), "llm_settings", type_="check")
    op.create_check_constraint(op.f(name), "llm_settings", f"{column} BETWEEN {low} AND {high}")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for column, (low, _, high) in WIDER.items():
        _check(column, low, high)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for column, (low, high, _) in WIDER.items():
        # What the version before would take for not set, were it stored
        op.execute(sa.text(f"UPDATE llm_settings SET {column} = NULL WHERE {column} > {high}"))  # noqa: S608 - names of ours
        op.execute(
            "SET CONSTRAINTS ALL IMMEDIATE"
        )  # else the trigger that counts changes is still pending on the table
        _check(column, low, high)
