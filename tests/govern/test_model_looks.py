"""The daily look at vendors' lists: one request a place, only where it is wanted, and what is not got is named."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core import config
from core.actors import COMMAND_LINE
from core.errors import BadConfig
from core.govern import jobs, model_looks
from core.govern.jobs import JOBS, Runner
from core.govern.partly import Partly
from core.manage import model_facts, providers
from core.store import db
from tests.govern.test_jobs import until
from tests.processes import core
from tests.vendors import KEY, Status, Vendor, unused

LOOKS = [job for job in JOBS if job.name == "model-looks"]
LIST = Status(200, {}, {"object": "list", "data": [{"id": "m1", "object": "model", "context_window": 77}]})


@pytest.fixture
def dead() -> Iterator[str]:
    """A base URL at which nobody answers."""
    with unused() as port:
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    monkeypatch.setenv("LLM_MODEL_LOOKS", "daily")
    config.get_config.cache_clear()
    with Vendor() as vendor:
        yield vendor


def _add(name: str, url: str, **more: object) -> None:
    data: dict[str, object] = {
        "name": name,
        "display_name": name,
        "kind": "openai",
        "api_base_url": url,
        "default_model": "m1",
    }
    data["available_models"] = ["m1"]
    with db.transaction() as session:
        providers.create(session, COMMAND_LINE, {**data, "api_key": KEY, **more})


def _contexts() -> list[int]:
    with db.transaction() as session:
        return [row.facts["context"] for row in model_facts.list_all(session, origin="observed")]


def test_each_place_is_asked_once_for_its_list_alone(session: Session, vendor: Vendor, dead: str) -> None:
    """Two providers of a place, one that is off and one without a key: one request, no call; the list is kept, and on record."""
    _add("acme", f"{vendor.url}/v1")
    _add("acme-too", f"{vendor.url}/v1")
    _add("asleep", dead, is_active=False)
    _add("keyless", dead, api_key=None)
    vendor.fail(LIST)

    assert jobs.run("model-looks") == 1

    assert [(asked.method, asked.path) for asked in vendor.asked] == [("GET", "/v1/models")]
    assert _contexts() == [77]
    said = session.execute(text("SELECT action, actor FROM audit_events WHERE actor = :a"), {"a": jobs.ACTOR.name})
    assert said.all() == [("model_facts.observe", jobs.ACTOR.name)]
    assert jobs.states(session, LOOKS)[0].error is None


def test_lists_that_are_not_got_are_named(session: Session, vendor: Vendor, dead: str) -> None:
    """A dead server and a key that is refused stop nobody; the run is done, due in a day, and says whose list is missing."""
    _add("acme", f"{vendor.url}/v1")
    _add("dead", dead)
    with Vendor(keys=("sk-another",)) as strict:
        _add("strict", f"{strict.url}/v1")
        vendor.fail(LIST)
        assert jobs.run("model-looks") == 1

    (state,) = jobs.states(session, LOOKS)
    assert (state.outcome, state.done, state.failures) == ("done", 1, 0)
    assert (state.error or "").startswith("2 of 3 lists not got: dead: no connection")
    assert "strict: 401" in (state.error or "")
    assert KEY not in (state.error or "")
    assert state.next is not None
    assert state.next > datetime.now(UTC) + timedelta(hours=20)
    assert _contexts() == [77]


def test_where_the_first_is_refused_the_next_is_asked(session: Session, vendor: Vendor) -> None:
    """Two providers of a place, and one of them has a key that does not work any more."""
    _add("acme", f"{vendor.url}/v1", api_key=KEY.replace("right", "wrong"))
    _add("acme-too", f"{vendor.url}/v1")
    assert jobs.run("model-looks") == 0
    assert len(vendor.asked) == 2
    assert jobs.states(session, LOOKS)[0].error is None


@pytest.mark.usefixtures("session")
def test_it_is_bounded_in_time(vendor: Vendor) -> None:
    """Who was not asked by the end of the time is named, and not dialled."""
    _add("acme", f"{vendor.url}/v1")
    with pytest.raises(Partly, match="acme: not asked within 0 seconds"):
        model_looks.look(db.retrying, jobs.ACTOR, longest=0)
    assert not vendor.asked


@pytest.mark.usefixtures("committed")  # the runner's thread has a connection of its own
def test_nobody_is_dialled_unless_it_is_wanted(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner does the job once it is switched on, and not before; another word than daily is refused at the start."""
    _add("acme", f"{vendor.url}/v1")
    for value, dials in (("", False), ("daily", True)):
        monkeypatch.setenv("LLM_MODEL_LOOKS", value)
        config.get_config.cache_clear()
        others = [
            job for job in JOBS if job.name == "token-purge"
        ]  # after it, so that its end shows that the look came by
        runner = Runner([*LOOKS, *others], first=0.05, look=0.1)
        with db.transaction() as session:
            session.execute(text("DELETE FROM jobs"))
        runner.start()
        try:
            until(lambda: _has_run("token-purge"))
        finally:
            runner.close()
        assert bool(vendor.lines) is dials
    with pytest.raises(BadConfig, match="must be daily"):
        config.check_at_start(config.Config.read({"LLM_MODEL_LOOKS": "hourly"}))


def _has_run(name: str) -> bool:
    with db.transaction() as session:
        return bool(session.execute(text("SELECT outcome FROM jobs WHERE name = :name"), {"name": name}).scalar())


def test_by_command(committed: str, vendor: Vendor, dead: str) -> None:
    """`jobs run` does it also where it is off, and names what is missing; `jobs list` says so afterwards."""
    assert not vendor.asked
    _add("dead", dead, api_key=None, needs_key=False)
    where = {"DATABASE_URL": committed, "LLM_PRIVATE_HOSTS": "127.0.0.1", "LLM_MODEL_LOOKS": ""}

    done = core("jobs", "run", "model-looks", **where)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Done: 0 rows. 1 of 1 list not got: dead: no connection")
    listed = core("jobs", "list", **where).stdout
    assert "0 rows. 1 of 1 list not got: dead: no connection" in listed
    assert "Off: LLM_MODEL_LOOKS is not daily" in listed
