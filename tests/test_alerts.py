"""Each alert of deploy/alerts.yml is quiet while all is well, and fires when what it speaks of is made so, by real scrapes."""

import os
import re
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import pytest
import yaml
from sqlalchemy import text
from starlette.testclient import TestClient

from api import health, readiness, scrape, store_figures
from core import config, crypto
from core.access import ratelimit, sign_in, tokens
from core.actors import COMMAND_LINE
from core.calling import log_writer
from core.govern import outbox_sending
from core.manage import notifications, providers
from core.resolve import Resolver
from core.store import db
from tests import promql
from tests.conftest import ROOT, require
from tests.processes import free_port
from tests.promql import Scrape, Vector, scraped
from tests.rest import KEY, serving, token
from web import runs

FILE: Final = ROOT / "deploy" / "alerts.yml"
RULES: Final[dict[str, dict[str, Any]]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
PAGE: Final = "/api/metrics"


class Watched(NamedTuple):
    """An app that is scraped."""

    client: TestClient
    url: str
    patch: pytest.MonkeyPatch
    stack: ExitStack

    def scrape(self) -> Scrape:
        """One scrape, now."""
        answer = self.client.get(PAGE)
        return scraped(answer.text if answer.status_code == 200 else None, time.time())

    def execute(self, sql: str, **given: Any) -> None:
        """Change the store."""
        with db.transaction() as session:
            session.execute(text(sql), given)

    def away(self) -> None:
        """Lose the database."""
        engine = db.make_engine("postgresql://nobody:x@127.0.0.1:9/none")
        self.stack.callback(engine.dispose)
        self.patch.setattr(db, "get_engine", lambda: engine)

    def environment(self, **variables: str) -> None:
        """Read another configuration."""
        for name, value in variables.items():
            self.patch.setenv(name, value)
        for made in (config.get_config, crypto.get_ring, ratelimit.get_limiter):
            made.cache_clear()


@pytest.fixture
def watched(committed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """An app where all is well: a provider with a key, calls that worked, settings that follow the store."""
    monkeypatch.setattr(readiness, "LOOKED_FOR", 0.0)
    monkeypatch.setattr(readiness, "_last", None)
    monkeypatch.setattr(store_figures, "EVERY", 0.0)
    monkeypatch.setattr(store_figures, "WAIT", 20.0)  # two cores, many tests
    resolver = Resolver(committed)
    for module in (readiness, scrape, health):
        monkeypatch.setattr(module, "resolver", resolver)
    with ExitStack() as stack, serving(monkeypatch) as client:
        stack.callback(resolver.close)
        assert resolver.start().wait(20)
        found = Watched(client, committed, monkeypatch, stack)
        row = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m"], "default_model": "m"}
        with db.transaction() as session:
            providers.create(session, COMMAND_LINE, row | {"is_active": True, "api_key": KEY})
        call(found, "ok", 20)
        client.headers |= token("metrics")
        yield found


def call(app: Watched, status: str, number: int) -> None:
    app.execute(
        "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation) SELECT clock_timestamp(),"
        " 'openai', 'm', :status, 1, 5, 1 FROM generate_series(1, :number)",
        status=status,
        number=number,
    )


# ---- what makes each alert true ----


def down(app: Watched) -> None:
    app.execute("UPDATE api_tokens SET revoked_at = clock_timestamp(), revoked_by = 'x'")


def other_schema(app: Watched) -> None:
    app.execute("UPDATE alembic_version SET version_num = '9999'")


def other_key(app: Watched) -> None:
    app.environment(LLM_ENCRYPTION_KEY="ab" * 32)


def away(app: Watched) -> None:
    app.away()


def stale(app: Watched) -> None:
    app.patch.setattr(scrape, "resolver", Resolver(app.url))  # one that has not read anything yet


def without_key(app: Watched) -> None:
    app.execute(
        "UPDATE llm_providers SET api_key_encrypted = NULL, api_key_masked = NULL, api_key_key_id = NULL, api_key_binding = NULL"
    )


def token_ends(app: Watched) -> None:
    with db.transaction() as session:
        tokens.create(session, COMMAND_LINE, {"name": "x", "role": "analyst", "expires_in_days": 7})
    assert app


def wrong_passwords(app: Watched) -> None:
    with db.transaction() as session:
        for _ in range(21):
            sign_in.failed(session, None, "192.0.2.1")
    assert app


def throttled(app: Watched) -> None:
    with db.transaction() as session:
        for name in "abcd":
            for _ in range(sign_in.FREE_TRIES):
                sign_in.admit(session, name, "192.0.2.1")
    assert app


def page_breaks(app: Watched) -> None:
    app.scrape()
    runs.failed(KeyError("x"))


def request_breaks(app: Watched) -> None:
    def fails() -> object:
        raise RuntimeError("broken")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readiness, "look", fails)
        assert app.client.get("/api/health/ready").status_code == 500


def asks_too_often(app: Watched) -> None:
    headers = token("analyst")
    statuses = {app.client.get("/api/llm/settings", headers=headers).status_code for _ in range(202)}
    assert statuses == {200, 429}


def redis_is_away(app: Watched) -> None:
    app.environment(LLM_RATE_LIMIT_STORAGE_URL="redis://127.0.0.1:9/0")
    app.client.get("/api/llm/settings", headers=token("analyst"))


def connections_used(app: Watched) -> None:
    for _ in range(10):
        app.stack.enter_context(db.get_engine().connect())


def row_dropped(app: Watched) -> None:
    app.patch.setattr(log_writer._writer, "dropped", log_writer._writer.dropped + 1)


def calls_fail(app: Watched) -> None:
    call(app, "error", 11)


def job_fails(app: Watched) -> None:
    app.execute(
        "INSERT INTO jobs (name, outcome, failures, ended_at, next_at) VALUES ('usage-days', 'failed', 3, clock_timestamp(),"
        " clock_timestamp() + interval '1 minute') ON CONFLICT (name) DO UPDATE SET failures = 3"
    )


def job_is_late(app: Watched) -> None:
    app.execute(
        "INSERT INTO jobs (name, next_at) VALUES ('usage-days', clock_timestamp() - interval '1 hour')"
        " ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at"
    )


def webhook(app: Watched) -> None:
    app.environment(LLM_PRIVATE_HOSTS="127.0.0.1")
    with db.transaction() as session:
        notifications.create(session, COMMAND_LINE, {"name": "ops", "url": "http://127.0.0.1:9/x"})


def webhook_fails(app: Watched) -> None:
    webhook(app)
    app.execute(
        "INSERT INTO notification_deliveries (target_id, event, webhook_id, payload, created_at)"
        " SELECT id, 'settings.changed', 'msg_1', '{}', clock_timestamp() - interval '31 minutes' FROM notification_targets"
    )


def webhook_is_off(app: Watched) -> None:
    webhook(app)
    with db.transaction() as session:
        outbox_sending.switch_off(session, session.scalar(text("SELECT id FROM notification_targets")) or 0, "gone")


def old_key(app: Watched) -> None:
    app.execute("UPDATE llm_providers SET api_key_set_at = clock_timestamp() - interval '400 days'")


def old_encryption_key(app: Watched) -> None:
    app.execute("UPDATE encryption_canaries SET created_at = clock_timestamp() - interval '800 days'")


def files_used(app: Watched) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    app.stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(len(os.listdir("/proc/self/fd")) / 0.85) + 1, before[1]))  # noqa: PTH208 - Path has no listdir of a process


