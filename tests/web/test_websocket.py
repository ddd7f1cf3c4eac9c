"""Attacks over the websocket and the sign-in's own routes, against the real process.

How many sign in at once is for `LLM_TEST_SIGN_INS` to say: 40, or 100 in the nightly run.
"""

import ast
import http.client
import json
import math
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import pytest
from sqlalchemy import Engine, text
from sqlmodel import select
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import InvalidStatus

from core.access import sessions, users
from core.actors import COMMAND_LINE, Actor
from core.manage import providers, settings
from core.parameters import PARAMETERS
from core.store import db
from core.store.records import AuditEvent, LoginAttempt
from core.store.tables import AuthSession, LlmProvider, User
from tests import screens
from tests.conftest import PASSWORD, ROOT, fresh_database, make_user
from tests.processes import App, environment, running_app
from tests.shares import share
from tests.streamlit_client import Client, client_socket, handshake, raw, streamlit_client
from ui.navigation import SCREENS, names_for
from web.answers import security_headers
from web.connections import LINE_BYTES
from web.leaving import STAY
from web.middleware import ANONYMOUS_SOCKETS, SOCKETS
from web.request import COOKIE

pytestmark = pytest.mark.browser  # speaks to the whole process as a browser does, and is as slow

PAGES = [path.stem for path in screens.PAGES]
FOR_EVERYBODY = set(names_for("analyst"))
SIGN_IN = ["Username", "Password", "sign_in_button"]
ENDED = "Your sign-in has ended. Sign in again."
SIGN_INS = int(os.environ.get("LLM_TEST_SIGN_INS", "40"))
WRONG = "The username or the password is wrong."

# Notes each name that the process looks up and each address that it dials; libpq and uvloop are not Python, and not
# what is looked for.
SPY = """
import sys
def note(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        with open(%r, "a", encoding="utf-8") as out:
            print(event, arguments[-1] if event in {"socket.connect", "socket.sendto"} else arguments[0], file=out)
sys.addaudithook(note)
"""


class Process(NamedTuple):
    """The app, the engine on its database, and the file with what it dialled."""

    app: App
    engine: Engine
    url: str
    dialled: Path


class Person(NamedTuple):
    """Somebody who has signed in."""

    actor: Actor
    secret: str

    @property
    def cookie(self) -> str:
        """The Cookie header of their browser."""
        return f"{COOKIE}={self.secret}"


def _process(server: str, folder: Path, **env: str) -> Iterator[Process]:
    dialled = folder / "dialled"
    (folder / "sitecustomize.py").write_text(SPY % str(dialled), encoding="utf-8")
    with fresh_database(server) as url:
        engine = db.make_engine(url)
        try:
            with running_app(folder / "log", DATABASE_URL=url, PYTHONPATH=f"{folder}:{ROOT}", **env) as app:
                yield Process(app, engine, url, dialled)
        finally:
            engine.dispose()


@pytest.fixture(scope="module")
def process(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One app for the tests of this module: each makes users and providers of its own."""
    yield from _process(server, tmp_path_factory.mktemp("app"))


@pytest.fixture
def app(process: Process, monkeypatch: pytest.MonkeyPatch) -> App:
    """The app of this module; what a test does by core is done on its database."""
    monkeypatch.setattr(db, "get_engine", lambda: process.engine)
    return process.app


@pytest.fixture
def fresh(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """An app of the test's own."""
    for made in _process(server, tmp_path):
        monkeypatch.setattr(db, "get_engine", lambda made=made: made.engine)
        yield made


def new_user(role: str) -> Actor:
    return make_user(f"{role}-{uuid.uuid4().hex[:8]}", role)


def sign_in(role_or_actor: str | Actor) -> Person:
    """Sign a user in as the pages and the middleware do."""
    actor = new_user(role_or_actor) if isinstance(role_or_actor, str) else role_or_actor
    with db.transaction() as session:
        user = session.get(User, actor.user_id)
        assert user is not None
        signed_in, ticket = sessions.begin(session, user, "127.0.0.1", "Firefox", ticket=True)
    with db.transaction() as session:
        secret = sessions.exchange(session, ticket or "")
    assert secret is not None
    return Person(signed_in, secret)


def connect(app: App, person: Person | None = None, **more: Any) -> Any:
    """A websocket with the person's cookie, or without."""
    return streamlit_client(app.port, cookie=person.cookie if person else more.pop("cookie", None), **more)


def only_the_sign_in(client: Client) -> bool:
    """Whether the page is the sign-in and nothing else."""
    return client.titles() == ["LLM Settings"] and client.keys() == SIGN_IN


def scalar(sql: str, **values: Any) -> Any:
    with db.transaction() as session:
        return session.execute(text(sql), values).scalar_one()


def stored() -> str:
    """A fingerprint of all that the pages can change."""
    rows = "SELECT coalesce(md5(string_agg(t::text, ',' ORDER BY id)), '') FROM {} t"
    tables = ("llm_providers", "llm_settings", "users")
    live = scalar("SELECT count(*) FROM auth_sessions WHERE revoked_at IS NULL")
    return " ".join([*(str(scalar(rows.format(table))) for table in tables), str(live)])


def denials(actor: Actor) -> list[AuditEvent]:
    with db.transaction() as session:
        query = select(AuditEvent).where(AuditEvent.action == "denied", AuditEvent.actor == actor.name)
        return list(session.exec(query))


def log_since(app: App, size: int) -> str:
    return app.output()[size:]


def new_provider(**fields: Any) -> LlmProvider:
    name = f"p-{uuid.uuid4().hex[:8]}"
    data = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m1"], "default_model": "m1"}
    with db.transaction() as session:
        return providers.create(session, COMMAND_LINE, {**data, **fields})


# ---- Sign-in, the whole way ----


def test_signs_in_by_the_form_and_the_ticket(app: App) -> None:
    """CHECKS 1: the form over the websocket, the ticket over HTTP, the cookie: the page; after Sign out the same cookie is nothing."""
    name = f"grace-{uuid.uuid4().hex[:8]}"
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, name, PASSWORD, "analyst")
    with connect(app) as client:
        assert only_the_sign_in(client.open())
        ticket = fill_in(client, name, PASSWORD).ticket()
        assert ticket
        status, headers, _ = post_ticket(app, ticket)
        assert only_the_sign_in(client.open())  # the websocket without the cookie is nobody's still
    assert status == 204
    cookie = headers.partition("set-cookie: ")[2].partition(";")[0]
    with connect(app, cookie=cookie) as tab, connect(app, cookie=cookie) as other_tab:
        assert tab.open().titles() == ["Effective Preview"]
        assert other_tab.open().titles() == ["Effective Preview"]
        assert only_the_sign_in(tab.click("sign_out"))
        assert ENDED in other_tab.click("sign_out").alerts() or only_the_sign_in(other_tab)
    with connect(app, cookie=cookie) as replayed:
        assert only_the_sign_in(replayed.open())
        assert only_the_sign_in(replayed.open("effective_preview"))


