"""A provider may need no API key: a server of one's own, as vLLM, Ollama and LM Studio.

A role that resolves may read the new column as well: else a service of the new version would read nothing at all until its
role is granted anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_providers'::regclass AND a.attname = 'default_model' AND acl.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT (needs_key) ON llm_providers TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("llm_providers", sa.Column("needs_key", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("llm_providers", "needs_key")
