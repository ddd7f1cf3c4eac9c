"""The history is purged by functions: the application's role may shorten it, and not change what is left.

A purge keeps of each row the newest version before the cut, with who had set which of its fields, so that what it was at any
moment after the cut stays true. Nothing younger than a day is purged, whoever asks. What an organisation had can be taken away
once the organisation itself is gone. How long it is kept stands in ``installation.keep_history_days``; NULL keeps it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# The generations before the cut go first: a moment before it is refused from then on, also while rows are still purged.
PURGE = """
CREATE FUNCTION llm_purge_history(days integer, after_table text, after_row integer, most integer,
    OUT removed bigint, OUT last_table text, OUT last_row integer) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    cut bigint;
    one record;
    newest settings_history;
    before jsonb;
    gone bigint;
BEGIN
    removed := 0;
    SELECT generation INTO cut FROM settings_generations
        WHERE at < clock_timestamp() - make_interval(days => greatest(days, 1)) ORDER BY at DESC, generation DESC LIMIT 1;
    IF cut IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM settings_generations WHERE generation < cut;
    FOR one IN
        SELECT DISTINCT h.table_name, h.row_id FROM settings_history h
            WHERE (h.table_name, h.row_id) > (after_table, after_row) AND h.generation <= cut
            ORDER BY h.table_name, h.row_id LIMIT most
    LOOP
        last_table := one.table_name;
        last_row := one.row_id;
        SELECT * INTO STRICT newest FROM settings_history h WHERE h.table_name = one.table_name AND h.row_id = one.row_id
            AND h.generation <= cut ORDER BY h.generation DESC LIMIT 1;
        SELECT h.image INTO before FROM settings_history h WHERE h.table_name = one.table_name AND h.row_id = one.row_id
            AND h.generation < newest.generation ORDER BY h.generation DESC LIMIT 1;
        IF FOUND AND newest.op <> '-' THEN
            UPDATE settings_history h SET op = '=', field_changes = llm_field_changes(one.table_name, one.row_id, newest.generation)
                WHERE h.table_name = one.table_name AND h.row_id = one.row_id AND h.generation = newest.generation;
        END IF;
        DELETE FROM settings_history h WHERE h.table_name = one.table_name AND h.row_id = one.row_id
            AND (h.generation < newest.generation OR (newest.op = '-' AND h.generation = newest.generation));
        GET DIAGNOSTICS gone = ROW_COUNT;
        removed := removed + gone;
    END LOOP;
END $$
"""
# Who had set which field of a row at a generation, read off its versions.
FIELDS = """
CREATE FUNCTION llm_field_changes(of_table text, of_row integer, up_to bigint) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(key, change), '{}') FROM (
        SELECT DISTINCT ON (key) key, change FROM (
            SELECT 0 AS generation, key, value AS change FROM (
                SELECT field_changes FROM settings_history
                WHERE table_name = of_table AND row_id = of_row AND generation <= up_to AND field_changes IS NOT NULL
                ORDER BY generation DESC LIMIT 1
            ) first, jsonb_each(first.field_changes)
            UNION ALL
            SELECT v.generation, CASE WHEN right(key, 7) = '_set_at' THEN left(key, -7) ELSE key END,
                jsonb_build_object('by', v.by, 'at', v.at, 'version', v.version)
            FROM (
                SELECT w.generation, w.at, w.by, w.version, w.field_changes, coalesce(w.image, '{}') AS image,
                    coalesce(lag(w.image) OVER (ORDER BY w.generation), '{}') AS before
                FROM settings_history w WHERE w.table_name = of_table AND w.row_id = of_row AND w.generation <= up_to
            ) v, jsonb_object_keys(v.image || v.before) AS key
            WHERE v.field_changes IS NULL AND v.image -> key IS DISTINCT FROM v.before -> key AND key <> 'id'
        ) changes ORDER BY key, generation DESC
    ) newest
$$
"""
ORGANIZATION = """
CREATE FUNCTION llm_purge_organization_history(organization integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    IF EXISTS (SELECT FROM organizations WHERE id = organization) THEN
        RAISE EXCEPTION 'the organisation is there' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM settings_history WHERE organization_id = organization;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$
"""
FUNCTIONS = (
    "llm_purge_history(integer, text, integer, integer)",
    "llm_purge_organization_history(integer)",
)
# A role that does periodic work does this too.
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class t, aclexplode(t.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE t.oid IN ('jobs'::regclass, 'llm_settings'::regclass) AND acl.privilege_type = 'INSERT' AND r.oid <> t.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON installation, settings_generations, settings_history TO %I', role);
        EXECUTE format('GRANT EXECUTE ON FUNCTION {functions} TO %I', role);
    END LOOP;
END $$
"""
NAMED = "settings_history_organization_name_idx"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else a trigger may still be pending on the tables
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.add_column("installation", sa.Column("keep_history_days", sa.Integer(), nullable=True))
    op.create_check_constraint(
        op.f("installation_keep_history_days_check"), "installation", "keep_history_days BETWEEN 1 AND 36500"
    )
    op.create_index(
        NAMED,
        "settings_history",
        [sa.text("(image ->> 'name')")],
        postgresql_where=sa.text("table_name = 'organization_names'"),
    )
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in (FIELDS, PURGE, ORGANIZATION):
        op.execute(function.replace("{schema}", schema))
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    op.execute(GRANT.replace("{functions}", ", ".join(FUNCTIONS)))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    for function in (*FUNCTIONS, "llm_field_changes(text, integer, bigint)"):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index(NAMED, "settings_history")
    op.drop_constraint(op.f("installation_keep_history_days_check"), "installation", type_="check")
    op.drop_column("installation", "keep_history_days")
