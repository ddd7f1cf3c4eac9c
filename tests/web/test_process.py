"""`streamlit run streamlit_app.py`, a habit of Streamlit's users, serves the whole app: middleware, REST and `.env`."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.processes import environment, free_port

pytestmark = pytest.mark.kill


@pytest.fixture
def served(tmp_path: Path, database: str) -> Iterator[str]:
    """The app under `streamlit run`, in a folder whose `.env` names the database and one more host."""
    (tmp_path / ".env").write_text(f"DATABASE_URL={database}\nLLM_ALLOWED_HOSTS=llm.example.test\n", encoding="utf-8")
    port = free_port()
    script = [sys.executable, "-m", "streamlit", "run", str(ROOT / "streamlit_app.py")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*script, "--server.port", str(port), "--server.headless", "true"],
            cwd=tmp_path,
            env=environment(),
            stdout=log,
            stderr=log,
        )
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while ask(f"{url}/api/health/live")[0] != 200:
            assert process.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, (tmp_path / "log").read_text(encoding="utf-8")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def ask(url: str, host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Status, content type and body; status 0 when nobody answers."""
    request = urllib.request.Request(url, headers={"Host": host, "Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read().decode()
    except OSError:
        return 0, "", ""


def test_streamlit_run_serves_the_whole_app(served: str) -> None:
    """Health and REST answer JSON, foreign host names are refused, `.env` counts, every answer has the security headers."""
    assert ask(f"{served}/api/health/ready")[:2] == (200, "application/json")
    assert json.loads(ask(f"{served}/api/llm/settings")[2])["error"]["code"] == "UNAUTHENTICATED"
    assert ask(f"{served}/", "evil.example")[0] == 421
    assert ask(f"{served}/", "llm.example.test")[:2] == (200, "text/html")
    with urllib.request.urlopen(f"{served}/", timeout=10) as answer:
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def test_an_address_of_two_segments_is_no_page(served: str) -> None:
    """It says so: Streamlit's own page would look for its scripts below it, and stay white."""
    status, kind, text = ask(f"{served}/dashboard/admin/llm/settings")

    assert (status, kind) == (404, "text/html")
    assert "There is no page here" in text
