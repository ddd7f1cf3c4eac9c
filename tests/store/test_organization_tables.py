"""Organisations and features in the schema: what was there answers as before, changes are noted by organisation, raw SQL meets the rules."""

import json
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import Engine, text
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.manage import providers, settings
from core.store import db, grants, migrate
from tests.processes import environment
from tests.vendors import KEY
from tests.versions import as_it_was

BEFORE = "67d50fc"
"""The last commit of this repository that knows no organisations."""
PROVIDER = "INSERT INTO llm_providers (id, name, display_name, kind, available_models) VALUES (%s, %s, 'P', 'openai', '[\"m\"]')"
READER = """if True:
    import json, sys
    from core.resolve import resolver
    resolver.start().wait(60)
    for line in sys.stdin:
        seen = resolver.wait_for(int(line), 20)
        found = resolver.resolve("openai")
        print(json.dumps([seen, found.status, found.api_key(), found.temperature, found.max_tokens, found.model,
            sys.modules["core"].__file__]), flush=True)
"""


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """One that commits each statement, with two providers and two organisations."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(PROVIDER, [1, "a"])
        connection.execute(PROVIDER, [2, "b"])
        connection.execute("INSERT INTO organizations (slug, name) VALUES ('acme', 'Acme'), ('beta', 'Beta')")
        connection.execute("INSERT INTO llm_features (name, display_name) VALUES ('classify', 'Classify')")
        yield connection


def _generation(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT generation FROM settings_generation").fetchone()
    assert row is not None
    return int(row[0])


def _notes(connection: psycopg.Connection, since: int) -> set[tuple[str, int]]:
    query = "SELECT table_name, row_id FROM settings_changes WHERE generation > %s"
    return {(table, number) for table, number in connection.execute(query, [since])}


# --- what was there before ---


def test_numbers_from_sql_become_organisations(database: str) -> None:
    """An organization_id that raw SQL wrote, before there were organisations, is named after its number, and its rows are as they were."""
    engine = db.make_engine(database)
    migrate.downgrade(engine, "0019")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(PROVIDER, [1, "a"])
        for number in (None, 42, 7, 0, -5):
            connection.execute("INSERT INTO llm_settings (organization_id, top_p) VALUES (%s, 0.5)", [number])
        connection.execute("INSERT INTO llm_settings (organization_id, provider_id, top_p) VALUES (42, 1, 0.25)")

        migrate.upgrade(engine)

        rows = connection.execute(
            "SELECT o.slug, o.name, n.kind, s.provider_id, s.top_p, o.id FROM llm_settings s"
            " LEFT JOIN organizations o ON o.id = s.organization_id LEFT JOIN organization_names n ON n.name = o.slug"
            " ORDER BY s.id"
        ).fetchall()
        connection.execute("INSERT INTO organizations (slug, name) VALUES ('next', 'Next')")
    assert [row[:5] for row in rows] == [
        (None, None, None, None, 0.5),
        ("org-42", "Organisation 42", "slug", None, 0.5),
        ("org-7", "Organisation 7", "slug", None, 0.5),
        ("org-0", "Organisation 0", "slug", None, 0.5),
        ("org-minus-5", "Organisation -5", "slug", None, 0.5),
        ("org-42", "Organisation 42", "slug", 1, 0.25),
    ]
    assert [row[5] for row in rows[1:3]] == [42, 7]
    assert {row[5] for row in rows[3:5]} == {43, 44}
    assert migrate.differences(engine) == []
    engine.dispose()


def test_down_and_up_with_organisations(connection: psycopg.Connection, database: str) -> None:
    """Down keeps what is nobody's, and lets nobody see more than before; up again there are no organisations."""
    engine = db.make_engine(database)
    connection.execute("INSERT INTO llm_settings (top_p) VALUES (0.5)")
    connection.execute("INSERT INTO llm_settings (organization_id, provider_id, top_p) VALUES (1, 1, 0.1)")
    connection.execute("INSERT INTO feature_llm_overrides (feature_id, top_p) VALUES (1, 0.2)")
    connection.execute("INSERT INTO organization_names VALUES ('acme', 1, 'slug'), ('crm-17', 1, 'external')")
    connection.execute(
        "INSERT INTO users (id, username, password_hash, role) VALUES (1, 'eve', '*', 'member'), (2, 'ada', '*', 'admin')"
    )
    connection.execute("INSERT INTO organization_members VALUES (1, 1, 'admin')")
    for name, values in (("billing", "'analyst', NULL, NULL"), ("acme's", "'member', 1, 'admin'")):
        connection.execute(
            "INSERT INTO api_tokens (name, token_hash, hint, created_by, role, organization_id, organization_role)"
            f" VALUES (%s, %s, 'x', 'x', {values})",
            [name, name],
        )
    kept = "SELECT to_jsonb(t) - '{default_provider_id}'::text[] FROM llm_settings t WHERE organization_id IS NULL"
    before = connection.execute(kept).fetchall()

    migrate.downgrade(engine, "0019")
    assert connection.execute("SELECT to_jsonb(t) FROM llm_settings t").fetchall() == before
    assert connection.execute("SELECT name FROM api_tokens").fetchall() == [("billing",)]
    assert connection.execute("SELECT username, role, is_active, auth_epoch FROM users ORDER BY id").fetchall() == [
        ("eve", "analyst", False, 2),
        ("ada", "admin", True, 1),
    ]
    migrate.upgrade(engine)

    assert connection.execute(kept).fetchall() == before
    assert connection.execute("SELECT count(*) FROM organizations").fetchone() == (0,)
    assert connection.execute("SELECT organizations FROM installation").fetchone() == ("closed",)
    assert migrate.differences(engine) == []
    engine.dispose()


