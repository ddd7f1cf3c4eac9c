"""A database as one that is in use: providers, a long name among them, calls of a day, tokens; for pictures and for axe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from core import config
from core.access import tokens, users
from core.actors import COMMAND_LINE
from core.govern import outbox_sending
from core.manage import (
    budgets,
    env_import,
    features,
    limits,
    notifications,
    organization_keys,
    organizations,
    providers,
    rate_limits,
    seed,
    settings,
)
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.notification_tables import NotificationDelivery, NotificationTarget
from core.store.table import id_of
from tests.conftest import ENCRYPTION_KEY, PASSWORD, fresh_database
from tests.govern.test_spend import told
from tests.govern.test_usage import failed, log
from tests.pages.test_costs_budgets import use
from tests.pages.test_rate_limits import counts, vendor_allows
from tests.processes import App, running_app
from tests.vendors import KEY, Vendor


@contextmanager
def app_with(server: str, log: Path, fill: Callable[[], None], **env: str) -> Iterator[App]:
    """The app on a database of its own, filled by *fill* on this process's engine before the app begins."""
    with fresh_database(server) as url:
        with working_on(url):
            fill()
        with running_app(log, DATABASE_URL=url, LLM_PRIVATE_HOSTS="127.0.0.1", **env) as app:
            app.database = url
            yield app


