"""Who is told may be a channel of Slack, or people by e-mail.

Of Slack the whole URL is sealed where a webhook has its secret, and ``url`` has the host alone. An app of the version before leaves
both kinds alone.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLE = "notification_targets"
KIND = f"{TABLE}_kind_check"
ADDRESS = f"{TABLE}_address_check"
RECIPIENTS = f"{TABLE}_recipients_check"
# As in 0023; recipients are what people set.
STAMP = """
CREATE OR REPLACE FUNCTION llm_stamp_target() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stamped constant text[] := '{name,kind,url,%sevents,is_active,signing_set_at}';
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


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in (TABLE, "notification_deliveries"):
        op.add_column(table, sa.Column("recipients", postgresql.JSONB(), nullable=True))
    op.alter_column(TABLE, "url", nullable=True)
    op.drop_constraint(op.f(KIND), TABLE)
    op.create_check_constraint(op.f(KIND), TABLE, "kind IN ('webhook', 'slack', 'email')")
    op.create_check_constraint(op.f(ADDRESS), TABLE, "(kind = 'email') = (url IS NULL)")
    op.create_check_constraint(
        op.f(RECIPIENTS),
        TABLE,
        "CASE WHEN jsonb_typeof(recipients) = 'array' THEN kind = 'email' AND jsonb_array_length(recipients) BETWEEN 1 AND 20 "
        "ELSE kind <> 'email' AND recipients IS NULL END",
    )
    op.execute(STAMP % "recipients,")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DELETE FROM {TABLE} WHERE kind <> 'webhook'")  # noqa: S608 - names of our own
    for name in (RECIPIENTS, ADDRESS, KIND):
        op.drop_constraint(op.f(name), TABLE)
    op.create_check_constraint(op.f(KIND), TABLE, "kind IN ('webhook')")
    op.alter_column(TABLE, "url", nullable=False)
    for table in (TABLE, "notification_deliveries"):
        op.drop_column(table, "recipients")
    op.execute(STAMP % "")
