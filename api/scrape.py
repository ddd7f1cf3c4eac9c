"""What Prometheus is answered: what this process has served, how it is, and what of the store wakes an operator.

Names and units: https://prometheus.io/docs/practices/naming/. What stands in a label is one of few: a route, a page, a check, a
table, a limit, a reason, the ids of at most a hundred budgets and rate limits on calls, the names of at most fifty providers, and of a hundred models that end.
"""

import math
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from api import readiness
from api.effective import resolver
from api.store_figures import Known, reader
from core import logs
from core.access import ratelimit
from core.govern.figures import EXPIRES_SOON_DAYS, MOST_RATE_LIMITS, RECENT_MINUTES, Figures
from core.store import db, migrate
from core.store.records import CALL_STATUSES
from core.version import VERSION
from web.metrics import REGISTRY

ProcessCollector(registry=REGISTRY)


def text() -> bytes:
    """Return the numbers in Prometheus' text format. Waits for the database once at most, and not while it is known to be away."""
    return generate_latest(REGISTRY)


class _Now(Collector):
    """What is looked up at each scrape."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing: so that no look is taken when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return what there is."""
        known = reader.look()
        yield from _of_process()
        yield from _of_reading(known)
        if known.figures is not None:
            yield from _of_store(known.figures)


REGISTRY.register(_Now())


def _of_process() -> Iterator[Metric]:
    found, limiter = readiness.last(), ratelimit.get_limiter()
    checks = {} if found is None else readiness.checks(found)
    size, used = db.pool_figures()
    states = {name: math.nan if state == "unknown" else float(state == "ok") for name, state in checks.items()}
    build = GaugeMetricFamily(
        _named("build_info"),
        "Always 1: version, the schema it needs, and Python's version",
        labels=["version", "schema", "python"],
    )
    build.add_metric([VERSION, migrate.head(), platform.python_version()], 1)
    yield build
    yield _gauges(
        "check", "1: as it should be, as /api/health/ready has it; 0: not; NaN: not known", "check", states.items()
    )
    if found is not None:
        yield _gauge("ready", "1 while /api/health/ready answers 200", float(found.serves))
    yield _gauge(
        "snapshot_age_seconds",
        "Time since the settings in memory were last known to be those stored; +Inf before the first",
        resolver.age(),
    )
    yield _gauge("generation", "Generation of the settings in memory", resolver.generation)
    yield _gauge("pool_size", "Database connections that may be open", size)
    yield _gauge("pool_used", "Database connections in use", used)
    away = limiter.state == "redis_unreachable"
    yield _gauge("rate_limits_alone", "1 while Redis is out of reach and this process counts by itself", float(away))
    refused = CounterMetricFamily(_named("rate_limit_refusals"), "Requests refused by a rate limit", labels=["limit"])
    for name, number in limiter.refused.items():
        refused.add_metric([name], number)
    yield refused
    yield CounterMetricFamily(
        _named("log_rows_dropped"), "Calls of this process that could not be put into the request log", logs.dropped()
    )
    untold = float(logs.untold().cost)
    yield _gauge("spend_untold_usd", "What calls of this process have cost that the store does not know yet", untold)
    kept_out = CounterMetricFamily(
        _named("budget_refused"), "Calls of this process that a budget did not let through", labels=["reason"]
    )
    for reason, number in logs.refused().items():
        kept_out.add_metric([reason], number)
    yield kept_out
    waits = logs.waits()
    help_ = "Time that calls of this process waited for a rate limit on calls; those that need not are not counted"
    yield SummaryMetricFamily(_named("rate_wait_seconds"), help_, count_value=waits.calls, sum_value=waits.seconds)
    held_off = CounterMetricFamily(
        _named("rate_refused"),
        "Calls of this process that a rate limit did not let through, by its id",
        labels=["limit"],
    )
    for limit, number in sorted(waits.refused.items())[:MOST_RATE_LIMITS]:
        held_off.add_metric([str(limit)], number)
    yield held_off


def _of_reading(known: Known) -> Iterator[Metric]:
    yield _gauge(
        "store_figures_fresh",
        "1: what is told of the store is of now; 0: the database is away, and it is what was known before",
        float(known.fresh and known.figures is not None),
    )
    yield _gauge("store_figures_age_seconds", "Time since it was read; +Inf before the first", known.age)
    if known.unreadable is not None:
        yield _gauge("api_keys_unreadable", "Stored API keys that this process cannot open", known.unreadable)


