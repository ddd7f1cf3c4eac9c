"""History: a version of every row whose changes are counted, at every generation, and when and by whom each generation came.

Written by the trigger that counts, where the number is known, for raw SQL and for versions of the application before too. The
trigger asks the row itself for its organisation and for what is sealed in it: a table of a later migration needs its triggers
and no new version of these functions. What has such a trigger has an ``id``, so names of organisations get one.

The rows that are there get a first version. Nobody may write them meanwhile: the migration waits for who does, and who wants to
waits for it (a million rows: about half a minute).

Down takes the history away.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# A row without its stamps, without NULLs, and without what is sealed: a column x_encrypted, and all that stands beside it. In its
# place x says that there is a value, and by which fingerprint it is known. The rule is one for names: tables of later migrations
# keep to it (tests/store/test_history_tables.py).
IMAGE = """
CREATE FUNCTION llm_image(given jsonb, fingerprints boolean) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sealed text;
    mark jsonb;
BEGIN
    FOR sealed IN SELECT left(key, -10) FROM jsonb_object_keys(given) AS key WHERE right(key, 10) = '_encrypted' LOOP
        mark := CASE WHEN given ->> (sealed || '_encrypted') IS NULL THEN NULL
            WHEN fingerprints AND right(given ->> (sealed || '_fingerprint'), 8) = left(given ->> (sealed || '_encrypted'), 8)
                THEN jsonb_build_object('set', true, 'fingerprint', left(given ->> (sealed || '_fingerprint'), 8))
            ELSE '{"set": true}' END;
        given := given - ARRAY[sealed || '_encrypted', sealed || '_masked', sealed || '_key_id', sealed || '_binding',
            sealed || '_fingerprint'];
        IF mark IS NOT NULL THEN
            given := given || jsonb_build_object(sealed, mark);
        END IF;
    END LOOP;
    RETURN (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(given)
        WHERE value <> 'null' AND key NOT IN ('version', 'created_at', 'updated_at', 'updated_by', 'field_changes'));
END $$
"""

# As in 0020, and a version of the row. SECURITY DEFINER, as the audit's: the application's role only reads the history. A number
# that is not the newest is none of this transaction: whoever sets it there cannot write into the past.
# By index: while a table is small, or nothing is known of it, the plan would be to read all of it, and is kept. Not compiled: up
# to version 17 what is off costs so much in a plan that the server compiles it, for 0.1 s a commit.
COUNT = """
CREATE OR REPLACE FUNCTION llm_count_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    who constant text := coalesce(nullif(current_setting('llm_settings.actor', true), ''), session_user || ' (SQL)');
    number bigint := nullif(current_setting('llm_settings.generation', true), '');
    moment timestamptz;
    old_row jsonb;
    new_row jsonb;
    one jsonb;
    organization integer;
    note text;
