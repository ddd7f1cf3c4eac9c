"""Every snippet of docs/rest.md and the clients beside it, run against the app: slow; it takes curl, go, and npm with its registry.

Nothing but npm's registry is reached, by npm; whatever is downloaded or built stays in the test's own folder.
"""

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import psycopg.conninfo
import pytest

from core.access import tokens
from core.actors import COMMAND_LINE
from core.store import db
from tests.conftest import ROOT, fresh_database, require
from tests.processes import App, core, environment, running_app

pytestmark = pytest.mark.browser  # speaks to the whole process from outside, and is as slow

MODEL: Final = "gpt-9-docs"
DOCS: Final = (ROOT / "docs/rest.md").read_text(encoding="utf-8")
CLIENTS: Final = ROOT / "docs" / "clients"
TYPESCRIPT: Final = ("typescript@5.9.3", "@types/node@20.19.0")
GENERAL: Final = 100


def snippets(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)


def snippet(language: str, having: str) -> str:
    """The one fenced block that has a text."""
    (block,) = [block for block in snippets(language) if having in block]
    return block


class Served(NamedTuple):
    """The app on a database of its own, with the provider openai, and tokens."""

    app: App
    database: str
    analyst: str
    admin: str

    def env(self) -> dict[str, str]:
        """What the snippets read."""
        return {
            "LLM_SETTINGS_URL": self.app.url,
            "LLM_SETTINGS_TOKEN": self.analyst,
            "LLM_SETTINGS_ADMIN_TOKEN": self.admin,
        }


@contextmanager
def serving(server: str, log: Path) -> Iterator[tuple[App, str]]:
    with fresh_database(server) as url:
        done = core("seed", DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
        with running_app(log, DATABASE_URL=url) as app:
            yield app, url


@pytest.fixture(scope="module")
def shared(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, str]]:
    """The app that these tests share, and its database."""
    with serving(server, tmp_path_factory.mktemp("app") / "log") as found:
        yield found


