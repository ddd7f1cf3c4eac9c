"""Which services are connected, by version, and what those of older versions do not read."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.actors import Actor
from core.crypto import KeyRing
from core.manage import providers, services
from core.manage import settings as rows
from core.manage.services import Service
from core.parameters import PARAMETERS
from core.resolve import Resolver
from core.resolving.layers import Layer
from core.resolving.merge import ProviderFacts, build
from core.store import db
from core.version import VERSION
from tests.conftest import ROOT, make_user
from tests.screens import everything, open_page
from ui.health.personal_data import not_looked_for_in, personal_data_lines
from ui.health.untelling import untelling_lines

NAMES = [
    "llm-settings resolver",
    "llm-settings resolver/0.1.9",
    "llm-settings resolver/0.10.0",
    "llm-settings resolver/x",
]
OTHERS = ["llm-settings log/0.1.0", "psql", "", "my llm-settings resolver/0.0.1"]


@pytest.fixture
def old(committed: str) -> Iterator[str]:
    """Two services of 0.1.0, one each of 0.1.9 and 0.10.0, and programs that are none."""
    with ExitStack() as stack:
        for name in [*NAMES, NAMES[0], *OTHERS]:
            stack.enter_context(psycopg.connect(committed, application_name=name))
        yield committed


@pytest.mark.usefixtures("old")
def test_services_are_counted_by_version() -> None:
    """By number, not by text; a name without a version is the first one; other programs do not count."""
    with db.transaction() as session:
        assert services.connected(session) == [Service("0.1.0", 2), Service("0.1.9", 1), Service("0.10.0", 1)]
        assert services.older(session, "0.2.0") == [Service("0.1.0", 2), Service("0.1.9", 1)]
        assert services.older(session, "0.1.0") == []


@pytest.mark.usefixtures("old")
def test_a_role_without_rights_sees_them_too() -> None:
    """The app's role may read nobody else's activity; the name and the database of a connection it sees."""
    with db.transaction() as session:
        session.execute(text("CREATE ROLE nosy_test_role NOLOGIN"))
        session.execute(text("SET LOCAL ROLE nosy_test_role"))
        assert session.scalar(text("SELECT pg_has_role('pg_read_all_stats', 'MEMBER')")) is False
        assert services.connected(session)[0] == Service("0.1.0", 2)
        session.rollback()


def test_who_does_not_tell_what_calls_cost(old: str) -> None:
    """Those of before 0.2.0 count nothing, a role without the right cannot; the app, and who may tell, are not named."""
    with psycopg.connect(old, autocommit=True) as owner, ExitStack() as stack:
        owner.execute("CREATE ROLE mute_test_role LOGIN")
        try:
            mute = old.replace("postgres@", "mute_test_role@", 1)
            for name, url in (
                ("llm-settings resolver/0.2.0 none web-1:7", mute),
                ("llm-settings resolver/0.2.0 none web-1:7", mute),
                ("llm-settings resolver/0.2.0 none web-2:8", old),
                ("llm-settings app/0.2.0 none web-3:9", mute),
                ("llm-settings resolver/0.2.0 none web-3:9", mute),
                ("llm-settings resolver/0.1.9 none web-4:1", mute),
            ):
                stack.enter_context(psycopg.connect(url, application_name=name))
            with db.transaction() as session:
                found = services.untelling(session)
            stack.close()
        finally:
            owner.execute("DROP ROLE mute_test_role")
    named = [(each.role, each.place, each.why) for each in found]
    assert ("mute_test_role", "web-4:1", "version") in named
    assert [(role, why) for role, _, why in named if role == "postgres"] == [("postgres", "version")] * 3
    assert named[-1] == ("mute_test_role", "web-1:7", "role")
    assert len(named) == 5
    lines = untelling_lines(found)
    assert [(line.state, line.word) for line in lines] == [("soon", "Not counted"), ("note", "May not tell")]
    assert "role mute_test_role, on web-1:7. Whether they call is not known" in lines[1].detail
    assert "grant-reader mute_test_role --log" in lines[1].cure


def test_a_resolver_says_its_version(committed: str) -> None:
    """A service of this version is connected, and not among the older ones."""
    resolver = Resolver(committed, ring=KeyRing(None))
    resolver.start().wait(10)
    with db.transaction() as session:
        found = services.connected(session)
        assert services.older(session) == []
    resolver.close()

    assert found == [Service(VERSION, 1)]


@pytest.mark.usefixtures("old")
def test_what_older_services_do_not_read_is_said() -> None:
    """A value beyond their range, with how many read it as not set; no other value, and nothing when there is none."""
    with db.transaction() as session:
        found = services.unread_warning(
            session, {"max_tokens": 128_000, "request_timeout_ms": 300_000, "temperature": 2}
        )
        assert found is not None
        assert "3 connected services of a version before 0.2.0 read Max tokens 128,000 as not set" in found
        assert "timeout" not in found
        assert services.unread_warning(session, {"max_tokens": 100_000, "request_timeout_ms": None}) is None


@pytest.mark.parametrize("name", [name for name, parameter in PARAMETERS.items() if parameter.widened])
def test_the_version_before_reads_more_as_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What the warning says is what the rules of that version did."""
    parameter = PARAMETERS[name]
    assert parameter.widened is not None
    assert parameter.maximum is not None
    assert parameter.widened[1] < parameter.maximum
    monkeypatch.setitem(PARAMETERS, name, replace(parameter, maximum=parameter.widened[1]))  # type: ignore[misc]

    facts = ProviderFacts(1, "a", "A", "openai", None, "m", is_active=True, version=1, changes={}, open_box=None)
    for value, read in ((parameter.widened[1] + 1, parameter.default), (parameter.widened[1], parameter.widened[1])):
        answer = build(facts, [Layer("provider", 1, 1, {name: value}, {})])
        assert getattr(answer, name) == read