BEGIN
    IF number IS NOT NULL THEN
        SELECT s.at INTO moment FROM settings_generation g JOIN settings_generations s ON s.generation = g.generation
            WHERE g.id = 1 AND g.generation = number;
    END IF;
    LOOP
        IF moment IS NULL THEN
            UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
            PERFORM set_config('llm_settings.generation', number::text, true);
            PERFORM pg_notify('llm_settings', number::text);
            moment := greatest(clock_timestamp(),
                (SELECT at FROM settings_generations WHERE generation < number ORDER BY generation DESC LIMIT 1));
            INSERT INTO settings_generations (generation, at, by, comment)
                VALUES (number, moment, who, nullif(current_setting('llm_settings.comment', true), ''))
                ON CONFLICT (generation) DO UPDATE SET at = excluded.at, by = excluded.by, comment = excluded.comment;
            IF number % 1000 = 0 THEN
                DELETE FROM settings_changes WHERE generation < number - 10000;
            END IF;
        END IF;
        EXIT WHEN TG_OP <> 'TRUNCATE' OR note IS NOT NULL;
        DELETE FROM settings_changes WHERE generation = number;  -- and one more, without a change: readers read everything
        moment := NULL;
        note := 'truncated';
    END LOOP;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO settings_history (table_name, row_id, generation, at, organization_id, op, by)
            SELECT TG_TABLE_NAME, row_id, number, moment, organization_id, '-', who FROM (
                SELECT DISTINCT ON (row_id) row_id, organization_id, op FROM settings_history
                    WHERE table_name = TG_TABLE_NAME ORDER BY row_id, generation DESC
            ) AS newest WHERE op <> '-'
            ON CONFLICT (table_name, row_id, generation) DO UPDATE SET op = '-', image = NULL, version = NULL;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        old_row := to_jsonb(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_row := to_jsonb(NEW);
    END IF;
    FOR turn IN 1..2 LOOP
        IF turn = 1 THEN one := old_row; ELSE one := new_row; END IF;
        CONTINUE WHEN one IS NULL;
        organization := one ->> CASE TG_TABLE_NAME WHEN 'organizations' THEN 'id' ELSE 'organization_id' END;
        IF organization IS NULL THEN
            INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, (one ->> 'id')::integer)
                ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        note := number || ' ' || organization;
        IF note IS DISTINCT FROM current_setting('llm_settings.noted', true) THEN
            INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, 'organizations', organization)
                ON CONFLICT DO NOTHING;
            PERFORM set_config('llm_settings.noted', note, true);
        END IF;
    END LOOP;
    IF old_row IS NOT NULL AND (new_row IS NULL OR new_row ->> 'id' <> old_row ->> 'id') THEN
        organization := old_row ->> CASE TG_TABLE_NAME WHEN 'organizations' THEN 'id' ELSE 'organization_id' END;
        DELETE FROM settings_history WHERE table_name = TG_TABLE_NAME AND row_id = (old_row ->> 'id')::integer
            AND generation = number AND op = '+';  -- made and deleted by one transaction: it never was
        IF NOT FOUND THEN
            INSERT INTO settings_history (table_name, row_id, generation, at, organization_id, op, by)
                VALUES (TG_TABLE_NAME, (old_row ->> 'id')::integer, number, moment, organization, '-', who)
                ON CONFLICT (table_name, row_id, generation) DO UPDATE
                SET op = '-', by = excluded.by, at = excluded.at, image = NULL, version = NULL;
        END IF;
        old_row := NULL;
    END IF;
    IF new_row IS NOT NULL AND (old_row IS NULL OR llm_image(old_row, false) <> llm_image(new_row, false)) THEN
        organization := new_row ->> CASE TG_TABLE_NAME WHEN 'organizations' THEN 'id' ELSE 'organization_id' END;
        INSERT INTO settings_history AS h (table_name, row_id, generation, at, organization_id, op, by, version, image)
            VALUES (TG_TABLE_NAME, (new_row ->> 'id')::integer, number, moment, organization,
                CASE WHEN old_row IS NULL THEN '+' ELSE '=' END, who, (new_row ->> 'version')::integer, llm_image(new_row, true))
            ON CONFLICT (table_name, row_id, generation) DO UPDATE
            SET op = CASE h.op WHEN '+' THEN '+' ELSE '=' END, by = excluded.by, at = excluded.at,
                organization_id = excluded.organization_id, version = excluded.version, image = excluded.image;
    END IF;
    RETURN NULL;
END $$
"""
BEFORE = """
CREATE OR REPLACE FUNCTION llm_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint := nullif(current_setting('llm_settings.generation', true), '');
    one record;
    organization integer;
    note text;
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
    FOR turn IN 1..2 LOOP
        CONTINUE WHEN TG_OP = CASE turn WHEN 1 THEN 'INSERT' ELSE 'DELETE' END;
        IF turn = 1 THEN one := OLD; ELSE one := NEW; END IF;
        organization := NULL;
        IF TG_TABLE_NAME = 'organizations' THEN
            organization := one.id;
        ELSIF TG_TABLE_NAME IN ('llm_settings', 'feature_llm_overrides', 'organization_providers', 'organization_names') THEN
            organization := one.organization_id;
        END IF;
        IF organization IS NULL THEN
            INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, one.id)
                ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        note := number || ' ' || organization;
        IF note IS DISTINCT FROM current_setting('llm_settings.noted', true) THEN
            INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, 'organizations', organization)
                ON CONFLICT DO NOTHING;
            PERFORM set_config('llm_settings.noted', note, true);
        END IF;
    END LOOP;
    RETURN NULL;