def nothing(app: Watched) -> None:
    assert app


class Made(NamedTuple):
    """How an alert is made true; *reach* is a bound within a test's reach in place of its own."""

    so: Callable[[Watched], None]
    reach: tuple[str, str] = ("", "")


MADE: Final = {
    "LlmSettingsDown": Made(down),
    "LlmSettingsNotReady": Made(other_schema),
    "LlmSettingsCheckFails": Made(other_key),
    "LlmSettingsFiguresOld": Made(away),
    "LlmSettingsSettingsStale": Made(stale),
    "LlmSettingsKeysUnreadable": Made(other_key),
    "LlmSettingsProviderWithoutKey": Made(without_key),
    "LlmSettingsTokenEnds": Made(token_ends),
    "LlmSettingsSignInsFail": Made(wrong_passwords),
    "LlmSettingsSignInsThrottled": Made(throttled),
    "LlmSettingsPagesFail": Made(page_breaks),
    "LlmSettingsRequestsFail": Made(request_breaks),
    "LlmSettingsRateLimited": Made(asks_too_often),
    "LlmSettingsRateLimitsAlone": Made(redis_is_away),
    "LlmSettingsConnectionsUsedUp": Made(connections_used),
    "LlmSettingsLogRowsDropped": Made(row_dropped),
    "LlmSettingsCallsFail": Made(calls_fail),
    "LlmSettingsRequestLogLarge": Made(nothing, ("2e+10", "1000")),
    "LlmSettingsJobFails": Made(job_fails),
    "LlmSettingsJobOverdue": Made(job_is_late),
    "LlmSettingsWebhookFails": Made(webhook_fails),
    "LlmSettingsWebhookOff": Made(webhook_is_off),
    "LlmSettingsApiKeyOld": Made(old_key),
    "LlmSettingsEncryptionKeyOld": Made(old_encryption_key),
    "LlmSettingsFilesUsedUp": Made(files_used),
    "LlmSettingsMemoryLarge": Made(nothing, ("2e+09", "1e+06")),
}


def fires(name: str, scrapes: list[Scrape], reach: tuple[str, str] = ("", "")) -> Vector:
    expression = RULES[name]["expr"]
    if reach[0]:
        assert reach[0] in expression
        expression = expression.replace(*reach)
    return promql.evaluate(expression, scrapes)


