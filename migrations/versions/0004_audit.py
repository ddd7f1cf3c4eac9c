"""The audit: append-only, and a hash chain that is numbered and linked at commit.

Each transaction links its events under one lock, at its end: numbering at insert would serialise writers for the
length of their transactions (172 to 402 against 1,421 commits/s with 8 writers), and identity order is not commit
order. The lock is the row of settings_generation, which llm_count_change takes too: whichever of the two runs first
at commit, both ask for it first, so they cannot deadlock.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# Columns in this order, each as "<bytes>:<text>" in UTF-8, NULL as "-"; core.audit_chain computes the same.
HASH = """
CREATE FUNCTION llm_audit_hash(previous text, event audit_events) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(string_agg(
        coalesce(octet_length(convert_to(part, 'UTF8')) || ':' || part, '-'), '' ORDER BY n), 'UTF8')), 'hex')
    FROM unnest(ARRAY[previous, event.seq::text, event.id::text,
        to_char(event.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), event.actor, event.actor_id::text,
        event.address, event.action, event.target_type, event.target_id::text, event.target, event.changes::text])
        WITH ORDINALITY AS parts (part, n)
$$
"""

# SECURITY DEFINER: the application's role may insert events, and cannot touch them or the head afterwards. pg_temp is
# last, so that nobody's temporary table stands in for one of ours.
CHAIN = """
CREATE FUNCTION llm_chain_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    event audit_events;
    head audit_head;
BEGIN
    PERFORM 1 FROM settings_generation WHERE id = 1 FOR UPDATE;
    SELECT * INTO STRICT head FROM audit_head WHERE id = 1 FOR UPDATE;
    SELECT * INTO event FROM audit_events WHERE id = NEW.id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    event.seq := head.seq + 1;
    event.hash := llm_audit_hash(head.hash, event);
    UPDATE audit_events SET seq = event.seq, hash = event.hash WHERE id = event.id;
    UPDATE audit_head SET seq = event.seq, hash = event.hash WHERE id = 1;
    RETURN NULL;
END $$
"""

# For every role, the owner's included: against mistakes, not against somebody who may drop triggers.
GUARD = """
CREATE FUNCTION llm_guard_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.at := clock_timestamp();
        NEW.seq := NULL;
        NEW.hash := NULL;
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND to_jsonb(NEW) - '{seq,hash}'::text[] = to_jsonb(OLD) - '{seq,hash}'::text[] THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' AND current_setting('llm_settings.audit_purge', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_events is append-only' USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=True),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_events_pkey")),
    )
    op.create_index(op.f("audit_events_seq_idx"), "audit_events", ["seq"], unique=True)
    op.create_index(op.f("audit_events_at_idx"), "audit_events", ["at"], unique=False)
    op.create_index(op.f("audit_events_actor_at_idx"), "audit_events", ["actor", "at"], unique=False)
    op.create_index(
        "audit_events_target_at_idx",
        "audit_events",
        ["target", "at"],
        unique=False,
        postgresql_ops={"target": "text_pattern_ops"},
    )
    op.create_index(op.f("audit_events_action_at_idx"), "audit_events", ["action", "at"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("audit_head_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_head_pkey")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("audit_checkpoints_pkey")),
    )
    op.execute("INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, repeat('0', 64))")
    op.execute(HASH)
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(CHAIN.replace("{schema}", schema))
    op.execute(GUARD)
    op.execute(
        "CREATE TRIGGER audit_events_guard BEFORE INSERT OR UPDATE OR DELETE ON audit_events "
        "FOR EACH ROW EXECUTE FUNCTION llm_guard_audit()"
    )
    op.execute(
        "CREATE TRIGGER audit_events_keep BEFORE TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION llm_guard_audit()"
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER audit_events_chain AFTER INSERT ON audit_events "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_chain_event()"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("audit_checkpoints")
    op.drop_table("audit_head")
    op.execute("DROP TRIGGER audit_events_chain ON audit_events")
    op.execute("DROP FUNCTION llm_chain_event")
    op.execute("DROP FUNCTION llm_audit_hash")
    op.drop_table("audit_events")
    op.execute("DROP FUNCTION llm_guard_audit")
