"""`export` and `apply`, run as people and their CI run them: a file in a repository, a dry run, an apply, and a service that sees it."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from core.crypto import KeyRing
from core.errors import Invalid
from core.govern.documents import parsing, schema
from core.resolve import Resolver
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.govern.importers.samples import FOLDER, imported
from tests.processes import core, environment

KEY = "sk-proj-canary-document-0123456789abcdefghijklmnop"
FORM = """
version: 1
providers:
  openai:
    display_name: OpenAI
    kind: openai
    available_models: [gpt-6]
    default_model: gpt-6
    api_key: {env: VENDORS_KEY}
    settings: {temperature: 0.2, max_tokens: 1000}
"""


def generation(url: str) -> int:
    """The store's."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT generation FROM settings_generation").fetchone()
        assert found is not None
        return int(found[0])


def test_a_repositorys_life(committed: str, tmp_path: Path) -> None:
    """Applied, exported, two lines edited, compared (exit 2, a readable diff), applied; a running service sees it. No key is printed."""
    url, file = {"DATABASE_URL": committed}, tmp_path / "settings.yaml"
    file.write_text(FORM)
    said = ""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        nonlocal said
        done = core(*arguments, **url, **env)
        said += done.stdout + done.stderr
        return done

    missing = run("apply", "-f", str(file))
    assert missing.returncode == 1
    assert "providers.openai.api_key: the variable VENDORS_KEY is not set on this machine" in missing.stderr
    assert run("apply", "-f", str(file), "--dry-run").returncode == 2
    applied = run("apply", "-f", str(file), VENDORS_KEY=KEY)
    assert applied.returncode == 0, applied.stderr
    resolver = Resolver(committed, ring=KeyRing(ENCRYPTION_KEY))
    try:
        before = resolver.resolve("openai")
        assert (before.temperature, before.max_tokens, before.api_key()) == (0.2, 1000, KEY)
        assert run("export", "-o", str(file)).returncode == 0
        text = file.read_text()
        assert run("export").stdout == text
        assert run("apply", "-f", str(file)).stdout == "Nothing to change.\n"
        file.write_text(
            text.replace("temperature: 0.2", "temperature: 0.4").replace("max_tokens: 1000", "max_tokens: 1500")
        )
        began = generation(committed)
        dry = run("apply", "-f", str(file), "--dry-run")
        assert dry.returncode == 2
        assert dry.stdout.splitlines() == [
            "~ providers.openai.settings",
            "    max_tokens: 1000 -> 1500",
            "    temperature: 0.2 -> 0.4",
            "1 to change.",
        ]
        assert generation(committed) == began
        assert run("apply", "-f", str(file), "--comment", "colder answers").returncode == 0
        assert generation(committed) == began + 1
        until = time.monotonic() + 30
        while resolver.resolve("openai").temperature != 0.4 and time.monotonic() < until:
            time.sleep(0.02)
        after = resolver.resolve("openai")
        assert (after.temperature, after.max_tokens) == (0.4, 1500)
        assert getattr(after.source("temperature"), "changed_by", "") == "apply:command line"
    finally:
        resolver.close()
    with psycopg.connect(committed) as connection:
        connection.execute("UPDATE llm_settings SET temperature = 0.9 WHERE temperature IS NOT NULL")
    refused = run("apply", "-f", str(file))
    assert refused.returncode == 1
    assert "! providers.openai.settings.temperature: 0.9 -> 0.4" in refused.stdout
    assert "--take" in refused.stderr
    assert run("apply", "-f", str(file), "--dry-run").returncode == 2
    assert run("apply", "-f", str(file), "--take").returncode == 0
    assert run("apply", "-f", str(file), "--dry-run").returncode == 0
    assert KEY not in said


def test_references_are_of_this_machine_and_no_secrets_of_ours(committed: str, tmp_path: Path) -> None:
    """A file is read without its last line break; our own secrets, what is no file and what is not there are refused by path."""
    url, file, secret = {"DATABASE_URL": committed}, tmp_path / "d.yaml", tmp_path / "key"
    for reference, rule in (
        ("{env: LLM_ENCRYPTION_KEY}", "this program's own secret"),
        ("{env: DATABASE_URL}", "this program's own secret"),
        (f"{{file: {tmp_path}}}", "is no file"),
        ("{file: /dev/zero}", "is no file"),
        (f"{{file: {tmp_path}/none}}", "is not there"),
        ("{file: /etc/passwd}", "api_key"),
    ):
        file.write_text(FORM.replace("{env: VENDORS_KEY}", reference))
        done = core("apply", "-f", str(file), **url)
        assert done.returncode == 1, reference
        assert rule in done.stderr
        assert ENCRYPTION_KEY not in done.stderr + done.stdout
        assert "root:" not in done.stderr + done.stdout
    secret.write_text(f"\ufeff{KEY}\r\n")
    file.write_text(FORM.replace("{env: VENDORS_KEY}", f"{{file: {secret}}}"))
    assert core("apply", "-f", str(file), **url).returncode == 0
    assert core("apply", "-f", str(file), **url).stdout == "Nothing to change.\n"


