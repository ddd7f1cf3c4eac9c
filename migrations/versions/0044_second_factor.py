"""The second factor of local users: the sealed seed, recovery codes, and who is between password and code.

Down: nobody has a second factor any more; the password alone signs in.
"""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# Who may add sign-ins is the application: it has the new tables, too.
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class t, aclexplode(t.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE t.oid = 'auth_sessions'::regclass AND acl.privilege_type = 'INSERT' AND r.oid <> t.relowner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON second_factors, recovery_codes, second_factor_steps TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE second_factors_id_seq, recovery_codes_id_seq TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "second_factors",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("seed_encrypted", sa.Text(), nullable=True),
        sa.Column("seed_key_id", sa.Text(), nullable=True),
        sa.Column("seed_binding", sa.Text(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("second_factors_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("second_factors_pkey")),
    )
    op.create_index(op.f("second_factors_user_id_idx"), "second_factors", ["user_id"], unique=True)
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("recovery_codes_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("recovery_codes_pkey")),
    )
    op.create_index(
        op.f("recovery_codes_user_id_code_hash_idx"), "recovery_codes", ["user_id", "code_hash"], unique=True
    )
    op.create_table(
        "second_factor_steps",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("auth_epoch", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("second_factor_steps_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("second_factor_steps_pkey")),
    )
    op.create_index(op.f("second_factor_steps_user_id_idx"), "second_factor_steps", ["user_id"])
    op.create_index(op.f("second_factor_steps_expires_at_idx"), "second_factor_steps", ["expires_at"])
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("second_factor_steps", "recovery_codes", "second_factors"):
        op.drop_table(table)
