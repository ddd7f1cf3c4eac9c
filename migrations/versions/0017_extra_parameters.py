"""Extra request parameters: a JSON object that is sent with each request, apart from custom settings, which are never sent.

A role that resolves may read the new column as well: else a service of the new version would read nothing at all until its
role is granted anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
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
        WHERE a.attrelid = 'llm_settings'::regclass AND a.attname = 'custom_settings' AND acl.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT (extra_parameters) ON llm_settings TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("llm_settings", sa.Column("extra_parameters", postgresql.JSONB(none_as_null=True), nullable=True))
    op.create_check_constraint(
        op.f("llm_settings_extra_parameters_check"),
        "llm_settings",
        "jsonb_typeof(extra_parameters) = 'object' AND octet_length(extra_parameters::text) <= 32768",
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("llm_settings", "extra_parameters")
