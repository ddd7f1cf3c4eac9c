"""Where a migrated database differs from what this version describes: columns, constraints, indexes, triggers, functions.

Alembic compares tables, columns and indexes by name; a CHECK or a trigger it does not see. Here PostgreSQL itself describes
two sets of tables: those of the migrations, and those that :mod:`.tables` makes in a schema that is rolled back.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from .tables import METADATA

_SCHEMA: Final = "llm_expected"
_DESCRIBED: Final = """
SELECT 'column ' || c.relname || '.' || a.attname || ': ' || format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
       || CASE WHEN a.attidentity <> '' THEN ' IDENTITY' ELSE '' END
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint ' || c.relname || ' ' || k.conname || ': ' || pg_get_constraintdef(k.oid)
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
 WHERE c.relnamespace = CAST(:schema AS regnamespace) AND NOT c.relispartition AND k.contype <> 'n'
   AND pg_get_constraintdef(k.oid) NOT LIKE 'TRIGGER%'
UNION ALL
SELECT 'index ' || pg_get_indexdef(i.indexrelid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
 WHERE c.relnamespace = CAST(:schema AS regnamespace) AND NOT c.relispartition
"""
_TRIGGERS: Final = """
SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE c.relnamespace = CAST(:schema AS regnamespace) AND NOT t.tgisinternal AND NOT c.relispartition
"""
_FUNCTIONS: Final = """
SELECT p.proname || ' ' || md5(p.prosrc) || CASE WHEN p.prosecdef THEN ' SECURITY DEFINER' ELSE '' END
       || coalesce(' SET ' || array_to_string(p.proconfig, '; '), '')
  FROM pg_proc p WHERE p.pronamespace = CAST(:schema AS regnamespace) AND p.proname LIKE 'llm\\_%'
"""
_STAMPED: Final = (
    *(
        "feature_llm_overrides",
        "installation",
        "llm_features",
        "llm_limits",
        "llm_model_facts",
        "llm_pii_settings",
        "llm_provider_secrets",
        "llm_providers",
    ),
    *(
        "llm_rate_limits",
        "llm_settings",
        "org_llm_budgets",
        "organization_providers",
        "organizations",
        "settings_presets",
    ),
)
"""Tables whose rows know who changed what."""
_COUNTED: Final = (*_STAMPED, "organization_names")
"""Tables whose changes readers hear of."""
TRIGGERS: Final = frozenset(
    {
        "CREATE CONSTRAINT TRIGGER audit_events_chain AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_chain_event()",
        "CREATE TRIGGER audit_events_guard BEFORE INSERT OR DELETE OR UPDATE ON audit_events FOR EACH ROW EXECUTE FUNCTION llm_guard_audit()",
        "CREATE TRIGGER audit_events_keep BEFORE TRUNCATE ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION llm_guard_audit()",
        "CREATE TRIGGER notification_targets_stamp BEFORE INSERT OR UPDATE ON notification_targets FOR EACH ROW EXECUTE FUNCTION llm_stamp_target()",
        "CREATE TRIGGER org_llm_budgets_alerts AFTER UPDATE OF amount, thresholds, is_active ON org_llm_budgets FOR EACH ROW EXECUTE FUNCTION llm_budget_changed()",
        "CREATE TRIGGER llm_logs_usage AFTER INSERT ON llm_logs REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION llm_add_usage()",
        "CREATE TRIGGER llm_limits_stamp_limits BEFORE INSERT OR UPDATE ON llm_limits FOR EACH ROW EXECUTE FUNCTION llm_stamp_limits()",
        *(
            f"CREATE TRIGGER {table}_stamp BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION llm_stamp_row()"
            for table in _STAMPED
        ),
        *(
            f"CREATE CONSTRAINT TRIGGER {table}_count AFTER INSERT OR DELETE OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
            for table in _COUNTED
        ),
        *(
            f"CREATE TRIGGER {table}_truncate AFTER TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION llm_count_change()"
            for table in _COUNTED
        ),
    }
)
"""The triggers that the migrations make, as PostgreSQL describes them."""
FUNCTIONS: Final = frozenset(
    {
        "llm_add_usage 674fd0b2fa84c0818820142b0a4c37e7 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_budget_bounds 1aca6c8f481ab929f1dd4e47e4a94efd SET search_path=pg_catalog, public, pg_temp",
        "llm_sync_leases c1ac4e83581aa4ed97660329702aa97b SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_adjust_budget f5685e7606ac59882dc347fb99f7baec SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_open_budget_period c8c80900ddf37421704f9afa29e2641b SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_budget_changed fb518d7f41d1aa691ef9bd1bc0561a5f SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_carried bec53a4409d6d76da6080bbba25d6d83 SET search_path=pg_catalog, public, pg_temp",
        "llm_carry_over c327f6a1b790e77f5d1cffca595dd25a SET search_path=pg_catalog, public, pg_temp",
        "llm_crossed ab1da38fee09bb7cfa561e1c098f5a9a SET search_path=pg_catalog, pg_temp",
        "llm_note_alerts ff4b9b119339a013871ea379f4416eb1 SET search_path=pg_catalog, public, pg_temp",
        "llm_sweep_leases 962b99fa9fe337a84460fc8672ff03e0 SET search_path=pg_catalog, public, pg_temp",
        "llm_sync_rates edebf96a088171b5b00295071b96017c SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_audit_hash bfc31c8f05c26717ab35e342fc084706 SET search_path=pg_catalog, pg_temp",
        "llm_chain_event 867b8d15b641b8e0159e57b12b3d8c30 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp; plan_cache_mode=force_generic_plan; enable_seqscan=off; enable_bitmapscan=off",
        "llm_count_change cb1270b8b958aad064e38df8f4e65150 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp; enable_seqscan=off; enable_bitmapscan=off; jit=off",
        "llm_field_changes 10fb26d2d23de1afb1205bfccc05d557 SET search_path=pg_catalog, public, pg_temp",
        "llm_guard_audit bbc441189ea245396d5c14ecf913a6b2 SET search_path=pg_catalog, pg_temp",
        "llm_image 162d03ba0648af799185749f69e2cca6 SET search_path=pg_catalog, pg_temp",
        "llm_stamp_limits 098acd29cea36361d1385f704108f4a5",
        "llm_stamp_target e40e50b7c4ac5b8a178c4fcb08eaeda3",
        "llm_purge_history cd49aa6d84ae5fe5f3e4f568bdf6ee41 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp; enable_seqscan=off; enable_bitmapscan=off; jit=off",
        "llm_purge_audit 909cbd0cd2d659a50e8bb1d9b8e4dc61 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp; enable_seqscan=off; enable_bitmapscan=off; jit=off",
        "llm_purge_organization_history 5ed3adfb240508bf4f90fa0b36e6e8c4 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_reprice_spend 0c3b37f6266e5ae677408b6777f5ac23 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_tell_spend bace668de44a5c68ded43122cb734300 SECURITY DEFINER SET search_path=pg_catalog, public, pg_temp",
        "llm_stamp_row 3d8453aa59df753ee87158ca55425ded",
    }
)
"""The functions that the migrations make: name, MD5 of the body, and how they run. A migration that changes one says so here."""


def differences(engine: Engine) -> list[str]:
    """Return, in words, what is in the migrated database and not described here, and the other way round; nothing is changed."""
    with engine.connect() as connection:
        own = connection.scalar(text("SELECT current_schema()"))
        there = _lines(connection, _DESCRIBED, own)
        triggers, functions = _lines(connection, _TRIGGERS, own), _lines(connection, _FUNCTIONS, own)
        connection.execute(text(f"CREATE SCHEMA {_SCHEMA}"))
        translated = connection.execution_options(schema_translate_map={None: _SCHEMA})
        try:
            METADATA.create_all(translated, checkfirst=False)
            here, refused = _lines(connection, _DESCRIBED, _SCHEMA), ""
        except DBAPIError as error:
            here, refused = set(), reason(error)
        connection.rollback()
    there = {line for line in there if " alembic_version" not in line}
    if refused:
        cure = "Each row of core/parameters.py needs a column there."
        found = [f"tables: PostgreSQL cannot make those of core/store/tables.py: {refused}. {cure}"]
    else:
        found = _compared("tables", there, here)
    found += _compared("triggers", triggers, TRIGGERS)
    return found + _compared("functions", functions, FUNCTIONS)


def reason(error: Exception) -> str:
    """Return what PostgreSQL or Alembic says of what it refuses, in one line and without the statement."""
    words = str(getattr(error, "orig", None) or error).splitlines() or [""]
    return words[0].rstrip(".")


def _compared(what: str, there: AbstractSet[str], here: AbstractSet[str]) -> list[str]:
    return [f"{what}, only in the migrated database: {line}" for line in sorted(there - here)] + [
        f"{what}, only in core.store: {line}" for line in sorted(here - there)
    ]


def _lines(connection: Connection, query: str, schema: str | None) -> set[str]:
    """Return what PostgreSQL says of a schema, without its name."""
    connection.execute(text(f"SET LOCAL search_path = {schema}"))
    lines = connection.scalars(text(query), {"schema": schema})
    return {line.replace(f"{schema}.", "") for line in lines}