@pytest.mark.usefixtures("old")
def test_saving_says_it_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever saves such a value by REST or a program of their own leaves a line in the log; other values leave none."""
    admin = make_user("ada", "admin")
    with db.transaction() as session:
        rows.upsert_global(session, admin, None, {"max_tokens": 100_000})
        assert "connected services" not in caplog.text
        rows.upsert_global(session, admin, None, {"max_tokens": 128_000})

    assert "all providers: 3 connected services of a version before 0.2.0 read Max tokens 128,000" in caplog.text


@pytest.mark.usefixtures("old")
def test_pages_say_it() -> None:
    """Health lists the older services; Defaults says what they do not read, before it is saved and after."""
    admin = make_user("ada", "admin")
    _add(admin)
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = admin
    at.run()
    at.switch_page("pages/health.py").run()
    assert not at.exception
    seen = everything(at).replace("\\", "")
    assert "3 services of an older version connected: 2 of 0.1.0, 1 of 0.1.9" in seen
    assert "Upgrade services before" in seen

    at.switch_page("pages/defaults.py").run()
    assert not at.warning
    at.segmented_control(key="max_tokens_mode").set_value("value").run()
    at.number_input(key="max_tokens").set_value(128_000).run()
    assert "3 connected services" in at.warning[0].value
    at.button(key="save").click().run()
    assert not at.exception
    assert "3 connected services" in at.warning[0].value
    with db.transaction() as session:
        row = rows.get_global(session, None)
        assert row is not None
        assert row.max_tokens == 128_000


def _add(admin: Actor) -> None:
    with db.transaction() as session:
        made = {"name": "acme", "display_name": "Acme", "kind": "openai_compatible", "available_models": ["m"]}
        providers.create(session, admin, {**made, "api_base_url": "https://host.example", "default_model": "m"})


def test_five_thousand_models_are_a_provider(session: Session, admin: Actor) -> None:
    """All of them are stored, chosen from and saved again in the form, in seconds."""
    models = [f"vendor/model-{number}" for number in range(5_000)]
    made = {"name": "router", "display_name": "Router", "kind": "openai_compatible", "available_models": models}
    row = providers.create(
        session, admin, {**made, "api_base_url": "https://host.example", "default_model": models[-1]}
    )
    session.flush()
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    at.session_state["actor"] = admin
    at.run()
    begun = time.monotonic()
    at.switch_page("pages/providers.py").run()
    at.button(key="edit_router").click().run()
    assert not at.exception
    assert at.selectbox(key="provider_default_model").options[-1] == models[-1]
    assert time.monotonic() - begun < 20
    assert providers.get_by_name(session, "router").available_models == models
    assert row.default_model == models[-1]


def test_services_without_the_extra_for_phones_and_ids(committed: str) -> None:
    """Those that say so are named on Health and Privacy; those that have it, that do not say, and the app are not."""
    with ExitStack() as stack:
        for name in (
            "llm-settings resolver/0.2.0-pii none web-1:7",
            "llm-settings resolver/0.2.0-pii none web-2:8",
            "llm-settings resolver/0.2.0+pii none web-3:9",
            "llm-settings resolver/0.2.0 none web-4:10",
            "llm-settings resolver/0.2.0-pii none app-1:11",
            "llm-settings app/0.2.0 none app-1:11",
        ):
            stack.enter_context(psycopg.connect(committed, application_name=name))
        with db.transaction() as session:
            found = services.without_pii(services.processes(session))
        at = open_page("privacy", make_user("alan", "analyst"))

    assert [process.place for process in found] == ["web-1:7", "web-2:8"]
    said = "Phone numbers and national numbers are not looked for in 2 services: web-1:7, web-2:8."
    assert said in everything(at).replace("\\", "")
    assert [(line.name, line.detail) for line in personal_data_lines(found)] == [("In services", said)]
    assert [line.state for line in personal_data_lines([])] == ["ok"]
    assert len(not_looked_for_in(found * 4).split(", ")) == 6
