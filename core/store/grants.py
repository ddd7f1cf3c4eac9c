"""Roles in PostgreSQL: the owner migrates and purges, the app cannot change its audit, services read what they resolve."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ..calling import log_rows
from ..errors import Forbidden, Invalid, NotFound
from ..resolving import columns
from .tables import METADATA

_ALL = "SELECT, INSERT, UPDATE, DELETE"
_RECORDED = "actor, actor_id, address, action, target_type, target_id, target, changes"
_LOGGED: Final = tuple(dict.fromkeys((*log_rows.COLUMNS, "organization_id", "feature")))
RIGHTS: Final = {
    "llm_providers": _ALL,
    "llm_settings": _ALL,
    "llm_provider_secrets": _ALL,
    "llm_model_facts": _ALL,
    **dict.fromkeys(("organizations", "organization_names", "organization_members", "organization_providers"), _ALL),
    **dict.fromkeys(
        (
            "llm_features",
            "feature_llm_overrides",
            "llm_limits",
            "settings_presets",
            "org_llm_budgets",
            "llm_rate_limits",
            "llm_pii_settings",
        ),
        _ALL,
    ),
    **dict.fromkeys(("llm_budget_periods", "llm_leases", "llm_budget_ledger"), "SELECT"),  # functions write them
    **dict.fromkeys(("llm_rate_levels", "llm_rate_leases", "llm_rate_hours", "llm_vendor_rates"), "SELECT"),  # as above
    "llm_alerts": _ALL,  # functions write those of budgets
    "installation": "SELECT, UPDATE",
    "users": "SELECT, INSERT, UPDATE",
    "auth_sessions": _ALL,
    "login_attempts": _ALL,
    "sso_used": _ALL,
    **dict.fromkeys(("second_factors", "recovery_codes", "second_factor_steps"), _ALL),
    "api_tokens": _ALL,
    "encryption_canaries": "SELECT, INSERT, UPDATE",
    "settings_generation": "SELECT, UPDATE",
    "settings_changes": "SELECT, INSERT, DELETE",
    **dict.fromkeys(("settings_generations", "settings_history"), "SELECT"),  # a trigger writes them
    "audit_events": f"SELECT, INSERT ({_RECORDED})",  # number, hash and time are the triggers'
    "audit_head": "SELECT",
    "audit_checkpoints": "SELECT",
    "audit_lines": "SELECT, INSERT, UPDATE",
    "key_notices": "SELECT, INSERT, DELETE",
    "llm_logs": f"SELECT, DELETE, INSERT ({', '.join(_LOGGED)}), UPDATE ({', '.join(log_rows.OF_A_PERSON)})",
    "llm_usage": "SELECT, DELETE",  # a trigger adds to it
    "llm_usage_days": _ALL,
    **dict.fromkeys(("llm_vendor_bills", "llm_spend_closings", "llm_spend_closed"), _ALL),
    "llm_spend": "SELECT",  # a function adds to it
    "llm_spend_holders": "SELECT, DELETE",  # as above
    "jobs": "SELECT, INSERT, UPDATE",
    **dict.fromkeys(("notification_targets", "notification_deliveries"), _ALL),
    "alembic_version": "SELECT",
}
"""Table -> what the application's role may do there; every table is one of these."""