def test_a_file_may_be_larger_than_what_a_page_takes(committed: str, tmp_path: Path) -> None:
    """4 MB and 200,000 values bind REST and the page; the command line's own file may have sixteen times as much, and then has a rule too."""
    file, padding = tmp_path / "large.yaml", "# a comment of a line\n"
    for size, status, words in (
        (parsing.EVERYWHERE.size, 0, "1 to add."),
        (parsing.FILES.size, 1, "document: must be at most 64 MB; this is 64.0 MB. Split it by sections"),
    ):
        file.write_text("version: 1\ndefaults: {temperature: 0.4}\n" + padding * (size // len(padding) + 1))
        done = core("apply", "-f", str(file), DATABASE_URL=committed)
        assert done.returncode == status, done.stderr
        assert words in done.stdout + done.stderr
    with pytest.raises(Invalid, match="or apply it on the command line, which takes 64 MB"):
        schema.read(padding * (parsing.EVERYWHERE.size // len(padding) + 1))


@pytest.mark.kill
def test_an_apply_that_is_killed_changes_nothing(committed: str, tmp_path: Path) -> None:
    """Killed amid its writes: no row, no event. Two at once wait for each other, and what is stored is one of them, whole."""
    rows = "".join(
        f"  p{n}: {{display_name: P, kind: openai, available_models: [a], settings: {{temperature: TEMPERATURE}}}}\n"
        for n in range(60)
    )
    file = tmp_path / "d.yaml"
    file.write_text(f"version: 1\nproviders:\n{rows}".replace("TEMPERATURE", "0.1"))
    command = [sys.executable, "-m", "core", "apply", "-f"]
    env = environment(DATABASE_URL=committed)

    def at_work(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
        ).fetchone()
        return bool(found and found[0])

    began = generation(committed)
    with psycopg.connect(committed, autocommit=True) as connection:
        process = subprocess.Popen([*command, str(file)], env=env, cwd=ROOT)
        until = time.monotonic() + 60
        while not at_work(connection) and time.monotonic() < until:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        left = connection.execute("SELECT count(*) FROM llm_providers").fetchone()
        assert left == (0,)
    assert generation(committed) == began
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text().replace("0.1", "0.9"))
    both = [subprocess.Popen([*command, str(each)], env=env, cwd=ROOT) for each in (file, other)]
    outcomes = sorted(each.wait(60) for each in both)
    assert outcomes[0] == 0
    with psycopg.connect(committed) as connection:
        stored = connection.execute("SELECT temperature, count(*) FROM llm_settings GROUP BY 1").fetchall()
        assert stored in ([(0.1, 60)], [(0.9, 60)])


@pytest.mark.program
def test_an_import_is_applied_through_a_pipe(committed: str) -> None:
    """`import litellm FILE | apply -f -`, as two processes; what is exported then is what was imported, and a second time nothing changes."""
    file = FOLDER / "litellm-fallbacks.yaml"
    python = f"{shlex.quote(sys.executable)} -m core"
    keys = {name: f"{KEY}-{name}" for name in re.findall(r"os\.environ/(\w+)", file.read_text("utf-8"))}
    env = environment(DATABASE_URL=committed, **keys)
    line = f"set -o pipefail; {python} import litellm {shlex.quote(str(file))} | {python} apply -f -"
    first, second = (
        subprocess.run(
            ["bash", "-c", line], env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        for _ in range(2)
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert " to add." in first.stdout
    assert second.stdout == "Nothing to change.\n"
    exported = schema.read(core("export", DATABASE_URL=committed).stdout)
    wanted = schema.of(imported(file.name).document)
    assert exported.providers is not None
    assert wanted.providers is not None
    assert exported.providers.keys() == wanted.providers.keys()
    for name, provider in wanted.providers.items():
        bare = {"api_key": None, "headers": None}
        assert exported.providers[name].model_copy(update=bare) == provider.model_copy(update=bare)
        key, stored = provider.api_key, exported.providers[name].api_key
        assert (stored is not None and stored.set) == (key is not None)
    assert exported.features == wanted.features
    assert KEY not in first.stdout + first.stderr + second.stdout + second.stderr
