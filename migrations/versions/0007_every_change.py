"""What raw SQL can do besides: TRUNCATE raises the generation, and a row that gets another id is noted under both."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLES = ("llm_providers", "llm_settings")

# As in 0002. A TRUNCATE leaves a generation without a change beside it, which readers take for "read everything", and takes
# the next one for what else the transaction does.
COUNT = """
CREATE OR REPLACE FUNCTION llm_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint := nullif(current_setting('llm_settings.generation', true), '');
BEGIN
    IF number IS NULL THEN
        UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
        PERFORM set_config('llm_settings.generation', number::text, true);
        PERFORM pg_notify('llm_settings', number::text);
        IF number % 1000 = 0 THEN
            DELETE FROM settings_changes WHERE generation < number - 10000;
        END IF;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM settings_changes WHERE generation = number;
        UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
        PERFORM set_config('llm_settings.generation', number::text, true);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, OLD.id)
            ON CONFLICT DO NOTHING;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, NEW.id)
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$
"""
BEFORE = """
CREATE OR REPLACE FUNCTION llm_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
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
    op.execute(COUNT)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_truncate AFTER TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION llm_count_change()"
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in TABLES:
        op.execute(f"DROP TRIGGER {table}_truncate ON {table}")
    op.execute(BEFORE)
