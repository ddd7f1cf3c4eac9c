"""CI runs a failed test again only where that hides nothing but a busy machine: `.ci/again`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

TEST = "def test_steady(): pass\ndef test_broken(): assert False\n"


@pytest.fixture
def again(tmp_path: Path) -> Callable[[str], tuple[int, str]]:
    """`.ci/again` of a project with a test file of two; called with names of tests it gives the code it ends with, and what it says."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/again", tmp_path / ".ci/again")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")

    def call(failed: str) -> tuple[int, str]:
        (tmp_path / "failed").write_text(
            "".join(f"test_it.py::test_{name}\n" for name in failed.split()), encoding="utf-8"
        )
        ended = subprocess.run(
            [tmp_path / ".ci/again", tmp_path / "failed"], capture_output=True, text=True, timeout=120, check=False
        )
        return ended.returncode, ended.stdout

    return call


def test_these_stay_failures(again: Callable[[str], tuple[int, str]]) -> None:
    """A run that broke off, and many tests at once: nothing is run again."""
    assert again("") == (1, "")
    assert again("steady " * 4) == (1, "")


@pytest.mark.long
def test_alone(again: Callable[[str], tuple[int, str]]) -> None:
    """What passes twice alone is named as unsteady; what fails alone is a failure, whatever else passes."""
    code, printed = again("steady")
    assert (code, printed.count("1 passed"), printed.splitlines()[-1]) == (
        0,
        2,
        "== UNSTEADY, passed only alone: test_it.py::test_steady",
    )

    code, printed = again("steady broken")
    assert code != 0
    assert "UNSTEADY" not in printed


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