def fill_in(client: Client, username: str, password: str, seconds: float = 60) -> Client:
    """Fill in the sign-in form and press the button."""
    client.type("Username", username)
    client.type("Password", password)
    client.rerun(client.widget("sign_in_button").state(value=True), wait=False)
    return client.settle(seconds)


def post_ticket(app: App, ticket: str, **more: str) -> tuple[int, str, bytes]:
    """POST a ticket as the page's script does, with other or (empty) without headers."""
    body = json.dumps({"ticket": ticket}).encode()
    host = f"127.0.0.1:{app.port}"
    headers = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json"}
    return post(app, body, {**headers, **{k.replace("_", "-"): v for k, v in more.items()}})


def post(app: App, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    head = "\n".join(["POST /sign-in HTTP/1.1", *lines, f"Content-Length: {len(body)}"])
    return raw(app.port, head.encode("latin-1"), body)


# ---- 1 to 4, 11: what is pressed after the rights are gone ----


def change_role(client: Client) -> str:
    key = f"role_{new_user_shown(client)}"
    client.click(key)
    return "user_save"


def disable_user(client: Client) -> str:
    key = f"disable_{new_user_shown(client)}"
    client.click(key)
    return "user_save"


def add_user(client: Client) -> str:
    client.go("Users").click("add_user")
    client.type("new_username", f"mallory-{uuid.uuid4().hex[:8]}")
    client.type("new_password", "a sentence for mallory")
    return "user_save"


def delete_provider(client: Client) -> str:
    name = new_provider().name
    client.go("Providers").pick(f"more_{name}", "Delete")
    client.type("delete_name", name)
    return "delete_confirm"


def remove_key(client: Client) -> str:
    name = new_provider(api_key="sk-" + "x" * 40).name
    client.go("Providers").pick(f"more_{name}", "Remove key")
    return "remove_key_confirm"


def edit_provider(client: Client) -> str:
    name = new_provider().name
    client.go("Providers").click(f"edit_{name}")
    client.use("provider_description", "changed")
    return "provider_save"


def switch_provider(client: Client) -> str:
    provider = new_provider()
    client.go("Providers")
    return f"active_{provider.name}"


def save_defaults(client: Client) -> str:
    name = new_provider().name
    client.go("Defaults").use("scope", scope_option(client, name))
    client.use("max_tokens_mode", "Value").use("max_tokens", 1234)
    return "save"


def reset_defaults(client: Client) -> str:
    provider = new_provider()
    with db.transaction() as session:
        settings.upsert_global(session, COMMAND_LINE, provider.id, {"max_tokens": 77})
    client.go("Defaults").use("scope", scope_option(client, provider.name))
    client.click("reset")
    return "reset_confirm"


def scope_option(client: Client, name: str) -> str:
    return next(str(option) for option in client.widget("scope").message.options if option.endswith(f"·  {name}"))


def new_user_shown(client: Client) -> str:
    name = new_user("analyst").name
    client.go("Users").use("search", name)  # there may be more users than a page of the list has
    return name


PRESSES = [
    change_role,
    disable_user,
    add_user,
    delete_provider,
    remove_key,
    edit_provider,
    switch_provider,
    save_defaults,
    reset_defaults,
]


def log_out(person: Person) -> None:
    with db.transaction() as session:
        sessions.end(session, person.actor, person.actor.session_id or 0)


def take_role(person: Person) -> None:
    with db.transaction() as session:
        users.set_role(session, COMMAND_LINE, person.actor.user_id or 0, "analyst")


def new_password(person: Person) -> None:
    with db.transaction() as session:
        users.set_password(session, COMMAND_LINE, person.actor.user_id or 0, "another long sentence")


def disable(person: Person) -> None:
    with db.transaction() as session:
        users.set_active(session, COMMAND_LINE, person.actor.user_id or 0, active=False)


def expire(person: Person) -> None:
    move = "UPDATE auth_sessions SET last_seen_at = last_seen_at - interval '31 minutes' WHERE id = :id"
    with db.transaction() as session:
        session.execute(text(move), {"id": person.actor.session_id})


@pytest.fixture
def another_admin(app: App) -> Actor:  # noqa: ARG001 - the database is its
    """Somebody who stays admin: the last one may be neither disabled nor made analyst."""
    return new_user("admin")


@pytest.mark.usefixtures("another_admin")
@pytest.mark.parametrize("prepare", PRESSES, ids=lambda prepare: prepare.__name__)
def test_press_after_logout_changes_nothing(app: App, prepare: Callable[[Client], str]) -> None:
    """CHECKS 4, 11: the last button of each change, pressed after logout, as its dialog's fragment and as a whole run: denied."""
    person = sign_in("admin")
    with connect(app, person) as client, connect(app, person, source="127.0.0.3") as other_tab:
        forged = client.widget(prepare(client.open())).state(value=True)
        fragment = client.fragment_of(forged.id.removeprefix("$$ID-").partition("-")[2])
        page = client.page
        other_tab.open()
        log_out(person)
        before = stored()
        client.rerun(forged, fragment_id=fragment)  # as the browser would
        assert ENDED in client.alerts()
        for hashed, fragment_id in ((page, ""), (page, fragment), ("", ""), (client.page, fragment)):
            client.force(forged, page_script_hash=hashed, fragment_id=fragment_id)
            assert only_the_sign_in(client) or fragment_id
        other_tab.force(forged, page_script_hash=page, fragment_id=fragment)
        other_tab.rerun(forged, page_script_hash=page)
        assert only_the_sign_in(other_tab)

    assert stored() == before
    on_record = denials(person.actor)
    assert [(e.actor_id, e.target) for e in on_record] == [(person.actor.user_id, "page.view")] * 2
    assert {e.address for e in on_record} == {"127.0.0.1", "127.0.0.3"}


@pytest.mark.parametrize("prepare", PRESSES, ids=lambda prepare: prepare.__name__)
def test_the_same_press_before_logout_changes_it(app: App, prepare: Callable[[Client], str]) -> None:
    """CHECKS 4: the presses above are real ones: while the sign-in holds each of them changes something."""
    with connect(app, sign_in("admin")) as client:
        key = prepare(client.open())
        before = stored()
        client.use(key, value=False)

    assert stored() != before


@pytest.mark.usefixtures("another_admin")
@pytest.mark.parametrize("prepare", PRESSES, ids=lambda prepare: prepare.__name__)
def test_role_removed_while_the_page_is_open(app: App, prepare: Callable[[Client], str]) -> None:
    """CHECKS 3, 11: the next click is denied, nothing changes, and the denial is on record with who and from where."""
    person = sign_in("admin")
    with connect(app, person, source="127.0.0.9") as client:
        key = prepare(client.open())
        take_role(person)
        before = stored()
        client.use(key, value=False)
        assert ENDED in client.alerts()
        assert only_the_sign_in(client.open())

    assert stored() == before
    event = denials(person.actor)[0]
    assert (event.actor, event.actor_id, event.address) == (person.actor.name, person.actor.user_id, "127.0.0.9")


@pytest.mark.usefixtures("another_admin")
@pytest.mark.parametrize("end", [log_out, new_password, disable, take_role, expire], ids=lambda end: end.__name__)
def test_cookie_replayed_after_its_end(app: App, end: Callable[[Person], None]) -> None:
    """CHECKS 1, 2: after logout, password change, disabling, change of role and half an hour: the sign-in alone, on each page."""
    person = sign_in("admin")
    with connect(app, person) as client:
        assert client.open().titles() == ["Providers"]
        hashes = client.pages
    end(person)
    with connect(app, person) as client:
        assert only_the_sign_in(client.open())
        for page in PAGES:
            assert only_the_sign_in(client.open(page)), page
        for title, page_hash in hashes.items():
            assert only_the_sign_in(client.rerun(page_script_hash=page_hash)), title
    if end is take_role:
        with connect(app, sign_in(person.actor)) as client:
            assert client.open().titles() == ["Effective Preview"]
            assert set(client.pages) == {SCREENS[name].title for name in FOR_EVERYBODY}


@pytest.mark.parametrize(
    ("left", "page", "name", "here", "there"),
    [
        ("Audit", "Usage", "provider", "one", "other"),
        ("Usage", "Audit", "provider", "one", "other"),
        ("Users", "Audit", "since", "24 hours", "7 days"),
        ("Audit", "Users", "since", "24 hours", "7 days"),
    ],
)
def test_back_to_a_page_with_a_filter_of_the_same_name(
    app: App, left: str, page: str, name: str, here: str, there: str
) -> None:
    """What its address says is in force and stays there, though a field of the page that is left has that name."""
    with connect(app, sign_in("admin")) as client:
        client.open().rerun(page_script_hash=client.pages[left])
        client.back(left, f"{name}={quote_plus(here)}")
        assert (client.titles(), client.widget(name).value) == ([left], here)
        client.back(page, f"{name}={quote_plus(there)}")
        assert (client.titles(), client.widget(name).value) == ([page], there)
        assert client.query == f"{name}={quote_plus(there)}"


# ---- 5, 10: what belongs to others ----


def test_id_of_another_users_widget_does_nothing(app: App) -> None:
    """CHECKS 5: an analyst, and an admin without that dialog, send the ids and fragments of an admin's open dialog."""
    provider = new_provider()
    owner, analyst, admin = sign_in("admin"), sign_in("analyst"), sign_in("admin")
    with connect(app, owner) as theirs:
        theirs.open().pick(f"more_{provider.name}", "Delete")
        confirm = theirs.widget("delete_confirm").state(value=True)
        typed = theirs.widget("delete_name").state(provider.name)
        fragment, page = theirs.fragment_of("delete_confirm"), theirs.page
        before = stored()
        for person in (analyst, admin, None):
            with connect(app, person) as client:
                client.open()
                for page_hash, fragment_id in ((page, ""), (page, fragment), ("", fragment), ("", "")):
                    client.force(typed, confirm, page_script_hash=page_hash, fragment_id=fragment_id)
                    assert client.find("delete_confirm") is None
        assert stored() == before
        theirs.type("delete_name", provider.name)
        theirs.click("delete_confirm")  # the owner's dialog is unharmed
        assert stored() != before


def test_page_outside_the_roles_navigation_is_not_run(app: App) -> None:
    """CHECKS 10: an analyst asks for the admins' pages by hash, by name and by both: whom to ask, and nothing else."""
    with connect(app, sign_in("admin")) as client:
        pages = client.open().pages
    person = sign_in("analyst")
    asked = 0
    with connect(app, person) as client:
        own = {*client.open().keys(), *client.go("Account").keys()}
        for name in PAGES:
            title = SCREENS[name].title
            if name in FOR_EVERYBODY:
                continue
            for page_hash, page_name in ((pages[title], ""), ("", name), (pages[title], name), (pages[title], "x")):
                client.rerun(page_script_hash=page_hash, page_name=page_name)
                if client.titles():  # what is asked for by two names is no page: their own stands in its place
                    assert (page_name, client.titles()) == ("x", ["Effective Preview"])
                    drawn = {
                        key for key in set(client.keys()) if not key.startswith(("preview", "compare", "language"))
                    }
                    assert drawn <= own | {"sign_out", "provider", "other", "download"}
                else:
                    assert client.alerts() == ["Admin access required. Ask an admin, or open a page from the menu."]
                    assert client.keys() == ["sign_out", STAY]
                    assert not client.not_found
                asked += 1
    assert asked == 4 * (len(PAGES) - len(FOR_EVERYBODY)) > 0


def test_old_probers_send_no_host(app: App) -> None:
    """HTTP/1.0, and names that only a balancer knows: health is answered, pages and the rest of REST are not."""
    for lines in (b" HTTP/1.0", b" HTTP/1.1\nHost: llm-settings.monitoring.svc:8501\nConnection: close"):
        assert raw(app.port, b"GET /api/health/live" + lines)[0] == 200
        assert raw(app.port, b"HEAD /api/health/ready" + lines)[0] == 200
        assert raw(app.port, b"GET /api/metrics" + lines)[0] == 401
        for path in (b"/", b"/api/llm/settings", b"/_stcore/health"):
            assert raw(app.port, b"GET " + path + lines)[0] == 421


def test_page_opened_first_on_a_fresh_process(fresh: Process) -> None:
    """CHECKS 9: before anyone called st.navigation the entry file draws the sign-in for strangers, and then each page in its frame."""
    admin, analyst = sign_in("admin"), sign_in("analyst")
    for name in PAGES:
        with connect(fresh.app) as client:
            client.open(name)
            assert only_the_sign_in(client), name
    hashes = {}
    for name in PAGES:
        with connect(fresh.app, analyst) as client:
            client.open(name)
            assert client.find("sign_out") is not None, f"{name} was drawn without its frame"
            if name in FOR_EVERYBODY:
                assert client.titles() == [SCREENS[name].title]
            else:
                assert client.alerts() == ["Admin access required. Ask an admin, or open a page from the menu."]
                assert (client.titles(), set(client.keys())) == ([], {"sign_out", STAY}), name
        with connect(fresh.app, admin) as client:
            assert client.open(name).titles() == [SCREENS[name].title]
            hashes[name] = client.pages[SCREENS[name].title]
    for name, by_hash in hashes.items():
        with connect(fresh.app) as client:
            assert only_the_sign_in(client.rerun(page_script_hash=by_hash)), name
    assert {event.target for event in denials(analyst.actor)} == {"page.view"}


# ---- 6, 7: the session's id, and our headers ----


def test_session_id_alone_takes_over_nothing(app: App) -> None:
    """CHECKS 6: who sends the id of a living session without its cookie, or with another one, gets a fresh session."""
    owner, other = sign_in("admin"), sign_in("analyst")
    again = sign_in(owner.actor)
    with connect(app, owner) as mine:
        mine.open().use("search", "typed by the owner")
        mine.session_id = mine.session_id
        attacks: list[tuple[dict[str, Any], str]] = [
            ({}, "LLM Settings"),
            ({"origin": None}, "LLM Settings"),
            ({"cookie": f"{COOKIE}={'x' * 43}"}, "LLM Settings"),
            ({"cookie": other.cookie}, "Effective Preview"),
            ({"cookie": again.cookie}, "Providers"),  # the owner's other sign-in: its own session
        ]
        for more, title in attacks:
            with connect(app, session_id=mine.session_id, **more) as attacker:
                assert attacker.open().titles() == [title]
                assert attacker.session_id != mine.session_id
                assert not any(getattr(w.message, "value", "") == "typed by the owner" for w in attacker.widgets())
            assert mine.click("add_provider").find("provider_save")  # the owner is still connected, and signed in
    for more, title in attacks:  # and while the owner is away: Streamlit keeps the session for two minutes
        with connect(app, session_id=mine.session_id, **more) as attacker:
            assert attacker.open().titles() == [title]
            assert attacker.session_id != mine.session_id
    with connect(app, owner, session_id=mine.session_id) as back:
        back.rerun(page_script_hash=mine.page)
        assert back.session_id == mine.session_id
        assert back.titles() == ["Providers"]
        assert back.find("provider_save")  # the dialog that was open


def test_ended_owner_gets_nothing_back(app: App) -> None:
    """CHECKS 6: after logout not even the owner's cookie and session id together reach what the session held."""
    owner = sign_in("admin")
    with connect(app, owner) as mine:
        mine.open().click("add_provider")
    log_out(owner)
    with connect(app, owner, session_id=mine.session_id) as back:
        assert only_the_sign_in(back.rerun(page_script_hash=mine.page))


@pytest.mark.parametrize(
    "name",
    [
        "x-llm-settings-session",
        "X-LLM-SETTINGS-SESSION",
        "X-Llm-Settings-Session",
        "x_llm_settings_session",
        "X-LLM_SETTINGS-SESSION",
    ],
)
def test_clients_own_session_header_is_ignored(app: App, name: str) -> None:
    """CHECKS 7: a valid secret in our header, without a cookie or beside another one, is nobody's."""
    admin, analyst = sign_in("admin"), sign_in("analyst")
    with connect(app, headers={name: admin.secret}) as client:
        assert only_the_sign_in(client.open())
    with connect(app, analyst, headers={name: admin.secret}) as client:
        assert client.open().titles() == ["Effective Preview"]


@pytest.mark.parametrize(
    "name",
    ["x-llm-settings-address", "X-LLM-Settings-Address", "x_llm_settings_address", "X-Forwarded-For", "X-Real-IP"],
)
def test_clients_own_address_is_ignored(app: App, name: str) -> None:
    """CHECKS 7, 28: no header moves the address that the throttle and the audit see; uvicorn believes X-Forwarded-For here."""
    username = f"nobody-{uuid.uuid4().hex[:8]}"
    newest = scalar("SELECT coalesce(max(id), 0) FROM audit_events")
    with connect(app, headers={name: "203.0.113.9"}) as client:
        assert WRONG in fill_in(client.open(), username, "not the password").alerts()
    with connect(app, source="127.0.0.4", headers={name: "203.0.113.9"}) as client:
        assert WRONG in fill_in(client.open(), username, "not the password").alerts()

    with db.transaction() as session:
        tries = session.exec(select(LoginAttempt.address).order_by(LoginAttempt.id.desc()).limit(2)).all()  # type: ignore[union-attr]
        events = session.exec(select(AuditEvent.address).where(AuditEvent.id > newest, AuditEvent.actor_id.is_(None)))  # type: ignore[operator,union-attr]
        assert {*tries, *events} <= {"127.0.0.1", "127.0.0.4"}


# ---- 8: names and origins ----


def test_names_and_origins(process: Process) -> None:
    """CHECKS 8: foreign ones are refused before Streamlit sees them, on websocket and HTTP, and nothing is looked up for it."""
    app, before = process.app, len(process.app.output())
    port = str(app.port).encode()
    ours = b"http://127.0.0.1:" + port
    table = [
        (b"Host: 127.0.0.1:%b\nOrigin: %b" % (port, ours), 101, 200),
        (b"Host: 127.0.0.1:%b" % port, 101, 200),  # no Origin: no browser
        (b"Host: LOCALHOST:%b\nOrigin: http://localhost:%b" % (port, port), 101, 200),
        (b"Host: localhost.:%b\nOrigin: http://localhost.:%b" % (port, port), 101, 200),
        (b"Host: 127.0.0.1\nOrigin: http://127.0.0.1", 101, 200),
        (b"Host: [::1]:%b\nOrigin: http://[::1]:%b" % (port, port), 101, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: http://evil.example" % port, 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: http://127.0.0.1:1" % port, 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: http://localhost:%b" % (port, port), 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: null" % port, 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: " % port, 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: %b\nOrigin: http://evil.example" % (port, ours), 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: %b.evil.example" % (port, ours), 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: http://127.0.0.1:%b@evil.example" % (port, port), 403, 200),
        (b"Host: 127.0.0.1:%b\nOrigin: http://[" % port, 403, 200),
        (b"Host: evil.example\nOrigin: http://evil.example", 403, 421),
        (b"Host: EVIL.example.\nOrigin: http://evil.example.", 403, 421),
        (b"Host: evil.example:%b" % port, 403, 421),
        (b"Host: localhost.evil.example", 403, 421),
        (b"Host: 127.0.0.1.evil.example", 403, 421),
        (b"Host: 127.0.0.1@evil.example", 403, 421),
        (b"Host: evil.example@127.0.0.1", 403, 421),
        (b"Host: localhost:x@evil.example\nOrigin: http://localhost:x@evil.example", 403, 421),
        (b"Host: 127.0.0.1/evil.example", 403, 421),
        (b"Host: 127.0.0.1\\evil.example", 403, 421),
        (b"Host: 127.0.0.1#evil.example", 403, 421),
        (b"Host: 127.0.0.1?evil.example", 403, 421),
        (b"Host: [::1", 403, 421),
        (b"Host: \xff\xfe", 403, 421),
        (b"Host: ", 403, 421),
        (b"Host: 127.0.0.1:%b\nHost: evil.example" % port, 400, 421),
        (b"Host: evil.example\nHost: 127.0.0.1:%b" % port, 400, 421),
        (b"X-Forwarded-Host: 127.0.0.1\nHost: evil.example", 403, 421),
    ]
    found = [
        (lines, handshake(app.port, lines), raw(app.port, b"GET / HTTP/1.1\nConnection: close\n" + lines)[0])
        for lines, _, _ in table
    ]
    refused = {0, 400, 403, 421}
    for (lines, socket_wanted, page_wanted), (_, socket_status, page_status) in zip(table, found, strict=True):
        for wanted, status in ((socket_wanted, socket_status), (page_wanted, page_status)):
            assert status == wanted or (wanted in refused and status in refused), (lines, status)
    log = log_since(app, before)
    assert "Rejecting WebSocket connection" not in log  # Streamlit's own refusal, after its look-up
    assert "Traceback" not in log
    assert nothing_dialled(process)


def nothing_dialled(process: Process) -> bool:
    """Whether the process has looked up and dialled nothing but this machine, its database included."""
    lines = process.dialled.read_text(encoding="utf-8").splitlines() if process.dialled.exists() else []
    return not [line for line in lines if not any(f"'{own}" in line or f" {own}" in line for own in OWN)]


OWN = ("127.0.0.1", "localhost", "/", "None", "::1")


def test_the_spy_sees_a_look_up(tmp_path: Path) -> None:
    """CHECKS 8: the look-up that must not happen is one that the test above would see: Streamlit's own."""
    dialled = tmp_path / "dialled"
    (tmp_path / "sitecustomize.py").write_text(SPY % str(dialled), encoding="utf-8")
    code = "from streamlit import net_util; net_util.get_internal_ip()"
    subprocess.run([sys.executable, "-c", code], env=environment(PYTHONPATH=f"{tmp_path}:{ROOT}"), check=True)
    assert not nothing_dialled(Process(None, None, "", dialled))  # type: ignore[arg-type]


# ---- 12: values that no browser would send ----


def test_no_data_editor() -> None:
    """CHECKS 12: st.data_editor takes whatever the client sends, disabled columns and ranges included: it is not used."""
    for path in (*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "streamlit_app.py"):
        names = {
            getattr(node, "attr", getattr(node, "id", None)) for node in ast.walk(ast.parse(path.read_text("utf-8")))
        }
        assert not names & {"data_editor", "experimental_data_editor"}, path


NUMBERS = [3.5, -0.5, 1e308, -1e308, math.inf, -math.inf, math.nan, 2**63, 0.1 + 0.2, -0.0]
TEXTS = ["", "nonsense", "\x00", "x" * 100_000, "'; DROP TABLE users;--", "\ufdd0\U0001f600\u202e", "[]", "{" * 5_000]


def test_forged_values_on_defaults_change_nothing_that_core_refuses(app: App) -> None:  # noqa: C901 - one loop over all forgeries
    """CHECKS 12: out of range, NaN, another type, an unknown option, 100 kB: each is saved, and what is stored is valid."""
    provider = new_provider()
    person = sign_in("admin")
    with connect(app, person) as client:
        client.open().go("Defaults").use("scope", scope_option(client, provider.name))
        for name in ("temperature", "max_tokens", "max_retries", "log_level", "enable_logging"):
            client.use(f"{name}_mode", "Value")
        for name, values in {
            "temperature": NUMBERS,
            "max_tokens": NUMBERS,
            "max_retries": NUMBERS,
            "log_level": TEXTS,
            "temperature_mode": TEXTS,
            "scope": TEXTS,
            "custom_settings": TEXTS,
        }.items():
            for value in share(name, values):
                if (widget := client.find(name)) is None:  # an unknown choice is taken for none
                    client.go("Defaults")
                    widget = client.find(name)
                if widget is None:
                    break
                client.rerun(widget.state(value))
                press_save(client)
            for wrong in share(name, wrong_types(client, name)):
                client.rerun(wrong)
                press_save(client)
    with connect(app, person) as client:
        assert client.open("defaults").titles() == ["Defaults"]  # the process lives and the page works
    for row in rows("SELECT * FROM llm_settings"):
        for parameter in PARAMETERS.values():
            value = row[parameter.name]
            if value is not None and parameter.minimum is not None:
                assert parameter.minimum <= value <= parameter.maximum
            if value is not None and parameter.choices:
                assert value in parameter.choices
        assert row["custom_settings"] is None or isinstance(row["custom_settings"], dict)


def press_save(client: Client) -> None:
    for key in ("save", "conflict_keep"):
        if client.find(key):
            client.click(key)


def test_what_is_typed_and_saved_in_one_message_is_saved(app: App) -> None:
    """A slow line or a busy process brings both at once: the field's row is asked for before the part that saves."""
    provider = new_provider()
    with connect(app, sign_in("admin")) as client:
        client.open().go("Defaults").use("scope", scope_option(client, provider.name))
        client.use("max_tokens_mode", "Value").use("max_tokens", 1234)
        for key, value in (("max_tokens", 99), ("max_retries_mode", "Value"), ("custom_settings", '{"a":1}')):
            client.type(key, value)
            client.click("save")
            assert not [alert for alert in client.alerts() if "went wrong" in alert], key
            assert client.find("save") is None, key  # nothing is unsaved
            client.use(
                "top_p_mode", "Value" if key == "max_tokens" else "Don't send" if "retries" in key else "Inherit"
            )
    [row] = rows(f"SELECT * FROM llm_settings WHERE provider_id = {provider.id}")
    assert (row["max_tokens"], row["max_retries"], row["custom_settings"]) == (99, 3, {"a": 1})


def wrong_types(client: Client, name: str) -> list[Any]:
    """The widget's id with a value of each type that Streamlit's protocol has."""
    widget = client.find(name)
    if widget is None:
        return []
    found = []
    for field, value in {
        "bool_value": True,
        "double_value": math.nan,
        "int_value": -(2**63),
        "string_value": "x",
        "json_value": '{"edited_rows": {"0": {"id": 1}}}',
        "bytes_value": b"\xff\x00",
        "trigger_value": True,
    }.items():
        state = widget.state("x" if widget.kind not in {"slider", "number_input", "checkbox"} else 1)
        setattr(state, field, value)
        found.append(state)
    lists = widget.state("x" if widget.kind not in {"slider", "number_input", "checkbox"} else 1)
    lists.string_array_value.data.extend(["x"] * 1000)
    return [*found, lists]


def rows(sql: str) -> list[dict[str, Any]]:
    with db.transaction() as session:
        return [dict(row) for row in session.execute(text(sql)).mappings()]


def test_forged_values_on_providers_change_nothing_that_core_refuses(app: App) -> None:
    """CHECKS 12: the same in a provider's form, the search and the state."""
    provider = new_provider(api_key="sk-" + "y" * 40, display_name="0 on the first page")
    sealed = scalar("SELECT api_key_encrypted FROM llm_providers WHERE id = :id", id=provider.id)
    person = sign_in("admin")
    fields = ("search", "state", "provider_kind", "provider_name", "provider_api_base_url", "provider_is_active")
    for name in (*fields, "provider_available_models", "provider_default_model"):
        for number in share(name, range(len(TEXTS) + 8)):
            with connect(app, person) as client:  # whoever forges may have broken their own page
                client.open("providers")
                if name.startswith("provider"):
                    called = scalar("SELECT name FROM llm_providers WHERE id = :id", id=provider.id)
                    client.click(f"edit_{called}")
                widget = client.widget(name)
                forged = [*(text_state(widget, value) for value in TEXTS), *wrong_types(client, name)]
                client.rerun(forged[number], fragment_id=client.fragment_of(name))
                if client.find("provider_save"):
                    client.click("provider_save")
    [row] = rows(f"SELECT * FROM llm_providers WHERE id = {provider.id}")
    with db.transaction() as session:
        data = {name: row[name] for name in providers.FIELDS}
        providers.update(
            session, COMMAND_LINE, provider.id or 0, data, version=row["version"]
        )  # core takes it as it is
    assert row["api_key_encrypted"] == sealed
    with connect(app, person) as client:
        assert client.open("providers").titles() == ["Providers"]


def text_state(widget: Any, value: str) -> Any:
    return widget.state(bool(value) if widget.kind == "checkbox" else value)


# ---- 13: cookies ----

NONE_TOKEN = "eyJhbGciOiJub25lIn0.eyJ1c2VybmFtZSI6ImFkYSIsImV4cF9kYXRlIjo5OTk5OTk5OTk5fQ."
NO_EXPIRY = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VybmFtZSI6ImFkYSJ9.c2ln"


def test_strange_cookies_are_nobodys(app: App) -> None:
    """CHECKS 13: a token, garbage, 10 kB, bad UTF-8, sent twice, SQL, an unknown one: the sign-in, no stack trace, no 5xx."""
    person = sign_in("admin")
    values = [NONE_TOKEN, NO_EXPIRY, "1", "null", "{}", "x" * 10_000, "x" * 43, "", "' OR 1=1 --", "\xff\xfe\xc0"]
    values += ['"', "a\tb", "%00", f'"{person.secret}"', f"{person.secret}x", person.secret.swapcase()]
    cookies = [f"{COOKIE}={value}" for value in values]
    cookies += [
        f"{person.cookie}; {COOKIE}={'x' * 43}",
        f"{COOKIE}=; {person.cookie}",
        f"{COOKIE.upper()}={person.secret}",
    ]
    cookies += [f"__Host-{COOKIE}={person.secret}", f"unused={NONE_TOKEN}", ";;;=;", "=", "_streamlit_user=x; a"]
    before, longest = len(app.output()), LINE_BYTES - len("cookie")
    for cookie in cookies:
        with connect(app, cookie=cookie[:longest]) as client:
            assert only_the_sign_in(client.open()), cookie
        head = f"GET / HTTP/1.1\nHost: 127.0.0.1:{app.port}\nAccept: text/html\nCookie: {cookie}"
        status, headers, _ = raw(app.port, head.encode("latin-1"))
        assert status == (200 if len(cookie) <= longest else 431)
        assert person.secret not in headers
    two_lines = f"GET / HTTP/1.1\nHost: 127.0.0.1\nCookie: {person.cookie}\nCookie: {COOKIE}=y"
    assert raw(app.port, two_lines.encode())[0] == 200

    assert "Traceback" not in log_since(app, before)
    assert ENDED not in log_since(app, before)
    with connect(app, person) as client:
        assert client.open().titles() == ["Providers"]  # the right one is good still


# ---- 27, 14: the ticket ----


@pytest.fixture
def ticket(app: App) -> str:  # noqa: ARG001 - the database is its
    """A ticket that nobody has used."""
    actor = new_user("analyst")
    with db.transaction() as session:
        user = session.get(User, actor.user_id)
        assert user is not None
        return sessions.begin(session, user, None, None, ticket=True)[1] or ""


def test_foreign_or_malformed_exchange_sets_no_cookie(app: App, ticket: str) -> None:
    """CHECKS 27: without Origin, with a foreign one, as text, too long, no JSON: refused, and the ticket is good still."""
    body = json.dumps({"ticket": ticket}).encode()
    host = f"127.0.0.1:{app.port}"
    right = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json"}
    before = len(app.output())
    strange: list[tuple[bytes, dict[str, str]]] = [
        (body, {**right, "Origin": ""}),
        (body, {**right, "Origin": "null"}),
        (body, {**right, "Origin": "http://evil.example"}),
        (body, {**right, "Origin": f"http://localhost:{app.port}"}),
        (body, {**right, "Origin": "http://["}),
        (body, {**right, "Content-Type": ""}),
        (body, {**right, "Content-Type": "text/plain"}),
        (body, {**right, "Content-Type": "application/x-www-form-urlencoded"}),
        (body, {**right, "Host": "evil.example", "Origin": "http://evil.example"}),
        (body + b" " * 10_000, right),
        (b"", right),
        (b"{", right),
        (b"[]", right),
        (b"\xff", right),
        (b"[" * 1000, right),
        (b'{"ticket": 1}', right),
        (b'{"ticket": "x"}', right),
        (json.dumps({"ticket": "x" * 43}).encode(), right),
        (json.dumps({"ticket": "' OR 1=1 --"}).encode(), right),
        (b'{"ticket": "\\ud800"}', right),
        (b'{"ticket": "\\u0000"}', right),
    ]
    for given, headers in strange:
        status, text_of, answer = post(app, given, headers)
        assert status in {403, 421}, (given[:40], headers, status)
        assert "set-cookie" not in text_of
        assert b"Traceback" not in answer
    assert raw(app.port, f"GET /sign-in?ticket={ticket} HTTP/1.1\nHost: {host}".encode())[1].count("set-cookie") == 0
    assert "Traceback" not in log_since(app, before)
    assert post_ticket(app, ticket)[0] == 204
    status, headers_text, _ = post_ticket(app, ticket)
    assert (status, "set-cookie" in headers_text) == (403, False)


def test_ticket_posted_twenty_times_at_once(app: App, ticket: str) -> None:
    """CHECKS 14: exactly one of twenty gets a cookie, and there is one sign-in."""
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: post_ticket(app, ticket), range(20)))

    assert sorted(status for status, _, _ in answers) == [204] + [403] * 19
    assert sum("set-cookie" in headers for _, headers, _ in answers) == 1