END $$
"""

# Whatever has the trigger, with every table of migrations between locked first: a change of meanwhile would be missing.
FIRST = """
DO $$
DECLARE
    counted name;
BEGIN
    FOR counted IN
        SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE t.tgfoid = 'llm_count_change'::regproc AND t.tgdeferrable ORDER BY 1
    LOOP
        EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', counted);
    END LOOP;
    INSERT INTO settings_generations (generation, at, by)
        SELECT generation, clock_timestamp(), 'migration 0022' FROM settings_generation;
    FOR counted IN
        SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE t.tgfoid = 'llm_count_change'::regproc AND t.tgdeferrable ORDER BY 1
    LOOP
        EXECUTE format('INSERT INTO settings_history
                (table_name, row_id, generation, at, organization_id, op, by, version, image, field_changes)
            SELECT %L, (one ->> ''id'')::integer, s.generation, s.at, (one ->> %L)::integer, ''='',
                coalesce(one ->> ''updated_by'', s.by), (one ->> ''version'')::integer, llm_image(one, true),
                one -> ''field_changes''
            FROM (SELECT to_jsonb(t) AS one FROM %I t) AS each, settings_generations s',
            counted, CASE counted WHEN 'organizations' THEN 'id' ELSE 'organization_id' END, counted);
    END LOOP;
END $$
"""
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT ON settings_history, settings_generations TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("organization_names", sa.Column("id", sa.Integer(), sa.Identity(), nullable=False))
    op.create_table(
        "settings_generations",
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("generation", name=op.f("settings_generations_pkey")),
        comment="When each generation came, by whom, and why",
    )
    op.create_index(op.f("settings_generations_at_generation_idx"), "settings_generations", ["at", "generation"])
    op.create_table(
        "settings_history",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("image", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.CheckConstraint("op IN ('+', '=', '-')", name=op.f("settings_history_op_check")),
        sa.CheckConstraint("(op = '-') = (image IS NULL)", name=op.f("settings_history_image_check")),
        sa.PrimaryKeyConstraint("table_name", "row_id", "generation", name=op.f("settings_history_pkey")),
        comment="A version of each row at each generation that changed it, without what is sealed",
    )
    op.create_index(op.f("settings_history_generation_idx"), "settings_history", ["generation"])
    op.create_index(
        op.f("settings_history_organization_id_generation_idx"),
        "settings_history",
        ["organization_id", "generation"],
        postgresql_where=sa.text("organization_id IS NOT NULL"),
    )
    op.create_index(
        "settings_history_global_idx",
        "settings_history",
        ["table_name", "row_id", sa.text("generation DESC")],
        postgresql_where=sa.text("organization_id IS NULL"),
    )
    op.execute(IMAGE)
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(COUNT.replace("{schema}", schema))
    op.execute("REVOKE ALL ON FUNCTION llm_count_change() FROM PUBLIC")  # a table of somebody else's may not have it
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what a migration before, in this transaction, has changed
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute("DELETE FROM settings_history; DELETE FROM settings_generations")
    op.execute(FIRST)
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute(BEFORE)
    op.execute("ALTER FUNCTION llm_count_change() SECURITY INVOKER RESET ALL")
    op.execute("GRANT EXECUTE ON FUNCTION llm_count_change() TO PUBLIC")
    op.execute("DROP FUNCTION llm_image")
    op.drop_table("settings_history")
    op.drop_table("settings_generations")
    op.drop_column("organization_names", "id")
