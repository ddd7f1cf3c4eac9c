"""The last-known-good file: what is written, what is not read, and a service that starts from it."""

import hashlib
import json
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.actors import COMMAND_LINE
from core.crypto import KeyRing, get_ring
from core.errors import ApiKeyUnavailable
from core.manage import providers, settings
from core.postgres import probe
from core.resolve import Resolver
from core.resolving import snapshot_file
from core.resolving.columns import SETTINGS
from core.resolving.snapshot import Snapshot
from core.store.db import transaction
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.processes import free_port
from tests.resolving.stored import STORE, own_key

CANARY = "sk-canary-0123456789abcdef"
NOBODY = "postgresql://u:secret-pw@127.0.0.1:{port}/x"
ACME = b"1\tacme\tAcme\topenai\t\\N\tm1\tt\t1\t\\N\tt\tiv:tag:ciphertext\tid\tbinding"
_OWN = {"id": b"5", "provider_id": b"1", "version": b"2", "field_changes": b"{}", "temperature": b"0.25"}
OWN = b"\t".join(_OWN.get(column, rb"\N") for column in SETTINGS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file written by an earlier process."""
    path = tmp_path / "snapshot"
    snapshot_file.write(path, Snapshot(7, "here", {1: ACME}, {5: OWN}), time.time() - 60)
    return path


def _away(path: Path, port: int | None = None) -> Resolver:
    return Resolver(NOBODY.format(port=port or free_port()), ring=KeyRing(None), snapshot_file=path)


def test_a_provider_that_needs_no_key_is_whole_from_the_file(path: Path) -> None:
    """What is called without a key is served from the file as well: there is nothing that the file would not hold."""
    keyless = ACME.replace(b"\tt\tiv:tag:ciphertext\tid\tbinding", b"\tf" + b"\t\\N" * 3)
    snapshot_file.write(path, Snapshot(7, "here", {1: keyless}, {5: OWN}), time.time() - 60)
    resolver = _away(path)
    answer = resolver.resolve("acme")
    resolver.close()

    assert (answer.status, answer.temperature, answer.api_key()) == ("ok", 0.25, "not-needed")


def test_settings_come_from_the_file_and_the_key_does_not(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Database away at start: the last settings with their source and age, no key with its cure, and the truth about it."""
    caplog.set_level(logging.INFO, logger="core.resolve")
    resolver = _away(path)
    answer = resolver.resolve("acme")
    unknown = resolver.resolve("nobody")
    time.sleep(0.5)  # some more attempts
    resolver.close()

    assert (answer.temperature, answer.model, answer.generation) == (0.25, "m1", 7)
    assert answer.source("temperature")[:3] == ("provider", 5, 2)
    assert answer.status == "store_unavailable"
    assert (unknown.status, unknown.generation) == ("unknown_provider", 7)
    with pytest.raises(ApiKeyUnavailable, match=r"acme.*LLM_SNAPSHOT_FILE, which holds no keys.*DATABASE_URL"):
        answer.api_key()
    assert resolver.stale
    assert 60 <= resolver.age() < 65
    assert resolver.generation == 7
    (line,) = [record.getMessage() for record in caplog.records if record.name == "core.resolve"]
    assert "out of reach" in line
    assert "generation 7" in line
    assert "secret-pw" not in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("silent", [False, True])
def test_refusing_or_silent_makes_no_difference(path: Path, silent: bool) -> None:
    """CHECKS 67: nobody waits two seconds for a database that does not answer while there is a file."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        resolver = _away(path, listener.getsockname()[1])
        begun = time.monotonic()
        answer = resolver.resolve("acme")
        took = time.monotonic() - begun
        resolver.close()

    assert answer.temperature == 0.25
    assert took < 1


def test_a_database_that_answers_is_waited_for(committed: str, path: Path) -> None:
    """The file is for outages: with a database there, the first value is the database's, key included."""
    with transaction() as session:
        row = providers.create(
            session,
            COMMAND_LINE,
            {
                "name": "acme",
                "display_name": "Acme",
                "kind": "openai",
                "available_models": ["new"],
                "default_model": "new",
                "api_key": CANARY,
            },
        )
        settings.upsert_global(session, COMMAND_LINE, row.id, {"custom_settings": {"a": "tab\there, line\nbreak, \\N"}})
    resolver = Resolver(committed, ring=get_ring(), snapshot_file=path)
    answer = resolver.resolve("acme")
    assert (answer.model, answer.status, answer.api_key()) == ("new", "ok", CANARY)
    _soon(lambda: b"new" in path.read_bytes())
    generation = resolver.generation
    resolver.close()

    again = _away(path)
    later = again.resolve("acme")
    again.close()
    assert later.custom_settings == {"a": "tab\there, line\nbreak, \\N"}
    assert later.generation == generation
    written = path.read_bytes()
    with transaction() as session:
        stored = providers.get_by_name(session, "acme")
    secrets = (CANARY, stored.api_key_encrypted, stored.api_key_binding, stored.api_key_key_id, ENCRYPTION_KEY)
    assert [secret for secret in secrets if str(secret).encode() in written] == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["snapshot"]


def test_comes_back_from_the_file_to_the_database(committed: str, path: Path) -> None:
    """Once the database is there, its settings replace the file's: also those with a lower generation."""
    resolver = _away(path)
    assert resolver.resolve("acme").temperature == 0.25
    resolver._url = committed  # it comes up at last
    _soon(lambda: not resolver.stale)
    answer = resolver.resolve("acme")
    resolver.close()

    assert answer.status == "unknown_provider"
    assert resolver.generation < 7
    assert resolver.age() < 5


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _cut_at_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().rsplit(b"\n", 2)[0] + b"\n")


