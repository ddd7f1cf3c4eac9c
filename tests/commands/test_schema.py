"""`migrate`, run as people run it."""

import shutil
from pathlib import Path

import pytest

from core.commands.schema import check_migrations
from core.errors import SchemaMismatch
from core.store import db, migrate
from tests.processes import core


def test_migrate_says_what_it_did(committed: str) -> None:
    """`migrate` brings an empty database up; a second run finds nothing to do; other commands name it until then."""
    migrate.downgrade(db.get_engine(), "base")

    refused = core("seed", DATABASE_URL=committed)
    assert refused.returncode == 1
    assert "Run: python -m core migrate" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert core("migrate", DATABASE_URL=committed).stdout.startswith("Migrated: the database t_")
    assert "Nothing to do" in core("migrate", DATABASE_URL=committed).stdout


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://h:port/x", "sqlite:///x.db"])
def test_database_url_that_is_none_is_refused(url: str) -> None:
    """A DATABASE_URL that names no PostgreSQL database is refused in one sentence."""
    done = core("migrate", DATABASE_URL=url)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: DATABASE_URL")
    assert "Traceback" not in done.stderr


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
    shutil.copytree(migrate.scripts_folder(), folder)
    lines = ["from alembic import op", 'revision = "9999"', f"down_revision = {(down or migrate.head())!r}"]
    lines += ["def upgrade():", f"    {body}", "def downgrade():", "    pass"]
    (folder / "versions/9999_more.py").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(migrate, "scripts_folder", lambda: folder)

    with pytest.raises(SchemaMismatch, match="A migration fails: ") as caught:
        check_migrations()

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