@contextmanager
def working_on(url: str) -> Iterator[None]:
    """This process's engine works on another database meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        engine = db.make_engine(url)
        patch.setattr(db, "get_engine", lambda: engine)
        patch.setenv("LLM_ENCRYPTION_KEY", ENCRYPTION_KEY)
        patch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
        config.get_config.cache_clear()
        yield
        engine.dispose()
    config.get_config.cache_clear()


def add_admin() -> None:
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")


def fill(vendor: Vendor) -> None:
    add_admin()
    with db.transaction() as session:
        users.add(
            session,
            COMMAND_LINE,
            "a-name-as-long-as-it-may-be-of-somebody-in-frankfurt@example.com",
            PASSWORD,
            "analyst",
        )
        seed.seed(session, COMMAND_LINE)
        env = {"OPENAI_API_KEY": f"sk-proj-{'a1B2' * 10}", "ANTHROPIC_API_KEY": f"sk-ant-api03-{'a1B2' * 22}AA"}
        outcomes = env_import.import_env(session, COMMAND_LINE, env)
        assert {each.name for each in outcomes if each.action == "updated"} == set(env), "these pages are to show keys"
        openai = providers.get_by_name(session, "openai").id
        settings.upsert_global(
            session, COMMAND_LINE, None, {"temperature": 0.4, "custom_settings": {"team": "platform"}}
        )
        settings.upsert_global(session, COMMAND_LINE, openai, {"max_retries": 5, "log_level": "minimal"})
        providers.create(
            session,
            COMMAND_LINE,
            {
                "name": "self-hosted-inference-gateway-in-frankfurt-1",
                "display_name": "Self-hosted inference gateway in the Frankfurt data centre, for experiments only",
                "kind": "openai_compatible",
                "api_base_url": "https://inference.frankfurt.example.internal/gateway/openai/v1",
                "available_models": [f"organisation/family-{n}-instruct-long-context" for n in range(12)],
            },
        )
        local = {"name": "local", "display_name": "Local", "kind": "openai", "api_base_url": vendor.base_url("openai")}
        models = {"available_models": ["m1", "retired-model"], "default_model": "m1", "api_key": KEY}
        providers.create(session, COMMAND_LINE, {**local, **models})
        grok = {
            "name": "xai",
            "display_name": "xAI",
            "kind": "openai_compatible",
            "api_base_url": "https://api.x.ai/v1",
        }
        ended = {"available_models": ["grok-4.3", "grok-3"], "default_model": "grok-4.3"}  # it still offers the second
        providers.create(session, COMMAND_LINE, {**grok, **ended})
        _log(session)
        _organizations(session)
        _scopes(session)
        _limits(session)
        _costs(session)
        _rates(session)
        tokens.create(session, COMMAND_LINE, {"name": "billing", "role": "analyst", "expires_in_days": 7})
        tokens.create(session, COMMAND_LINE, {"name": "prometheus", "role": "metrics"})
        gone, _ = tokens.create(session, COMMAND_LINE, {"name": "nightly-import", "role": "admin"})
        tokens.revoke(session, COMMAND_LINE, gone.id or 0)
        name = "the recommendation service of the Frankfurt data centre, in its second generation, experiments only"
        tokens.create(session, COMMAND_LINE, {"name": name, "role": "admin", "expires_in_days": 365})
        _webhooks(session)


def _webhooks(session: Session) -> None:
    """One that works, one that fails with messages of each state, one that was switched off, with a long URL; Slack and e-mail."""
    url = "https://hooks.example.com/services/llm-settings"
    made = [
        id_of(notifications.create(session, COMMAND_LINE, {"name": name, "url": address})[0])
        for name, address in (
            ("ops channel", url),
            ("cache of the search", url),
            ("old receiver", f"{url}/{'x' * 150}"),
        )
    ]
    for given in (
        {"name": "llm-alerts in Slack", "kind": "slack", "url": "https://hooks.slack.com/services/one/two/x"},
        {"name": "On-call", "kind": "email", "recipients": [f"on-call-{n}@platform.corp.example" for n in range(1, 6)]},
    ):
        notifications.create(session, COMMAND_LINE, given)
    for target, status, ended in ((0, 200, "done_at"), (1, 503, "failed_at"), (1, 500, None), (2, 410, "failed_at")):
        error = None if status == 200 else f"The receiver answered {status}"
        now = datetime.now(UTC)
        session.add(
            NotificationDelivery(
                target_id=made[target],
                event="settings.changed",
                webhook_id=f"msg_{target}_{status}",
                generation=7 + target,
                payload={},
                tries=2,
                last_at=now,
                last_status=status,
                last_error=error,
                next_at=now + timedelta(hours=2, minutes=1),
                **({ended: now} if ended else {}),
            )
        )
    for row in session.exec(select(NotificationTarget)):
        row.generation = 10**9  # none of them hears of anything
    session.execute(text("UPDATE llm_alerts SET told_at = now()"))  # nor of alerts
    session.flush()
    outbox_sending.switch_off(session, made[2], "The receiver answered 410: it is gone for good")
    failing = session.get(NotificationTarget, made[1])
    if failing is not None:
        failing.failing_since = datetime.now(UTC)


def _organizations(session: Session) -> None:
    """A template, an organisation that builds on it and has a key, members and overrides, one with the longest name, two features."""
    gold = organizations.create_one(session, COMMAND_LINE, {"slug": "gold", "name": "Gold plan", "kind": "template"})
    of = {"template_id": gold.id, "external_names": ["crm-4711", "0012A00001Xyz", "billing-77", "old-42"]}
    acme = organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme GmbH", **of})
    longest = ("An organisation with a name as long as it may be, of a holding in Frankfurt, " * 3)[:200].strip()
    for entry in ({"slug": "a" * 63, "name": longest}, {"slug": "beta", "name": "Beta 株式会社", "is_active": False}):
        organizations.create_one(session, COMMAND_LINE, entry)
    openai = providers.get_by_name(session, "openai")
    key = f"sk-proj-{'c3D4' * 10}"
    organization_keys.set_api_key(session, COMMAND_LINE, acme.id or 0, openai.id or 0, key)
    for name, words in (("summarise", "Summaries of tickets, in the language of the ticket"), ("classify", None)):
        data = {"name": name, "display_name": name.capitalize(), "description": words}
        feature = features.create(session, COMMAND_LINE, data)
        settings.upsert(session, COMMAND_LINE, SettingsScope(None, None, feature.id), {"temperature": 0.0})
        settings.upsert(session, COMMAND_LINE, SettingsScope(None, acme.id, feature.id), {"max_tokens": 900})
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, acme.id), {"temperature": 0.9, "max_tokens": 4000})
    log(session, {"user_id": "sumarise", "feature": "sumarise"})


def _scopes(session: Session) -> None:
    """A template, two organisations that build on it, one with a long name, and a feature, each with settings."""
    openai = providers.get_by_name(session, "openai").id
    entry = {"slug": "plan-s", "name": "Plan S", "kind": "template"}
    tier = id_of(organizations.create_one(session, COMMAND_LINE, entry))
    long = {
        "slug": "globex-international-holding-frankfurt",
        "name": "Globex International Holding, Frankfurt am Main",
    }
    one, other = (
        id_of(organizations.create_one(session, COMMAND_LINE, {**made, "template_id": tier}))
        for made in ({"slug": "initech", "name": "Initech"}, long)
    )
    feature = id_of(features.create(session, COMMAND_LINE, {"name": "translate", "display_name": "Translate"}))
    for scope, fields in (
        (SettingsScope(None, tier), {"temperature": 0.2, "max_tokens": 4000}),
        (SettingsScope(openai, one), {"temperature": 0.3, "preferred_model": "gpt-6-luna"}),
        (SettingsScope(None, one, feature), {"max_tokens": 700, "custom_settings": {"team": "search"}}),
        (SettingsScope(openai, None, feature), {"omitted_parameters": ["top_p"]}),
        (SettingsScope(None, other), {"top_p": 0.5}),
    ):
        settings.upsert(session, COMMAND_LINE, scope, fields)


def _limits(session: Session) -> None:
    """One that puts rows out of force, an organisation's own of the longest name, one of a template, one with many rules."""
    ids = {
        slug: organizations.get_by_name(session, COMMAND_LINE, slug).id
        for slug in ("acme", "a" * 63, "gold", "initech")
    }
    openai = providers.get_by_name(session, "openai").id
    contract = "contract 4711, until the end of the year"
    for data in (
        {"limits": {"max_tokens": {"max": 800}, "log_level": {"in": ["minimal", "errors_only"]}}, "note": contract},
        {"limits": {"temperature": {"max": 0.5}}, "organization_id": ids["a" * 63], "owner": "organization"},
        {"limits": {"top_p": {"lock": True}}, "organization_id": ids["gold"], "provider_id": openai},
        {"limits": {"custom_settings.team": {"lock": True}}, "organization_id": ids["initech"], "note": "x" * 300},
    ):
        limits.create(session, COMMAND_LINE, data)


