"""A request's id: taken from the client where it is well-formed, made otherwise; in the answer, its body, and each line of log."""

import io
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select
from starlette.testclient import TestClient

from api import readiness
from core import log_lines, redaction, request_ids
from core.actors import COMMAND_LINE
from core.audit.record import REQUEST_ID
from core.errors import StoreUnavailable
from core.govern import audit_log
from core.govern.audit_log import EventFilters
from core.store import db
from core.store.records import AuditEvent
from tests.conftest import run_async
from tests.rest import NEW, error, serving, token
from ui.audit.events import sentence

MADE = re.compile(r"[0-9a-f]{16}")
GOOD = "7f3c1a90-5e0f-4b8a-9f6e-0d1f2a3b4c5d"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API behind the middleware."""
    with serving(monkeypatch) as client:
        yield client


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the process would write to stderr."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.format = lambda record: log_lines.written(record, redaction.scrub)  # type: ignore[method-assign]  # of this handler alone
    logging.root.addHandler(handler)
    yield out
    logging.root.removeHandler(handler)


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (GOOD, True),
        ("0" * 32, True),
        ("Root=1-67891233-abcdef012345678912345678", True),
        ("a", True),
        ("x" * request_ids.LONGEST, True),
        ("x" * (request_ids.LONGEST + 1), False),
        ("", False),
        ("-begins-with-a-dash", False),
        ("two words", False),
        ("<script>", False),
        ("a\u00e9", False),
        ('"quoted"', False),
        (f"{GOOD}, {GOOD}", False),
        ("a\r\nset-cookie: x", False),
    ],
)
def test_id_is_taken_or_replaced(sent: str, taken: bool) -> None:
    """Bounded, and of characters that mean nothing in a header, a line of log, JSON or a page."""
    found = copy_context().run(request_ids.begin, sent)

    assert (found == sent) is taken
    assert taken or MADE.fullmatch(found)


@given(st.text(max_size=150))
def test_id_is_harmless_whatever_is_sent(sent: str) -> None:
    """Nothing that a client can send makes an id of other characters, or a longer one."""
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:=-]{0,99}", copy_context().run(request_ids.begin, sent))


@pytest.mark.parametrize("sent", [None, GOOD, "not good", "x" * 5000])
def test_answer_and_its_body_have_the_id(client: TestClient, sent: str | None) -> None:
    """In the header of every answer, and in the body of one that says no; two requests without one have two."""
    headers = {} if sent is None else {"X-Request-ID": sent}
    answers = [client.get(path, headers=headers) for path in ("/api/health/live", "/api/llm/providers", "/sign-in.js")]
    ids = [answer.headers["x-request-id"] for answer in answers]

    assert error(answers[1], 401, "UNAUTHENTICATED")["requestId"] == ids[1]
    if sent == GOOD:
        assert set(ids) == {GOOD}
    else:
        assert len(set(ids)) == len(ids)
        assert all(MADE.fullmatch(found) for found in ids)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/llm/settings", 401),
        ("/api/llm/settings?provider=a&provider=b", 401),
        ("/api/llm/providers/0", 422),
        ("/api/nothing", 404),
        ("/api/%00", 404),
        ("/api/llm/providers/99999", 404),
    ],
)
def test_every_refusal_of_the_api_has_the_id(client: TestClient, path: str, status: int) -> None:
    """Whichever layer refuses: the polled route, FastAPI, the router, the middleware."""
    headers = {"X-Request-ID": GOOD} | (token("admin") if status in {422, 404} else {})

    refused = client.get(path, headers=headers)

    assert refused.status_code == status
    assert refused.json()["error"]["requestId"] == refused.headers["x-request-id"] == GOOD


def test_refused_host_has_the_id(client: TestClient) -> None:
    """Also where the request goes no further than the middleware."""
    answer = client.get("/", headers={"Host": "evil.example", "X-Request-ID": GOOD})

    assert (answer.status_code, answer.headers["x-request-id"]) == (421, GOOD)


def test_log_line_of_a_failed_request(client: TestClient, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has method, path without query, status and id; so has each line that threads of the pool wrote for the request."""

    def fails(*_: object) -> object:
        logging.getLogger("core.deep").warning("deep in a thread of the pool")
        raise RuntimeError("broken")

    monkeypatch.setattr(readiness, "look", fails)
    answer = client.get("/api/health/ready?ticket=0123456789abcdef", headers={"X-Request-ID": GOOD})
    logging.getLogger("core.else").warning("outside")

    assert error(answer, 500, "INTERNAL_ERROR")["requestId"] == GOOD
    assert f"WARNING core.deep [{GOOD}]: deep in a thread" in log.getvalue()
    line = f"ERROR web.middleware [{GOOD}]: A request failed: GET /api/health/ready, status 500"
    assert line in log.getvalue().splitlines()[1]
    assert "ticket" not in log.getvalue()
    assert "WARNING core.else: outside" in log.getvalue()


def test_outage_is_logged_with_the_id_of_a_request_that_met_it(
    client: TestClient, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 is found in the log by its id."""
    headers = token("admin")
    away = db.make_engine("postgresql://nobody:x@127.0.0.1:9/none")
    monkeypatch.setattr(db, "get_engine", lambda: away)
    monkeypatch.setattr("core.store.outages.causes._logged", {})

    answer = client.get("/api/llm/providers", headers=headers | {"X-Request-ID": GOOD})

    assert error(answer, 503, StoreUnavailable().code)["requestId"] == GOOD
    assert f"ERROR core.store.outages [{GOOD}]: " in log.getvalue()
    away.dispose()


def test_audit_has_the_id(client: TestClient) -> None:
    """Of what a request changed, and of what it was refused; the page's sentence of an event does not speak of it."""
    found: dict[str, Any] = {}
    for role, name in (("admin", "acme"), ("analyst", "other")):
        headers = token(role) | {"X-Request-ID": f"{GOOD}-{role}"}
        client.post("/api/llm/providers", headers=headers, json={**NEW, "name": name})
    with db.transaction() as session:
        for event in session.exec(select(AuditEvent)):
            found[event.action] = event.changes.get(REQUEST_ID, {}).get("after")
        (made,) = audit_log.search(session, COMMAND_LINE, EventFilters(action="provider.create")).rows

    assert found["provider.create"] == f"{GOOD}-admin"
    assert found["denied"] == f"{GOOD}-analyst"
    assert found["token.create"] is None, "it was made outside of any request"
    assert REQUEST_ID in made.changes
    update = made._replace(action="provider.update", changes={REQUEST_ID: made.changes[REQUEST_ID], "kind": {}})
    assert sentence(update).endswith(" · Kind")


def test_threads_of_the_pool_and_their_tasks_know_the_id() -> None:
    """As anyio starts them; another thread, and another request, know nothing of it."""

    async def one(sent: str) -> Any:
        request_ids.begin(sent)
        return await anyio.to_thread.run_sync(request_ids.current)

    async def both() -> list[Any]:
        return [await one("first"), await one("second")]

    assert run_async(both()) == ["first", "second"]
    with ThreadPoolExecutor(1) as crew:
        assert crew.submit(request_ids.current).result() == ""
    assert json.dumps(request_ids.current()) == '""'