def _one_character(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.26"))


def _another_version(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(snapshot_file.FORMAT.encode(), b"llm-settings snapshot 1"))


def _rewritten(path: Path, more: int, head: Callable[[dict[str, Any]], object]) -> None:
    """Give the line of settings *more* columns, or fewer; the checksum is right."""
    first, _, body = path.read_bytes().partition(b"\n")
    line = OWN + b"\t\\N" * more if more > 0 else OWN.rsplit(b"\t", -more)[0]
    body = body.replace(OWN, line)
    told = {**json.loads(first), "sha256": hashlib.sha256(body).hexdigest()}
    head(told)
    path.write_bytes(json.dumps(told).encode() + b"\n" + body)


def _with_a_column_more(path: Path) -> None:
    """As a later version writes it."""
    _rewritten(path, 1, lambda head: head["columns"]["llm_settings"].append("seed"))


def _with_a_column_less(path: Path) -> None:
    """As an earlier version wrote it."""
    _rewritten(path, -1, lambda head: head["columns"]["llm_settings"].pop())


def _with_other_columns(path: Path) -> None:
    """As many, and one has another name."""
    _rewritten(path, 0, lambda head: head["columns"]["llm_settings"].__setitem__(-1, "other"))


def _without_columns(path: Path) -> None:
    _rewritten(path, 0, lambda head: head.pop("columns"))


def _more_columns_than_it_says(path: Path) -> None:
    _rewritten(path, 1, lambda _: None)


def _fewer_columns_than_it_says(path: Path) -> None:
    _rewritten(path, -1, lambda _: None)


def _other_json(path: Path) -> None:
    path.write_text('["a", 5]', encoding="utf-8")


def _binary(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


def _numbers_that_lie(path: Path) -> None:
    head, _, body = path.read_bytes().partition(b"\n")
    told = json.loads(head)
    told["lines"]["llm_providers"] = 5
    path.write_bytes(json.dumps(told).encode() + b"\n" + body)


def _garbage_with_a_right_checksum(path: Path) -> None:
    body = b"no number\n"
    head = {
        "format": snapshot_file.FORMAT,
        "columns": {**snapshot_file.COLUMNS, **snapshot_file.KINDS},
        "generation": 1,
        "epoch": "",
        "verified_at": 0,
        "lines": dict.fromkeys(snapshot_file.COLUMNS, 0) | {"llm_providers": 1},
        "only": None,
    }
    path.write_bytes(json.dumps({**head, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n" + body)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _written_by_all(path: Path) -> None:
    path.chmod(0o666)


def _somebody_elses(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)
    path.chmod(0o644)


@pytest.mark.parametrize(
    "spoil",
    [
        _cut,
        _cut_at_a_line,
        _one_character,
        _another_version,
        _other_json,
        _binary,
        _empty,
        _deep,
        _with_a_column_more,
        _with_a_column_less,
        _with_other_columns,
        _without_columns,
        _more_columns_than_it_says,
        _fewer_columns_than_it_says,
        _numbers_that_lie,
        _garbage_with_a_right_checksum,
        _folder,
        _link,
        _pipe,
        _written_by_all,
        _somebody_elses,
    ],
)
def test_what_cannot_be_trusted_is_not_read(
    path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """CHECKS 72: truncated, foreign, damaged, replaced, writable by others: a line in the log, and the built-in defaults."""
    spoil(path)
    resolver = _away(path)
    answer = resolver.resolve("acme")
    resolver.close()

    assert (answer.status, answer.temperature, resolver.generation) == ("store_unavailable", 0.7, -1)
    assert resolver.age() == float("inf")
    assert f"The snapshot file {path} is not used" in caplog.text


def test_missing_file_is_no_trouble(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first start has no file yet."""
    resolver = _away(tmp_path / "none")
    answer = resolver.resolve("acme")
    resolver.close()

    assert answer.status == "store_unavailable"
    assert "snapshot file" not in caplog.text


def test_readable_by_others_is_mended(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CHECKS 72: a world-readable file is made private, and used."""
    path.chmod(0o644)
    saved = snapshot_file.read(path)

    assert saved is not None
    assert saved.snapshot.names() == ["acme"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "readable by others" in caplog.text


@pytest.mark.parametrize(
    ("mode", "trusted"),
    [
        *((0o600, True), (0o700, True), (0o640, True), (0o604, True), (0o610, True), (0o601, True), (0o655, True)),
        *((0o620, False), (0o602, False), (0o622, False), (0o666, False)),
    ],
)
def test_each_right_of_others(path: Path, mode: int, *, trusted: bool) -> None:
    """Who may write it makes it untrusted, group or world; any other right of theirs is taken away."""
    path.chmod(mode)

    assert (snapshot_file.read(path) is not None) is trusted
    after = stat.S_IMODE(path.stat().st_mode)
    assert after == (mode if not trusted or not mode & 0o077 else 0o600)


@pytest.mark.parametrize(("owner", "trusted"), [(1234, True), (0, True), (1, False), (1235, False)])
def test_each_owner(path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, *, trusted: bool) -> None:
    """A file of one's own, or of root, is used: nobody else may say where keys are sent."""
    found, real = path.stat(), os.fstat
    theirs = os.stat_result((*found[:4], owner, *found[5:]))
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "fstat", lambda number: theirs if real(number).st_ino == found.st_ino else real(number))

    assert (snapshot_file.read(path) is not None) is trusted


def test_an_interrupt_is_passed_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it comes before the new file is in its place or just after: what there is is whole, and nothing else is left."""
    replace = Path.replace

    def interrupted(self: Path, target: Path, *, late: bool) -> None:
        if late:
            replace(self, target)
        raise KeyboardInterrupt

    for late, generation in ((False, 7), (True, 8)):
        monkeypatch.setattr(Path, "replace", lambda self, target, late=late: interrupted(self, target, late=late))
        with pytest.raises(KeyboardInterrupt):
            snapshot_file.write(path, Snapshot(8, "here", {1: ACME}, {}), time.time())
        saved = snapshot_file.read(path)
        assert saved is not None
        assert saved.snapshot.generation == generation
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_largest_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of that size is not read, one of a byte less is."""
    for largest, is_read in ((path.stat().st_size, False), (path.stat().st_size + 1, True)):
        monkeypatch.setattr(snapshot_file, "LARGEST", largest)
        assert (snapshot_file.read(path) is not None) is is_read


HEADER = b"8\t1\theader\tX-Team\t\\N\tciphertext\tid\tbinding"


def test_what_is_written_is_read(path: Path) -> None:
    """Everything but what is sealed, and when it was known to be right; the temporary file is gone."""
    whole = Snapshot(2**40, "here", {1: ACME, 2: ACME.replace(b"1\tacme", b"2\tother")}, {5: OWN}, {8: HEADER})
    at = time.time() - 1000.25
    snapshot_file.write(path, whole, at)
    saved = snapshot_file.read(path)

    assert saved is not None
    assert saved.verified_at == at
    assert saved.snapshot.is_like(whole.without_keys())
    assert b"ciphertext" not in path.read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_organisations_are_in_the_file(path: Path) -> None:
    """With all that they and their features have, but for keys of their own; it says whether it has all of them."""
    stored = STORE._replace(terms=[own_key(5, 1, 1)])
    for only in (None, ("acme",)):
        whole = stored.snapshot()
        whole.organizations.only = only
        snapshot_file.write(path, whole, time.time())
        saved = snapshot_file.read(path)
        assert saved is not None
        assert saved.snapshot.is_like(whole.without_keys())
        assert saved.snapshot.organizations.only == only
        answer = saved.snapshot.answer("openai", KeyRing(None), organization="crm-42", feature="summarise")
        assert (answer.max_tokens, answer.organization) == (109, "acme")
    written = path.read_bytes()
    assert not [value for name, value in stored.terms[0].items() if "api_key" in name and value.encode() in written]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n1\tO\t", b"\n1\tN\t"),
        (b"\n1\tO\t", b"\n9\tO\t"),
        (b"\n1\tS\t", b"\n1\tX\t"),
        (b"\n1\tS\t", b"\n1\tF\t"),
        (b"\n1\tS\t", b"\nx\tS\t"),
    ],
)
def test_lines_of_organisations_that_cannot_be(path: Path, old: bytes, new: bytes) -> None:
    """Without the organisation's own row first, of no kind that there is, with another number of columns, of nobody."""
    snapshot_file.write(path, STORE.snapshot(), time.time())
    head, _, body = path.read_bytes().partition(b"\n")
    assert old in body
    body = body.replace(old, new, 1)
    told = {**json.loads(head), "sha256": hashlib.sha256(body).hexdigest()}
    path.write_bytes(json.dumps(told).encode() + b"\n" + body)

    assert snapshot_file.read(path) is None


@pytest.mark.parametrize("numbers", [(2, 1, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1), (1, 0, 1), (0, 0, 0), (-1, 1, 2)])
def test_numbers_that_do_not_fit_the_lines(path: Path, numbers: tuple[int, int, int]) -> None:
    """Each line belongs to one table, and all of them are counted; the checksum alone makes no file a right one."""
    first, _, body = path.read_bytes().partition(b"\n")
    told = json.loads(first)
    told["lines"] |= dict(zip(("llm_providers", "llm_settings", "llm_provider_secrets"), numbers, strict=True))
    path.write_bytes(json.dumps(told).encode() + b"\n" + body)

    assert snapshot_file.read(path) is None


@pytest.mark.parametrize("field", ["generation", "epoch", "providers", "settings", "secrets"])
def test_two_that_differ_are_not_alike(field: str) -> None:
    """By generation, epoch, or any line; and with the keys or without."""
    parts: dict[str, Any] = {
        "generation": 7,
        "epoch": "here",
        "providers": {1: ACME},
        "settings": {5: OWN},
        "secrets": {8: HEADER},
    }
    other = {"generation": 8, "epoch": "there", "providers": {}, "settings": {}, "secrets": {}}

    assert Snapshot(**parts).is_like(Snapshot(**parts))
    assert not Snapshot(**parts).is_like(Snapshot(**{**parts, field: other[field]}))
    assert not Snapshot(**parts).is_like(Snapshot(**parts, has_keys=False))


def test_folder_that_cannot_be_written_to(committed: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CHECKS 72: resolving goes on without the file; the log says why there is none."""
    resolver = Resolver(committed, ring=get_ring(), snapshot_file=tmp_path / "no such folder" / "snapshot")
    resolver.resolve("acme")
    _soon(lambda: "cannot be written" in caplog.text)
    resolver.close()

    assert not resolver.stale
    assert "No such file or directory" in caplog.text


def test_clock_that_was_ahead(path: Path) -> None:
    """CHECKS 74: a file from the future is not known to be right for longer than it has been read."""
    snapshot_file.write(path, Snapshot(7, "here", {1: ACME}, {}), time.time() + 86_400)
    resolver = _away(path)
    resolver.resolve("acme")
    resolver.close()

    assert 0 <= resolver.age() < 5


@pytest.mark.program
def test_many_writers_and_a_reader(path: Path) -> None:
    """Processes that share a file never leave half of one: each look finds a whole snapshot."""
    seen: set[int] = set()
    lines = {
        number: b"%d\tp%d\tP\topenai\t\\N\tm\tt\t1\t\\N\tt\t\\N\t\\N\t\\N" % (number, number) for number in range(300)
    }
    script = f"""
import sys, time
from pathlib import Path
from typing import Any
from core.resolving import snapshot_file
from core.resolving.columns import SETTINGS
from core.resolving.snapshot import Snapshot
lines = {{n: b"%d\\tp%d\\tP\\topenai\\t\\\\N\\tm\\tt\\t1\\t\\\\N\\tt\\t\\\\N\\t\\\\N\\t\\\\N" % (n, n) for n in range({len(lines)})}}
while True:
    snapshot_file.write(Path({str(path)!r}), Snapshot(int(sys.argv[1]), "here", lines, {{}}), time.time())
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    crew = [subprocess.Popen([sys.executable, "-c", script, number], env=env) for number in ("11", "12")]
    try:
        deadline = time.monotonic() + 20
        while not seen >= {11, 12} and time.monotonic() < deadline:
            saved = snapshot_file.read(path)
            assert saved is not None
            seen.add(saved.snapshot.generation)
            assert len(saved.snapshot.providers) in {1, 300}
        for process in crew:
            process.send_signal(signal.SIGKILL)  # in the middle, perhaps
    finally:
        for process in crew:
            process.kill()
            process.wait()

    assert seen >= {11, 12}
    assert snapshot_file.read(path) is not None
    snapshot_file.write(path, Snapshot(20, "here", lines, {}), time.time())
    found = snapshot_file.read(path)
    assert found is not None
    assert found.snapshot.generation == 20


@pytest.mark.kill
def test_service_restarts_in_an_outage(committed: str, tmp_path: Path) -> None:
    """A service that was killed and starts again while the database is away has its settings at once, by LLM_SNAPSHOT_FILE."""
    with transaction() as session:
        row = providers.create(
            session,
            COMMAND_LINE,
            {
                "name": "acme",
                "display_name": "Acme",
                "kind": "openai",
                "available_models": ["m"],
                "default_model": "m",
                "api_key": CANARY,
            },
        )
        settings.upsert_global(session, COMMAND_LINE, row.id, {"temperature": 0.4})
    path = tmp_path / "last"
    script = """
import time
begun = time.perf_counter()
from core.resolve import resolve, resolver
answer = resolve("acme")
while answer.generation == 0 and time.perf_counter() - begun < 6:  # three times the first wait: a busy machine
    answer = resolve("acme")
print(answer.status, answer.temperature, resolver.stale, answer.source("temperature").layer, flush=True)
time.sleep(60)
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LLM_", "DATABASE_URL"))}
    env |= {"PYTHONPATH": str(ROOT), "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "LLM_SNAPSHOT_FILE": str(path)}

    def run(url: str, wait_for_the_file: bool) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", script], env={**env, "DATABASE_URL": url}, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if wait_for_the_file:
                _soon(path.exists)
            return said
        finally:
            process.kill()
            process.communicate()

    assert run(committed, wait_for_the_file=True) == "ok 0.4 False provider"
    assert CANARY not in path.read_text(encoding="utf-8")
    assert run(NOBODY.format(port=free_port()), wait_for_the_file=False) == "store_unavailable 0.4 True provider"


def _soon(fact: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


# The probe


def test_probe_finds_a_server(server: str) -> None:
    """A real server answers, by its socket or by TCP."""
    assert probe.answers(server)
    with psycopg.connect(server) as connection:
        folder = connection.execute("SHOW unix_socket_directories").fetchone()
    assert folder is not None


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("postgresql://u:p@db.example/x", [("db.example", 5432)]),
        ("postgres://db.example:6000", [("db.example", 6000)]),
        ("postgresql://[::1]:6000/x?sslmode=require", [("::1", 6000)]),
        ("postgresql://u:p%40@a:1,b:2/x?target_session_attrs=read-write", [("a", 1), ("b", 2)]),
        ("postgresql://postgres@/llm?host=/tmp/some%20folder", [("/tmp/some folder", 5432)]),
        ("postgresql:///x?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("postgresql:///x?host=a,b&port=7", [("a", 7), ("b", 7)]),
        ("postgresql://%2Ftmp%2Fsocket/x", [("/tmp/socket", 5432)]),
        ("postgresql://a:1/x?hostaddr=127.0.0.9", [("127.0.0.9", 1)]),
        ("postgresql:///x", []),
        ("postgresql://u@/x", []),
        ("postgresql://a:port/x", []),
        ("postgresql://a,b:1:2/x", []),
        ("host=a dbname=x", []),
    ],
)
def test_probe_reads_urls(url: str, addresses: list[tuple[str, int]]) -> None:
    """Hosts and ports are read as libpq reads them; what stands in the environment or a service file is not judged."""
    assert probe._addresses(url) == addresses
    assert addresses or probe.answers(url)


def test_probe_does_not_wait() -> None:
    """Refused, silent, closed at once or not to be found: no answer, in a moment."""
    with socket.socket() as silent, socket.socket() as closed:
        for listener in (silent, closed):
            listener.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        for port in (silent.getsockname()[1], closed.getsockname()[1]):
            assert not probe.answers(f"postgresql://127.0.0.1:{port}/x")
        assert not probe.answers("postgresql:///x?host=/nowhere/at/all")
    assert time.monotonic() - begun < 1
