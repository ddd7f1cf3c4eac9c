"""Where the app starts: as a user whom the machine does not know, without a home, as containers do."""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import ROOT, require
from tests.processes import QUIETLY, App, environment, free_port
from tests.proxy import Proxy

pytestmark = pytest.mark.kill
HOMES = ("--unset=HOME", "HOME=/")
"""What Kubernetes and Docker give a user without an entry in passwd."""
if os.environ.get("LLM_TEST_HOMES") == "all":
    HOMES = (*HOMES, "HOME=", "HOME=/nonexistent", "HOME=/dev/null")
SOMEBODY = 12345
READS = "-all,+dac_read_search"
"""The Python of these tests may lie where only root reads; nothing else is lent to the user."""


@pytest.fixture
def as_somebody() -> tuple[str, ...]:
    """The words before a command that run it as a user without an entry in passwd."""
    require("root", os.geteuid() == 0)
    require("setpriv", shutil.which("setpriv"))
    who = [f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", "--no-new-privs"]
    return ("setpriv", *who, f"--inh-caps={READS}", f"--ambient-caps={READS}", "--", "env")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is this user's."""
    mine = tmp_path / "mine"
    mine.mkdir()
    if os.geteuid() == 0:
        os.chown(mine, SOMEBODY, SOMEBODY)
    return mine


def _ready(app: App) -> int:
    try:
        with urllib.request.urlopen(f"{app.url}/api/health/ready", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("home", HOMES)
def test_user_without_home_or_name_is_served(
    committed: str, as_somebody: tuple[str, ...], folder: Path, tmp_path: Path, home: str
) -> None:
    """The usual container: a user id that passwd does not have, and no home. The app is ready, nothing is written."""
    info = conninfo_to_dict(committed)
    proxy = Proxy(f"{info['host']}/.s.PGSQL.5432")  # a port, as the folder of the socket is the server's alone
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{info['dbname']}"
    app = App(tmp_path / "log", before=(*as_somebody, home), cwd=folder, DATABASE_URL=url)
    try:
        app.wait_until_served()
        assert _ready(app) == 200
    finally:
        code = app.stop()
        proxy.close()

    assert code in {0, -15}
    assert "Traceback" not in app.output()
    assert list(folder.iterdir()) == []


def test_embedded_store_says_that_it_needs_a_name(as_somebody: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    """PostgreSQL does not start for a user without a name: the app says so, with what to do, in its log and when asked."""
    app = App(tmp_path / "log", before=(*as_somebody, "--unset=HOME"), cwd=folder)
    try:
        app.wait_until_served()
        status = _ready(app)
    finally:
        app.stop()

    assert status == 503
    assert (
        f"user {SOMEBODY} has no entry in /etc/passwd, and PostgreSQL does not start without a name. "
        "Change that, set LLM_DATA_DIR to another folder, or set DATABASE_URL."
    ) in app.output()


def test_start_that_fails_ends_the_process(tmp_path: Path) -> None:
    """What nobody foresaw ends the process with the reason, where uvicorn by itself would answer 500 to everything."""
    whole = (ROOT / "streamlit_app.py").read_text(encoding="utf-8")
    (tmp_path / "asgi.py").write_text(whole.replace("__file__,", "'missing.py',"), encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "asgi:app", "--port", str(free_port()), *QUIETLY]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 3
    assert "Streamlit script not found" in done.stderr
    assert "Application startup failed. Exiting." in done.stderr
