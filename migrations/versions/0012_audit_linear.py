"""Events of one transaction are numbered and linked together, at the first of them: the head is written once.

Before, each event wrote the head, and had to pass all its older versions: 100,000 events took three minutes. What is hashed,
and what the guard lets through, is as before; both do it in half the time, as writers wait while a transaction is linked.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# As in 0004: rights, search_path and the order of the locks. Of a transaction's own events, those from this one on and
# without a number are all of them: this trigger fires in the order of their ids, and events of others are either not seen,
# or have their numbers. By the index on id, and planned once: that on seq is full of what earlier commits left there.
CHAIN = """
CREATE OR REPLACE FUNCTION llm_chain_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    event audit_events;
    head audit_head;
BEGIN
    PERFORM 1 FROM audit_events WHERE id = NEW.id AND coalesce(seq, 0) = 0;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM settings_generation WHERE id = 1 FOR UPDATE;
    SELECT * INTO STRICT head FROM audit_head WHERE id = 1 FOR UPDATE;
    FOR event IN SELECT * FROM audit_events WHERE id >= NEW.id AND coalesce(seq, 0) = 0 ORDER BY id LOOP
        head.seq := head.seq + 1;
        event.seq := head.seq;
        head.hash := llm_audit_hash(head.hash, event);
        UPDATE audit_events SET seq = head.seq, hash = head.hash WHERE id = event.id;
    END LOOP;
    UPDATE audit_head SET seq = head.seq, hash = head.hash WHERE id = 1;
    RETURN NULL;
END $$
"""
# The same bytes as before, without a query.
HASH = """
CREATE OR REPLACE FUNCTION llm_audit_hash(previous text, event audit_events) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text;
    whole text := '';
BEGIN
    FOREACH part IN ARRAY ARRAY[previous, event.seq::text, event.id::text,
        to_char(event.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), event.actor, event.actor_id::text,
        event.address, event.action, event.target_type, event.target_id::text, event.target, event.changes::text]
    LOOP
        whole := whole || coalesce(octet_length(convert_to(part, 'UTF8')) || ':' || part, '-');
    END LOOP;
    RETURN encode(sha256(convert_to(whole, 'UTF8')), 'hex');
END $$
"""

# *= compares the bytes of two rows.
GUARD = """
CREATE OR REPLACE FUNCTION llm_guard_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unlinked record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.at := clock_timestamp();
        NEW.seq := NULL;
        NEW.hash := NULL;
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' AND OLD.seq IS NULL THEN
        unlinked := NEW;
        unlinked.seq := OLD.seq;
        unlinked.hash := OLD.hash;
        IF unlinked *= OLD THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'DELETE' AND current_setting('llm_settings.audit_purge', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_events is append-only' USING ERRCODE = 'insufficient_privilege';
END $$
"""

HASH_BEFORE = """
CREATE OR REPLACE FUNCTION llm_audit_hash(previous text, event audit_events) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(string_agg(
        coalesce(octet_length(convert_to(part, 'UTF8')) || ':' || part, '-'), '' ORDER BY n), 'UTF8')), 'hex')
    FROM unnest(ARRAY[previous, event.seq::text, event.id::text,
        to_char(event.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), event.actor, event.actor_id::text,
        event.address, event.action, event.target_type, event.target_id::text, event.target, event.changes::text])
        WITH ORDINALITY AS parts (part, n)
$$
"""
CHAIN_BEFORE = """
CREATE OR REPLACE FUNCTION llm_chain_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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
GUARD_BEFORE = """
CREATE OR REPLACE FUNCTION llm_guard_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
    _replace(HASH, GUARD, CHAIN)


def downgrade() -> None:
    _replace(HASH_BEFORE, GUARD_BEFORE, CHAIN_BEFORE)


def _replace(*functions: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in functions:
        op.execute(function.replace("{schema}", schema))
