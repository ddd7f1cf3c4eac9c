"""Stores with something in every table, as tests of moves, restores and upgrades need them."""

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from core import config, crypto
from core.access import sessions, sign_in, tokens, users
from core.actors import COMMAND_LINE
from core.audit import chain
from core.manage import (
    env_import,
    features,
    limits,
    organization_keys,
    organization_members,
    organizations,
    providers,
    seed,
    settings,
)
from core.manage.scopes import SettingsScope
from core.store import contents, db
from core.store.sealed import SEALED
from core.store.table import id_of
from core.store.tables import METADATA
from tests.clusters import Cluster, connect
from tests.conftest import PASSWORD, named

API_KEY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
ODD = "tab\tline\nback\\slash \\N 'q' \"d\" \u00fc\u0915\U0001f99c"


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """A short folder for an embedded store: its path holds a socket."""
    home = Path(tempfile.mkdtemp(prefix="m"))
    try:
        yield home / "data"
    finally:
        shutil.rmtree(home)


@contextlib.contextmanager
def sealing_with(key: str) -> Iterator[None]:
    """This process seals with *key*, also where no test is running yet."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LLM_ENCRYPTION_KEY", key)
    for cached in (config.get_config, crypto.get_ring):
        cached.cache_clear()
    try:
        yield
    finally:
        patch.undo()
        for cached in (config.get_config, crypto.get_ring):
            cached.cache_clear()


def fill(session: Session, *, rows: int = 50) -> None:
    """Put something into every table, through core where core writes it: odd texts, NULLs, all kinds of values."""
    if users.none_yet(session):
        users.bootstrap(session, "root", PASSWORD)
    seed.seed(session, COMMAND_LINE)
    env_import.import_env(session, COMMAND_LINE, {"OPENAI_API_KEY": API_KEY})
    ada = users.add(session, COMMAND_LINE, "ada", PASSWORD, "admin")
    row = providers.get_by_name(session, "openai")
    providers.update(session, COMMAND_LINE, row.id or 0, {"description": ODD.replace("\t", " ").replace("\n", " ")})
    values = {"temperature": 0.1, "top_p": 1 / 3, "custom_settings": {"odd": ODD, "n": None, "f": 1e-9}}
    settings.upsert_global(session, COMMAND_LINE, None, values)
    settings.upsert_global(session, COMMAND_LINE, row.id or 0, {"max_tokens": 128_000, "omitted_parameters": ["top_p"]})
    tokens.create(session, COMMAND_LINE, {"name": "billing", "role": "analyst"})
    _add_organizations(session, id_of(ada), id_of(row))
    number = sign_in.admit(session, "ada", "::1")
    sign_in.succeeded(session, number)
    sessions.begin(session, ada, "::1", "agent", ticket=False)
    log(session, rows)
    session.connection().exec_driver_sql(_SPENT)
    session.connection().exec_driver_sql(
        "INSERT INTO audit_checkpoints (seq, hash, at, by, removed) SELECT 0, repeat('0', 64), now(), 'a test', 0"
        " WHERE NOT EXISTS (SELECT FROM audit_checkpoints)"
    )
    session.flush()
    for table in METADATA.sorted_tables:
        _fill_if_empty(session.connection(), table)


def _add_organizations(session: Session, user_id: int, provider_id: int) -> None:
    """Add an organisation with something of everything: names, a member, a key of its own, settings of its own and of a feature."""
    name = " ".join(ODD.split())
    tier = organizations.create_one(session, COMMAND_LINE, {"slug": "tier", "name": name, "kind": "template"})
    entry = {"slug": "acme", "name": name, "template_id": tier.id, "external_names": ["crm 17", "\u0915\U0001f99c"]}
    acme = id_of(organizations.create_one(session, COMMAND_LINE, entry))
    organizations.update(session, COMMAND_LINE, acme, {"slug": "acme-2"})
    organization_members.set_member(session, COMMAND_LINE, acme, user_id, "admin")
    organization_keys.set_api_key(session, COMMAND_LINE, acme, provider_id, API_KEY)
    organization_keys.update(session, COMMAND_LINE, id_of(tier), provider_id, {"allowed_models": []})
    feature = features.create(session, COMMAND_LINE, {"name": "classify", "display_name": name})
    for scope in (SettingsScope(provider_id, acme, feature.id), SettingsScope(None, acme, feature.id)):
        settings.upsert(session, COMMAND_LINE, scope, {"temperature": 0.3, "custom_settings": {"odd": ODD}})
    limited = {"organization_id": acme, "limits": {"max_tokens": {"max": 4000}}, "note": name}
    limits.create(session, COMMAND_LINE, limited)
    tokens.create(session, COMMAND_LINE, {"name": "acme", "role": "analyst", "organization_id": acme})


def _fill_if_empty(connection: Connection, table: SqlTable) -> None:
    """Give a table that nothing above writes a row of plain values, where its rules take one."""
    sealed = {column.table.name for column in SEALED}  # what stands there has to open
    if table.name in sealed or connection.scalar(select(func.count()).select_from(table)):
        return
    values: dict[str, Any] = {}
    for column in table.columns:
        if column.nullable or column.server_default is not None or column.identity is not None:
            continue
        [*foreign] = column.foreign_keys
        if foreign:
            values[column.name] = connection.scalar(select(func.min(foreign[0].column)))
        elif column.name != "id":
            kind = column.type.python_type
            values[column.name] = {str: "x", datetime: func.now(), date: func.current_date(), dict: {}}.get(kind, 1)
    with contextlib.suppress(DBAPIError), connection.begin_nested():
        connection.execute(table.insert().values(values))


_SPENT = """
SELECT llm_tell_spend(gen_random_uuid(), 1, 'web-1:17', jsonb_build_array(jsonb_build_object('at', now() - interval '1 day' * n,
    'organization_id', n, 'feature', 'classify', 'provider', 'openai', 'model', 'm1', 'outcome', 'answered', 'cost_centre', 'K-17',
    'calls', 3, 'input_tokens', 5000000000, 'output_tokens', 7, 'cost', '0.0000000123', 'estimated', '0.00000001', 'unpriced', 1)))
