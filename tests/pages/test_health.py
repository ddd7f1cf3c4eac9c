"""The Health page, and the line about encryption keys on the Providers page: what is wrong, in words, with the cure."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core import config, crypto
from core.actors import COMMAND_LINE, Actor
from core.audit.record import Target, record
from core.crypto import KeyRing
from core.govern import jobs
from core.govern.lifecycle import Retiring
from core.manage import health, keys, next_keys, personal_data, provider_keys, provider_secrets, providers, settings
from core.manage.scopes import SettingsScope
from core.store import db, migrate
from core.store.tables import AuthSession
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.govern.test_usage import failed, log
from tests.screens import html_texts, open_page
from ui.health import view
from ui.health.models import SHOWN, model_lines
from ui.health.view import Line, sections

page = partial(open_page, "health")

OLD, NEW = ENCRYPTION_KEY, "fedcba9876543210" * 4
OLD_ID, NEW_ID = (KeyRing(key).primary_id or "" for key in (OLD, NEW))
API_KEY = "sk-canary-0123456789abcdef"


def everything(at: AppTest) -> str:
    """All text that the page shows, as it is read: without the escapes of Markdown."""
    kinds = ("markdown", "caption", "text", "warning", "error", "success", "info", "subheader")
    shown = "\n".join([*(element.value for kind in kinds for element in getattr(at, kind)), *html_texts(at)])
    return shown.replace("\\", "").replace("\u2060", "")


def use(monkeypatch: pytest.MonkeyPatch, primary: str, *extra: str) -> None:
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", primary)
    monkeypatch.setenv("LLM_ENCRYPTION_KEYS_EXTRA", ",".join(extra))
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()


def look() -> dict[str, Line]:
    """Every row of the page, by its name."""
    with db.transaction() as session:
        found = health.look(session, crypto.get_ring())
    return {row.name: row for rows in sections(found).values() for row in rows}


def sql(statement: str) -> None:
    with db.transaction() as session:
        session.execute(text(statement))


@pytest.fixture
def stored() -> None:
    """Three providers with a key each."""
    with db.transaction() as session:
        for name in ("a", "b", "c"):
            data = {"name": name, "display_name": name.upper(), "kind": "openai", "available_models": ["m"]}
            providers.create(session, COMMAND_LINE, {**data, "api_key": API_KEY})


@pytest.mark.usefixtures("stored")
def test_all_is_well(admin: Actor) -> None:
    """A healthy store is said to be healthy first; then server, schema, size, keys, sign-ins and audit, each in words."""
    with db.transaction() as session:
        record(session, COMMAND_LINE, "seed", Target("action", None, "seed"))
        for hours in (1, -1):
            expires = datetime.now(UTC) + timedelta(hours=hours)
            session.add(AuthSession(user_id=admin.user_id, auth_epoch=1, sid_hash=str(hours), expires_at=expires))
        # Of before the password was changed: as Users and Account, this page does not count it
        session.add(
            AuthSession(user_id=admin.user_id, auth_epoch=0, sid_hash="old", expires_at=expires + timedelta(hours=9))
        )
    at = page(admin)
    shown = everything(at)

    assert [box.value for box in at.success] == ["Everything works."]
    assert f"Revision {migrate.head()}." in shown
    assert f"Key {OLD_ID} " in shown
    for words in (
        "PostgreSQL ",
        "MB on disk",
        "3 API keys.",
        "Right key",
        "Primary",
        "All 3 can be opened",
        "1 sign-in",
    ):
        assert words in shown
    assert API_KEY not in shown
    assert "postgresql://" not in shown
    assert OLD not in shown


def test_empty_store_is_well(admin: Actor) -> None:
    """Before the first key everything works, and nothing is called wrong."""
    shown = everything(page(admin))

    assert "Everything works." in shown
    assert "No API key has been stored yet." in shown


@pytest.mark.usefixtures("stored")
def test_wrong_key_and_damaged_row_are_told_apart(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 42, 43: a damaged row names the row; a wrong key names the key, and blames no row."""
    sql("UPDATE llm_providers SET api_key_encrypted = 'garbage' WHERE name = 'b'")
    damaged = look()
    sql("UPDATE llm_providers SET api_key_encrypted = NULL, api_key_key_id = NULL WHERE name = 'b'")
    use(monkeypatch, NEW)
    wrong = look()
    at = page(admin)

    assert (damaged["API key of b"].state, damaged["API key of b"].word) == ("wrong", "Damaged")
    assert "Enter the API key again" in damaged["API key of b"].detail
    assert damaged["Key of this process"].state == "ok"
    assert "API keys" not in damaged
    assert wrong["Key of this process"].word == "Wrong key"
    assert f"(known: {OLD_ID})" in wrong["Key of this process"].detail
    assert wrong[f"Key {OLD_ID}"].word == "Not in the ring"
    assert wrong[f"Key {NEW_ID}"].cure == "Seals nothing: it is the wrong key."
    assert not any(name.startswith("API key of") for name in wrong)
    assert "Something does not work" in at.error[0].value