def _of_store(found: Figures) -> Iterator[Metric]:
    yield _gauge("database_size_bytes", "Size of the database on disk", found.database_size)
    yield from _of_tables(found)
    yield from _of_jobs(found)
    yield CounterMetricFamily(_named("audit_events"), "Events of the audit, ever", found.events)
    yield _gauge("sign_in_failures", f"Wrong passwords within the last {RECENT_MINUTES} minutes", found.failed_sign_ins)
    throttled = (("name", found.throttled.names), ("address", found.throttled.addresses))
    yield _gauges(
        "sign_ins_throttled", "User names and addresses that have to wait before they try again", "what", throttled
    )
    yield _gauge("sign_ins_open", "Sign-ins to the pages that hold now", found.live_sign_ins)
    yield _gauge("api_tokens", "API tokens that hold now", found.tokens)
    yield _gauge("api_tokens_expiring", f"API tokens that end within {EXPIRES_SOON_DAYS} days", found.tokens_expiring)
    yield _gauge("providers_without_key", "Active providers that need an API key and have none", found.without_key)
    yield _gauge("api_keys", "Stored API keys", found.keys)
    yield _gauge("api_keys_idle", "Stored API keys of providers that are not active", found.keys_idle)
    yield _gauge(
        "api_keys_too_old",
        "Stored API keys that are older than LLM_KEY_MAX_AGE_DAYS, of organisations too; 0 where that is not set",
        found.keys_too_old,
    )
    for name, help_, at in (
        ("api_token_next_expiry", "When the next API token ends", found.next_expiry),
        ("api_token_oldest", "When the oldest API token that holds was made", found.oldest_token),
        ("api_key_oldest", "When the oldest API key of an active provider was set", found.oldest_key),
        ("encryption_key", "When this database first met the primary encryption key", found.primary_since),
    ):
        yield from _moment(name, help_, at)
    yield from _of_messages(found)
    yield from _of_budgets(found)
    yield from _of_rates(found)
    ends = GaugeMetricFamily(
        _named("model_retires_seconds"),
        "Time until the vendor takes a provider's default model away; negative: it has",
        labels=["provider", "model"],
    )
    now = datetime.now(UTC)
    for provider, model, day in found.ends:
        ends.add_metric([provider, model], (datetime.combine(day, time.min, UTC) - now).total_seconds())
    yield ends
    calls = GaugeMetricFamily(
        _named("recent_calls"), "Logged calls of the last hour, by provider and status", labels=["provider", "status"]
    )
    counted = {(call.provider, call.status): call.calls for call in found.calls}
    for provider in sorted({call.provider for call in found.calls}):
        for status in CALL_STATUSES:  # also those that did not occur: an alert divides one by another
            calls.add_metric([provider, status], counted.get((provider, status), 0))
    yield calls
    adjusted = Counter[str]()
    for call in found.calls:
        adjusted[call.provider] += call.adjusted
    yield _gauges(
        "recent_calls_adjusted",
        "Those of them in which something that somebody chose was not sent, or not as it was: the model does not take it",
        "provider",
        sorted(adjusted.items()),
    )


def _of_tables(found: Figures) -> Iterator[Metric]:
    rows = found.tables
    yield _gauges(
        "table_size_bytes", "Size of a table on disk, with its indexes", "table", ((row.name, row.size) for row in rows)
    )
    yield _gauges(
        "table_rows",
        "Rows of a table, about, by the server's statistics",
        "table",
        ((row.name, row.rows) for row in rows),
    )
    yield _gauges(
        "table_oldest_timestamp_seconds",
        "When the oldest row of a table began",
        "table",
        ((row.name, row.oldest.timestamp()) for row in rows if row.oldest is not None),
    )


def _of_jobs(found: Figures) -> Iterator[Metric]:
    states = {state.job.name: state for state in found.jobs}
    failures = ((name, state.failures) for name, state in states.items())
    yield _gauges("job_failures", "Failed runs of periodic work, one after the other, up to now", "work", failures)
    late = ((name, float(state.overdue)) for name, state in states.items())
    yield _gauges("job_overdue", "1 while periodic work is due and nobody does it", "work", late)
    yield _gauges(
        "job_last_end_timestamp_seconds",
        "When periodic work ended last",
        "work",
        ((name, state.last.timestamp()) for name, state in states.items() if state.last is not None),
    )


def _of_messages(found: Figures) -> Iterator[Metric]:
    messages = found.messages
    results = (("done", messages.done), ("failed", messages.failed))
    yield _gauges("recent_webhook_messages", "Messages to webhooks that ended in the last hour", "result", results)
    yield _gauge(
        "webhook_messages_waiting", "Messages to webhooks that wait to be sent, or to be tried again", messages.waiting
    )
    waits = 0.0 if messages.oldest is None else (datetime.now(UTC) - messages.oldest).total_seconds()
    yield _gauge("webhook_oldest_waiting_seconds", "Time since the oldest of them was written; 0: none waits", waits)
    yield _gauge("webhooks_off", "Webhooks that were switched off because nothing could be sent to them", messages.off)


def _of_budgets(found: Figures) -> Iterator[Metric]:
    budgets = found.budgets
    spent, limits = (
        [(str(each.id), float(amount)) for each, amount in ((one, getattr(one, name)) for one in budgets)]
        for name in ("spent", "limit")
    )
    yield _gauges("budget_spent_usd", "Spent in the present period of a budget, by its id", "budget", spent)
    yield _gauges("budget_limit_usd", "What may be spent in it, top-ups among it", "budget", limits)
    yield _gauge("leases", "Parts of budgets that are lent to processes now", found.leases)


def _of_rates(found: Figures) -> Iterator[Metric]:
    for name, field, help_ in (
        ("recent_rate_requests", "requests", "Requests that counted against a rate limit on calls, by its id"),
        ("recent_rate_waits", "waited", "Calls that waited for it"),
        ("recent_rate_wait_seconds", "wait_seconds", "Time that these waited"),
        ("recent_rate_refusals", "refused", "Calls that it did not let through"),
    ):
        counted = [(str(each.id), float(getattr(each, field))) for each in found.rates]
        yield _gauges(name, f"{help_}, in the hour that is now and the one before", "limit", counted)
    in_use = [(str(each.id), float(each.in_use)) for each in found.rates]
    yield _gauges("rate_calls_under_way", "Calls that were under way when processes last spoke", "limit", in_use)


def _moment(name: str, help_: str, at: datetime | None) -> Iterator[Metric]:
    if at is not None:
        yield _gauge(f"{name}_timestamp_seconds", help_, at.timestamp())


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(_named(name), help_, value)


def _gauges(name: str, help_: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(_named(name), help_, labels=[label])
    for of, value in values:
        family.add_metric([of], value)
    return family


def _named(name: str) -> str:
    return f"llm_settings_{name}"
