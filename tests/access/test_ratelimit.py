"""Rate limits: exactly so many pass, whoever counts; nobody resets them; Redis may come and go."""

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core import config
from core.access import ratelimit
from core.access.ratelimit import Limiter
from core.actors import COMMAND_LINE, Actor
from core.config import Config
from core.errors import BadConfig, TooManyRequests
from core.store import db
from tests.conftest import require
from tests.processes import free_port
from tests.rest import NEW, cookie, data, error, serving, token


def limiter(**env: str) -> Limiter:
    """A limiter with these variables set."""
    return Limiter(Config.read({f"LLM_RATE_LIMIT_{name.upper()}": value for name, value in env.items()}))


def passes(work: Callable[[], object]) -> bool:
    """Whether *work* is within the limit."""
    try:
        work()
    except TooManyRequests:
        return False
    return True


class Clock:
    """Stands for time.monotonic."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that limits go by."""
    made = Clock()
    monkeypatch.setattr(ratelimit.limits.storage.memory.time, "time", made)
    monkeypatch.setattr(ratelimit.time, "monotonic", made)
    return made


def test_the_library_goes_by_our_clock() -> None:
    """CHECKS 74: the name that we put the monotonic clock under is the one that the library reads."""
    assert ratelimit.limits.storage.memory.time.time is time.monotonic


@pytest.mark.parametrize(
    ("name", "amount", "seconds"),
    [("general", 100, 900), ("sensitive", 10, 300), ("provisioning", 600, 300), ("pages", 60, 300)],
)
def test_defaults(clock: Clock, name: ratelimit.LimitName, amount: int, seconds: int) -> None:
    """CHECKS 28: 100 in 15 minutes, 10 in 5, 60 in 5: the last one passes, the next one waits until the window ends."""
    counting = limiter()

    for left in reversed(range(amount)):
        spent = counting.spend("user:1", name)
        assert (spent.limit, spent.window, spent.remaining) == (amount, seconds, left)
    clock.now += seconds - 10
    for _ in range(3):
        with pytest.raises(TooManyRequests) as refused:
            counting.spend("user:1", name)
        assert refused.value.retry_after == 10
    with pytest.raises(TooManyRequests):
        counting.check("user:1", name)
    assert counting.spend("user:2", name).remaining == amount - 1
    clock.now += 10
    assert counting.spend("user:1", name).remaining == amount - 1


def test_looking_does_not_count(clock: Clock) -> None:
    """check() says what is left, and takes none."""
    counting = limiter(sensitive="2 per minute")

    for _ in range(5):
        assert counting.check("user:1", "sensitive").remaining == 2
    counting.spend("user:1", "sensitive")
    clock.now += 20
    assert (counting.check("user:1", "sensitive").remaining, counting.check("user:1", "sensitive").reset) == (1, 40)


