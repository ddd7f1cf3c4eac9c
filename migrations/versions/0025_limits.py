"""Limits: what a layer may say of a parameter at all, set by the installation or by an organisation for itself.

Versions before do not read the table: what they resolve is not limited. Each rule is stamped on its own, so that of two admins
who set limits in one row each is named for what is theirs. Roles that read settings read limits too, and roles that change settings
write them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLE = "llm_limits"
# Runs after llm_stamp_row, by its name: that has stamped the column as a whole.
STAMP = """
CREATE FUNCTION llm_stamp_limits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := '{}';
    stamps jsonb;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD.limits;
    END IF;
    IF NEW.limits IS DISTINCT FROM before AND jsonb_typeof(NEW.limits) = 'object' AND jsonb_typeof(before) = 'object' THEN
        SELECT jsonb_object_agg('limits.' || key, NEW.field_changes -> 'limits') INTO stamps
            FROM (SELECT key FROM jsonb_object_keys(NEW.limits || before) key) fields
            WHERE NEW.limits -> key IS DISTINCT FROM before -> key;
        NEW.field_changes := NEW.field_changes || stamps;
    END IF;
    RETURN NEW;
END $$
"""

GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM (
            SELECT (aclexplode(attacl)).* FROM pg_attribute
                WHERE attrelid = 'llm_settings'::regclass AND attname = 'omitted_parameters'
            UNION ALL SELECT (aclexplode(relacl)).* FROM pg_class WHERE oid = 'llm_settings'::regclass
        ) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE acl.privilege_type = 'SELECT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT (id, owner, organization_id, feature_id, provider_id, limits, note, version,
            field_changes) ON llm_limits TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_limits TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE llm_limits_id_seq TO %I', role);
    END LOOP;
END $$
"""


def _to(column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"{TABLE}_{column}_fkey"), ondelete="CASCADE")


def _check(name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"{TABLE}_{name}_check"))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("feature_id", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.Integer(), nullable=True),
        sa.Column("limits", postgresql.JSONB(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        _check("owner", "owner IN ('installation', 'organization')"),
        _check("organization_id", "owner = 'installation' OR organization_id IS NOT NULL"),
        _check("limits", "jsonb_typeof(limits) = 'object' AND octet_length(limits::text) <= 16384"),
        _check("note", "char_length(note) BETWEEN 1 AND 500"),
        _to("organization_id", "organizations"),
        _to("feature_id", "llm_features"),
        _to("provider_id", "llm_providers"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{TABLE}_pkey")),
        comment="What may be said of parameters at all, and who says so",
    )
    op.create_index(
        f"{TABLE}_scope_key",
        TABLE,
        ["owner", "organization_id", "feature_id", "provider_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    for name in ("organization_id", "feature_id", "provider_id"):
        op.create_index(op.f(f"{TABLE}_{name}_idx"), TABLE, [name])
    op.execute(STAMP)
    for name, function in (("stamp", "llm_stamp_row"), ("stamp_limits", "llm_stamp_limits")):
        op.execute(
            f"CREATE TRIGGER {TABLE}_{name} BEFORE INSERT OR UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {function}()"
        )
    op.execute(
        f"CREATE CONSTRAINT TRIGGER {TABLE}_count AFTER INSERT OR UPDATE OR DELETE ON {TABLE} "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_truncate AFTER TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"TRUNCATE {TABLE}")  # resolvers read everything anew: what it said would hold for ever
    op.drop_table(TABLE)
    op.execute("DROP FUNCTION llm_stamp_limits")