FROM generate_series(0, 2) AS n
"""


def log(session: Session, rows: int) -> None:
    """Add calls to the request log, from the last thirty days; their figures come by themselves."""
    session.connection().exec_driver_sql(
        "INSERT INTO llm_logs (at, user_id, provider, model, status, attempts, latency_ms, generation, prompt, parameters, cost)"
        " SELECT now() - n * interval '30 days' / %s, CASE WHEN n %% 3 = 0 THEN 'u' || n END, 'openai', 'm' || n %% 5,"
        " CASE WHEN n %% 7 = 0 THEN 'error' ELSE 'ok' END, 1, n %% 3000, 1, %s || n, jsonb_build_object('t', n / 7.0), n / 3.0"
        " FROM generate_series(1, %s) AS n",
        (rows, ODD, rows),
    )


def sums_of(url: str) -> dict[str, contents.Sum]:
    """Return what is in a store, table by table."""
    engine = db.make_engine(url)
    try:
        with engine.connect() as connection:
            contents.look_alike(connection)
            return contents.sums(connection)
    finally:
        engine.dispose()


def verdict_of(url: str, head: str = "") -> chain.ChainVerdict:
    """Verify a store's audit, against a *head* that was noted before."""
    engine = db.make_engine(url)
    try:
        with Session(engine) as session:
            return chain.verify(session, chain.parse_head(head) if head else None)
    finally:
        engine.dispose()


def one(url: str, query: str) -> Any:
    """Return the first column of a query's row."""
    with connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]  # psycopg wants a literal
    assert row is not None
    return row[0]


@contextlib.contextmanager
def owned(cluster: Cluster, *roles: str, encoding: str = "UTF8") -> Iterator[dict[str, str]]:
    """A database that a plain role owns, and further roles; yields a URL for each, that of the owner as ``owner``."""
    mark = uuid.uuid4().hex[:8]
    names = {role: f"{role}_{mark}" for role in ("owner", *roles)}
    database = f"d_{mark}"
    with connect(named(cluster.url, "postgres")) as connection:
        for name in names.values():
            connection.execute(f"CREATE ROLE {name} LOGIN")
        connection.execute(
            f"CREATE DATABASE {database} OWNER {names['owner']} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
        try:
            yield {
                role: named(cluster.url, database).replace("//postgres@", f"//{name}@") for role, name in names.items()
            }
        finally:
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
            with contextlib.suppress(psycopg.Error):  # a role may own something in another database by now
                for name in names.values():
                    connection.execute(f"DROP ROLE {name}")
