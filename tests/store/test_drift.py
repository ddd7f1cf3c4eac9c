"""Where a migrated database differs from what this version describes: every kind of difference is named."""

import pytest
from sqlalchemy import CheckConstraint, Engine, text

from core.store import db, drift, migrate
from core.store.tables import METADATA

TOP_P = "llm_settings_top_p_check"


@pytest.fixture
def engine(database: str) -> Engine:
    return db.make_engine(database)


def test_none_after_the_migrations(engine: Engine) -> None:
    """The migrations make what core.store describes, and looking leaves nothing behind."""
    assert drift.differences(engine) == []
    assert drift.differences(engine) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "ALTER TABLE llm_providers DROP CONSTRAINT llm_providers_kind_check",
            ["constraint llm_providers", "'google'"],
        ),
        ("ALTER TABLE llm_settings ADD CHECK (top_p < 0.5)", ["constraint llm_settings", "0.5"]),
        (
            f"ALTER TABLE llm_settings DROP CONSTRAINT {TOP_P}, ADD CONSTRAINT {TOP_P} CHECK (top_p BETWEEN 0 AND 3)",
            [TOP_P, "(3)"],
        ),
        ("DROP INDEX llm_providers_name_idx", ["index", "llm_providers_name_idx"]),
        ("CREATE INDEX more ON llm_settings (top_p)", ["index", "more"]),
        ("ALTER TABLE llm_settings ALTER top_p SET DEFAULT 0.5", ["column llm_settings.top_p", "DEFAULT 0.5"]),
        ("ALTER TABLE llm_providers ALTER display_name DROP NOT NULL", ["column llm_providers.display_name"]),
        ("ALTER TABLE llm_settings ALTER max_tokens TYPE bigint", ["column llm_settings.max_tokens", "bigint"]),
        ("DROP TRIGGER llm_settings_stamp ON llm_settings", ["trigger", "llm_settings_stamp"]),
        (
            "CREATE TRIGGER more BEFORE DELETE ON llm_settings FOR EACH ROW EXECUTE FUNCTION llm_stamp_row()",
            ["trigger", "more"],
        ),
        (
            "CREATE OR REPLACE FUNCTION llm_stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$",
            ["function", "llm_stamp_row"],
        ),
        ("ALTER FUNCTION llm_add_usage() SECURITY INVOKER", ["function", "llm_add_usage"]),
    ],
)
def test_every_kind_of_difference_is_named(engine: Engine, statement: str, named: list[str]) -> None:
    """What SQL has changed behind the migrations is found, and with it all of `check-migrations`."""
    with engine.begin() as connection:
        connection.execute(text(statement))
    found = "\n".join(drift.differences(engine))

    assert all(word in found for word in named), found
    assert found.splitlines()[0] in [str(difference) for difference in migrate.differences(engine)]


def test_tables_that_cannot_be_made_are_told_of(engine: Engine) -> None:
    """A parameter without a column, as when one is being added, is named; it is no traceback."""
    table = METADATA.tables["llm_settings"]
    check = CheckConstraint("no_such BETWEEN 0 AND 9", name="no_such")
    table.append_constraint(check)
    try:
        found = drift.differences(engine)
    finally:
        table.constraints.discard(check)

    assert len(found) == 1
    assert 'column "no_such" does not exist' in found[0]
    assert drift.differences(engine) == []
