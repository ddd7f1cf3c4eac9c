"""Budgets: what holding and settling costs a call, how many calls a second one budget bears, and what is counted when things break.

Beside other ways to count in the same run: check, then add; two UPDATEs of the row; two scripts in Redis. ``python -m
tests.bench.budgets WAY …`` is one of its processes.
"""

import signal
import statistics
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import psycopg

from core import ai
from core.actors import COMMAND_LINE
from core.calling.leases import Leases
from core.calling.pricing import price
from core.calling.vendors import Tokens
from core.crypto import KeyRing
from core.errors import BudgetExceeded
from core.manage import budgets, model_facts, providers
from core.resolve import resolve
from core.resolving import reading
from core.resolving.budgets import Budget
from core.store import db
from core.store.table import id_of
from tests.bench.calls import _wait
from tests.processes import free_port

Row = Callable[..., None]
PROCESSES: Final = 8
SECONDS: Final = 3.0
RESERVE, COST = Decimal("0.0100000000"), Decimal("0.0087654321")
CALLERS: Final = 50
ROUNDS: Final = 20
ADD: Final = "UPDATE llm_budget_periods SET spent = spent + %s WHERE budget_id = %s"


def run(url: str, row: Row) -> None:
    """Print the rows of the table."""
    _latency(url, row)
    _price(row)
    _complete(row)
    _throughput(url, row)
    _overshoot(url, row)
    _killed(url, row)
    _cut(url, row)
    _idle(url, row)
    _away(url, row)
    _many(url, row)


def _many(url: str, row: Row) -> None:
    """Measure answers where each of 10,000 organisations has a budget of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO organizations (slug, name) SELECT 'bench-' || n, 'Bench' FROM generate_series(1, 10000) n"
        )
        connection.execute(
            "INSERT INTO organization_names (name, organization_id, kind) SELECT slug, id, 'slug' FROM organizations"
            " WHERE slug LIKE 'bench-%' ON CONFLICT DO NOTHING"
        )
        connection.execute(
            "INSERT INTO org_llm_budgets (name, organization_id, amount, period, mode, unpriced, when_away)"
            " SELECT slug, id, 1, 'month', 'hard', 'refuse', 'closed' FROM organizations WHERE slug LIKE 'bench-%'"
        )
        begun = time.perf_counter()
        taken = reading.load(connection)
        loaded = (time.perf_counter() - begun) * 1000
        took = []
        for number in range(1, 101):
            begun = time.perf_counter()
            found = taken.answer("openai", KeyRing(None), organization=f"bench-{number}").budgets
            took.append((time.perf_counter() - begun) * 1e6)
            assert [each.name for each in found if each.name.startswith("bench-")] == [f"bench-{number}"]
        again = min(
            timeit.repeat(lambda: taken.answer("openai", KeyRing(None), organization="bench-7"), number=20, repeat=10)
        )
        connection.execute("DELETE FROM org_llm_budgets WHERE name LIKE 'bench-%'")
        connection.execute("DELETE FROM organizations WHERE slug LIKE 'bench-%'")
    row("10,000 budgets: a snapshot with them is read in", f"{loaded:.0f} ms", "(compared)", reached=None)
    figures = f"{statistics.median(took[1:]):.0f} / {again / 20 * 1e6:.0f} µs"
    row("an organisation's first answer / the next", figures, "(compared)", reached=None)


def _budgets(url: str, *amounts: int) -> tuple[Budget, ...]:
    """Make budgets by SQL, that nothing but this bench counts against, each with its period."""
    made = []
    with psycopg.connect(url, autocommit=True) as connection:
        for amount in amounts:
            number: Any = connection.execute(
                "INSERT INTO org_llm_budgets (name, amount, period, mode, unpriced, when_away, is_active)"
                " VALUES (gen_random_uuid()::text, %s, 'total', 'hard', 'refuse', 'closed', false) RETURNING id",
                [amount],
            ).fetchone()
            connection.execute("SELECT llm_open_budget_period(%s)", number)
            made.append(Budget(number[0], "b", "hard", "refuse", "closed"))
    return tuple(made)


def _spent(url: str, of: Budget) -> Decimal:
    with psycopg.connect(url) as connection:
        found: Any = connection.execute("SELECT spent FROM llm_budget_periods WHERE budget_id = %s", [of.id]).fetchone()
    return Decimal(found[0])


def _latency(url: str, row: Row) -> None:
    held, three = Leases(url), _budgets(url, 10**8, 10**8, 10**8)
    for _ in range(3):
        until = time.perf_counter() + 0.5
        while time.perf_counter() < until:
            held.settle(held.reserve(three, RESERVE), COST)
    best: list[list[float]] = []
    for _ in range(15):
        took = []
        for _ in range(2000):
            begun = time.perf_counter()
            held.settle(held.reserve(three, RESERVE), COST)
            took.append((time.perf_counter() - begun) * 1e6)
        best.append(took)
    held.flush()
    held.close()
    p50 = min(statistics.median(took) for took in best)
    p99 = min(statistics.quantiles(took, n=100)[-1] for took in best)
    what = "reserve and settle in three budgets"
    row(f"{what}, p50", f"{p50:.1f} µs", "≤ 15 µs", reached=p50 <= 15)
    row(f"{what}, p99", f"{p99:.0f} µs", "≤ 200 µs", reached=p99 <= 200)


def _price(row: Row) -> None:
    settings, usage = resolve("openai"), Tokens(1200, 300, 100)
    took = min(timeit.repeat(lambda: price(settings, "gpt-4o", usage), number=300, repeat=60)) / 300 * 1e6
    row("price of a call", f"{took:.2f} µs", "≤ 2 µs", reached=took <= 2)


def _complete(row: Row) -> None:
    """Measure calls with three budgets and without, in turns."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.vendor_app:app", "--port", str(port), "--no-access-log"]
    vendor = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/", vendor)
        with db.transaction() as session:
            for name in ("plain", "counted"):
                made = {"name": name, "display_name": name, "kind": "openai_compatible", "available_models": ["m"]}
                rest = {
                    "default_model": "m",
                    "api_base_url": f"http://127.0.0.1:{port}/v1",
                    "api_key": "sk-" + "0" * 45,
                }
                number = id_of(providers.create(session, COMMAND_LINE, made | rest))
            for period in ("day", "month", "year"):
                given = {"name": f"bench {period}", "amount": "1000000", "period": period, "provider_id": number}
                budgets.create(session, COMMAND_LINE, given)
            model_facts.set_facts(session, COMMAND_LINE, "m", {"prices": [{"input": 1, "output": 2}]}, why="a bench")
        while len(resolve("counted").budgets) < 3 or resolve("plain").status != "ok":
            time.sleep(0.05)
        took: dict[str, list[float]] = {"plain": [], "counted": []}
        for _ in range(800):
            for name, found in took.items():
                begun = time.perf_counter()
                ai.complete("Say hello.", provider=name)
                found.append(time.perf_counter() - begun)
    finally:
        vendor.terminate()
        vendor.wait(20)
    plain, counted = (statistics.median(found[100:]) * 1e6 for found in took.values())
    ratio = counted / plain
    figures = f"{counted:.0f} / {plain:.0f} µs = {ratio:.3f}"
    row("complete() with three budgets ÷ without, p50", figures, "≤ 1.02", reached=ratio <= 1.02)


