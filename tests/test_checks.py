"""docs/checks.md: each attack and fault has a row, each row a test, and the list of tests is that of today."""

import re
import subprocess

import pytest

from tests import checks

ELSEWHERE = re.compile(
    r"(DESIGN|ORIGINAL-PLAN|CONFORMANCE|SECURITY-FINDINGS|FIELD-\w+|OPERATIONS|HOUSE|ECOSYSTEM|WANTS|FACTS)(\.md| §)"
)
"""Papers that are not in the repository: who reads it cannot look them up."""


@pytest.mark.long
def test_the_list_is_up_to_date() -> None:
    """Renew it by `python -m tests.checks`."""
    page = checks.PAGE.read_text(encoding="utf-8")

    assert page == checks.renewed(page)


@pytest.mark.long
def test_each_row_has_a_test_and_each_test_a_row() -> None:
    """A row without a test is a promise that nobody holds; a test that names another row was not looked at."""
    rows = checks.rows(checks.PAGE.read_text(encoding="utf-8"))

    assert rows == list(range(1, len(rows) + 1))
    assert set(rows) == set(checks.tests_by_row()) | set(checks.NOT_YET)


@pytest.mark.parametrize(
    ("text", "rows"),
    [("CHECKS 7", {7}), ("CHECKS 1, 2: x 3", {1, 2}), ("CHECKS 46 to 48.", {46, 47, 48}), ("CHECKS", set())],
)
def test_rows_that_a_text_names(text: str, rows: set[int]) -> None:
    """One, several, from one to another."""
    assert checks.named_in(text) == rows


def test_no_paper_from_elsewhere_is_named() -> None:
    """What the code refers to stands in the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=checks.ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split() if name.endswith((".py", ".md", ".toml"))]

    found = {
        (name, match.group(0))
        for name in names
        if name != "tests/test_checks.py"
        for match in ELSEWHERE.finditer((checks.ROOT / name).read_text(encoding="utf-8"))
    }

    assert found == set()
