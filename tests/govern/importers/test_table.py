"""docs/migrating.md says what the importers do."""

from tests.govern.importers import table


def test_the_table_is_what_the_importers_make() -> None:
    """Else: python -m tests.govern.importers.table."""
    page = table.PAGE.read_text(encoding="utf-8")

    assert page == table.renewed(page)
