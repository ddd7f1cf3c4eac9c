"""What docs/frameworks.md shows works: each snippet as it stands, in an environment with the frameworks of the lock."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from core.kinds import KINDS
from core.parameters import PARAMETERS, SENDABLE
from tests.conftest import ROOT, require
from tests.processes import environment
from tests.vendors import KEY, TEXT, Vendor

PYTHON: Final = ROOT / ".venv-frameworks/bin/python"
"""Made by ``.ci/install.py .venv-frameworks requirements-frameworks.lock``."""
PAGE: Final = (ROOT / "docs/frameworks.md").read_text()
SNIPPETS: Final = dict(re.findall(r"## ([^\n]+)\n\n```python\n(.*?)```", PAGE, re.DOTALL))
LONGEST: Final = 8
"""Lines of a snippet."""
AROUND: Final = """
import os, sys
from core.testing import override

how = {"max_retries": int(sys.argv[4]), "request_timeout_ms": 30_000}
with override("acme", kind=sys.argv[2], base_url=sys.argv[3], model="m1", api_key=sys.argv[5], temperature=0.25, max_tokens=50, **how):
    exec(compile(open(sys.argv[1]).read(), "snippet", "exec"))
"""


def run(tmp_path: Path, snippet: str, kind: str, vendor: Vendor, retries: int) -> subprocess.CompletedProcess[str]:
    """Run a snippet in the frameworks' environment."""
    file = tmp_path / "snippet.py"
    file.write_text(SNIPPETS[snippet])
    env = {name: value for name, value in environment().items() if not name.lower().endswith("_proxy")}
    env |= {"OPENAI_AGENTS_DISABLE_TRACING": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": os.fspath(tmp_path)}
    arguments = [os.fspath(file), kind, vendor.base_url(kind), str(retries), KEY]
    return subprocess.run(
        [PYTHON, "-c", AROUND, *arguments],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_page_has_each_framework() -> None:
    """Five, each short enough to be read at a glance."""
    assert set(SNIPPETS) == {"LangChain", "pydantic-ai", "OpenAI Agents", "LlamaIndex", "LiteLLM"}
    for snippet in SNIPPETS.values():
        assert len(list(filter(None, snippet.splitlines()))) <= LONGEST
        compile(snippet, "snippet", "exec")


@pytest.fixture(scope="module")
def frameworks() -> None:
    """The environment."""
    require("frameworks", PYTHON.exists())


@pytest.mark.usefixtures("frameworks")
@pytest.mark.parametrize("kind", ["openai", "openai_compatible"])
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_what_arrives(tmp_path: Path, snippet: str, kind: str) -> None:
    """The address, the key, the model, and each parameter by the kind's own name; the answer comes back."""
    with Vendor() as vendor:
        done = run(tmp_path, snippet, kind, vendor, 0)
    assert done.returncode == 0, done.stderr[-3000:]

    assert TEXT in done.stdout
    (asked,) = vendor.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    body = {name: value for name, value in asked.body.items() if name not in {"messages", "stream", "tools", "n"}}
    values = {name: PARAMETERS[name].default for name in SENDABLE} | {"temperature": 0.25, "max_tokens": 50}
    values = {name: value for name, value in values.items() if value is not None}
    assert body == {"model": "m1", **{KINDS[kind].names[name]: value for name, value in values.items()}}


@pytest.mark.usefixtures("frameworks")
@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_attempts(tmp_path: Path, snippet: str, retries: int) -> None:
    """A vendor that is out of order is asked once without retries, and as often as the settings say with them."""
    with Vendor() as vendor:
        vendor.fail(*[500] * 5)
        done = run(tmp_path, snippet, "openai_compatible", vendor, retries)

    assert done.returncode != 0
    assert len(vendor.asked) == retries + 1
