"""An audit that is older than it is."""

import psycopg


def age_events(connection: psycopg.Connection, up_to: int, days: int) -> None:
    """Rewrite the chain, which was not purged yet, as if its first events were so many days older."""
    connection.execute("SET session_replication_role = replica")
    connection.execute("UPDATE audit_events SET at = at - make_interval(days => %s) WHERE seq <= %s", [days, up_to])
    connection.execute(
        """DO $$ DECLARE e audit_events; last text := repeat('0', 64); BEGIN
            FOR e IN SELECT * FROM audit_events ORDER BY seq LOOP
                last := llm_audit_hash(last, e);
                UPDATE audit_events SET hash = last WHERE id = e.id;
            END LOOP;
            UPDATE audit_head SET hash = last;
        END $$"""
    )
    connection.execute("SET session_replication_role = origin")
