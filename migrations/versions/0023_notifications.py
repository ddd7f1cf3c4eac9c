"""Who is told of changes, and each message to them.

A role that runs the app may use both: else the app of the new version could tell nobody until its role is granted anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
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
        SELECT DISTINCT r.rolname FROM pg_class t, aclexplode(t.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE t.oid = 'jobs'::regclass AND acl.privilege_type = 'INSERT' AND r.oid <> t.relowner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON notification_targets, notification_deliveries TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE notification_targets_id_seq, notification_deliveries_id_seq TO %I', role);
    END LOOP;
END $$
"""
# As llm_stamp_row, of what people set: what the sending notes of a target must not make an admin's open form stale.
STAMP = """
CREATE FUNCTION llm_stamp_target() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stamped constant text[] := '{name,kind,url,events,is_active,signing_set_at}';
    who constant text := coalesce(nullif(current_setting('llm_settings.actor', true), ''), session_user || ' (SQL)');
    before jsonb := '{}';
    changed text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := to_jsonb(OLD);
        NEW.version := OLD.version;
        NEW.created_at := OLD.created_at;
        NEW.updated_at := OLD.updated_at;
        NEW.updated_by := OLD.updated_by;
        NEW.field_changes := OLD.field_changes;
    ELSE
        NEW.version := 0;
        NEW.created_at := clock_timestamp();
        NEW.field_changes := '{}';
    END IF;
    SELECT array_agg(CASE key WHEN 'signing_set_at' THEN 'secret' ELSE key END) INTO changed
        FROM jsonb_each(to_jsonb(NEW)) AS field (key, value)
        WHERE key = ANY (stamped) AND value IS DISTINCT FROM coalesce(before -> key, 'null');
    IF changed IS NOT NULL THEN
        NEW.version := NEW.version + 1;
        NEW.updated_at := clock_timestamp();
        NEW.updated_by := who;
        SELECT NEW.field_changes
                || jsonb_object_agg(name, jsonb_build_object('by', who, 'at', NEW.updated_at, 'version', NEW.version))
            INTO NEW.field_changes FROM unnest(changed) AS name;
    END IF;
    RETURN NEW;
END $$
"""


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _sealed(name: str) -> list[sa.Column[object]]:
    parts = ("encrypted", "masked", "key_id", "binding", "fingerprint")
    return [*(sa.Column(f"{name}_{part}", sa.Text(), nullable=True) for part in parts), _time(f"{name}_set_at")]


def _targets() -> None:
    table = "notification_targets"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "kind", "url")),
        sa.Column("events", postgresql.JSONB(), nullable=False),
        *_sealed("signing"),
        *_sealed("former"),
        _time("both_until"),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("off_reason", sa.Text(), nullable=True),
        _time("off_at"),
        _time("failing_since"),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _now("created_at"),
        _now("updated_at"),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f(f"{table}_name_check")),
        sa.CheckConstraint("kind IN ('webhook')", name=op.f(f"{table}_kind_check")),
        sa.CheckConstraint("url ~ '^https?://' AND char_length(url) <= 2000", name=op.f(f"{table}_url_check")),
        sa.CheckConstraint(
            "CASE WHEN jsonb_typeof(events) = 'array' THEN jsonb_array_length(events) BETWEEN 1 AND 100 ELSE false END",
            name=op.f(f"{table}_events_check"),
        ),
        sa.CheckConstraint("char_length(off_reason) <= 500", name=op.f(f"{table}_off_reason_check")),
        *(
            sa.CheckConstraint(
                f"{name}_fingerprint ~ '^[0-9a-f]{{8}}@[0-9a-f]{{8}}$'", name=op.f(f"{table}_{name}_fingerprint_check")
            )
            for name in ("signing", "former")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{table}_pkey")),
        comment="Who is told of what happens here",
    )
    op.create_index(op.f(f"{table}_name_idx"), table, ["name"], unique=True)


def _deliveries() -> None:
    table = "notification_deliveries"
    op.create_table(
        table,
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=True),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        _now("created_at"),
        _now("next_at"),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _time("last_at"),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        _time("done_at"),
        _time("failed_at"),
        sa.CheckConstraint(
            "jsonb_typeof(payload) = 'object' AND octet_length(payload::text) <= 65536",
            name=op.f(f"{table}_payload_check"),
        ),
        sa.CheckConstraint("done_at IS NULL OR failed_at IS NULL", name=op.f(f"{table}_ended_check")),
        sa.CheckConstraint("char_length(last_error) <= 500", name=op.f(f"{table}_last_error_check")),
        sa.ForeignKeyConstraint(
            ["target_id"], ["notification_targets.id"], ondelete="CASCADE", name=op.f(f"{table}_target_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{table}_pkey")),
        comment="Messages to those who are told of what happens here",
    )
    op.create_index(op.f(f"{table}_target_id_id_idx"), table, ["target_id", "id"])
    op.create_index(
        "notification_deliveries_waiting_idx",
        table,
        ["target_id", "next_at", "id"],
        postgresql_where=sa.text("done_at IS NULL AND failed_at IS NULL"),
    )
    for name in ("done_at", "failed_at"):
        op.create_index(op.f(f"{table}_{name}_idx"), table, [name], postgresql_where=sa.text(f"{name} IS NOT NULL"))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _targets()
    _deliveries()
    op.execute(STAMP)
    op.execute(
        "CREATE TRIGGER notification_targets_stamp BEFORE INSERT OR UPDATE ON notification_targets "
        "FOR EACH ROW EXECUTE FUNCTION llm_stamp_target()"
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("notification_deliveries")
    op.drop_table("notification_targets")
    op.execute("DROP FUNCTION llm_stamp_target")
