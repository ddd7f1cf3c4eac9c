"""Who signs in at an identity provider is a user without a password, known by its issuer and subject.

A sign-in remembers the provider's own session, by which the provider ends it; what may come once only is kept while it could come
again. Local users may be marked as the way back.

Down: who has no password keeps the row, with a hash that no password fits, and signs in no more until somebody sets one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# Of 32 random bytes that nobody kept.
FITS_NONE = "$2b$12$uTSn8N72YkjbLLXYvUN.X.2LK84aSoXR2JwW5HGWMijiLpb00mrKK"
CHECKS = {
    "signs_in": "(sso_issuer IS NULL) = (sso_subject IS NULL) AND (password_hash IS NOT NULL OR sso_subject IS NOT NULL)",
    "sso_issuer": "char_length(sso_issuer) <= 2000",
    "sso_subject": "char_length(sso_subject) BETWEEN 1 AND 255",
    "break_glass": "NOT break_glass OR password_hash IS NOT NULL",
}
# Who may add sign-ins is the application: it has the new table, too.
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class t, aclexplode(t.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE t.oid = 'auth_sessions'::regclass AND acl.privilege_type = 'INSERT' AND r.oid <> t.relowner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON sso_used TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column("users", "password_hash", nullable=True)
    op.add_column("users", sa.Column("sso_issuer", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("sso_subject", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("break_glass", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    for name, rule in CHECKS.items():
        op.create_check_constraint(op.f(f"users_{name}_check"), "users", rule)
    op.create_index(
        "users_sso_key",
        "users",
        ["sso_issuer", "sso_subject"],
        unique=True,
        postgresql_where=sa.text("sso_subject IS NOT NULL"),
    )
    op.add_column("auth_sessions", sa.Column("sso_sid", sa.Text(), nullable=True))
    op.create_index(
        op.f("auth_sessions_sso_sid_idx"),
        "auth_sessions",
        ["sso_sid"],
        postgresql_where=sa.text("sso_sid IS NOT NULL"),
    )
    op.create_table(
        "sso_used",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("sso_used_pkey")),
    )
    op.create_index(op.f("sso_used_expires_at_idx"), "sso_used", ["expires_at"])
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("sso_used")
    op.drop_index(op.f("auth_sessions_sso_sid_idx"), table_name="auth_sessions")
    op.drop_column("auth_sessions", "sso_sid")
    op.drop_index("users_sso_key", table_name="users")
    for name in CHECKS:
        op.drop_constraint(op.f(f"users_{name}_check"), "users", type_="check")
    for name in ("break_glass", "sso_subject", "sso_issuer"):
        op.drop_column("users", name)
    # Whoever is signed in without a password is out: the version before knows no such person.
    op.execute(
        "UPDATE auth_sessions SET revoked_at = clock_timestamp(), revoked_because = 'the version before has no single sign-on'"
        " WHERE revoked_at IS NULL AND user_id IN (SELECT id FROM users WHERE password_hash IS NULL)"
    )
    op.execute(sa.text("UPDATE users SET password_hash = :hash WHERE password_hash IS NULL").bindparams(hash=FITS_NONE))
    op.alter_column("users", "password_hash", nullable=False)
