"""What Prometheus is answered: right in form, bounded, without a secret or a person's name; and at once while the database is away."""

import math
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.testclient import TestClient

from api import health, readiness, store_figures
from core import logs
from core.access import sign_in, tokens
from core.actors import COMMAND_LINE, Actor
from core.calling import teller
from core.calling.leases import Leases
from core.calling.rates import Rates
from core.errors import BudgetExceeded, RateLimited
from core.govern import figures, jobs
from core.manage import providers
from core.resolving.budgets import Budget
from core.resolving.rate_limits import RateLimit
from core.store import db
from core.store.tables import METADATA, User
from core.version import VERSION
from tests.clusters import by_proxy, socket_of
from tests.conftest import ROOT, require
from tests.processes import python
from tests.proxy import SWALLOW, Proxy
from tests.rest import KEY, cookie, error, serving, token

PAGE = "/api/metrics"


@pytest.fixture
def client(committed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API behind the middleware, on a database of its own, of which nothing is known yet."""
    assert committed
    monkeypatch.setattr(readiness, "_last", None)
    monkeypatch.setattr(store_figures, "EVERY", 0.0)
    monkeypatch.setattr(store_figures, "WAIT", 20.0)  # two cores, many tests
    with serving(monkeypatch) as client:
        client.headers |= token("metrics")
        yield client


def families(answer: Any) -> dict[str, Metric]:
    """The families of an answer, as Prometheus' own parser reads them."""
    assert answer.status_code == 200, answer.text
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def values(client: TestClient, name: str) -> dict[str, float]:
    """The values of one family by their labels' values."""
    found = families(client.get(PAGE)).get(f"llm_settings_{name}")
    return {} if found is None else {",".join(s.labels.values()): s.value for s in found.samples}


def value(client: TestClient, name: str) -> float:
    """The one value of a family."""
    (found,) = values(client, name).values()
    return found


def execute(sql: str, **given: Any) -> None:
    with db.transaction() as session:
        session.execute(text(sql), given)


def add(name: str, key: str | None = KEY, *, active: bool = True) -> int:
    """Add a provider."""
    row = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m1"], "default_model": "m1"}
    row |= {"is_active": active} | ({} if key is None else {"api_key": key})
    with db.transaction() as session:
        made = providers.create(session, COMMAND_LINE, row)
        return int(made.id or 0)


def logged(provider: str, number: int, status: str = "ok", age: str = "1 minute") -> None:
    """Put calls into the request log; the database's trigger adds them up."""
    execute(
        "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation, user_id, error) SELECT"
        " clock_timestamp() - CAST(:age AS interval), :provider, 'secret-model', :status, 1, 5, 1, 'emma', 'x'"
        " FROM generate_series(1, :number)",
        provider=provider,
        number=number,
        status=status,
        age=age,
    )


# ---- form ----

UNITS = ("_seconds", "_bytes", "_total", "_info", "_ratio")
BAD_WORDS = ("millis", "_ms", "minutes", "hours", "days", "_kb", "_mb", "percent", "counter", "gauge")


def everything(client: TestClient) -> str:
    """A scrape of a store with something of everything in it."""
    add("openai")
    add("acme", None)
    logged("openai", 3)
    logged("openai", 1, "error")
    client.get("/api/llm/providers")
    return str(client.get(PAGE).text)


def test_form_is_prometheus_own(client: TestClient) -> None:
    """Parsed by its parser: each family has help and a type, base units, our prefix; no `_created`; no series twice."""
    whole = everything(client)
    found = {family.name: family for family in text_string_to_metric_families(whole)}

    assert len(found) > 35
    assert "_created" not in whole
    series = [line.rpartition(" ")[0] for line in whole.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))
    for name, family in found.items():
        assert re.fullmatch(r"(llm_settings|process)(_[a-z]+)+", name)
        assert family.type in {"counter", "gauge", "histogram", "summary"}
        assert len(family.documentation) > 10
        assert not any(word in name for word in BAD_WORDS)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if "timestamp" in name or "age" in name.split("_") or "size" in name.split("_")[-2:]:
            assert name.endswith(UNITS) or name == "llm_settings_pool_size", name


