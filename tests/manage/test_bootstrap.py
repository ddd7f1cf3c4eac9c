"""The key file of an embedded store: made once, with the store; one that is gone is told, and nothing is made in its place."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.crypto import KeyRing, generate_key
from tests.processes import core, running_app
from tests.stores import API_KEY, data_folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """The folder of a store with one API key, whose key file was moved to ``kept`` beside it."""
    file = tmp_path / "service.env"
    file.write_text(f"OPENAI_API_KEY={API_KEY}\n")
    with data_folder() as folder:
        done = core("import-env", str(file), **on(folder))
        assert "Made an encryption key" in done.stdout, done.stderr
        (folder / "encryption.key").rename(folder.parent / "kept")
        yield folder


def on(folder: Path) -> dict[str, str]:
    """The environment of an embedded store that keeps its own key."""
    return {"LLM_DATA_DIR": str(folder), "LLM_ENCRYPTION_KEY": ""}


def key_id(folder: Path) -> str:
    return KeyRing((folder.parent / "kept").read_text().strip()).primary_id or ""


COMMANDS = {
    "keys check": 1,
    "keys status": 0,
    "keys rotate": 1,
    "keys rotate --old-key-lost": 1,
    "users list": 0,
    "seed": 0,
    "audit head": 0,
    "import-env FILE": 1,
    "explain openai": 0,
}


@pytest.mark.long
def test_every_command_says_that_the_key_file_is_gone(data_dir: Path, tmp_path: Path) -> None:
    """Each command names the file and the id of the key; none makes another one, none ends in a traceback; put back, all is well."""
    other = tmp_path / "other.env"
    other.write_text("ANTHROPIC_API_KEY=sk-ant-canary-0123456789abcdefghijklmnopqrstuvwxyz\n")
    for words, code in COMMANDS.items():
        done = core(*words.replace("FILE", str(other)).split(), **on(data_dir))
        said = done.stdout + done.stderr
        assert done.returncode == code, (words, said)
        assert "encryption.key is missing" in said, words
        assert (
            words.startswith("explain") or f"put back the one with id {key_id(data_dir)} into the data folder" in said
        ), words
        assert "Traceback" not in said
        assert not (data_dir / "encryption.key").exists(), words

    (data_dir.parent / "kept").rename(data_dir / "encryption.key")
    back = core("keys", "check", **on(data_dir))
    assert (back.returncode, "is missing" in back.stdout) == (0, False)


@pytest.mark.long
def test_the_app_starts_sealed_and_says_so(data_dir: Path, tmp_path: Path) -> None:
    """The app serves without its key file: its log, `ready` and REST tell it, settings are read, no key is stored."""
    made = core("tokens", "create", "probe", "--role", "admin", **on(data_dir)).stdout
    token = re.search(r"llms_\S+|\S{40,}", made)
    assert token, made
    with running_app(tmp_path / "log", **on(data_dir)) as app:
        signed = {"Authorization": f"Bearer {token[0]}", "Content-Type": "application/json"}

        def ask(path: str, body: object = None, method: str = "GET") -> tuple[int, str]:
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(f"{app.url}/api{path}", data, signed, method=method)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        ready = ask("/health/ready")
        listed = ask("/llm/settings")
        new = {"name": "acme", "displayName": "Acme", "kind": "openai", "availableModels": ["m"], "defaultModel": "m"}
        refused = ask("/llm/providers", {**new, "apiKey": API_KEY}, "POST")
        taken = ask("/llm/providers", new, "POST")

    assert f"put back the one with id {key_id(data_dir)}" in app.output()
    assert (ready[0], '"keyRing":"sealed"' in ready[1].replace(" ", "")) == (200, True), ready
    assert listed[0] == 200
    assert (refused[0], "ENCRYPTION_KEY_MISSING" in refused[1]) == (503, True), refused
    assert taken[0] == 201, taken
    assert not (data_dir / "encryption.key").exists()


@pytest.mark.long
def test_a_file_with_another_key_is_told_by_its_name(data_dir: Path) -> None:
    """A store whose canaries know another key than its file: both ids, and that the file is what to put back."""
    other = generate_key()
    (data_dir / "encryption.key").write_text(f"{other}\n")
    done = core("keys", "check", **on(data_dir))

    assert done.returncode == 1
    assert f"encryption.key ({KeyRing(other).primary_id}) is not the key this database was used with" in done.stdout
    assert f"(known: {key_id(data_dir)})" in done.stdout
    assert "Put back the encryption.key with that id" in done.stdout
    assert "Made an encryption key" not in done.stdout
    assert (data_dir / "encryption.key").read_text() == f"{other}\n"


@pytest.mark.long
def test_a_key_that_is_lost_for_good_can_be_given_up(data_dir: Path) -> None:
    """The way that the sentence names: a new key into the file, and `keys rotate --old-key-lost`."""
    (data_dir / "encryption.key").write_text(core("generate-key").stdout)
    given_up = core("keys", "rotate", "--old-key-lost", **on(data_dir))
    after = core("keys", "status", **on(data_dir))

    assert "Left as it is: openai (unknown_key)" in given_up.stdout
    assert "Seals every new API key" in after.stdout


@pytest.mark.long
def test_a_store_that_sealed_nothing_yet_gets_its_key() -> None:
    """A first start that ended between the tables and the key is a first start still."""
    with data_folder() as folder:
        assert core("migrate", **on(folder)).returncode == 0
        assert not (folder / "encryption.key").exists()
        done = core("keys", "check", **on(folder))

        assert "Made an encryption key" in done.stdout
        assert done.returncode == 0
