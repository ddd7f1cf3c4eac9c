"""The benchmarks are run by hand, long after a change: that they can be imported, and their short forms, is seen at once."""

import re

import pytest

from tests.bench import history, limits, organizations
from tests.conftest import ROOT
from tests.processes import program

MODULES = sorted(path.stem for path in (ROOT / "tests" / "bench").glob("*.py"))


@pytest.mark.program
@pytest.mark.parametrize("name", MODULES)
def test_benchmark_can_be_imported(name: str) -> None:
    """Each in a process of its own, as `make bench` starts them; what peers need is theirs to import when they run."""
    done = program(f"import tests.bench.{name}", LLM_DATA_DIR="/nonexistent")

    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_benchmarks_of_history_and_limits_measure(committed: str) -> None:
    """Of a few hundred versions and rows each line has a figure, and what must be reached; nothing is left that binds anybody."""
    lines: list[tuple[str, str, str]] = []

    def row(what: str, measured: str, must: str, *, reached: bool | None) -> None:
        assert reached is None or isinstance(reached, bool)
        lines.append((what, measured, must))

    history.run(committed, row, versions=400)
    organizations.fill(committed, 200)
    limits.run(committed, row)

    assert len(lines) == 11
    assert all(re.match(r"[\d.,]+ ", measured) for _, measured, _ in lines)
    assert [what for what, *_ in lines if "400 versions" in what]
    counted = [measured.split(", ")[1] for what, measured, _ in lines if "out of force" in what]
    assert counted == ["150 rows", "10 rows"]