def test_promtool_finds_nothing(client: TestClient) -> None:
    """Prometheus' own rules for names, units and help."""
    require("prometheus", shutil.which("promtool"))
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=everything(client),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_process_and_build(client: TestClient) -> None:
    """Memory and open files of the process; version and schema."""
    found = families(client.get(PAGE))

    for name in ("process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"):
        (sample,) = found[name].samples
        assert sample.value > 0
    (build,) = found["llm_settings_build_info"].samples
    assert build.labels["version"] == VERSION
    assert re.fullmatch(r"\d{4}", build.labels["schema"])


# ---- values ----


def test_checks_are_those_of_ready(client: TestClient) -> None:
    """One gauge, a label for each check; what is not known is NaN, which no alert fires on."""
    before = values(client, "check")
    assert before.keys() == {"database", "schema", "keyRing", "snapshot", "rateLimits"}
    assert (before["database"], before["schema"], before["keyRing"], value(client, "ready")) == (1, 1, 1, 1)

    execute("UPDATE alembic_version SET version_num = '9999'")
    time.sleep(readiness.LOOKED_FOR)
    after = values(client, "check")

    assert (after["database"], after["schema"], value(client, "ready")) == (1, 0, 0)
    assert math.isnan(after["keyRing"])
    assert client.get("/api/health/ready").json()["error"]["checks"]["schema"] == "mismatch"


def test_keys_and_providers(client: TestClient) -> None:
    """Unreadable, idle and missing keys, and how old the oldest is."""
    add("good")
    damaged = add("damaged")
    add("idle", active=False)
    add("bare", None)
    add("bare-and-idle", None, active=False)
    add("local", None)
    execute("UPDATE llm_providers SET needs_key = false WHERE name = 'local'")
    execute("UPDATE llm_providers SET api_key_set_at = to_timestamp(1700000000) WHERE name = 'good'")
    assert value(client, "api_keys_unreadable") == 0
    execute(
        "UPDATE llm_providers SET api_key_encrypted = overlay(api_key_encrypted placing '0000' from 1) WHERE id = :i",
        i=damaged,
    )

    assert value(client, "api_keys_unreadable") == 1
    assert value(client, "providers_without_key") == 1
    assert (value(client, "api_keys"), value(client, "api_keys_idle")) == (3, 1)
    assert value(client, "api_key_oldest_timestamp_seconds") == 1_700_000_000
    execute("UPDATE encryption_canaries SET created_at = to_timestamp(1600000000)")
    assert value(client, "encryption_key_timestamp_seconds") == 1_600_000_000


