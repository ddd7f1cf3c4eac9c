"""A settings row says what becomes of a value that the model does not take.

A role that resolves may read the new column as well: else a service of the new version would read nothing at all until its
role is granted anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
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
        EXECUTE format('GRANT SELECT (unfit_parameters) ON llm_settings TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("llm_settings", sa.Column("unfit_parameters", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("llm_settings_unfit_parameters_check"), "llm_settings", "unfit_parameters IN ('leave_out', 'send')"
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("llm_settings", "unfit_parameters")
