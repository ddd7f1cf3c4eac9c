"""The REST API for tests: behind the real middleware, in this process."""

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from httpx2 import Client, Response, TransportError
from sqlalchemy import text
from sqlmodel import Session
from starlette.applications import Starlette
from starlette.middleware import Middleware as Wrapped
from starlette.testclient import TestClient

from api import effective, health, scrape, store_figures
from api.app import mounted
from core.access import tokens
from core.actors import COMMAND_LINE, Actor
from core.manage import (
    features,
    limits,
    notifications,
    organization_keys,
    organization_members,
    organizations,
    settings,
)
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.notification_tables import NotificationDelivery
from core.store.table import id_of
from core.store.tables import User
from tests.conftest import run_async
from web import middleware
from web.middleware import Middleware
from web.request import COOKIE

HOST = "http://127.0.0.1:8501"
NEW = {"name": "acme", "displayName": "Acme", "kind": "openai", "availableModels": ["m1", "m2"], "defaultModel": "m1"}
KEY = "sk-proj-canary-0123456789abcdefghij"
KEYS = {slug: f"sk-proj-canary-of-{slug}-0123456789abcdefghij" for slug in ("acme", "beta")}
"""Organisations' own."""
ORGANIZATIONS = "/api/llm/organizations"


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the API; nobody is signed in."""
    monkeypatch.setattr(middleware, "_installed", False)  # put back afterwards: other tests run without
    # A test that rolls back has one connection, which a look beside an answer would share.
    monkeypatch.setattr(effective, "TOKEN_SECONDS", 1e9)
    reader = store_figures.Reader()  # of this test's database
    for module in (health, scrape):
        monkeypatch.setattr(module, "reader", reader)
    monkeypatch.setattr(health, "_scrapers", {})
    app = Starlette(routes=[mounted()], middleware=[Wrapped(Middleware)])
    with TestClient(app, HOST, raise_server_exceptions=False) as client:
        yield client


def token(role: str) -> dict[str, str]:
    """Make a token; return the header that signs in with it."""
    with db.transaction() as session:
        _, made = tokens.create(session, COMMAND_LINE, {"name": f"{role}-{secrets.token_hex(6)}", "role": role})
    return {"Authorization": f"Bearer {made}"}


def cookie(actor: Actor) -> dict[str, str]:
    """Sign a user in; return the header that their browser sends."""
    secret = secrets.token_urlsafe(32)
    with db.transaction() as session:
        session.execute(
            text(
                "INSERT INTO auth_sessions (user_id, auth_epoch, sid_hash, expires_at)"
                " VALUES (:user, :epoch, :hash, clock_timestamp() + interval '1 hour')"
            ),
            {"user": actor.user_id, "epoch": actor.auth_epoch, "hash": hashlib.sha256(secret.encode()).hexdigest()},
        )
    return {"Cookie": f"{COOKIE}={secret}"}


def signed_in(username: str) -> dict[str, str]:
    """The header of a user's browser, by our own page."""
    with db.transaction() as session:
        query = text("SELECT id, auth_epoch FROM users WHERE username = :name").bindparams(name=username)
        number, epoch = session.execute(query).one()
    return {**cookie(Actor(username, number, epoch)), "Origin": HOST}


@contextmanager
def traffic(url: str, signed_in: dict[str, str]) -> Iterator[Counter[int]]:
    """Programs that use the API of the app at *url* meanwhile: polls, reads and writes that are refused; yields statuses."""
    seen: Counter[int] = Counter()
    stop = threading.Event()

    def program(number: int) -> None:
        etag = ""
        with Client(base_url=url, headers=signed_in, timeout=30) as client:
            while not stop.wait(0.75):
                try:
                    polled = client.get("/api/llm/settings", headers={"If-None-Match": etag} if etag else {})
                    etag = polled.headers.get("ETag", etag)
                    read = client.get("/api/llm/providers")
                    refused = client.post("/api/llm/providers", json={"name": f"no name {number}"})
                except TransportError:
                    continue  # the app is not there: a test stops it
                seen.update(answer.status_code for answer in (polled, read, refused))

    crew = [threading.Thread(target=program, args=(number,)) for number in range(2)]
    for thread in crew:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in crew:
            thread.join()