def test_keys_are_opened_again_only_after_a_change(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening ten thousand takes a third of a second: not at each scrape."""
    tried: list[int] = []
    opens = figures.unreadable
    monkeypatch.setattr(figures, "unreadable", lambda *given: tried.append(1) or opens(*given))
    add("one")
    for _ in range(3):
        assert value(client, "api_keys_unreadable") == 0
    assert len(tried) == 1
    add("two")
    assert value(client, "api_keys_unreadable") == 0
    assert len(tried) == 2


def test_sign_ins(client: TestClient) -> None:
    """Wrong passwords of the last minutes, names and addresses that have to wait, sign-ins that hold."""
    with db.transaction() as session:
        user = User(username="ada", role="admin", password_hash="*")
        session.add(user)
        session.flush()
        for _ in range(3):
            sign_in.failed(session, user, "192.0.2.1")
        for _ in range(sign_in.FREE_TRIES):
            sign_in.admit(session, "ada", "192.0.2.1")
        for _ in range(sign_in.FREE_TRIES - 1):
            sign_in.admit(session, "grace", "192.0.2.2")
        for number in range(sign_in.ADDRESS_TRIES):
            sign_in.admit(session, f"n{number}", "192.0.2.3")
        actor = Actor("ada", user.id, 1)
    cookie(actor)

    assert value(client, "sign_in_failures") == 3
    assert values(client, "sign_ins_throttled") == {"name": 1, "address": 1}
    assert value(client, "sign_ins_open") == 1
    execute("UPDATE login_attempts SET at = at - interval '1 hour'")
    assert values(client, "sign_ins_throttled") == {"name": 0, "address": 0}


def test_tokens(client: TestClient) -> None:
    """How many hold, how many end soon, when the next one does, how old the oldest is; a revoked one is none."""
    with db.transaction() as session:
        for name, days in (("soon", 13), ("later", 15), ("never", None), ("gone", 1)):
            tokens.create(session, COMMAND_LINE, {"name": name, "role": "analyst", "expires_in_days": days})
        tokens.revoke(session, COMMAND_LINE, tokens.get_by_name(session, "gone").id or 0)
    execute("UPDATE api_tokens SET created_at = to_timestamp(1500000000) WHERE name = 'never'")

    assert value(client, "api_tokens") == 4  # that of the scrape is one
    assert value(client, "api_tokens_expiring") == 1
    assert 12.9 < (value(client, "api_token_next_expiry_timestamp_seconds") - time.time()) / 86400 < 13.1
    assert value(client, "api_token_oldest_timestamp_seconds") == 1_500_000_000


def test_tables(client: TestClient) -> None:
    """Size, rows about, and the age of the oldest row, of what grows with use; events of the audit."""
    assert "llm_logs" not in values(client, "table_oldest_timestamp_seconds")
    logged("openai", 500, age="3 days")
    with db.get_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE llm_logs"))

    assert values(client, "table_rows").keys() == set(METADATA.tables)
    assert values(client, "table_rows")["llm_logs"] == 500
    assert values(client, "table_size_bytes")["llm_logs"] > 500 * 30
    assert abs(values(client, "table_oldest_timestamp_seconds")["llm_logs"] - time.time() + 3 * 86400) < 300
    assert value(client, "database_size_bytes") > 1_000_000
    assert value(client, "audit_events") >= 1


def test_periodic_work(client: TestClient) -> None:
    """Each piece of it: failures in a row, whether it is late, when it ended last."""
    names = {job.name for job in jobs.JOBS}
    assert values(client, "job_failures") == dict.fromkeys(names, 0)
    assert values(client, "job_last_end_timestamp_seconds") == {}
    jobs.run("usage-days")

    assert abs(values(client, "job_last_end_timestamp_seconds")["usage-days"] - time.time()) < 60
    assert values(client, "job_overdue") == dict.fromkeys(names, 0)
    execute("UPDATE jobs SET failures = 2, next_at = clock_timestamp() - interval '1 hour'")
    assert values(client, "job_failures")["usage-days"] == 2
    assert values(client, "job_overdue")["usage-days"] == 1


def test_calls_by_provider(client: TestClient) -> None:
    """Of the last hour; a name that no provider has is among the others, and an old call is none."""
    add("openai")
    logged("openai", 3)
    logged("openai", 2, "error")
    logged("sk-typed-into-the-wrong-field", 7)
    logged("openai", 9, age="2 hours")

    assert values(client, "recent_calls") == {
        "openai,ok": 3,
        "openai,error": 2,
        "openai,cancelled": 0,
        "(others),ok": 7,
        "(others),error": 0,
        "(others),cancelled": 0,
    }
    execute("UPDATE llm_usage SET adjusted = 2 WHERE status = 'error'")
    assert values(client, "recent_calls_adjusted") == {"openai": 2, "(others)": 0}


def test_refusals_by_limit(client: TestClient) -> None:
    """Each limit from 0 on."""
    assert values(client, "rate_limit_refusals") == dict.fromkeys(("general", "sensitive", "provisioning", "pages"), 0)
    reader = token("admin")
    statuses = [client.get("/api/llm/settings", headers=reader).status_code for _ in range(103)]

    assert statuses.count(429) == 3
    assert values(client, "rate_limit_refusals")["general"] == 3


# ---- nothing that is private, and bounded ----


def test_no_secret_and_no_persons_name(client: TestClient) -> None:
    """Users, names of tokens and keys, models, users of calls, masks: none is in any label or help."""
    with db.transaction() as session:
        session.add(User(username="grace.hopper", role="admin", password_hash="*"))
        sign_in.admit(session, "margaret.hamilton", "192.0.2.9")
        tokens.create(session, COMMAND_LINE, {"name": "billing-team", "role": "analyst", "expires_in_days": 3})
    add("openai")
    logged("openai", 2, "error")
    whole = client.get(PAGE).text

    for word in (
        "hopper",
        "hamilton",
        "192.0.2",
        "billing",
        "sk-",
        "llms_",
        "secret-model",
        "emma",
        "****",
        "postgres",
    ):
        assert word not in whole, word


@pytest.mark.kill
def test_ten_thousand_providers_stay_bounded(client: TestClient) -> None:
    """Lines of an answer, and its time, where each of them was called; those with the most calls have their own numbers."""
    before = len(client.get(PAGE).text.splitlines())  # of this process, which may have run pages before
    execute(
        "INSERT INTO llm_providers (name, display_name, kind, available_models, is_active)"
        " SELECT 'p-' || n, 'P', 'openai', jsonb_build_array('m'), true FROM generate_series(1, 10000) n"
    )
    execute(
        "INSERT INTO llm_usage (slot, provider, model, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost)"
        " SELECT date_bin('5 minutes', clock_timestamp(), 'epoch'), 'p-' || n, 'm', 'ok', 1, n, 0, 0, 0, 0"
        " FROM generate_series(1, 10000) n"
    )
    began = time.monotonic()
    calls = values(client, "recent_calls")
    took = time.monotonic() - began

    assert len([name for name in calls if name.endswith(",ok")]) == figures.MOST_PROVIDERS + 1
    assert (calls["p-10000,ok"], calls["(others),ok"]) == (10_000, sum(range(1, 9951)))
    assert len(client.get(PAGE).text.splitlines()) - before < 400
    assert took < 3 * 2.0


def test_budgets_by_their_ids(client: TestClient, committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is spent of what may be, of the active ones, the most spent first; what is lent, refused, and not told yet."""
    monkeypatch.setattr(figures, "MOST_BUDGETS", 3)
    execute(
        "INSERT INTO org_llm_budgets (id, name, amount, period, mode, unpriced, when_away, is_active)"
        " SELECT n, 'Secret ' || n, 10 * n, (ARRAY['day', 'week', 'month', 'quarter', 'year'])[n], 'hard', 'refuse', 'closed', n < 5"
        " FROM generate_series(1, 5) n"
    )
    execute("SELECT llm_open_budget_period(id) FROM org_llm_budgets WHERE id <> 4")
    execute("UPDATE llm_budget_periods SET spent = 9.5, topped_up = 1, carried = 2 WHERE budget_id IN (2, 3, 5)")
    execute(
        "INSERT INTO llm_leases (holder, period_id, granted, in_flight, presumed, number, expires_at, name)"
        " SELECT gen_random_uuid(), id, n, 0, 0, 1, clock_timestamp() + interval '1 hour' * (n - 1), 'a'"
        " FROM llm_budget_periods, generate_series(0, 2) n WHERE budget_id = 2"
    )
    assert values(client, "budget_spent_usd") == {"2": 9.5, "3": 9.5, "1": 0}
    assert values(client, "budget_limit_usd") == {"2": 23, "3": 33, "1": 10}
    assert value(client, "leases") == 1
    assert "Secret" not in client.get(PAGE).text

    held = Leases(committed)
    before = values(client, "budget_refused")
    with pytest.raises(BudgetExceeded) as kept_out:
        held.reserve([Budget(1, "Secret 1", "hard", "refuse", "closed")], Decimal(11))
    held.close()
    after = values(client, "budget_refused")
    assert set(after) == {"spent", "held", "unpriced", "store_unavailable"}
    reason = kept_out.value.reason  # on a slow machine the store may not answer in time
    assert after == before | {reason: before[reason] + 1}
    telling = teller.Teller("postgresql://nobody:x@127.0.0.1:9/none")
    monkeypatch.setattr(teller, "teller", telling)
    of = teller.Of(0, "", "openai", "m", "answered", "")
    telling.put(teller.Settled(of, time.monotonic(), 1, 1, Decimal("0.25"), estimated=False))
    assert value(client, "spend_untold_usd") == 0.25


def test_rate_limits_by_their_ids(client: TestClient, committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counted against the active ones lately, and what of it waited; of this process how long calls waited, and were refused."""
    monkeypatch.setattr(figures, "MOST_RATE_LIMITS", 2)
    execute(
        "INSERT INTO llm_rate_limits (id, name, model, max_concurrent, is_active)"
        " SELECT n, 'Secret ' || n, n, 1, n < 4 FROM generate_series(1, 4) n"
    )
    execute(
        "INSERT INTO llm_rate_hours (rate_limit_id, slot, requests, waited, waited_ms, refused)"
        " SELECT n, date_trunc('hour', clock_timestamp(), 'UTC') - interval '1 hour' * back, 100, n, 1500, 10 * n"
        " FROM generate_series(1, 4) n, generate_series(0, 2) back"
    )
    execute(
        "INSERT INTO llm_rate_levels (rate_limit_id, requests, tokens, filled_at, in_use) VALUES (3, 0, 0, now(), 7)"
    )
    for name, wanted in {
        "recent_rate_requests": {"3": 200, "2": 200},
        "recent_rate_waits": {"3": 6, "2": 4},
        "recent_rate_wait_seconds": {"3": 3, "2": 3},
        "recent_rate_refusals": {"3": 60, "2": 40},
        "rate_calls_under_way": {"3": 7, "2": 0},
    }.items():
        assert values(client, name) == wanted, name
    assert "Secret" not in client.get(PAGE).text

    ours = Rates(committed)
    one = RateLimit(1, "Secret 1", "1", None, None, 1, 6.0, "wait", 200)
    held = ours.enter([one], 0, None, patience=9)
    before = logs.waits()
    with pytest.raises(RateLimited):
        ours.enter([one], 0, None, patience=9)
    threading.Timer(0.1, lambda: ours.end(held, 0)).start()
    ours.end(ours.enter([one._replace(max_wait_ms=9000)], 0, None, patience=9), 0)
    assert ours.flush(5)
    ours.close()
    found = client.get(PAGE).text
    assert f'llm_settings_rate_refused_total{{limit="1"}} {before.refused.get(1, 0) + 1:.1f}' in found
    assert f"llm_settings_rate_wait_seconds_count {before.calls + 1:.1f}" in found
    assert 0.05 < logs.waits().seconds - before.seconds < 5


# ---- while the database is away ----


@pytest.mark.long
def test_scrape_while_the_database_is_away(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has what is known and says that it is old; a token that was never good gets 503, a revoked one is refused afterwards."""
    add("bare", None)
    headers = token("metrics")
    assert value(client, "store_figures_fresh") == 1
    assert families(client.get(PAGE, headers=headers))
    engine = db.get_engine()
    away = db.make_engine("postgresql://nobody:x@127.0.0.1:9/none")
    monkeypatch.setattr(db, "get_engine", lambda: away)
    time.sleep(readiness.LOOKED_FOR)

    first = client.get(PAGE).text
    assert 'llm_settings_check{check="database"} 0.0' in first
    for _ in range(3):
        assert value(client, "store_figures_fresh") == 0
    assert value(client, "providers_without_key") == 1
    assert values(client, "check")["database"] == 0
    assert value(client, "ready") == 0
    assert value(client, "store_figures_age_seconds") > 0.5
    error(client.get(PAGE, headers={"Authorization": "Bearer llms_" + "x" * 43}), 503, "STORE_UNAVAILABLE")

    monkeypatch.setattr(db, "get_engine", lambda: engine)
    execute("UPDATE api_tokens SET revoked_at = clock_timestamp(), revoked_by = 'x'")
    time.sleep(readiness.LOOKED_FOR)
    deadline = time.monotonic() + 10
    while client.get(PAGE, headers=headers).status_code != 401:
        assert time.monotonic() < deadline, "a revoked token is still good"
    error(client.get(PAGE), 401, "UNAUTHENTICATED")
    away.dispose()


def test_a_revoked_token_is_refused_while_figures_cannot_be_read(client: TestClient) -> None:
    """The database is there to be asked of the token, whatever else is wrong with it."""
    headers = token("metrics")
    assert families(client.get(PAGE, headers=headers))
    execute("UPDATE alembic_version SET version_num = '9999'")
    time.sleep(readiness.LOOKED_FOR)
    assert value(client, "store_figures_fresh") == 0
    assert families(client.get(PAGE, headers=headers))
    execute("UPDATE api_tokens SET revoked_at = clock_timestamp(), revoked_by = 'x'")

    error(client.get(PAGE, headers=headers), 401, "UNAUTHENTICATED")


def test_a_remembered_token_ends(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an hour without the database nobody knows any more whether it is good."""
    assert families(client.get(PAGE))
    away = db.make_engine("postgresql://nobody:x@127.0.0.1:9/none")
    monkeypatch.setattr(db, "get_engine", lambda: away)
    assert families(client.get(PAGE))
    monkeypatch.setattr(health, "REMEMBERED", 0.0)

    error(client.get(PAGE), 503, "STORE_UNAVAILABLE")
    away.dispose()


@pytest.mark.kill
def test_a_silent_database_holds_up_one_scrape(
    client: TestClient, committed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first waits as long as any request; those after it answer at once."""
    wait = 2.0
    with Proxy(socket_of(committed)) as proxy:
        engine = db.make_engine(by_proxy(committed, proxy))
        monkeypatch.setattr(db, "get_engine", lambda: engine)
        assert value(client, "store_figures_fresh") == 1
        proxy.treat(SWALLOW)
        monkeypatch.setattr(store_figures, "WAIT", wait)
        took = []
        for _ in range(5):
            began = time.monotonic()
            answer = client.get(PAGE)
            took.append(time.monotonic() - began)
            assert families(answer)
    engine.dispose()

    assert "llm_settings_store_figures_fresh 0.0" in answer.text
    assert took[0] < 3 * 2 * wait
    assert max(took[1:]) < 1.0


def test_what_a_service_exports() -> None:
    """The lines of docs/deployment.md for a service run there, and say what it knows."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "set_function" in block]
    done = python(f"{lines}\nfrom prometheus_client import generate_latest\nprint(generate_latest().decode())")

    assert "llm_settings_snapshot_age_seconds +Inf" in done.stdout, done.stderr
    assert "llm_settings_log_rows_dropped 0.0" in done.stdout


def test_models_that_end_are_counted_down(client: TestClient) -> None:
    """The default model of each active provider, by an admin's word too; negative once it has ended."""
    first, idle = add("first"), add("idle", active=False)
    execute("UPDATE llm_providers SET available_models = '[\"ours\"]', default_model = 'ours'")
    assert values(client, "model_retires_seconds") == {}
    execute(
        "INSERT INTO llm_model_facts (pattern, origin, facts, why) VALUES ('ours', 'operator', :f, 'x')",
        f='{"retires": "2020-01-01"}',
    )
    (found,) = values(client, "model_retires_seconds").items()
    assert set(found[0].split(",")) == {"first", "ours"}
    assert found[1] < -(10**8)
    assert first != idle