# ---- calls a second, many processes ----


def _throughput(url: str, row: Row) -> None:
    rates = dict.fromkeys(("memory", "leases", "check", "updates", "updates_async", "redis"), 0.0)
    with _redis() as port:
        for _ in range(2):  # interleaved
            for way in rates:
                if way == "redis" and port is None:
                    continue
                (of,) = _budgets(url, 10**8)
                rates[way] = max(rates[way], sum(_crew(way, url, of, SECONDS, port or 0)))
    ratio, times = rates["leases"] / rates["memory"], rates["leases"] / rates["updates"]
    figures = f"{rates['leases']:,.0f} / {rates['memory']:,.0f} a second = {ratio:.2f}"
    row(f"{PROCESSES} processes, one budget: calls ÷ counting in memory alone", figures, "≥ 0.1", reached=ratio >= 0.1)
    figures = f"{rates['leases']:,.0f} / {rates['updates']:,.0f} a second = {times:.0f}"
    row("the same ÷ two UPDATEs a call", figures, "≥ 20", reached=times >= 20)
    for way, what in (
        ("updates_async", "two UPDATEs, synchronous_commit=off"),
        ("check", "check, then add"),
        ("redis", "two scripts in Redis"),
    ):
        if rates[way]:
            row(f"{PROCESSES} processes, one budget: {what}", f"{rates[way]:,.0f} a second", "(compared)", reached=None)


