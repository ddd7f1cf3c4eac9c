"""Whether each change needs a reason: decided for the whole installation. Versions before ask for none.

Events of the audit that have one are found by an index of their own: a search looks at no other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "installation", sa.Column("require_reason", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index(
        "audit_events_explained_at_idx", "audit_events", ["at", "id"], postgresql_where=sa.text("(changes ? 'comment')")
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("audit_events_explained_at_idx", "audit_events")
    op.drop_column("installation", "require_reason")