def test_ticket_says_nothing_before_and_after(app: App) -> None:
    """CHECKS 14: an unexchanged ticket is no cookie; after a password change, disabling or a minute it is nothing."""
    for change in (new_password, disable, None):
        actor = new_user("analyst")
        with db.transaction() as session:
            user = session.get(User, actor.user_id)
            assert user is not None
            signed_in, made = sessions.begin(session, user, None, None, ticket=True)
        with connect(app, cookie=f"{COOKIE}={made}") as client:
            assert only_the_sign_in(client.open())
        if change is None:
            with db.transaction() as session:
                row = session.get(AuthSession, signed_in.session_id)
                assert row is not None
                session.execute(text("UPDATE auth_sessions SET ticket_expires_at = now() - interval '1 s'"))
            assert post_ticket(app, made or "")[0] == 403
            continue
        change(Person(signed_in, ""))
        _, headers, _ = post_ticket(app, made or "")
        cookie = headers.partition("set-cookie: ")[2].partition(";")[0]
        with connect(app, cookie=cookie or None) as client:
            assert only_the_sign_in(client.open())


# ---- 82, 16: headers and flags ----


def test_security_headers_on_every_answer(app: App) -> None:
    """CHECKS 82: on the page, static files, the health route, our own routes, and on 403, 404 and 421 alike."""
    host = f"Host: 127.0.0.1:{app.port}"
    script = next(path.name for path in (static_folder() / "js").iterdir() if path.suffix == ".js")
    asked = {
        f"GET / HTTP/1.1\n{host}": 200,
        f"HEAD / HTTP/1.1\n{host}": 200,
        f"GET /sign-in.js HTTP/1.1\n{host}": 200,
        f"GET /static/js/{script} HTTP/1.1\n{host}": 200,
        f"GET /_stcore/health HTTP/1.1\n{host}": 200,
        f"GET /_stcore/host-config HTTP/1.1\n{host}": 200,
        f"GET /media/none.png HTTP/1.1\n{host}": 404,
        f"POST /sign-in HTTP/1.1\n{host}\nContent-Length: 0": 403,
        "GET / HTTP/1.1\nHost: evil.example": 421,
        f"PUT / HTTP/1.1\n{host}\nContent-Length: 0": 405,
    }
    for head, wanted in asked.items():
        status, headers, _ = raw(app.port, f"{head}\nConnection: close".encode())
        assert status == wanted, head
        for name, value in security_headers():
            assert f"{name.decode()}: {value.decode()}" in headers.splitlines(), (head, name)
        assert "strict-transport-security" not in headers
    status, headers, script_body = raw(app.port, f"GET /sign-in.js HTTP/1.1\n{host}".encode())
    assert "content-type: text/javascript" in headers
    assert b"fetch(door" in script_body