@contextmanager
def _redis() -> Iterator[int | None]:
    """A Redis of our own; None: there is none on this machine."""
    port = free_port()
    try:
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
        )
        import redis  # noqa: F401, PLC0415 - compared where it is there
    except (FileNotFoundError, ModuleNotFoundError):
        yield None
        return
    try:
        time.sleep(1)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _crew(way: str, url: str, of: Budget, seconds: float, port: int = 0) -> list[float]:
    """Return the calls a second of each of :data:`PROCESSES`."""
    command = [sys.executable, "-m", "tests.bench.budgets", way, url, str(of.id), str(seconds), str(port)]
    crew = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for each in crew:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in crew:
        assert each.stdin is not None
        print(file=each.stdin, flush=True)
    return [float(each.communicate(timeout=60)[0]) for each in crew]


def _work(way: str, url: str, budget_id: str, seconds: str, port: str) -> None:
    """Be one of the processes."""
    of = Budget(int(budget_id), "b", "hard", "refuse", "closed")
    call, end = _caller(way, url, of, int(port))
    call()
    print("ready", flush=True)  # noqa: T201 - its parent waits for it
    sys.stdin.readline()
    begun, calls = time.perf_counter(), 0
    until = begun + float(seconds)
    while time.perf_counter() < until:
        call()
        calls += 1
    print(calls / (time.perf_counter() - begun))  # noqa: T201 - as above
    end()


