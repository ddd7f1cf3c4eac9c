"""The benchmarks are run by hand, long after a change: that they can be imported is seen at once."""

import pytest

from tests.conftest import ROOT
from tests.processes import python

pytestmark = pytest.mark.program
MODULES = sorted(path.stem for path in (ROOT / "tests" / "bench").glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_benchmark_can_be_imported(name: str) -> None:
    """Each in a process of its own, as `make bench` starts them; what peers need is theirs to import when they run."""
    done = python(f"import tests.bench.{name}", LLM_DATA_DIR="/nonexistent")

    assert done.returncode == 0, done.stderr