_SYNC: Final = "llm_sync_leases(uuid, bigint, text, double precision, jsonb)"
_SYNC_RATES: Final = "llm_sync_rates(uuid, bigint, text, double precision, jsonb)"
FUNCTIONS: Final = (
    "llm_purge_history(integer, text, integer, integer)",
    "llm_purge_organization_history(integer)",
    "llm_purge_audit(bigint, text)",
    "llm_open_budget_period(integer)",
    "llm_adjust_budget(integer, text, numeric, text, text)",
    "llm_reprice_spend(jsonb, text, text)",
    _SYNC,
    _SYNC_RATES,
)
"""What the application's role may call: it shortens the history so, and cannot change what is left; and it counts what is spent."""
CALLER_FUNCTIONS: Final = (_SYNC, _SYNC_RATES)
"""The same of a role for services that call models."""
TELLING: Final = "llm_tell_spend(uuid, bigint, text, jsonb)"
"""What a role may call that calls models: so it adds to the spend, and can neither read nor change what is there."""
_SETTINGS: Final = (*columns.SETTINGS, *columns.CONDITIONS)
READER: Final = {
    "llm_providers": f"SELECT ({', '.join(columns.PROVIDERS)})",
    "llm_settings": f"SELECT ({', '.join(_SETTINGS)})",
    "llm_provider_secrets": f"SELECT ({', '.join(columns.SECRETS)})",
    "llm_model_facts": f"SELECT ({', '.join((*columns.FACTS, columns.FACTS_CONDITION))})",
    "organizations": "SELECT (id, slug, kind, template_id, shares_keys, is_active, deleted_at)",
    "organization_names": "SELECT",
    "organization_providers": "SELECT (id, organization_id, provider_id, is_allowed, requires_own_key, allowed_models, own_models,"
    " api_key_encrypted, api_key_key_id, api_key_binding)",
    "llm_features": "SELECT (id, name, is_active)",
    "feature_llm_overrides": f"SELECT (feature_id, {', '.join(_SETTINGS)})",
    "llm_limits": f"SELECT ({', '.join((*columns.LIMITS, 'organization_id'))})",
    "org_llm_budgets": f"SELECT ({', '.join((*columns.BUDGETS, columns.BUDGETS_CONDITION))})",
    "llm_rate_limits": f"SELECT ({', '.join((*columns.RATE_LIMITS, columns.RATE_LIMITS_CONDITION))})",
    "llm_pii_settings": f"SELECT ({', '.join((*columns.PERSONAL_DATA, *columns.CONDITIONS))})",
    "installation": "SELECT (id, organizations)",
    "settings_generation": "SELECT (generation, epoch)",
    "settings_changes": "SELECT",
}
"""The same of a role for services, which only resolve: names of organisations and features are among what they read."""
CALLER: Final = READER | {"llm_logs": f"INSERT ({', '.join(_LOGGED)})"}
"""The same of a role for services that call models by :mod:`core.ai`: they add to the request log, and cannot read it."""


def lacking(session: Session, rights: Mapping[str, str] = RIGHTS) -> list[tuple[str, str]]:
    """Return table and privilege, one a pair, of what *rights* have and this connection's role may not do.

    Raises:
        sqlalchemy.exc.ProgrammingError: If a table is missing.
    """
    asked = _asked(rights)
    return [(table, right) for table, right, may in session.execute(text(_MAY), {"asked": asked}) if not may]


def grant_app(session: Session, role: str) -> list[str]:
    """Give *role* what the application needs, and take away what more it had on our tables; returns the statements run.

    Raises:
        Forbidden, NotFound, Invalid: As :func:`grant_reader`.
    """
    return _grant(session, role, RIGHTS)


def grant_reader(session: Session, role: str, *, log: bool = False) -> list[str]:
    """Give *role* what the resolver reads, and take away what more it had on our tables; returns the statements run.

    With *log* it may add to the request log besides.

    Raises:
        Forbidden: If the database's role does not own the tables.
        NotFound: If there is no such role.
        Invalid: If the role cannot be limited so: a superuser, a member of the owning role, or one that may create
            objects in the schema.
    """
    return _grant(session, role, CALLER if log else READER)


def grant_backup(session: Session, role: str) -> list[str]:
    """Let *role* read all tables and sequences, those of later versions too, as pg_dump does; returns the statements run.

    Raises:
        Forbidden, NotFound, Invalid: As :func:`grant_reader`.
    """
    statements = _grant(session, role, dict.fromkeys(RIGHTS, "SELECT"))
    found: Any = session.execute(text(_STATE), {"role": role}).one()
    more = [
        f"GRANT SELECT ON SEQUENCE {sequence} TO {found.role}" for sequence in session.scalars(text(_ALL_SEQUENCES))
    ]
    more += [
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {found.owner} IN SCHEMA {found.schema} GRANT SELECT ON {what} TO {found.role}"
        for what in ("TABLES", "SEQUENCES")
    ]
    for statement in more:
        session.execute(text(statement.replace(":", "\\:")))
    return [*statements, *more]


