"""A change of a budget or a rate limit is told as one of its own, also where it is an organisation's.

``llm_count_change`` told what has an ``organization_id`` as a change of that organisation, of which readers fetch settings, keys,
limits and terms. Budgets and rate limits are no lines of an organisation: readers have them for all scopes, by id. A service
heard of a change to an organisation's only when it next read everything.

Down has the function as it was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

OF_ORGANIZATION = """organization := one ->> CASE TG_TABLE_NAME WHEN 'organizations' THEN 'id' ELSE 'organization_id' END;
        IF organization IS NULL"""
BY_TABLE = """organization := one ->> CASE WHEN TG_TABLE_NAME = 'organizations' THEN 'id'
            WHEN TG_TABLE_NAME IN ('org_llm_budgets', 'llm_rate_limits') THEN NULL ELSE 'organization_id' END;
        IF organization IS NULL"""


def _replace(was: str, now: str) -> None:
    """Put *now* in the place of *was* in the function, which stands in it once."""
    found: str = op.get_bind().scalar(sa.text("SELECT pg_get_functiondef(CAST('llm_count_change' AS regproc))"))
    before, after = found.split(was)
    op.execute(before + now + after)


def upgrade() -> None:
    _replace(OF_ORGANIZATION, BY_TABLE)


def downgrade() -> None:
    _replace(BY_TABLE, OF_ORGANIZATION)
