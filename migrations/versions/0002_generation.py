"""The generation, and the triggers that keep version, field_changes and generation true for raw SQL too.

Deferred to commit: an immediate one-row counter serialises writers and deadlocks (182 against 1,465 commits/s with 8
writers), a sequence loses rows that commit late. See docs/decisions/generation-at-commit.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLES = ("llm_providers", "llm_settings")

# Who changed which field, and the version. A change of ciphertext alone (key rotation) is no edit: it must not make
# an admin's open form stale. api_key_set_at stands for the key, and is called api_key.
STAMP = """
CREATE FUNCTION llm_stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ignored constant text[] := '{id,version,created_at,updated_at,updated_by,field_changes,
        api_key_encrypted,api_key_key_id,api_key_binding,api_key_masked}';
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
    SELECT array_agg(CASE key WHEN 'api_key_set_at' THEN 'api_key' ELSE key END) INTO changed
        FROM jsonb_each(to_jsonb(NEW)) AS field (key, value)
        WHERE key <> ALL (ignored) AND value IS DISTINCT FROM coalesce(before -> key, 'null');
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

# Runs at commit, once for each changed row; the first one in a transaction takes the number. So the order of numbers
# is the order of commits, and the counter is locked for a moment only.
COUNT = """
CREATE FUNCTION llm_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint := nullif(current_setting('llm_settings.generation', true), '');
    changed_id integer;
BEGIN
    IF number IS NULL THEN
        UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
        PERFORM set_config('llm_settings.generation', number::text, true);
        PERFORM pg_notify('llm_settings', number::text);
        IF number % 1000 = 0 THEN
            DELETE FROM settings_changes WHERE generation < number - 10000;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN changed_id := OLD.id; ELSE changed_id := NEW.id; END IF;
    INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, changed_id)
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "settings_changes",
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("generation", "table_name", "row_id", name=op.f("settings_changes_pkey")),
    )
    op.create_table(
        "settings_generation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Text(), server_default=sa.text("gen_random_uuid()::text"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("settings_generation_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("settings_generation_pkey")),
    )
    op.execute("INSERT INTO settings_generation (id, generation) VALUES (1, 1)")
    op.execute(STAMP)
    op.execute(COUNT)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_stamp BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION llm_stamp_row()"
        )
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table}_count AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in TABLES:
        op.execute(f"DROP TRIGGER {table}_count ON {table}")
        op.execute(f"DROP TRIGGER {table}_stamp ON {table}")
    op.execute("DROP FUNCTION llm_count_change")
    op.execute("DROP FUNCTION llm_stamp_row")
    op.drop_table("settings_generation")
    op.drop_table("settings_changes")