def as_written(client: TestClient, method: str, target: str) -> tuple[int, dict[str, str]]:
    """Send a path as it is written, which a client would put right first; return the status and the headers of the answer."""
    answer: list[Any] = []

    async def send(message: Any) -> None:
        answer.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = {"host": "127.0.0.1:8501", **client.headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(target),  # as uvicorn has it
        "raw_path": target.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8501),
    }
    run_async(client.app(scope, receive, send))  # type: ignore[arg-type]  # an ASGI app
    start = answer[0]
    return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}


class Tenant(NamedTuple):
    """An organisation with all that it can have; ids."""

    organization: int
    feature: int
    settings: int
    override: int
    member: int
    """The user SLUG-member, its admin."""
    limits: int
    """Its own."""


NOBODY = Tenant(*[999_999] * 6)
"""Ids of what is not there."""


def tenant(session: Session, slug: str, provider_id: int, key: str = KEY) -> Tenant:
    """Make an organisation with a row, a feature's row, a member, a name and a key of its own."""
    made = {"slug": slug, "name": slug.title(), "external_names": [f"crm {slug}"]}
    number = id_of(organizations.create_one(session, COMMAND_LINE, made))
    feature = id_of(features.create(session, COMMAND_LINE, {"name": f"{slug}-feature", "display_name": "F"}))
    row = settings.upsert(session, COMMAND_LINE, SettingsScope(None, number), {"top_p": 0.5})
    override = settings.upsert(session, COMMAND_LINE, SettingsScope(None, number, feature), {"top_p": 0.25})
    organization_keys.set_api_key(session, COMMAND_LINE, number, provider_id, key)
    user = User(username=f"{slug}-member", role="member", password_hash="*")
    session.add(user)
    session.flush()
    organization_members.set_member(session, COMMAND_LINE, number, id_of(user), "admin")
    own = {"owner": "organization", "organization_id": number, "limits": {"max_retries": {"max": 9}}}
    limited = id_of(limits.create(session, COMMAND_LINE, own))
    return Tenant(number, feature, id_of(row), id_of(override), id_of(user), limited)


def hook(session: Session, name: str = "ops") -> tuple[int, int]:
    """Make a webhook to which a message was given up; return the ids of both."""
    row, _ = notifications.create(session, COMMAND_LINE, {"name": name, "url": "http://127.0.0.1:9/x"})
    message = NotificationDelivery(
        target_id=id_of(row),
        event="settings.changed",
        webhook_id="msg_1",
        payload={},
        failed_at=datetime.now(UTC),
    )
    session.add(message)
    session.flush()
    return id_of(row), id_of(message)


def token_of(organization_id: int, role: str) -> dict[str, str]:
    """Make a token of one organisation; return the header that signs in with it."""
    wanted = {"name": f"{role} {secrets.token_hex(6)}", "role": role, "organization_id": organization_id}
    with db.transaction() as session:
        _, made = tokens.create(session, COMMAND_LINE, wanted)
    return {"Authorization": f"Bearer {made}"}


def data(answer: Response, status: int = 200) -> Any:
    """The data of an answer that was served."""
    assert answer.status_code == status, answer.text
    whole = answer.json()
    assert whole.keys() == {"success", "data"}
    assert whole["success"] is True
    return whole["data"]


def error(answer: Response, status: int, code: str) -> dict[str, Any]:
    """The error of an answer that was refused."""
    assert answer.status_code == status, answer.text
    whole = answer.json()
    assert whole.keys() == {"success", "error"}
    assert whole["success"] is False
    assert whole["error"]["code"] == code
    assert whole["error"]["message"]
    return dict(whole["error"])