def test_the_clock_on_the_wall_changes_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 74: an hour forth or back neither frees anybody nor locks them out longer."""
    counting = limiter(sensitive="1 per minute")
    counting.spend("user:1", "sensitive")

    for step in (3600, -3600):
        monkeypatch.setattr(time, "time", lambda step=step: 1_800_000_000 + step)
        assert not passes(lambda: counting.spend("user:1", "sensitive"))
    clock.now += 60
    assert passes(lambda: counting.spend("user:1", "sensitive"))


def test_windows_that_have_ended_are_forgotten(clock: Clock) -> None:
    """Strangers from many addresses do not fill the memory; and no thread is started to see to it."""
    counting = limiter(general="5 per minute")
    threads = set(threading.enumerate())

    for number in range(500):
        counting.spend(f"address:{number}", "general")
    assert len(counting._here.storage) == 500
    clock.now += 200
    counting.spend("user:1", "general")

    assert len(counting._here.storage) == 1
    assert set(threading.enumerate()) <= threads


def test_exactly_so_many_pass_in_parallel() -> None:
    """CHECKS 29: of 50 at once, in many first moments of a window, exactly N pass."""
    counting = limiter(sensitive="10 per minute")

    with ThreadPoolExecutor(50) as crew:
        for round_ in range(40):
            who = f"user:{round_}"
            done = list(crew.map(lambda _, who=who: passes(lambda: counting.spend(who, "sensitive")), range(50)))
            assert sum(done) == 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("general", "many"),
        ("general", "0 per minute"),
        ("sensitive", "-1 per minute"),
        ("pages", "10"),
        ("pages", "10 per 0 minutes"),
        ("pages", "10/00second"),
        ("general", "100 per minute; 1000 per hour"),
        ("general", "100 per fortnight"),
        ("storage_url", "mysql://x"),
        ("storage_url", "memory://x"),
        ("storage_url", "redis://:secret-word@host:port"),
    ],
)
def test_bad_limits_are_named(name: str, value: str) -> None:
    """A malformed variable is named with its rule, and a password in it is not shown."""
    with pytest.raises(BadConfig) as told:
        limiter(**{name: value})

    assert f"LLM_RATE_LIMIT_{name.upper()}" in str(told.value)
    assert "secret-word" not in str(told.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1 per minute", "1 per minute"),
        ("2/1hour", "2 per hour"),
        ("10 per 05 minutes", "10 per 5 minutes"),
        ("3 PER 10 seconds", "3 per 10 seconds"),
    ],
)
def test_a_limit_is_named_as_it_was_meant(value: str, said: str) -> None:
    """Who is refused reads the limit: so many in how long."""
    counting = limiter(pages=value)
    for _ in range(int(said.split(maxsplit=1)[0])):
        counting.spend("user:1", "pages")

    with pytest.raises(TooManyRequests, match=said):
        counting.spend("user:1", "pages")


@pytest.mark.parametrize(
    ("used", "left", "reset"), [(1, 59.01, 60), (1, 0.2, 1), (1, 0.0, 1), (1, -3.0, 1), (1, 99.0, 60), (0, -3.0, 60)]
)
def test_the_wait_is_within_the_window(used: int, left: float, reset: int) -> None:
    """Whole seconds, at least one, whatever Redis says; before the first request of a window all of it."""
    item = limiter(pages="5 per minute")._items["pages"]

    assert ratelimit._judged(item, used, left, count=True) == (5, 60, 5 - used, reset)


def test_memory_is_swept_once_a_minute(clock: Clock) -> None:
    """Not with each request: windows that have ended stay until the next sweep, and that one begins a new minute."""
    counting = limiter(general="5 per 1 second")
    kept = []
    for at in (0, 30, ratelimit.SWEEP_EVERY, 90, 2 * ratelimit.SWEEP_EVERY):
        clock.now = 1000 + at
        counting.spend(f"address:{at}", "general")
        kept.append(len(counting._here.storage))

    assert kept == [1, 2, 1, 2, 1]


def test_each_limit_counts_whom_it_has_refused() -> None:
    """For the metrics: each refusal once, of a look too."""
    counting = limiter(general="1 per hour", pages="2 per hour")
    works = [lambda: counting.spend("user:1", "general"), lambda: counting.check("user:1", "general")]
    done = [passes(work) for work in works * 3]

    assert done == [True, False, False, False, False, False]
    assert counting.refused == {"general": 5, "sensitive": 0, "provisioning": 0, "pages": 0}


@pytest.mark.parametrize(
    ("url", "shared", "state"), [("memory://", False, "memory"), ("redis://127.0.0.1:1/0", True, "redis")]
)
def test_where_requests_are_counted(url: str, *, shared: bool, state: str) -> None:
    """Until it was asked, Redis counts as there: nothing is dialled."""
    counting = limiter(storage_url=url)

    assert (counting.shared, counting.state) == (shared, state)


def test_who_is_who() -> None:
    """A token, a user and the command line are counted apart."""
    assert ratelimit.who_is(Actor("token:x", token_id=7)) == "token:7"
    assert ratelimit.who_is(Actor("ada", 7)) == "user:7"
    assert ratelimit.who_is(COMMAND_LINE) == "command line"


# Over REST


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API, with the limits that it has by default."""
    with serving(monkeypatch) as client:
        yield client


@pytest.mark.parametrize("path", ["/api/llm/providers", "/api/llm/settings"])
def test_the_101st_read_waits(client: TestClient, path: str) -> None:
    """CHECKS 28: 100 pass, whatever X-Forwarded-For says; 429 with Retry-After and what is left in the headers."""
    headers = token("admin")

    for number in range(100):
        answer = client.get(path, headers={**headers, "X-Forwarded-For": f"198.51.100.{number}"})
        data(answer)
        assert answer.headers["RateLimit-Limit"] == "100"
        assert answer.headers["RateLimit-Remaining"] == str(99 - number)
        assert 890 <= int(answer.headers["RateLimit-Reset"]) <= 900
        assert answer.headers["RateLimit-Policy"] == "100;w=900"
    refused = client.get(path, headers={**headers, "X-Forwarded-For": "203.0.113.9"})
    error(refused, 429, "TOO_MANY_REQUESTS")
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    data(client.get(path, headers=token("admin")))