def test_an_older_reader_answers_as_before(
    tmp_path_factory: pytest.TempPathFactory, committed: str, session: Session
) -> None:
    """A service of the version before sees no row of an organisation or a feature, neither at its start nor as they change; all else it does."""
    folder = as_it_was(BEFORE, tmp_path_factory)
    key = {"api_key": KEY, "default_model": "m"}
    made = {"name": "openai", "display_name": "P", "kind": "openai", "available_models": ["m", "n"]}
    row = providers.create(session, COMMAND_LINE, made | key)
    settings.upsert_global(session, COMMAND_LINE, None, {"max_tokens": 500})
    session.commit()
    steps = (
        ("INSERT INTO organizations (id, slug, name) VALUES (1, 'acme', 'Acme')", 0.7),
        ("INSERT INTO llm_features (id, name, display_name) VALUES (1, 'f', 'F')", 0.7),
        (f"INSERT INTO llm_settings (organization_id, provider_id, temperature) VALUES (1, {row.id}, 0.1)", 0.7),
        ("INSERT INTO llm_settings (organization_id, temperature, default_provider_id) VALUES (1, 0.2, 1)", 0.7),
        (f"INSERT INTO feature_llm_overrides (feature_id, provider_id, temperature) VALUES (1, {row.id}, 0.3)", 0.7),
        ("INSERT INTO feature_llm_overrides (feature_id, temperature) VALUES (1, 0.4)", 0.7),
        ("UPDATE llm_settings SET temperature = 0.5 WHERE organization_id IS NULL", 0.5),
        ("UPDATE llm_settings SET temperature = 1.5 WHERE organization_id = 1", 0.5),
        ("UPDATE installation SET organizations = 'open'", 0.5),
        ("UPDATE llm_settings SET default_provider_id = 1 WHERE organization_id IS NULL", 0.5),
        ("DELETE FROM organizations", 0.5),
        ("UPDATE llm_settings SET temperature = 0.9 WHERE organization_id IS NULL", 0.9),
    )
    env = environment(DATABASE_URL=committed) | {"PYTHONPATH": str(folder)}
    reader = subprocess.Popen(
        [sys.executable, "-c", READER], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with reader, psycopg.connect(committed, autocommit=True) as connection:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for statement, temperature in steps:
            connection.execute(statement.replace("default_provider_id = 1", f"default_provider_id = {row.id}").encode())
            reader.stdin.write(f"{_generation(connection)}\n")
            reader.stdin.flush()
            *found, where = json.loads(reader.stdout.readline())
            assert found == [True, "ok", KEY, temperature, 500, "m"], statement
            assert where.startswith(str(folder))
        reader.stdin.close()
    assert reader.returncode == 0


def test_roles_have_the_rights_of_this_version_after_the_migration(database: str) -> None:
    """What a role of services, and that of the application, were granted before is added to: neither has to be granted anew."""
    engine = db.make_engine(database)
    names = [f"{role}_{database.partition('?')[0].rpartition('/')[2]}" for role in ("app", "reads", "calls")]
    with engine.begin() as connection, Session(connection) as session:
        for name in names:
            connection.execute(text(f"CREATE ROLE {name} LOGIN"))
        grants.grant_app(session, names[0])
        grants.grant_reader(session, names[1])
        grants.grant_reader(session, names[2], log=True)
    try:
        migrate.downgrade(engine, "0019")
        migrate.upgrade(engine)

        for name, rights in zip(names, (grants.RIGHTS, grants.READER, grants.CALLER), strict=True):
            role = db.make_engine(database.replace("postgres@", f"{name}@"))
            with role.connect() as connection, Session(connection) as session:
                assert grants.lacking(session, rights) == []
                if name == names[0]:
                    session.execute(text("INSERT INTO organizations (slug, name) VALUES ('acme', 'Acme')"))
                else:
                    with pytest.raises(Exception, match="permission denied"):
                        session.execute(text("SELECT api_key_masked FROM organization_providers"))
            role.dispose()
    finally:
        with engine.begin() as connection:
            for name in names:
                connection.execute(text(f"DROP OWNED BY {name}"))
                connection.execute(text(f"DROP ROLE {name}"))
        engine.dispose()


# --- changes are noted by organisation ---


@pytest.mark.parametrize(
    ("statement", "notes"),
    [
        ("INSERT INTO organizations (id, slug, name) VALUES (3, 'c', 'C')", {("organizations", 3)}),
        ("UPDATE organizations SET is_active = false", {("organizations", 1), ("organizations", 2)}),
        ("INSERT INTO organization_names VALUES ('x', 2, 'external')", {("organizations", 2)}),
        ("INSERT INTO organization_providers (organization_id, provider_id) VALUES (1, 1)", {("organizations", 1)}),
        ("INSERT INTO llm_settings (organization_id, top_p) VALUES (1, 0.5)", {("organizations", 1)}),
        ("INSERT INTO llm_settings (id, provider_id) VALUES (50, 1)", {("llm_settings", 50)}),
        ("INSERT INTO feature_llm_overrides (id, feature_id) VALUES (9, 1)", {("feature_llm_overrides", 9)}),
        ("INSERT INTO feature_llm_overrides (feature_id, organization_id) VALUES (1, 2)", {("organizations", 2)}),
        ("UPDATE llm_features SET is_active = false", {("llm_features", 1)}),
        ("UPDATE installation SET organizations = 'open'", {("installation", 1)}),
        ("INSERT INTO organization_members (user_id, organization_id, role) VALUES (1, 1, 'admin')", set()),
        ("UPDATE llm_settings SET organization_id = 2 WHERE id = 70", {("organizations", 1), ("organizations", 2)}),
        ("UPDATE llm_settings SET organization_id = 2 WHERE id = 71", {("llm_settings", 71), ("organizations", 2)}),
        ("UPDATE llm_settings SET organization_id = NULL WHERE id = 70", {("llm_settings", 70), ("organizations", 1)}),
        ("DELETE FROM organizations WHERE id = 1", {("organizations", 1)}),
        ("DELETE FROM llm_settings WHERE id = 70", {("organizations", 1)}),
    ],
)
def test_what_is_noted(connection: psycopg.Connection, statement: str, notes: set[tuple[str, int]]) -> None:
    """What has an organisation is noted as that organisation, the one it had and the one it has; all else as its own row."""
    connection.execute("INSERT INTO users (id, username, password_hash, role) VALUES (1, 'eve', '*', 'member')")
    connection.execute("INSERT INTO llm_settings (id, organization_id, provider_id) VALUES (70, 1, 1), (71, NULL, 2)")
    before = _generation(connection)

    connection.execute(statement.encode())

    assert _notes(connection, before) == notes
    assert _generation(connection) == before + bool(notes)


def test_ten_thousand_rows_are_one_note(connection: psycopg.Connection) -> None:
    """An organisation that is deleted with 10,000 rows is one note of one generation, and no row of it is left."""
    connection.execute(
        "INSERT INTO llm_features (id, name, display_name) SELECT n, 'f' || n, 'F' FROM generate_series(2, 5001) n"
    )
    connection.execute(
        "INSERT INTO feature_llm_overrides (feature_id, organization_id, provider_id)"
        " SELECT n, 1, p FROM generate_series(2, 5001) n, generate_series(1, 2) p"
    )
    before = _generation(connection)

    connection.execute("DELETE FROM organizations WHERE id = 1")

    assert _notes(connection, before) == {("organizations", 1)}
    assert _generation(connection) == before + 1
    assert connection.execute("SELECT count(*) FROM feature_llm_overrides").fetchone() == (0,)


def test_what_is_rolled_back_is_noted_when_it_is_done_again(connection: psycopg.Connection) -> None:
    """A note that went with a savepoint is written by the next change: none is believed to stand that does not."""
    before = _generation(connection)
    with connection.transaction():
        connection.execute("UPDATE organizations SET name = 'first' WHERE id = 2")
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with connection.transaction(force_rollback=True):
            connection.execute("UPDATE organizations SET name = 'undone' WHERE id = 1")
        connection.execute("UPDATE organizations SET name = 'again' WHERE id = 1")

    assert _notes(connection, before) == {("organizations", 1), ("organizations", 2)}


def test_truncate_is_a_change_without_a_note(connection: psycopg.Connection) -> None:
    """Readers take a generation without a note for *read everything*, also where an organisation was noted just before."""
    connection.execute("INSERT INTO organization_names VALUES ('x', 1, 'external')")
    before = _generation(connection)
    with connection.transaction():
        connection.execute("INSERT INTO organization_names VALUES ('y', 1, 'external')")
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute("TRUNCATE organization_names")
        connection.execute("INSERT INTO organization_names VALUES ('z', 1, 'external')")

    numbered = connection.execute(
        "SELECT generation - %s, table_name, row_id FROM settings_changes WHERE generation > %s", [before, before]
    ).fetchall()
    assert numbered == [(2, "organizations", 1)]


# --- raw SQL meets the rules ---


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO organizations (slug, name) VALUES ('Acme', 'A')", "organizations_slug_check"),
        ("INSERT INTO organizations (slug, name) VALUES ('c', '')", "organizations_name_check"),
        ("INSERT INTO organizations (slug, name) VALUES ('c', repeat('x', 201))", "organizations_name_check"),
        ("INSERT INTO organizations (slug, name) VALUES ('acme', 'again')", "organizations_live_slug_key"),
        ("INSERT INTO organizations (slug, name, kind) VALUES ('c', 'C', 'x')", "organizations_kind_check"),
        ("UPDATE organizations SET template_id = id", "organizations_template_id_check"),
        (
            "INSERT INTO organizations (slug, name, kind, template_id) VALUES ('c', 'C', 'template', 1)",
            "organizations_template_id_check",
        ),
        ("INSERT INTO organizations (slug, name, template_id) VALUES ('c', 'C', 99)", "template_id_fkey"),
        ("INSERT INTO organization_names VALUES (repeat('x', 201), 1, 'external')", "organization_names_name_check"),
        ("INSERT INTO organization_names VALUES ('x', 1, 'alias')", "organization_names_kind_check"),
        ("INSERT INTO organization_names VALUES ('x', 1, 'slug'), ('y', 1, 'slug')", "organization_names_slug_key"),
        ("INSERT INTO organization_names VALUES ('x', 1, 'slug'), ('x', 2, 'slug')", "organization_names_pkey"),
        ("INSERT INTO organization_members VALUES (1, 1, 'member')", "organization_members_role_check"),
        (
            "INSERT INTO organization_providers (organization_id, provider_id) VALUES (1, 1), (1, 1)",
            "organization_id_provider_id_idx",
        ),
        (
            "INSERT INTO organization_providers (organization_id, provider_id, allowed_models) VALUES (1, 1, '{}')",
            "allowed_models_check",
        ),
        (
            "INSERT INTO organization_providers (organization_id, provider_id, own_models) VALUES (1, 1, '1')",
            "own_models_check",
        ),
        ("INSERT INTO llm_features (name, display_name) VALUES ('Upper', 'U')", "llm_features_name_check"),
        ("INSERT INTO llm_features (name, display_name) VALUES ('classify', 'U')", "llm_features_name_idx"),
        ("INSERT INTO feature_llm_overrides (feature_id, top_p) VALUES (1, 1.5)", "feature_llm_overrides_top_p_check"),
        ("INSERT INTO feature_llm_overrides (feature_id) VALUES (1), (1)", "feature_llm_overrides_active_scope_key"),
        ("INSERT INTO feature_llm_overrides (feature_id, preferred_model) VALUES (1, 'm')", "preferred_model_check"),
        ("INSERT INTO llm_settings (organization_id) VALUES (99)", "llm_settings_organization_id_fkey"),
        ("INSERT INTO llm_settings (provider_id, default_provider_id) VALUES (1, 2)", "default_provider_id_check"),
        ("INSERT INTO llm_settings (default_provider_id) VALUES (99)", "default_provider_id_fkey"),
        ("INSERT INTO installation (id) VALUES (2)", "installation_one_row_check"),
        ("UPDATE installation SET organizations = 'ajar'", "installation_organizations_check"),
        ("INSERT INTO users (username, password_hash, role) VALUES ('x', '*', 'root')", "users_role_check"),
    ],
)
def test_rules_are_checks_too(connection: psycopg.Connection, statement: str, constraint: str) -> None:
    """Raw SQL meets what core refuses: names, kinds, templates of templates, one row a scope."""
    with pytest.raises(psycopg.IntegrityError, match=constraint):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("role", "organization", "within", "fits"),
    [
        ("admin", None, None, True),
        ("metrics", None, None, True),
        ("member", 1, "admin", True),
        ("member", 1, "analyst", True),
        ("admin", 1, None, False),
        ("admin", 1, "admin", False),
        ("member", None, None, False),
        ("member", 1, None, False),
        ("member", 1, "member", False),
        ("analyst", None, "admin", False),
    ],
)
def test_a_token_of_an_organisation_has_no_other_role(
    connection: psycopg.Connection, role: str, organization: int | None, within: str | None, *, fits: bool
) -> None:
    """Versions that know no organisations must not take it for a token of everything: its role is one that they let do nothing."""
    values = ["t", "t", role, organization, within]
    insert = "INSERT INTO api_tokens (name, token_hash, hint, created_by, role, organization_id, organization_role) VALUES (%s, %s, 'x', 'x', %s, %s, %s)"
    if fits:
        connection.execute(insert, values)
        return
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(insert, values)