def _costs(session: Session) -> None:
    """Seven weeks of spend by twelve models, some of it unpriced; budgets of each state, one with the longest name, one from right to left."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    acme = id_of(organizations.get_by_name(session, COMMAND_LINE, "acme"))
    spent = []
    for number in range(50 * 6):
        model = f"family-{number % 12}-instruct"
        provider = ("openai", "anthropic", "self-hosted-inference-gateway-in-frankfurt-1")[number % 3]
        names = (
            acme * (number % 2),
            ("summarise", "translate", "")[number % 3],
            provider,
            model,
            "answered",
            f"K-{number % 4}",
        )
        cost = Decimal(2 + number % 12 + (number // 6) % 7) / 3
        spent.append(
            ((now - timedelta(hours=4 * number)).isoformat(), names, str(round(cost, 10)), int(number % 29 == 0))
        )
    told(session, *spent)
    for name, scope, amount, used in (
        ("Summaries, monthly", {"feature_id": features.get_by_name(session, "summarise").id}, "400", "330"),
        ("Everything", {}, "1500", "210"),
        ("Acme", {"organization_id": acme, "time_zone": "Europe/Berlin"}, "250", "250"),
        ("b" * 100, {"mode": "soft", "period": "week"}, "20", "31"),
        ("\u0645\u064a\u0632\u0627\u0646\u064a\u0629 " * 6, {"period": "total"}, "100", "12"),
        ("Off since May", {"period": "year", "is_active": False}, "10", ""),
    ):
        data = {"name": name.strip(), "amount": amount, "period": "month", **scope}
        number = id_of(budgets.create(session, COMMAND_LINE, data).row)
        if used:
            use(session, number, used, "3.5" if name == "Everything" else "0")
    first = budgets.get_by_name(session, COMMAND_LINE, "Summaries, monthly").row
    budgets.top_up(session, COMMAND_LINE, id_of(first), "50", "The campaign runs a week longer")
    budgets.correct(session, COMMAND_LINE, id_of(first), "-2.5", "The bill of October says so")


def _rates(session: Session) -> None:
    """Rate limits of each state, one above what the vendor allows, one with the longest name, one from right to left."""
    acme = id_of(organizations.get_by_name(session, COMMAND_LINE, "acme"))
    openai = providers.get_by_name(session, "openai").id
    summarise = features.get_by_name(session, "summarise").id
    for name, data, counted in (
        ("Everything", {"max_concurrent": 200}, (4000, 0, 0, 310, 61)),
        (
            "Chat at openai",
            {"requests_per_minute": 600, "tokens_per_minute": 90_000, "provider_id": openai},
            (21_000, 340, 12, 660, 0),
        ),
        ("Acme", {"requests_per_minute": 60, "organization_id": acme, "feature_id": summarise}, (900, 45, 0, 60, 3)),
        ("r" * 100, {"tokens_per_minute": 2_000_000_000, "provider_id": openai, "model": "m" * 200}, None),
        ("\u062d\u062f " * 30, {"max_concurrent": 5, "when_full": "refuse", "feature_id": summarise}, (40, 0, 0, 4, 5)),
        ("Off since May", {"requests_per_minute": 1, "model": "gpt-4o", "is_active": False}, None),
    ):
        number = id_of(rate_limits.create(session, COMMAND_LINE, {"name": name.strip(), **data}).row)
        if counted:
            counts(session, number, *counted)
    vendor_allows(session, openai or 0, "gpt-4o", 500, 30_000)


def _log(session: Session) -> None:
    """A day of calls to three providers: some fail, one is long, and of one kind the price is not known."""
    now = datetime.now(UTC)
    refused = "The call of openai (gpt-4o) failed: 429: Rate limit reached for gpt-4o in organization org-1."
    for number in range(240):
        provider, model, cost = (
            ("openai", "gpt-4o", Decimal("0.0123")),
            ("anthropic", "claude-sonnet-4-5", Decimal("0.0456")),
            ("self-hosted-inference-gateway-in-frankfurt-1", "organisation/family-1-instruct-long-context", None),
        )[number % 3]
        at = now - timedelta(minutes=6 * number)
        call = {"provider": provider, "model": model, "cost": cost, "at": at, "latency_ms": 300 + 37 * (number % 50)}
        call["user_id"] = f"user-{number % 7}"
        log(session, failed(**{**call, "cost": None, "error": refused}) if number % 17 == 4 else call)
    log(session, {"provider": "openai", "model": "gpt-4o", "prompt": "A long prompt. " * 300, "at": now})