def test_the_11th_write_waits(client: TestClient) -> None:
    """CHECKS 28: ten are committed, the eleventh is not looked at and changes nothing; reading goes on."""
    headers = token("admin")

    for number in range(10):
        answer = client.post("/api/llm/providers", json={**NEW, "name": f"p{number}"}, headers=headers)
        data(answer, 201)
        assert answer.headers["RateLimit-Remaining"] == str(9 - number)
    for body in ({**NEW, "name": "p10"}, {"nonsense": 1}):
        refused = client.post("/api/llm/providers", json=body, headers=headers)
        error(refused, 429, "TOO_MANY_REQUESTS")
        assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert len(data(client.get("/api/llm/providers", headers=headers))) == 10


def test_refused_writes_count_as_reads(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Input that is refused, and conflicts, leave the writes alone; but nobody sends them without an end."""
    monkeypatch.setenv("LLM_RATE_LIMIT_GENERAL", "6 per minute")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    headers = token("admin")
    made = data(client.post("/api/llm/providers", json=NEW, headers=headers), 201)
    url = f"/api/llm/providers/{made['id']}"

    error(
        client.post("/api/llm/providers", content=b"{", headers={**headers, "Content-Type": "application/json"}),
        400,
        "NOT_JSON",
    )
    error(client.post("/api/llm/providers", json={}, headers=headers), 422, "VALIDATION_ERROR")
    error(client.post("/api/llm/providers", json=NEW, headers=headers), 409, "ALREADY_EXISTS")
    error(client.put(url, json={}, headers=headers), 428, "VERSION_REQUIRED")
    error(client.put(url, json={"version": 9}, headers=headers), 409, "CONFLICT")
    error(client.delete("/api/llm/providers/999999", headers=headers), 404, "NOT_FOUND")
    error(client.post("/api/llm/providers", json={}, headers=headers), 429, "TOO_MANY_REQUESTS")
    answer = client.put(url, json={"description": "x", "version": 1}, headers=headers)
    data(answer)
    assert answer.headers["RateLimit-Remaining"] == "8"


def test_strangers_and_the_denied_count_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers are counted by network, and hold up nobody who is signed in; the denied do not fill the audit."""
    monkeypatch.setenv("LLM_RATE_LIMIT_GENERAL", "5 per minute")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    wrong = {"Authorization": "Bearer llms_" + "x" * 43}

    for path in ("/api/llm/settings", "/api/llm/providers") * 2 + ("/api/openapi.json",):
        error(client.get(path, headers={**wrong, "X-Forwarded-For": "203.0.113.9"}), 401, "UNAUTHENTICATED")
    error(client.get("/api/llm/settings"), 429, "TOO_MANY_REQUESTS")
    analyst = token("analyst")
    for _ in range(5):
        error(client.delete("/api/llm/providers/1", headers=analyst), 403, "FORBIDDEN")
    error(client.delete("/api/llm/providers/1", headers=analyst), 429, "TOO_MANY_REQUESTS")
    data(client.get("/api/llm/settings", headers=token("analyst")))
    for _ in range(20):
        data(client.get("/api/health/live"))
        assert client.get("/api/metrics", headers=token("metrics")).status_code == 200


def test_cookie_and_address_do_not_start_a_new_count(
    client: TestClient, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who signs in twice is one actor."""
    monkeypatch.setenv("LLM_RATE_LIMIT_GENERAL", "4 per minute")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()

    for headers in (cookie(admin), cookie(admin)):
        for _ in range(2):
            data(client.get("/api/llm/settings", headers=headers))
    error(client.get("/api/llm/settings", headers=cookie(admin)), 429, "TOO_MANY_REQUESTS")


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("kind", ["read", "polled", "write"])
def test_exactly_so_many_requests_pass_in_parallel(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """CHECKS 29: of 50 parallel requests exactly 10 pass; of the writes, exactly as many are committed."""
    monkeypatch.setenv("LLM_RATE_LIMIT_GENERAL", "10 per minute")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    headers = token("admin")

    def one(number: int) -> int:
        method, path = ("GET", "/api/llm/providers" if kind == "read" else "/api/llm/settings")
        if kind == "write":
            method, path = "POST", "/api/llm/providers"
        while True:
            body = {**NEW, "name": f"p{number}"} if kind == "write" else None
            answer = client.request(method, path, json=body, headers=headers)
            counted = kind != "write" and "RateLimit-Remaining" in answer.headers
            if answer.status_code != 503 or counted:  # else every connection is in use: try again, as it says
                return answer.status_code
            time.sleep(0.1)

    with ThreadPoolExecutor(50) as crew:
        statuses = list(crew.map(one, range(50)))

    assert statuses.count(429) == 40
    assert {status for status in statuses if status != 429} <= {201 if kind == "write" else 200, 503}
    if kind == "write":
        with db.transaction() as session:
            from core.manage import providers  # noqa: PLC0415 - for this branch alone

            assert providers.count(session) == 10


# Redis


class Redis:
    """A real Redis server, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = shutil.which("redis-server") or ""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [program, *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        import redis  # noqa: PLC0415 - with the server

        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                redis.Redis.from_url(self.url).ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("Redis does not answer")

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(5)


@contextmanager
def _redis(folder: Path) -> Iterator[Redis]:
    require("redis", shutil.which("redis-server"))
    server = Redis(folder)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    """Redis, running."""
    with _redis(tmp_path) as server:
        yield server


def test_processes_count_together_in_redis(redis_server: Redis) -> None:
    """Two limiters, as two processes have, on one Redis: exactly N of 50 parallel calls pass in all."""
    crews = [limiter(sensitive="10 per minute", storage_url=redis_server.url) for _ in range(2)]

    with ThreadPoolExecutor(50) as crew:
        done = list(crew.map(lambda n: passes(lambda: crews[n % 2].spend("user:1", "sensitive")), range(50)))

    assert sum(done) == 10
    assert crews[0].state == "redis"
    with pytest.raises(TooManyRequests) as refused:
        crews[1].check("user:1", "sensitive")
    assert 50 <= refused.value.retry_after <= 60
    import redis  # noqa: PLC0415 - with the server

    (key,) = redis.Redis.from_url(redis_server.url).keys()
    redis.Redis.from_url(redis_server.url).expire(key, 30)
    with pytest.raises(TooManyRequests) as refused:
        crews[1].check("user:1", "sensitive")
    assert 20 <= refused.value.retry_after <= 30


def test_without_redis_each_process_counts_by_itself(
    redis_server: Redis, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis killed: nobody is locked out, limits hold per process, one line in the log; back: it counts there again."""
    caplog.set_level(logging.WARNING)
    counting = limiter(sensitive="3 per minute", storage_url=redis_server.url)
    counting.spend("user:1", "sensitive")

    redis_server.kill()
    assert [passes(lambda: counting.spend("user:1", "sensitive")) for _ in range(4)] == [True, True, True, False]
    assert counting.state == "redis_unreachable"
    clock.now += ratelimit.REDIS_PAUSE
    assert not passes(lambda: counting.spend("user:1", "sensitive"))
    redis_server.start()
    assert not passes(lambda: counting.spend("user:1", "sensitive"))  # it is left alone for a while
    clock.now += ratelimit.REDIS_PAUSE
    assert counting.spend("user:1", "sensitive").remaining == 2
    assert counting.state == "redis"
    told = [record.getMessage() for record in caplog.records if record.name == "core.access.ratelimit"]
    assert [line.split(":")[0].split(" (")[0] for line in told] == ["Redis is out of reach", "Redis is back"]


def test_silent_redis_holds_nobody_up(clock: Clock) -> None:
    """A Redis that accepts and never answers costs one short wait in a while, not one a request."""
    import socket  # noqa: PLC0415 - for this test alone

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        counting = limiter(general="5 per minute", storage_url=url)
        began = time.perf_counter()
        assert [passes(lambda: counting.spend("user:1", "general")) for _ in range(6)] == [True] * 5 + [False]
        took = time.perf_counter() - began

    assert took < 10 * ratelimit.REDIS_TIMEOUT, "each request waited"
    assert clock.now == 1000.0


def test_redis_over_rest(client: TestClient, redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API counts in Redis, and says so when it cannot: degraded, and a metric."""
    monkeypatch.setenv("LLM_RATE_LIMIT_STORAGE_URL", redis_server.url)
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    headers = token("admin")

    for path in ("/api/llm/providers", "/api/llm/settings"):
        data(client.get(path, headers=headers))
    assert limiter(storage_url=redis_server.url).check(_who(), "general").remaining == 98
    redis_server.kill()
    data(client.get("/api/llm/settings", headers=headers))
    assert data(client.get("/api/health/ready"))["checks"]["rateLimits"] == "redis_unreachable"
    assert "llm_settings_rate_limits_alone 1.0" in client.get("/api/metrics", headers=headers).text


def _who() -> str:
    from sqlalchemy import text  # noqa: PLC0415 - for this helper alone

    with db.transaction() as session:
        return f"token:{session.execute(text('SELECT max(id) FROM api_tokens')).scalar_one()}"