def _caller(way: str, url: str, of: Budget, port: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return what holds and settles one call in a way, and what ends it."""
    if way == "memory":
        lock, total = threading.Lock(), [Decimal(0), Decimal(0)]

        def count() -> None:
            with lock:
                total[0] += RESERVE
            with lock:
                total[0] -= RESERVE
                total[1] += COST

        return count, lambda: None
    if way == "leases":
        held = Leases(url)
        return lambda: held.settle(held.reserve([of], RESERVE), COST), held.flush
    if way == "redis":
        import redis  # noqa: PLC0415 - compared where it is there

        client = redis.Redis(port=port)
        reserve = client.register_script(
            "if tonumber(redis.call('GET', KEYS[1]) or '0') + ARGV[1] > 1e8 then return 0 end"
            " return redis.call('INCRBYFLOAT', KEYS[1], ARGV[1])"
        )
        settle = client.register_script("return redis.call('INCRBYFLOAT', KEYS[1], ARGV[1])")
        key = f"b{of.id}"
        return (
            lambda: (reserve(keys=[key], args=[str(RESERVE)]), settle(keys=[key], args=[str(COST - RESERVE)])),
            client.close,
        )
    connection = psycopg.connect(url, autocommit=True)
    if way == "updates_async":
        connection.execute("SET synchronous_commit = off")
    if way == "check":
        connection.execute("SET synchronous_commit = off")

        def check() -> None:
            connection.execute("SELECT spent FROM llm_budget_periods WHERE budget_id = %s", [of.id]).fetchone()
            connection.execute(ADD, [COST, of.id])

        return check, connection.close

    def update() -> None:
        connection.execute(ADD, [RESERVE, of.id])
        connection.execute(ADD, [COST - RESERVE, of.id])

    return update, connection.close


# ---- what is counted, when things break ----


def _overshoot(url: str, row: Row) -> None:
    """Have 50 threads spend one budget of some 450 calls, in each round by leases and by checking first."""
    most = {"leases": Decimal(-1), "check": Decimal(-1)}
    unusable = Decimal(0)
    for _ in range(ROUNDS):
        for way in ("leases", "check"):
            (of,) = _budgets(url, 4)
            _spend_all(way, url, of)
            over = _spent(url, of) - 4
            most[way] = max(most[way], over)
            if way == "leases":
                unusable = max(unusable, -over)
    figures = f"{most['leases']:+.4f} of $4"
    row(
        f"{CALLERS} callers, {ROUNDS} rounds: the most spent above the budget",
        figures,
        "0",
        reached=most["leases"] <= 0,
    )
    figures = f"{unusable / RESERVE:.2f} of a reserve"
    row("the most left that no call could use", figures, "≤ 1", reached=unusable <= RESERVE)
    row("the same by check, then add", f"{most['check']:+.4f} of $4", "(compared)", reached=None)


def _spend_all(way: str, url: str, of: Budget) -> None:
    held = Leases(url, lives=2)
    gate = threading.Barrier(CALLERS)

    def by_leases() -> None:
        gate.wait(30)
        while True:
            try:
                hold = held.reserve([of], RESERVE)
            except BudgetExceeded as error:
                if error.reason == "spent":
                    return
                continue
            time.sleep(0.005)
            held.settle(hold, COST)

    def by_checking() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            gate.wait(30)
            while True:
                found: Any = connection.execute(
                    "SELECT spent FROM llm_budget_periods WHERE budget_id = %s", [of.id]
                ).fetchone()
                if found[0] + RESERVE > 4:
                    return
                time.sleep(0.005)
                connection.execute(ADD, [COST, of.id])

    _all([by_leases if way == "leases" else by_checking] * CALLERS)
    held.flush()
    held.close()


def _all(work: Sequence[Callable[[], None]]) -> None:
    crew = [threading.Thread(target=each) for each in work]
    for each in crew:
        each.start()
    for each in crew:
        each.join()


def _killed(url: str, row: Row) -> None:
    """Kill a process that holds all but what it has in flight, and wait until another has it."""
    (of,) = _budgets(url, 1)
    code = (
        "import sys, time; from decimal import Decimal; from core.calling.leases import Leases;"
        "from core.resolving.budgets import Budget; held = Leases(sys.argv[1]);"
        "held.reserve([Budget(int(sys.argv[2]), 'b', 'hard', 'refuse', 'closed')], Decimal('0.9'));"
        "time.sleep(0.6); print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, url, str(of.id)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    other.send_signal(signal.SIGKILL)
    other.wait()
    died, held = time.monotonic(), Leases(url)
    while time.monotonic() - died < 30 and _spent(url, of) < Decimal("0.9"):
        try:
            held.settle(held.reserve([of], Decimal("0.5")), Decimal(0))
        except BudgetExceeded:
            time.sleep(0.1)
    took = time.monotonic() - died
    held.flush()
    held.close()
    row(
        "a process is killed: its lease is over, what was in flight counted, after",
        f"{took:.1f} s",
        "≤ 10.5 s",
        reached=took <= 10.5,
    )


def _cut(url: str, row: Row) -> None:
    (of,) = _budgets(url, 10**6)
    held, true, cuts = Leases(url), [Decimal(0)], 0
    lock, until = threading.Lock(), time.monotonic() + 4

    def spend() -> None:
        while time.monotonic() < until:
            try:
                held.settle(held.reserve([of], RESERVE), COST)
            except BudgetExceeded:
                continue
            with lock:
                true[0] += COST
            time.sleep(0.001)

    crew = [threading.Thread(target=spend) for _ in range(8)]
    for each in crew:
        each.start()
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < until:
            time.sleep(0.1)
            found: Any = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'llm-settings leases%'"
            ).fetchone()
            cuts += found[0]
    for each in crew:
        each.join()
    held.flush(10)
    held.close()
    off = _spent(url, of) - true[0]
    row(f"connections cut {cuts} times in 4 s: counted - true", f"{off} of ${true[0]:.2f}", "0", reached=off == 0)


def _idle(url: str, row: Row) -> None:
    """Have one process hold most of a budget and go idle; another needs it."""
    took = []
    for _ in range(5):
        (of,) = _budgets(url, 1)
        idle, other = Leases(url), Leases(url)
        for _ in range(30):
            idle.settle(idle.reserve([of], Decimal("0.3")), Decimal(0))
            time.sleep(0.01)
        begun = time.monotonic()
        while True:
            try:
                other.settle(other.reserve([of], Decimal("0.9")), Decimal(0))
                break
            except BudgetExceeded:
                continue
        took.append(time.monotonic() - begun)
        for each in (idle, other):
            each.flush()
            each.close()
    worst = max(took)
    row("an idle process gives back what another needs, after", f"{worst:.2f} s", "≤ 1 s", reached=worst <= 1)


def _away(url: str, row: Row) -> None:
    """Stop taking connections for a while: a closed budget refuses, and goes on soon after."""
    (of,) = _budgets(url, 10**6)
    held = Leases(url)
    for _ in range(200):
        held.settle(held.reserve([of], RESERVE), COST)
        time.sleep(0.002)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(url, dbname="template1")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')  # type: ignore[arg-type]  # ours
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s",
            [name, "llm-settings leases%"],
        )
        gone = time.monotonic()
        try:
            while time.monotonic() - gone < 20:
                held.settle(held.reserve([of], RESERVE), COST)
                time.sleep(0.002)
        except BudgetExceeded:
            pass
        refuses = time.monotonic() - gone
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')  # type: ignore[arg-type]  # ours
    back = time.monotonic()
    while True:
        try:
            held.settle(held.reserve([of], RESERVE), COST)
            break
        except BudgetExceeded:
            time.sleep(0.005)
    again = time.monotonic() - back
    held.flush()
    held.close()
    row("the database is away: a closed budget refuses after", f"{refuses:.1f} s", "≤ 10 s", reached=refuses <= 10)
    row("it is back: the next call has room after", f"{again:.2f} s", "≤ 2 s", reached=again <= 2)


if __name__ == "__main__":
    _work(*sys.argv[1:])