def _grant(session: Session, role: str, rights: Mapping[str, str]) -> list[str]:
    found: Any = session.execute(text(_STATE), {"role": role}).one_or_none()
    if found is None:
        raise NotFound("role in PostgreSQL", role)
    if not found.may_grant:  # PostgreSQL would only warn, and grant nothing
        raise Forbidden("Granting takes the role that owns the tables: name it in DATABASE_URL.")
    if found.owns:
        raise Invalid(
            {
                "role": f"{role} is a superuser, or owns the tables, or is a member of their owner: nothing can be kept from it"
            }
        )
    statements = list(_statements(session, found.schema, found.role, rights))
    for statement in statements:
        session.execute(text(statement.replace(":", "\\:")))
    if session.scalar(text(_MAY_CREATE), {"role": role}):
        raise Invalid(
            {
                "role": f"may create objects in the schema: REVOKE CREATE ON SCHEMA {found.schema} FROM PUBLIC, then run this again"
            }
        )
    return statements


def _asked(rights: Mapping[str, str]) -> list[str]:
    """Return table, privilege, and the column where it is one of a column, of each right."""
    return [
        f"{table} {right} {column.strip()}"
        for table, words in rights.items()
        for right, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", words)
        for column in columns.split(",")
    ]


_MAY = """
    SELECT a[1], a[2], bool_and(
        CASE a[3] WHEN '' THEN has_table_privilege(a[1], a[2]) ELSE has_column_privilege(a[1], a[3], a[2]) END
    )
    FROM unnest(CAST(:asked AS text[])) each, string_to_array(each, ' ') a
    GROUP BY 1, 2 ORDER BY 1, 2
"""
_STATE = """
    SELECT quote_ident(r.rolname) AS role, quote_ident(n.nspname) AS schema, quote_ident(pg_get_userbyid(t.relowner)) AS owner,
        r.rolsuper OR pg_has_role(r.oid, t.relowner, 'MEMBER') AS owns, pg_has_role(t.relowner, 'MEMBER') AS may_grant
    FROM pg_roles r, pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE r.rolname = :role AND t.oid = 'audit_events'::regclass
"""
_ALL_SEQUENCES = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(s.relname) FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE s.relkind = 'S' AND n.oid = (SELECT relnamespace FROM pg_class WHERE oid = 'audit_events'::regclass)
        AND s.relowner = (SELECT relowner FROM pg_class WHERE oid = 'audit_events'::regclass) ORDER BY 1
"""
_MAY_CREATE = """
    SELECT has_schema_privilege(:role, relnamespace, 'CREATE') FROM pg_class WHERE oid = 'audit_events'::regclass
"""


def _serial(table: Any) -> bool:
    return "id" in table.c and table.c.id.identity is None


def _statements(session: Session, schema: str, role: str, rights: Mapping[str, str]) -> Iterator[str]:
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM {role}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    for table in RIGHTS:
        yield f"REVOKE ALL ON {schema}.{table} FROM {role}"
        if table in rights:
            yield f"GRANT {rights[table]} ON {schema}.{table} TO {role}"
    for function in FUNCTIONS:
        yield f"REVOKE ALL ON FUNCTION {schema}.{function} FROM {role}"
        if rights is RIGHTS or (rights is CALLER and function in CALLER_FUNCTIONS):
            yield f"GRANT EXECUTE ON FUNCTION {schema}.{function} TO {role}"
    yield f"REVOKE ALL ON FUNCTION {schema}.{TELLING} FROM {role}"
    if "INSERT" in rights.get("llm_logs", ""):
        yield f"GRANT EXECUTE ON FUNCTION {schema}.{TELLING} TO {role}"
    for name in (name for name, table in METADATA.tables.items() if _serial(table)):
        sequence = session.scalar(text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": f"{schema}.{name}"})
        if sequence is not None:
            yield f"REVOKE ALL ON SEQUENCE {sequence} FROM {role}"
            if "INSERT" in rights.get(name, ""):
                yield f"GRANT USAGE ON SEQUENCE {sequence} TO {role}"