@pytest.fixture
def served(shared: tuple[App, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The app, answering, with tokens of the test's own."""
    yield from with_tokens(*shared, monkeypatch)


@pytest.fixture
def alone(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """An app of the test's own."""
    with serving(server, tmp_path / "app.log") as found:
        yield from with_tokens(*found, monkeypatch)


def with_tokens(app: App, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    engine = db.make_engine(url)
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    yield Served(app, url, make_token("reader", "analyst"), make_token("deploy", "admin"))
    engine.dispose()


def make_token(name: str, role: str) -> str:
    """Make a token, whose name begins so."""
    with db.transaction() as session:
        return tokens.create(session, COMMAND_LINE, {"name": f"{name}-{secrets.token_hex(4)}", "role": role})[1]


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program; what it keeps goes below *cwd*, whose parent is the test's folder."""
    home = cwd.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        command,
        env={**environment(), "HOME": str(home), "npm_config_cache": str(home / "npm"), **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def bash(script: str, cwd: Path, **env: str) -> str:
    """Run a script; returns what it prints."""
    require("curl", shutil.which("curl"))
    done = run("bash", "-euo", "pipefail", "-c", script, cwd=cwd, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where snippets run."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def model_of(provider: str, served: Served, folder: Path) -> str:
    """Which model is in force."""
    asking = f'curl -sS -H "Authorization: Bearer $LLM_SETTINGS_TOKEN" "$LLM_SETTINGS_URL/api/llm/settings?provider={provider}"'
    found = json.loads(bash(asking, folder, **served.env()))
    return str(found["data"]["model"])


def test_every_snippet_is_run() -> None:
    """A snippet that is added to the page is added here, and so is a client, which the page links to."""
    having = ("tokens create", "export LLM_SETTINGS_URL", "--etag-compare", "explain=true", "If-Match", "openapi.json")
    assert sorted(snippet("sh", text) for text in having) == sorted(snippets("sh"))
    assert {path.name for path in CLIENTS.iterdir()} == {"settings.ts", "settings.go"}
    assert set(re.findall(r"\(clients/([\w.]+)\)", DOCS)) == {"settings.ts", "settings.go"}


def test_quick_start(served: Served, folder: Path) -> None:
    """The command makes a token, and with it the three lines that follow get the settings."""
    made = snippet("sh", "tokens create").replace(".venv/bin/python", sys.executable)
    printed = subprocess.run(
        ["bash", "-euc", made],
        env=environment(DATABASE_URL=served.database),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    (token,) = set(re.findall(r"llms_[A-Za-z0-9_-]{43}", printed))
    script = snippet("sh", "export LLM_SETTINGS_URL")
    for placeholder, value in (("http://127.0.0.1:8501", served.app.url), ("llms_…", token)):
        assert script.count(placeholder) == 1
        script = script.replace(placeholder, value)
    answer = json.loads(bash(script, folder))

    assert answer["success"] is True
    assert answer["data"]["provider"]["name"] == "openai"
    assert answer["data"]["model"]


def test_polling_gets_304(served: Served, folder: Path) -> None:
    """The second poll is 304 and keeps the file; after a change the third has the new settings."""
    script, env = snippet("sh", "--etag-compare"), served.env()
    first = bash(script, folder, **env)
    kept = (folder / "settings.json").read_text()
    second = bash(script, folder, **env)
    after = (folder / "settings.json").read_text()
    change = '-X POST -H "Content-Type: application/json" -d \'{"providerId": null, "maxRetries": 7}\' "$LLM_SETTINGS_URL/api/llm/settings/global"'
    bash(f'curl -sSf -H "Authorization: Bearer $LLM_SETTINGS_ADMIN_TOKEN" {change}', folder, **env)
    third = bash(script, folder, **env)
    changed = json.loads((folder / "settings.json").read_text())

    assert [first, second, third] == ["200\n", "304\n", "200\n"]
    assert json.loads(kept)["data"]["provider"]["name"] == "openai"
    assert after == kept
    assert changed["data"]["maxRetries"] == 7


def test_explain(served: Served, folder: Path) -> None:
    """The answer says where each value comes from."""
    answer = json.loads(bash(snippet("sh", "explain=true"), folder, **served.env()))

    fields = {"name", "value", "sent", "source", "shadows", "passedOver", "omittedBy", "adjusted"}
    limits = {"limitedBy", "wanted", "putOut", "omissionLimitedBy", "omissionWanted"}
    assert fields | limits == set(answer["data"]["explain"][0])


def test_change_and_conflict(served: Served, folder: Path) -> None:
    """The change is stored; based on the same version again it is a conflict."""
    script, env = snippet("sh", "If-Match"), served.env()
    first, second = (json.loads(bash(script, folder, **env)) for _ in range(2))

    assert first["data"]["version"] == 2
    assert second["error"]["code"] == "CONFLICT"
    assert second["error"]["version"] == 2


def test_openapi(served: Served, folder: Path) -> None:
    """The description is fetched."""
    bash(snippet("sh", "openapi.json"), folder, **served.env())

    assert json.loads((folder / "openapi.json").read_text())["openapi"].startswith("3.1")


def go_client(folder: Path) -> list[str]:
    """The Go client, as its command."""
    go = shutil.which("go")
    require("go", go)
    shutil.copy(CLIENTS / "settings.go", folder)
    home = folder.parent / "home"
    env = {"GOCACHE": str(home / "go"), "GOPATH": str(home / "gopath"), "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    done = run(str(go), "build", "-o", "client", "settings.go", cwd=folder, **env)
    assert done.returncode == 0, done.stderr
    return [str(folder / "client")]


def typescript_client(folder: Path) -> list[str]:
    """The TypeScript client, type-checked and compiled, as its command."""
    node, npm = shutil.which("node"), shutil.which("npm")
    require("node", node)
    require("typescript", npm)
    shutil.copy(CLIENTS / "settings.ts", folder)
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--no-update-notifier")
    got = run(str(npm), "install", *quiet, *TYPESCRIPT, cwd=folder)
    require("typescript", got.returncode == 0)
    compiling = ("--strict", "--target", "es2022", "--module", "nodenext", "settings.ts")
    assert " ".join(compiling) in (CLIENTS / "settings.ts").read_text(encoding="utf-8")
    done = run(str(node), "node_modules/typescript/bin/tsc", *compiling, cwd=folder)
    assert done.returncode == 0, done.stdout
    return [str(node), "settings.js"]


@pytest.mark.parametrize("client", [typescript_client, go_client])
def test_client(client: Callable[[Path], list[str]], served: Served, folder: Path) -> None:
    """A client prints the model and polls with 304; over the limit it keeps what it has; unknown, it says why."""
    command, env = client(folder), served.env()
    model = model_of("openai", served, folder)

    done = run(*command, cwd=folder, **env)
    assert done.stdout == f"changed {model}\nunchanged {model}\n", done.stderr

    spent = make_token("spent", "analyst")
    asking = f'for i in $(seq {GENERAL - 1}); do curl -sSf -o /dev/null -H "Authorization: Bearer {spent}" '
    bash(f'{asking} "$LLM_SETTINGS_URL/api/llm/settings"; done', folder, **env)
    limited = run(*command, cwd=folder, **{**env, "LLM_SETTINGS_TOKEN": spent})
    assert limited.stdout == f"changed {model}\nkept {model}\n", limited.stderr

    refused = run(*command, cwd=folder, **{**env, "LLM_SETTINGS_TOKEN": "llms_wrong"})
    assert refused.returncode == 1
    assert "UNAUTHENTICATED" in refused.stderr

    away = run(*command, cwd=folder, **{**env, "LLM_SETTINGS_URL": "http://127.0.0.1:9"})
    assert away.returncode == 1
    assert "No settings of openai" in away.stderr


def test_database_away(alone: Served, server: str, folder: Path) -> None:
    """Without the database the answer is 503, and says when to try again; the process lives, and is not ready."""
    name = psycopg.conninfo.conninfo_to_dict(alone.database)["dbname"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    time.sleep(1.5)  # a token, and a look at the database, are good for a second
    asking = 'curl -sS -o /dev/null -w "%{http_code} %header{retry-after}\\n" '
    asking += '-H "Authorization: Bearer $LLM_SETTINGS_TOKEN" "$LLM_SETTINGS_URL/api'
    paths = ("llm/settings?provider=openai", "health/ready", "health/live")
    answers = [bash(f'{asking}/{path}"', folder, **alone.env()) for path in paths]

    assert answers == ["503 2\n", "503 2\n", "200 \n"]