def test_table_has_every_rule() -> None:
    """A rule that nobody made true is not one."""
    assert MADE.keys() == RULES.keys()


def test_nothing_fires_while_all_is_well(watched: Watched) -> None:
    """Two scrapes of an app that works: no rule fires, and each metric that a rule names is there."""
    runs.metrics.PAGE_ERRORS.labels(runs.NO_PAGE)
    scrapes = [watched.scrape(), watched.scrape()]

    assert {name: found for name in RULES if (found := fires(name, scrapes))} == {}
    there = {dict(labels)["__name__"] for labels in scrapes[-1].samples}
    for name, rule in RULES.items():
        assert promql.metrics_in(rule["expr"]) <= there, name


@pytest.mark.parametrize("name", sorted(MADE))
def test_alert_fires(watched: Watched, name: str) -> None:
    """What it speaks of is made so in the real app and store; the next scrape makes it true."""
    runs.metrics.PAGE_ERRORS.labels(runs.NO_PAGE)
    made = MADE[name]
    before = watched.scrape()
    assert name in {"LlmSettingsMemoryLarge", "LlmSettingsRequestLogLarge"} or not fires(
        name, [before, watched.scrape()]
    )

    made.so(watched)
    scrapes = [before, watched.scrape(), watched.scrape()]

    assert fires(name, scrapes, made.reach)


@pytest.mark.parametrize("name", sorted(RULES))
def test_rule_says_what_to_do(name: str) -> None:
    """A summary, an action, a link into the docs, a severity; labels that it names are those that there are."""
    rule = RULES[name]

    assert re.fullmatch(r"LlmSettings([A-Z][a-z]+)+", name)
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    section = (ROOT / page).read_text(encoding="utf-8").partition(f"# {anchor.capitalize()}\n")[2].partition("\n#")[0]
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
    assert row == f"| `{name}` | {rule['labels']['severity']} | {rule['annotations']['action']} |"
    for words in (rule["annotations"]["summary"], rule["annotations"]["action"]):
        assert words.endswith(".")
        assert len(words) > 20
        assert set(re.findall(r"\$labels\.(\w+)", words)) <= {
            "instance",
            "check",
            "page",
            "limit",
            "provider",
            "what",
            "work",
        }


def test_operations_lists_the_alerts() -> None:
    """The table of docs/operations.md has each rule, its severity and what it says to do, and no other."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert [line for line in page.splitlines() if line.startswith("| `LlmSettings")] == [
        f"| `{name}` | {rule['labels']['severity']} | {rule['annotations']['action']} |" for name, rule in RULES.items()
    ]


# ---- by Prometheus itself, where it is installed ----


def test_promtool_takes_the_file() -> None:
    """Its own check of rules."""
    require("prometheus", shutil.which("promtool"))
    done = subprocess.run(
        ["promtool", "check", "rules", str(FILE)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr


class _Recorded(BaseHTTPRequestHandler):
    page = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.kill
def test_prometheus_finds_the_same(watched: Watched, tmp_path: Path) -> None:
    """Prometheus reads real scrapes and the rules, without their waiting; what fires there is what fires here."""
    require("prometheus", shutil.which("prometheus"))
    runs.metrics.PAGE_ERRORS.labels(runs.NO_PAGE)
    first = watched.client.get(PAGE).text
    for name in ("LlmSettingsPagesFail", "LlmSettingsCallsFail", "LlmSettingsTokenEnds", "LlmSettingsSignInsFail"):
        MADE[name].so(watched)
    MADE["LlmSettingsApiKeyOld"].so(watched)
    MADE["LlmSettingsRequestsFail"].so(watched)
    second = watched.client.get(PAGE).text
    expected = {name for name in RULES if fires(name, [scraped(first, time.time()), scraped(second, time.time() + 1)])}
    rules = re.sub(r"(?m)^ +for: .*\n", "", FILE.read_text(encoding="utf-8"))
    (tmp_path / "alerts.yml").write_text(rules, encoding="utf-8")
    server = HTTPServer(("127.0.0.1", 0), type("Recorded", (_Recorded,), {"page": first.encode()}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    targets = [{"targets": [f"127.0.0.1:{server.server_port}"]}]
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "llm-settings", "static_configs": targets}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    port = free_port()
    command = ["prometheus", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    process = subprocess.Popen(
        [*command, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    )
    try:
        deadline, found = time.monotonic() + 60, set[str]()
        while found != expected and time.monotonic() < deadline:
            time.sleep(1)
            if time.monotonic() > deadline - 54:
                server.RequestHandlerClass.page = second.encode()  # type: ignore[attr-defined]  # _Recorded
            try:
                answer = httpx2.get(f"http://127.0.0.1:{port}/api/v1/alerts").json()
            except httpx2.TransportError:
                continue
            found = {alert["labels"]["alertname"] for alert in answer["data"]["alerts"]}
    finally:
        process.terminate()
        process.wait(20)
        server.shutdown()
    assert len(expected) == 6
    assert found == expected
