"""`migrate`, run as people run it."""

import re
import shutil
from pathlib import Path

import pytest
from sqlalchemy import desc, select

from core.commands.schema import check_migrations
from core.errors import SchemaMismatch
from core.store import db, migrate, revisions
from core.store.records import AuditEvent
from tests.clusters import connect
from tests.processes import core
from tests.stores import fill, sums_of, verdict_of


def test_migrate_says_what_it_did(committed: str) -> None:
    """`migrate` brings an empty database up; a second run finds nothing to do; other commands name it until then."""
    migrate.downgrade(db.get_engine(), "base")

    refused = core("seed", DATABASE_URL=committed)
    assert refused.returncode == 1
    assert "Run: python -m core migrate" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert core("migrate", DATABASE_URL=committed).stdout.startswith("Migrated: the database t_")
    assert "Nothing to do" in core("migrate", DATABASE_URL=committed).stdout


@pytest.fixture
def used(committed: str) -> str:
    """URL of a store with something in every table."""
    with db.transaction() as session:
        fill(session, rows=300)
    return committed


def _events(url: str) -> list[tuple[str, str]]:
    with connect(url) as connection:
        return connection.execute("SELECT action, target FROM audit_events ORDER BY seq").fetchall()


@pytest.mark.parametrize("answer", ["", "y\n", "0003\n", "yes\n"])
def test_going_down_says_what_goes_and_wants_the_word(used: str, answer: str) -> None:
    """Each table and column whose rows or values go, with figures; a backup is offered; anything but the word changes nothing."""
    before = sums_of(used)
    done = core("migrate", "--down", "0002", stdin=answer, DATABASE_URL=used)

    assert done.returncode == 1
    for table in ("audit_events", "auth_sessions", "login_attempts", "api_tokens", "encryption_canaries", "llm_usage"):
        assert re.search(rf" {before[table].rows} rows? of {table} will be gone", done.stdout), table
    assert " 300 rows of llm_logs will be gone" in done.stdout
    assert " 1 value of llm_settings.max_tokens will be gone" in done.stdout
    assert "rows of llm_providers" not in done.stdout
    assert "rows of llm_settings" not in done.stdout
    assert 'pg_dump --format=custom --file=llm-settings.before-0002.dump "$DATABASE_URL"' in done.stdout
    assert "Traceback" not in done.stderr
    assert sums_of(used) == before


@pytest.mark.parametrize(("words", "answer"), [([], "0008\n"), (["--yes"], "")])
def test_going_down_is_on_record_where_the_audit_stays(used: str, words: list[str], answer: str) -> None:
    """With the word, or `--yes`, it goes down; the event has what went, and the chain holds."""
    done = core("migrate", "--down", "0008", *words, stdin=answer, DATABASE_URL=used)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 value of llm_settings.max_tokens will be gone" in done.stdout
    assert _events(used)[-1] == ("schema.migrate_down", "0008")
    migrate.upgrade(db.get_engine())
    assert verdict_of(used).problem == ""
    with db.transaction() as session:
        changes = session.scalars(select(AuditEvent.changes).order_by(desc(AuditEvent.id)).limit(1)).one()
    assert changes["llm_settings.max_tokens"] == {"before": 1, "after": None}


def test_going_down_below_the_audit_leaves_no_event(used: str) -> None:
    """Where the audit itself goes, there is nothing to write into; what went stands on the terminal."""
    done = core("migrate", "--down", "0003", stdin="0003\n", DATABASE_URL=used)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rows of audit_events will be gone" in done.stdout


def test_going_down_asks_nothing_where_nothing_goes(committed: str) -> None:
    """A step that takes no row and no value is done at once; it is on record too."""
    done = core("migrate", "--down", "0006", DATABASE_URL=committed)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing stored goes" in done.stdout
    assert _events(committed) == [("schema.migrate_down", "0006")]


@pytest.mark.parametrize("words", [["--down", "9999"], ["--to", "9999"], ["--down", "no such"]])
def test_a_revision_that_is_none_is_told(committed: str, words: list[str]) -> None:
    """A revision that this version does not know is one sentence."""
    done = core("migrate", *words, "--yes", DATABASE_URL=committed)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: revision: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://h:port/x", "sqlite:///x.db"])
def test_database_url_that_is_none_is_refused(url: str) -> None:
    """A DATABASE_URL that names no PostgreSQL database is refused in one sentence."""
    done = core("migrate", DATABASE_URL=url)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: DATABASE_URL")
    assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "down", "words"),
    [
        ('op.execute("SELECT nothing_of_that_name")', "", 'column "nothing_of_that_name" does not exist'),
        ("pass", "0001", "ultiple head"),
    ],
)
def test_a_migration_that_fails_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, down: str, words: str
) -> None:
    """`check-migrations` says what PostgreSQL, or Alembic, refuses in one that is being written."""
    folder = tmp_path / "migrations"
    shutil.copytree(revisions.scripts_folder(), folder)
    lines = ["from alembic import op", 'revision = "9999"', f"down_revision = {(down or migrate.head())!r}"]
    lines += ["def upgrade():", f"    {body}", "def downgrade():", "    pass"]
    (folder / "versions/9999_more.py").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(revisions, "scripts_folder", lambda: folder)

    with pytest.raises(SchemaMismatch, match="A migration fails: ") as caught:
        check_migrations()

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
