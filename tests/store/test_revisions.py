"""A schema says whether the version before may work on it, and the app, `ready`, the command line and the page do what it says."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Client
from sqlalchemy import Engine, text

from core import crypto
from core.errors import SchemaMismatch
from core.manage import health
from core.store import db, migrate, revisions
from tests.conftest import fresh_database
from tests.processes import core, running_app
from ui.health.view import sections

FOLDER = revisions.scripts_folder()


def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *says: tuple[bool, bool], raw: str | None = None) -> None:
    """Be a newer version, with one more migration for each pair: whether the version before reads, and writes."""
    folder = tmp_path / "newer"
    shutil.copytree(FOLDER, folder)
    before = migrate.head()
    for number, (reads, writes) in enumerate(says, start=9001):
        lines = [f"revision = '{number}'", f"down_revision = '{before}'"]
        lines += [f"before_reads = {reads}", f"before_writes = {writes}"] if raw is None else [raw]
        lines += ["def upgrade(): pass", "def downgrade(): pass"]
        (folder / f"versions/{number}_more.py").write_text("\n".join(lines), encoding="utf-8")
        before = str(number)
    monkeypatch.setattr(revisions, "scripts_folder", lambda: folder)


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ([(True, True)], "newer"),
        ([(True, False)], "newer_read_only"),
        ([(False, False)], "unknown"),
        ([(True, True), (True, True)], "newer"),
        ([(True, True), (True, False)], "newer_read_only"),
        ([(False, False), (True, True)], "unknown"),
    ],
)
def test_what_holds_for_each_migration_holds_for_all(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: list[tuple[bool, bool]], found: str
) -> None:
    """A version may do what every migration after it lets the version before do; going down takes it back."""
    engine = db.make_engine(database)
    with monkeypatch.context() as patch:
        newer(tmp_path, patch, *says)
        migrate.upgrade(engine)
    assert _state(engine) == found
    with monkeypatch.context() as patch:
        patch.setattr(revisions, "scripts_folder", lambda: tmp_path / "newer")
        migrate.downgrade(engine, "-1")
        expected = _state(engine)
    assert expected == "older"
    assert _state(engine) == ("ok" if len(says) == 1 else "newer" if says[0][1] else "unknown")
    engine.dispose()


def _state(engine: Engine) -> str:
    with engine.connect() as connection:
        return revisions.state(connection)


def test_what_another_revision_said_does_not_count(database: str) -> None:
    """A schema that was changed without its note, by another tool, is one that nobody speaks for."""
    engine = db.make_engine(database)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert _state(engine) == "unknown"
    with pytest.raises(SchemaMismatch, match="newer version"):
        migrate.check(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "raw", ["", "before_reads = True", "before_reads, before_writes = False, True", "before_reads = before_writes = 1"]
)
def test_a_migration_that_does_not_say_is_refused(raw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check-migrations` names it; all that are there say it."""
    assert revisions.unsaid() == []
    newer(tmp_path, monkeypatch, (True, True), raw=raw)
    assert len(revisions.unsaid()) == 1
    assert "9001 does not say" in revisions.unsaid()[0]


@pytest.fixture
def url(server: str, tmp_path: Path) -> Iterator[str]:
    """A database that a newer version has migrated, or will."""
    del tmp_path
    with fresh_database(server) as url:
        yield url


BODY = {"displayName": "A", "kind": "openai", "availableModels": ["m"]}


@pytest.mark.kill  # an app of its own, and nine commands
def test_running_app_does_what_the_schema_says(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under an app that runs, a newer version migrates: REST, `ready`, the command line and Health agree, in all three cases."""
    engine = db.make_engine(url)
    migrate.upgrade(engine)
    token = core("tokens", "create", "root", "--role", "admin", DATABASE_URL=url).stdout.strip()
    with (
        running_app(tmp_path / "log", DATABASE_URL=url) as app,
        Client(base_url=app.url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as client,
    ):
        for number, (says, ready, schema, writing) in enumerate(
            [
                ((True, True), 200, "newer", 201),
                ((True, False), 200, "newer_read_only", 503),
                ((False, False), 503, "mismatch", 503),
            ]
        ):
            with monkeypatch.context() as patch:
                folder = tmp_path / str(number)
                newer(folder, patch, says)
                migrate.upgrade(engine)

            name = f"p{number}"
            written = client.post("/api/llm/providers", json={**BODY, "name": name})
            assert written.status_code == writing, written.text
            if writing == 503:
                assert written.json()["error"]["code"] == "SCHEMA_MISMATCH"
                assert "newer version" in written.text
            _ready(client, ready, schema)
            assert client.get("/api/llm/providers").status_code == 200
            commands = (
                core("keys", "status", DATABASE_URL=url),
                core("tokens", "create", name, "--role", "metrics", DATABASE_URL=url),
            )
            assert [done.returncode for done in commands] == [int(schema == "mismatch"), int(writing == 503)]
            for done in commands:
                assert "Traceback" not in done.stderr
                assert not done.returncode or "newer version" in done.stderr
            assert _health_page(engine, monkeypatch) == {"newer": "Newer", "newer_read_only": "Newer"}.get(
                schema, "Other version"
            )

            with monkeypatch.context() as patch:
                patch.setattr(revisions, "scripts_folder", lambda folder=folder: folder / "newer")
                migrate.downgrade(engine, "-1")
            _ready(client, 200, "ok")
    engine.dispose()


def _ready(client: Client, status: int, schema: str) -> None:
    time.sleep(1.1)  # one look answers for a second
    answer = client.get("/api/health/ready")
    body = answer.json()
    checks = (body.get("data") or body["error"])["checks"]
    assert (answer.status_code, checks["schema"]) == (status, schema), answer.text


def _health_page(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(db, "get_engine", lambda: engine)
        with db.transaction() as session:
            rows = sections(health.look(session, crypto.KeyRing(None)))["Database"]
    return next(row.word for row in rows if row.name == "Schema")
