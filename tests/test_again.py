"""CI runs a failed test once more only where that hides nothing but a busy machine: `.ci/again`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = "tests/browser/test_pages.py::test_{}"


@pytest.mark.parametrize(
    "failed",
    [
        [],
        ["tests/test_resolve.py::test_a"],
        [PAGE.format("a"), "tests/access/test_sessions.py::test_a"],
        [PAGE.format(name) for name in "abcd"],
    ],
    ids=["nothing is named", "another room", "a page and another room", "four pages"],
)
def test_these_stay_failures(tmp_path: Path, failed: list[str]) -> None:
    """A run that broke off, a test of anything but a page, and many pages at once: nothing is run again."""
    named = tmp_path / "failed"
    named.write_text("".join(f"{test}\n" for test in failed), encoding="utf-8")

    again = subprocess.run([ROOT / ".ci/again", named], capture_output=True, text=True, timeout=60, check=False)

    assert (again.returncode, again.stdout) == (1, "")


@pytest.mark.long
def test_a_run_names_what_failed(tmp_path: Path) -> None:
    """The file that `.ci/run` asks for has each test that failed, or could not begin, and no other."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef broken(): raise ValueError\n"
        "def test_right(): pass\n"
        "def test_wrong(): assert False\n"
        "def test_cannot(broken): pass\n",
        encoding="utf-8",
    )
    named = tmp_path / "failed"

    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, tmp_path],
        env=dict(os.environ, LLM_TEST_FAILED=str(named), PYTHONPATH=str(ROOT)),
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert named.read_text(encoding="utf-8").splitlines() == ["test_it.py::test_wrong", "test_it.py::test_cannot"]