def test_a_default_provider_is_not_deleted(connection: psycopg.Connection) -> None:
    """What is somebody's default stays until another is named, raw SQL or not; settings of the provider go with it."""
    connection.execute("INSERT INTO llm_settings (organization_id, default_provider_id) VALUES (1, 1)")
    connection.execute("INSERT INTO llm_settings (organization_id, provider_id) VALUES (1, 2)")
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="default_provider_id_fkey"):
        connection.execute("DELETE FROM llm_providers WHERE id = 1")
    connection.execute("DELETE FROM llm_providers WHERE id = 2")

    assert connection.execute("SELECT default_provider_id FROM llm_settings").fetchall() == [(1,)]


def test_stamps_know_who_and_forget_no_key(connection: psycopg.Connection) -> None:
    """Rows of organisations have versions and know who changed what, as others; sealing anew alone is no edit."""
    connection.execute("INSERT INTO organization_providers (organization_id, provider_id) VALUES (1, 1)")
    connection.execute("UPDATE organization_providers SET api_key_set_at = now(), api_key_encrypted = 'x'")
    connection.execute("UPDATE organization_providers SET api_key_encrypted = 'y', api_key_key_id = 'k'")
    connection.execute("UPDATE organization_providers SET allowed_models = %s", [Jsonb([])])

    row = connection.execute("SELECT version, field_changes, allowed_models FROM organization_providers").fetchone()
    assert row is not None
    version, changes, models = row
    assert (version, models) == (3, [])
    assert (changes["api_key"]["version"], changes["allowed_models"]["version"]) == (2, 3)
    assert changes["api_key"]["by"].endswith(" (SQL)")


def test_a_feature_row_has_the_parameters_of_a_settings_row(worker_engine: Engine) -> None:
    """The two tables have the same parameters, of the same types, with the same rules: one form and one merge serve both."""
    columns = text(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = :table"
    )
    rules = text(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid = CAST(:table AS regclass)"
    )
    with worker_engine.connect() as connection:
        ours, theirs = (
            {
                **{row[0]: tuple(row[1:]) for row in connection.execute(columns, {"table": table})},
                **dict.fromkeys(connection.scalars(rules, {"table": table})),
            }
            for table in ("feature_llm_overrides", "llm_settings")
        )
    assert ours.pop("feature_id") == ("integer", "NO")
    assert ours == theirs