def static_folder() -> Path:
    import streamlit  # noqa: PLC0415 - only here

    return Path(streamlit.__file__).parent / "static" / "static"


def test_secure_cookie_behind_a_trusted_proxy(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 16, 28: with LLM_TRUSTED_PROXIES=127.0.0.1 its https makes Secure and __Host-, and its client's address counts; nobody else's."""
    for made in _process(server, tmp_path, LLM_TRUSTED_PROXIES="127.0.0.1"):
        monkeypatch.setattr(db, "get_engine", lambda made=made: made.engine)
        cookies = {}
        for proto in ("https", "http", ""):
            actor = new_user("analyst")
            with db.transaction() as session:
                user = session.get(User, actor.user_id)
                assert user is not None
                ticket = sessions.begin(session, user, None, None, ticket=True)[1] or ""
            status, headers, _ = post_ticket(made.app, ticket, X_Forwarded_Proto=proto, X_Forwarded_For="192.0.2.55")
            assert status == 204
            cookies[proto] = headers.partition("set-cookie: ")[2].splitlines()[0]
            assert ("strict-transport-security" in headers) is (proto == "https")
        assert cookies["https"].startswith(f"__Host-{COOKIE}=")
        assert cookies["https"].endswith("; Path=/; HttpOnly; SameSite=Strict; Secure")
        for proto in ("http", ""):
            assert cookies[proto].startswith(f"{COOKIE}=")
            assert cookies[proto].endswith("; Path=/; HttpOnly; SameSite=Strict")
        secure = cookies["https"].partition(";")[0]
        https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.55"}
        with connect(made.app, cookie=secure, headers=https, origin=f"https://127.0.0.1:{made.app.port}") as client:
            assert client.open().titles() == ["Effective Preview"]
        with connect(made.app, cookie=secure) as client:
            assert only_the_sign_in(client.open())  # a __Host- cookie over http is none of ours
        for source, forwarded, address in (
            ("127.0.0.1", "192.0.2.55", "192.0.2.55"),
            ("127.0.0.1", "6.6.6.6, 192.0.2.55", "192.0.2.55"),
            ("127.0.0.2", "192.0.2.66", "127.0.0.2"),
            ("127.0.0.2", "127.0.0.2, 192.0.2.66", "127.0.0.2"),
            ("127.0.0.2", "192.0.2.66, 127.0.0.2, 192.0.2.67", "127.0.0.2"),
        ):
            with connect(made.app, source=source, headers={"X-Forwarded-For": forwarded}) as client:
                fill_in(client.open(), f"n-{uuid.uuid4().hex[:8]}", "not the password")
            assert scalar("SELECT address FROM login_attempts ORDER BY id DESC LIMIT 1") == address, forwarded


def test_cookie_is_never_secure_without_https(app: App, ticket: str) -> None:
    """CHECKS 16: over http, from an address that is nobody's proxy, whatever X-Forwarded-Proto says."""
    body = json.dumps({"ticket": ticket}).encode()
    host = f"127.0.0.1:{app.port}"
    head = f"POST /sign-in HTTP/1.1\nHost: {host}\nOrigin: http://{host}\nContent-Type: application/json"
    more = f"\nX-Forwarded-Proto: https\nContent-Length: {len(body)}"
    status, headers, _ = raw(app.port, (head + more).encode(), body, source="127.0.0.2")

    assert status == 204
    assert "Secure" not in headers
    assert "__Host-" not in headers


# ---- 77, 78: floods ----


def test_anonymous_sockets_are_capped(app: App) -> None:
    """CHECKS 77: of 500 from one address forty stay; a user from another address, and one from that address, are served."""
    person = sign_in("admin")
    with ExitStack() as held:
        statuses = [hold(app, held, "127.0.0.2") for _ in range(500)]
        assert statuses.count(101) == ANONYMOUS_SOCKETS
        assert set(statuses) == {101, 403}
        with connect(app, person) as client:
            assert client.open().titles() == ["Providers"]
        with connect(app) as client:
            assert only_the_sign_in(client.open())
        with connect(app, person, source="127.0.0.2") as client:
            assert client.open().titles() == ["Providers"]  # a sign-in counts by itself
        with pytest.raises(InvalidStatus), connect(app, source="127.0.0.2"):
            pass
        with pytest.raises(InvalidStatus), connect(app, source="127.0.0.2", headers={"X-Forwarded-For": "192.0.2.1"}):
            pass
    assert eventually(lambda: handshake(app.port, b"Host: 127.0.0.1", source="127.0.0.2") == 101)
    with ExitStack() as held:  # all are given back, not only one
        assert eventually(lambda: [hold(app, held, "127.0.0.2") for _ in range(ANONYMOUS_SOCKETS - 2)].count(403) == 0)


def test_sockets_of_one_sign_in_are_capped(app: App) -> None:
    """CHECKS 77: one stolen cookie does not take all of the process either; its other addresses count together."""
    person, other = sign_in("analyst"), sign_in("analyst")
    with ExitStack() as held:
        statuses = [hold(app, held, f"127.0.0.{5 + n % 3}", person) for n in range(SOCKETS + 20)]
        assert statuses.count(101) == SOCKETS
        with connect(app, other, source="127.0.0.5") as client:
            assert client.open().titles() == ["Effective Preview"]


def hold(app: App, held: ExitStack, source: str, person: Person | None = None) -> int:
    """Open a websocket, keep it, and return the status."""
    opened = held.enter_context(client_socket(app.port, source))
    lines = [f"GET /_stcore/stream HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\nUpgrade: websocket\r\nConnection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    lines += [f"Cookie: {person.cookie}"] if person else []
    opened.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = http.client.HTTPResponse(opened)
    answer.begin()
    return answer.status


def eventually(found: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it becomes true in some seconds."""
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_many_sign_ins_at_once(app: App) -> None:
    """CHECKS 78: all right ones, seven of ten, get in, about ten passwords a second are checked, and a signed-in user is served meanwhile."""
    with db.transaction() as session:
        hashed = users.add(session, COMMAND_LINE, f"hash-{uuid.uuid4().hex[:8]}", PASSWORD, "analyst").password_hash
    names = []
    for _ in range(SIGN_INS * 7 // 10):
        actor = new_user("analyst")
        names.append(actor.name)
    with db.transaction() as session:
        session.execute(
            text("UPDATE users SET password_hash = :hash WHERE username = ANY(:names)"),
            {"hash": hashed, "names": names},
        )
    first = scalar("SELECT coalesce(max(id), 0) FROM login_attempts")

    def one(number: int) -> str | None:
        right = number < len(names)
        name, password = (names[number], PASSWORD) if right else (f"nobody-{number}", "not the password")
        with connect(app, source=f"127.0.1.{1 + number % 10}") as client:
            client.rerun(page_script_hash="", wait=False).settle(90)
            for _ in range(6):
                fill_in(client, name, password, seconds=90)
                if client.ticket() or WRONG in client.alerts():
                    return client.ticket()
                client.rerun(page_script_hash="", wait=False).settle(
                    90
                )  # too many at this moment: it says so, and to try again
        return "starved"

    person = sign_in("admin")
    answers = []
    with ThreadPoolExecutor(SIGN_INS) as threads, connect(app, person) as client:
        client.open()
        tries = [threads.submit(one, number) for number in range(SIGN_INS)]
        while not all(done.done() for done in tries):
            begun = time.monotonic()
            client.go("Users" if len(answers) % 2 else "Account")
            assert client.find("sign_out") is not None
            answers.append(time.monotonic() - begun)
            time.sleep(0.3)
        tickets = [done.result() for done in tries]

    assert all(tickets[: len(names)])
    assert "starved" not in tickets
    assert set(tickets[len(names) :]) == {None}
    assert len(set(tickets)) == len(names) + 1
    assert len(answers) >= 5
    moments = sorted(
        float(row["at"]) for row in rows(f"SELECT extract(epoch FROM at) AS at FROM login_attempts WHERE id > {first}")
    )
    # Two at once, each some 200 ms here; a machine that is three times as fast may check thirty a second.
    busiest = max(sum(begin <= moment < begin + 1 for moment in moments) for begin in moments)
    assert busiest <= 30, busiest


# ---- Frames that are no messages ----


def test_frames_that_are_no_messages(app: App) -> None:
    """CHECKS 78: a text frame, garbage, and 30 MB close the socket; the process lives, and others notice nothing."""
    before = len(app.output())
    with connect(app, sign_in("admin")) as bystander:
        bystander.open()
        for frame in ("text", b"\xff" * 100, b"\x08\x08\x08", b"x" * 30_000_000):
            with connect(app) as client:
                with suppress(OSError):
                    client.connection.send(frame)
                assert client.closed() >= 1000, frame[:20]
            assert bystander.go("Account").titles() == ["Account"]
    with connect(app) as client:
        assert only_the_sign_in(client.open())
    assert log_since(app, before).count("Traceback") <= 2  # Streamlit's own, of the two that do not parse


def test_other_messages_of_a_stranger_do_nothing(app: App) -> None:
    """CHECKS 4: stop, clear the cache, shut down, disconnect, install files: nobody else is touched, and nothing is written."""
    harmless = [name for name in BackMsg.DESCRIPTOR.fields_by_name if name != "rerun_script"]
    person = sign_in("admin")
    before = stored()
    with connect(app, person) as bystander:
        bystander.open().click("add_provider")
        with connect(app) as client:
            client.open()
            for name in harmless:
                message = BackMsg()
                field = BackMsg.DESCRIPTOR.fields_by_name.get(name)
                if field is None or field.containing_oneof is None:
                    continue
                if field.message_type is None:
                    setattr(message, name, True)
                elif name == "backend_operation_request":
                    message.backend_operation_request.request_id = "x"
                    message.backend_operation_request.install_skills.SetInParent()
                else:
                    getattr(message, name).SetInParent()
                client.send(message)
            answers = []
            while "backend_operation_response" not in answers:
                received = client.receive()
                answers.append(received.WhichOneof("type"))
            assert received.backend_operation_response.error_msg
            assert only_the_sign_in(client.open())
        assert bystander.rerun().find("provider_save")
    assert stored() == before