@pytest.mark.usefixtures("stored")
def test_steps_of_a_rotation_are_shown(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """From "not in use" over "must stay" to "may go": each step says what is next, here and on the Providers page."""
    use(monkeypatch, OLD, NEW)
    first = look()
    use(monkeypatch, NEW, OLD)
    unseen = look()
    with db.transaction() as session:
        keys.check_canary(session, crypto.get_ring())
    second = look()
    listed = everything(open_page("providers", admin))
    assert "Everything works, and something is to be done" in everything(page(admin))
    list(keys.rotate(db.retrying, COMMAND_LINE, crypto.get_ring()))
    third = look()
    after = everything(open_page("providers", admin))

    assert first[f"Key {NEW_ID}"].word == "Not in use"
    assert unseen["Key of this process"].word == "New key"
    assert second[f"Key {OLD_ID}"].word == "Must stay"
    assert "3 API keys still need it" in second[f"Key {OLD_ID}"].cure
    assert second[f"Key {OLD_ID}"].word == "Must stay"
    assert OLD_ID not in listed  # of the encryption keys the Providers page tells what is wrong, and no more
    assert third[f"Key {OLD_ID}"].word == "May go"
    assert OLD_ID not in after


@pytest.mark.usefixtures("stored")
def test_providers_page_warns_of_a_wrong_key(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 42: the Providers page says once that it is the key, lists everything, and says where the old key is needed."""
    use(monkeypatch, NEW)
    at = open_page("providers", admin)
    shown = everything(at)

    assert sum("is not the key this database was used with" in box.value for box in at.error) == 1
    assert sum("Key unreadable" in row for row in html_texts(at)) == 3
    assert OLD_ID in shown
    assert NEW not in shown


@pytest.mark.usefixtures("stored")
def test_a_key_that_is_not_set_though_keys_are_stored_is_a_fault(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 22: where something is sealed, Health and Providers name the key that is missing by its id."""
    use(monkeypatch, "")
    line = look()["Key of this process"]
    at = open_page("providers", admin)

    assert (line.state, line.word) == ("wrong", "No key")
    assert line.detail.startswith(f"LLM_ENCRYPTION_KEY is not set: set the one with id {OLD_ID} for every process")
    assert sum(f"set the one with id {OLD_ID}" in box.value for box in at.error) == 1


def test_sealed_process_is_no_fault(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 22: without an encryption key the page says so, with the cure, and nothing else is wrong."""
    use(monkeypatch, "")
    assert look()["Key of this process"].word == "No key"
    assert "LLM_ENCRYPTION_KEY is not set" in everything(page(admin))
    assert "to be done" in everything(page(admin))


def test_many_damaged_rows_are_summed_up(session: Session) -> None:
    """Some are named, the rest is counted: the page stays a page."""
    for number in range(view.SHOWN + 5):
        data = {"name": f"p{number}", "display_name": "P", "kind": "openai", "available_models": ["m"]}
        providers.create(session, COMMAND_LINE, {**data, "api_key": API_KEY})
    sql("UPDATE llm_providers SET api_key_encrypted = 'garbage'")
    rows = look()

    assert sum(row.word == "Damaged" for row in rows.values()) == view.SHOWN
    assert rows["And more"].detail == "5 more API keys cannot be opened."


def test_schema_of_another_version_is_told(admin: Actor) -> None:
    """A schema that was migrated meanwhile is a red row with the command to run."""
    sql("UPDATE alembic_version SET version_num = '0001'")
    row = look()["Schema"]

    assert (row.state, row.word) == ("wrong", "Other version")
    assert "python -m core migrate" in row.cure
    assert "Something does not work" in everything(page(admin))


def test_analyst_sees_nothing_of_it(analyst: Actor) -> None:
    """The page is an admin's: it is not in an analyst's navigation, and refuses by itself."""
    at = AppTest.from_file(str(ROOT / "pages/health.py"), default_timeout=30)
    at.session_state["actor"] = analyst
    at.run()

    assert [box.value for box in at.error] == ["Admin access required. Ask an admin, or open a page from the menu."]
    assert not at.markdown
    assert not at.html


REFUSED = "The call to m of provider 'a' failed (key, 1 attempt): 401: Incorrect API key provided"


@pytest.mark.usefixtures("stored")
def test_a_key_that_the_vendor_refuses(session: Session, admin: Actor) -> None:
    """It is named by mask and fingerprint, with the next key where there is one; a call that works, or another key, ends it."""

    def refused() -> list[str]:
        return [name for name, row in look().items() if row.word == "Refused"]

    provider = providers.get_by_name(session, "a")
    provider_id = provider.id or 0
    now = datetime.now(UTC) + timedelta(seconds=5)
    call = {"provider": "a", "provider_id": provider_id, "at": now}
    log(session, failed(**call, error=REFUSED.replace("key, ", "rate_limit, ").replace("401", "429")))
    log(session, failed(**{**call, "provider": "b", "provider_id": None}, error=REFUSED))
    assert refused() == []
    log(session, failed(**call, error=REFUSED))
    assert refused() == ["API key of A"]
    row = look()["API key of A"]
    assert (row.state, provider_keys.shown_key(provider) or "?") == (
        "wrong",
        row.detail.split("refuses ")[1].split(" (401)")[0],
    )
    assert "Add the next key" in row.cure
    next_keys.add(session, admin, provider_id, f"{API_KEY}-next")
    assert "Its next key sk-cana...**** #" in look()["API key of A"].cure
    assert "test it and promote it" in everything(page(admin))
    log(session, {**call, "at": now + timedelta(seconds=1)})
    assert refused() == []
    log(session, failed(**{**call, "at": now + timedelta(seconds=2)}, error=REFUSED))
    assert refused() == ["API key of A"]
    sql("UPDATE llm_logs SET at = now() - interval '2 days'")
    assert refused() == []
    log(session, failed(**{**call, "at": datetime.now(UTC) - timedelta(minutes=1)}, error=REFUSED))
    assert refused() == []  # of before the key was set


def test_an_unreadable_header_is_named(session: Session, admin: Actor) -> None:
    """A sealed header that cannot be opened is told as one, and not as an API key."""
    data = {"name": "a", "display_name": "A", "kind": "openai", "available_models": ["m"]}
    made = providers.create(session, COMMAND_LINE, data)
    provider_secrets.set_value(session, admin, made.id or 0, "header", "X-Key", value=API_KEY, sealed=True)
    sql("UPDATE llm_provider_secrets SET name = 'X-Other'")

    assert look()["a: header X-Other"].state == "wrong"


def test_periodic_work_is_shown(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece says what it does, how it went and when it is due; one that failed says the error and the cure."""
    with db.transaction() as session:
        states = jobs.states(session)
    names = [state.job.name for state in states]
    first = everything(page(admin))
    assert "Token purge" in first
    assert all(name.replace("-", " ").capitalize() in first for name in names)
    assert first.count("Not run yet") == sum(not state.off for state in states)
    assert "LLM_MODEL_LOOKS is not daily: no vendor is asked by itself." in first
    assert "Everything works." in first

    jobs.run("usage-days")
    sql(
        "INSERT INTO jobs (name, outcome, error, failures, ended_at, next_at) VALUES"
        " ('token-purge', 'failed', 'division by zero', 3, now() - interval '5 min', now() + interval '8 min')"
    )
    sql(
        "INSERT INTO jobs (name, outcome, done, error, started_at, ended_at, next_at) VALUES ('model-looks', 'done', 3,"
        " '1 of 2 lists not got: acme: no answer', now(), now(), now() + interval '1 day')"
    )
    monkeypatch.setenv("LLM_MODEL_LOOKS", "daily")
    config.get_config.cache_clear()
    shown = everything(page(admin))

    assert "1 of 2 lists not got: acme: no answer." in shown
    assert "python -m core jobs run model-looks tries it again at once" in " ".join(shown.replace("`", "").split())
    assert re.search(r"Last just now: 0 rows in \d+\.\d s; due in", shown.replace("\\", ""))
    assert "Failed 5 min ago, 3 times in a row: division by zero." in shown
    assert "Tried again in 7 min. python -m core jobs run token-purge" in " ".join(shown.split())
    assert "Everything works, and something is to be done" in shown


def test_work_that_nobody_does_is_told(admin: Actor) -> None:
    """Due for long, while pages are served: something is wrong with the process that should do it."""
    sql(
        "INSERT INTO jobs (name, outcome, ended_at, next_at) VALUES"
        " ('usage-days', 'done', now() - interval '3 h', now() - interval '2 h')"
    )

    shown = everything(page(admin))

    assert "Last 3 h ago, due now." in shown
    assert "see their log" in shown
    assert "something is to be done" in shown


def test_growth_is_shown(admin: Actor) -> None:
    """The tables that grow with use, with size, rows, and the oldest row."""
    sql(
        "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation)"
        " SELECT now() - make_interval(hours => n), 'acme', 'm', 'ok', 1, 5, 1 FROM generate_series(72, 1, -1) AS n"
    )
    sql("ANALYZE llm_logs")

    shown = everything(page(admin))

    for name in ("Request log", "Figures by 5 minutes", "Figures by days", "Audit events"):
        assert name in shown
    assert "about 72 rows, the oldest 3 d ago. About 24 rows a day" in shown


def _ending(**fields: Any) -> Retiring:
    base = {
        "model": "m",
        "api": "OpenAI",
        "api_name": "openai",
        "kind": "openai",
        "retires": date(2026, 12, 1),
        "days": 5,
        "rerouted": False,
        "successor": "n",
        "providers": ("acme",),
        "defaults": 1,
        "chosen_by": ("acme",),
        "calls": 3,
        "price": None,
        "successor_price": None,
    }
    return Retiring(**{**base, **fields})


@pytest.mark.parametrize(
    ("fields", "notice"),
    [
        ({"days": 90}, ("note", "Within 90 days")),
        ({"days": 31}, ("note", "Within 90 days")),
        ({"days": 30}, ("soon", "Within 30 days")),
        ({"days": 7}, ("soon", "Within a week")),
        ({"days": -1}, ("wrong", "Ended")),
        ({"days": -1, "rerouted": True}, ("soon", "Ended")),
        ({"days": -1, "defaults": 0, "chosen_by": (), "calls": 0}, None),
        ({"days": 91}, None),
    ],
)
def test_ends_of_models_are_noticed_in_three_steps(fields: dict[str, Any], notice: tuple[str, str] | None) -> None:
    """90, 30 and 7 days before, with who uses it and what to do; ended and in use is wrong, or another model answers."""
    lines = model_lines([_ending(**fields)])

    assert [(line.state, line.word) for line in lines] == ([notice] if notice else [])
    for line in lines:
        assert "by default at acme, 3 calls in 30 days" in line.detail
        assert line.cure == "Change to n on the Models page."
    assert len(model_lines([_ending()] * (SHOWN + 2))) == SHOWN + 1  # the last one says how many more


def test_omissions_that_are_needed_no_more_go_at_one_press(session: Session, admin: Actor) -> None:
    """The page says how many and where; the press takes them off, on record, and then says nothing more."""
    data = {"name": "gpt", "display_name": "GPT", "kind": "openai", "available_models": ["gpt-5"]}
    made = providers.create(session, admin, {**data, "default_model": "gpt-5"}).id
    settings.upsert_global(session, admin, made, {"omitted_parameters": ["temperature", "max_tokens"]})
    at = page(admin)
    assert "1 parameter is left out by hand that would now be sent right" in everything(at)
    assert "GPT (gpt-5): Max tokens" in everything(at)
    at.button(key="send_again").click().run()

    row = settings.get_global(session, made)
    assert row is not None
    assert row.omitted_parameters == ["temperature"]
    assert not [button for button in at.button if button.key == "send_again"]


def test_a_log_of_before_an_upgrade_waits_for_a_decision(admin: Actor) -> None:
    """What an upgrade wrote is a line with its cure until somebody saves it, as it is or otherwise."""
    assert admin
    assert "Request log" not in sections(_looked())
    sql("INSERT INTO llm_pii_settings (logs, awaits_decision) VALUES ('off', true)")
    (line,) = sections(_looked())["Request log"]
    assert (line.state, line.word) == ("soon", "Not masked")
    with db.transaction() as session:
        personal_data.save(session, COMMAND_LINE, SettingsScope(), {})
    assert "Request log" not in sections(_looked())


def _looked() -> health.Health:
    with db.transaction() as session:
        return health.look(session, crypto.get_ring())
