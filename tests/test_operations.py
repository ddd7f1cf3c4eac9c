"""The commands of docs/backup.md, run as they stand there: by a shell, with the server's own programs."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session

from core.crypto import KeyRing
from core.postgres import embedded
from core.resolve import Resolver
from core.store import db
from tests.clusters import Cluster, connect, own_postgresql, say, soon
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.processes import App, core, environment, running_app
from tests.stores import API_KEY, data_folder, fill, one, owned, sealing_with, sums_of, verdict_of

PAGE = ROOT / "docs" / "backup.md"


def block(heading: str, number: int = 0) -> str:
    """Return a shell block of the page, by the heading above it and its place below that."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^ *```sh\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)
    return str(found[number])


def shell(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder that has the checkout's environment, as the docs have it."""
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """The operator's PostgreSQL."""
    yield from own_postgresql()


@pytest.fixture
def urls(own: Cluster) -> Iterator[dict[str, str]]:
    """A store of the operator's own, with something in every table, and a role for backups."""
    with owned(own, "backup") as urls:
        assert core("migrate", DATABASE_URL=urls["owner"]).returncode == 0
        engine = db.make_engine(urls["owner"])
        with sealing_with(ENCRYPTION_KEY), Session(engine) as session, session.begin():
            fill(session)
        engine.dispose()
        yield urls


@pytest.mark.long
def test_backup_and_restore(own: Cluster, urls: dict[str, str], tmp_path: Path) -> None:
    """Grant, dump, restore into an empty database, as the page says it: equal, the keys open, the chain holds."""
    role = urls["backup"].split("//")[1].partition("@")[0]
    before = sums_of(urls["owner"])
    for script, url in (
        (block("## Backup").replace("llm_backup", role), urls["owner"]),
        (block("## Backup", 1), urls["backup"]),
    ):
        done = shell(script, tmp_path, DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
    with owned(own) as other:
        done = shell(block("### Into an empty database"), tmp_path, DATABASE_URL=other["owner"])
        assert done.returncode == 0, done.stdout + done.stderr
        then = sums_of(other["owner"])
        assert {name for name in before if then[name] != before[name]} == {"settings_generation"}  # the epoch


@pytest.mark.long
def test_restore_in_place(urls: dict[str, str], tmp_path: Path) -> None:
    """In place, as the page says it: a service that runs follows back within seconds."""
    assert shell(block("## Backup", 1), tmp_path, DATABASE_URL=urls["owner"]).returncode == 0
    resolver = Resolver(urls["owner"], ring=KeyRing(ENCRYPTION_KEY))
    try:
        with connect(urls["owner"]) as connection:
            say(connection, "openai", "after")
        soon(lambda: resolver.resolve("openai").display_name == "after")
        done = shell(block("### In place, while everything runs"), tmp_path, DATABASE_URL=urls["owner"])
        assert done.returncode == 0, done.stderr
        soon(lambda: resolver.resolve("openai").display_name == "OpenAI", 6)
    finally:
        resolver.close()


@pytest.mark.long
def test_the_move(own: Cluster, tmp_path: Path) -> None:
    """The move, as the page says it."""
    with data_folder() as data_dir, owned(own) as urls:
        here = {"LLM_DATA_DIR": str(data_dir), "LLM_ENCRYPTION_KEY": ""}
        assert core("users", "list", **here).returncode == 0
        script = block("## From the embedded store to your own PostgreSQL").strip() + " <<< y"
        done = shell(script, tmp_path, NEW_URL=urls["owner"], **here)

        assert done.returncode == 0, done.stdout + done.stderr
        assert one(urls["owner"], "SELECT count(*) FROM users") == 1


@pytest.mark.kill
def test_a_new_major_of_the_embedded_server(tmp_path: Path) -> None:
    """The recipe, run from one embedded store to a new one: everything is there, the key file is the old one, and it opens."""
    with data_folder() as data_dir:
        (data_dir.parent / ".venv").symlink_to((ROOT / ".venv").resolve())
        here = {"LLM_DATA_DIR": str(data_dir), "LLM_ENCRYPTION_KEY": "", "PYTHONPATH": str(ROOT)}
        file = tmp_path / "service.env"
        file.write_text(f"OPENAI_API_KEY={API_KEY}\n")
        assert core("import-env", str(file), **here).returncode == 0
        key, url = (data_dir / "encryption.key").read_text(), embedded.url_of(data_dir)
        head = core("audit", "head", **here).stdout.strip()
        dump = block("## Backup", 3)
        recipe = block("## A new major of the embedded server").replace(".data", str(data_dir))
        restore = dump.partition('"$bin/pg_dump"')[0] + re.sub(
            r"^(pg_restore|psql) ", r'"$bin/\1" ', block("### In place, while everything runs"), flags=re.MULTILINE
        ).replace('"$DATABASE_URL"', '"$url"')

        with running_app(tmp_path / "old", **here):
            before = sums_of(url)
            done = shell(dump, data_dir.parent, **here)
            assert done.returncode == 0, done.stderr
        assert shell(recipe, data_dir.parent, **here).returncode == 0
        app = App(tmp_path / "new", **here)
        try:
            app.wait_until_served()
            soon(lambda: core("keys", "check", **here).returncode == 0, 20)
            done = shell(restore, data_dir.parent, **here)
            assert done.returncode == 0, done.stdout + done.stderr
            after = sums_of(url)
            verdict = verdict_of(url, head)
        finally:
            app.stop()
        checked = core("keys", "check", **here)

    changed = {name for name in before if after[name] != before[name]}
    assert changed - {"jobs"} == {"settings_generation"}  # jobs: the apps that run note their periodic work there
    assert verdict.problem == ""
    assert checked.returncode == 0, checked.stdout
    assert "1 API key, ok" in checked.stdout
    assert key
