"""`migrate`, run as people run it."""

import pytest

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
