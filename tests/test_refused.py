"""A database that refuses its app: each door says why and the cure, the log says it once, and it recovers by itself."""

import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from httpx2 import Client, Response

from core.crypto import KeyRing
from core.resolve import Resolver
from tests.conftest import ENCRYPTION_KEY, ROOT, fresh_database, named
from tests.processes import App, core, running_app
from tests.rest import KEY

ASKED = 30
"""Requests while the database refuses."""


class House(NamedTuple):
    """An app whose role is not the owner of the tables, and who may change that."""

    owner: str
    role: str
    url: str
    app: App
    client: Client
    service: Resolver

    def sql(self, *statements: str) -> None:
        """Run statements as the owner, elsewhere on the same server where they are about the database itself."""
        with psycopg.connect(named(self.owner, "postgres"), autocommit=True) as server:
            for statement in filter(lambda one: "DATABASE" in one, statements):
                server.execute(statement)
        rest = [one for one in statements if "DATABASE" not in one]
        if rest:
            with psycopg.connect(self.owner, autocommit=True) as connection:
                for statement in rest:
                    connection.execute(statement)

    def drop_lines(self) -> None:
        """End the role's connections."""
        with psycopg.connect(named(self.owner, "postgres"), autocommit=True) as server:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [self.role])

    def rename(self, old: str, new: str) -> None:
        """Give the database another name: nobody may be connected."""
        deadline = time.monotonic() + 20
        while True:
            self.drop_lines()
            try:
                self.sql(f"ALTER DATABASE {old} RENAME TO {new}")
            except psycopg.errors.ObjectInUse:
                assert time.monotonic() < deadline
            else:
                return


@pytest.fixture(scope="module")
def house(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Everything, working."""
    with fresh_database(server) as url:
        yield from _house(url, tmp_path_factory.mktemp("app"))


def _house(committed: str, folder: Path) -> Iterator[House]:
    name = committed.partition("?")[0].rpartition("/")[2]
    role = f"app_{name}"
    with psycopg.connect(committed, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN")
    try:
        assert core("seed", DATABASE_URL=committed).returncode == 0
        assert core("grant-app", role, DATABASE_URL=committed).returncode == 0
        token = core("tokens", "create", "root", "--role", "admin", DATABASE_URL=committed).stdout.strip()
        parts = urllib.parse.urlsplit(committed)
        url = parts._replace(netloc=f"{role}@").geturl()
        limits = {f"LLM_RATE_LIMIT_{kind}": "1000000 per minute" for kind in ("GENERAL", "SENSITIVE")}
        with (
            running_app(folder / "log", DATABASE_URL=url, **limits) as app,
            Client(base_url=app.url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as client,
        ):
            service = Resolver(url, ring=KeyRing(ENCRYPTION_KEY))
            made = House(committed, role, url, app, client, service)
            answer = client.post("/api/llm/providers", json={**BODY, "apiKey": KEY})
            assert answer.status_code == 201, answer.text
            assert service.start().wait(10)
            _soon(lambda: service.resolve("acme").status == "ok")
            try:
                yield made
            finally:
                service.close()
    finally:
        with psycopg.connect(committed, autocommit=True) as owner:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")


BODY = {
    "name": "acme",
    "displayName": "Acme",
    "kind": "openai",
    "availableModels": ["m"],
    "isActive": True,
    "defaultModel": "m",
}


def _soon(fact: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Fault(NamedTuple):
    """What is taken away, and what everybody says then."""

    make: Callable[[House], object]
    mend: Callable[[House], object]
    ready: str
    status: int
    words: str
    cure: str


def _database(house: House) -> str:
    return house.owner.partition("?")[0].rpartition("/")[2]


def _grant(house: House) -> None:
    assert core("grant-app", house.role, DATABASE_URL=house.owner).returncode == 0


def _limited(house: House) -> None:
    house.sql(f"ALTER ROLE {house.role} CONNECTION LIMIT 0")
    house.drop_lines()


FAULTS = {
    "42501, all": Fault(
        lambda house: house.sql(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {house.role}"),
        _grant,
        "no_rights",
        503,
        "the database role may not do this",
        "grant-app",
    ),
    "42501, one": Fault(
        lambda house: house.sql(f"REVOKE SELECT ON api_tokens, llm_providers FROM {house.role}"),
        _grant,
        "no_rights",
        503,
        "the database role may not do this",
        "grant-app",
    ),
    "42P01": Fault(
        lambda house: house.sql(
            "ALTER TABLE api_tokens RENAME TO gone", "ALTER TABLE llm_providers RENAME TO gone_too"
        ),
        lambda house: house.sql(
            "ALTER TABLE gone RENAME TO api_tokens", "ALTER TABLE gone_too RENAME TO llm_providers"
        ),
        "no_tables",
        503,
        "the tables are missing",
        "migrate",
    ),
    "53300": Fault(
        _limited,
        lambda house: house.sql(f"ALTER ROLE {house.role} CONNECTION LIMIT -1"),
        "no_connections",
        503,
        "the server has no free connection",
        "CONNECTION LIMIT",
    ),
    "3D000": Fault(
        lambda house: house.rename(_database(house), f"{_database(house)}_gone"),
        lambda house: house.rename(f"{_database(house)}_gone", _database(house)),
        "no_database",
        503,
        "there is no such database on this server",
        "create it",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refusal_is_told_at_every_door(house: House, fault: str) -> None:
    """REST is 503 with the cause and the cure, `ready` names it, the command line says it in a sentence, a service goes on; then all is back."""
    case = FAULTS[fault]
    before = len(house.app.output())
    case.make(house)
    try:
        time.sleep(1.1)  # what was seen of `ready` is old now
        ready = house.client.get("/api/health/ready")
        answers = [house.client.get("/api/llm/providers") for _ in range(ASKED)]
        writing = house.client.post("/api/llm/providers", json={**BODY, "name": "other"})
        said = core("keys", "status", DATABASE_URL=house.url)
        service = house.service.resolve("acme")
    finally:
        case.mend(house)

    assert (ready.status_code, _checks(ready)["database"]) == (case.status, case.ready), ready.text
    for answer in (*answers, writing):
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        assert case.words in answer.text
        assert case.cure in answer.text
        assert house.role not in answer.text
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith("Error: ")
    assert case.words in said.stderr
    assert case.cure in said.stderr
    assert "Traceback" not in said.stderr
    assert (service.status, service.api_key()) == ("ok", KEY)
    log = house.app.output()[before:]
    assert "Traceback" not in log
    assert log.count("A request was refused for want of the database") <= 3, log
    assert f"({fault[:5]})" in house.app.output()
    _soon(lambda: house.client.get("/api/health/ready").status_code == 200, 6)
    assert house.client.get("/api/llm/providers").status_code == 200


def test_each_refusal_is_documented() -> None:
    """The table of docs/operations.md has each code, its words and what `ready` says."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("### What the database refuses")[2]
    rows = {row[2:7]: row for row in page.partition("\n## ")[0].splitlines() if row.startswith("| ")}
    for name, case in FAULTS.items():
        assert f"“{case.words}”" in rows[name[:5]]
        assert f"“{case.ready}”" in rows[name[:5]]
        assert str(case.status) in rows[name[:5]]


def test_a_right_to_write_that_is_missing_degrades(house: House) -> None:
    """What may be read is served: `ready` stays 200 and says `no_rights`, a write is 503 with the cure."""
    house.sql(f"REVOKE INSERT, UPDATE ON llm_providers FROM {house.role}")
    time.sleep(1.1)
    ready = house.client.get("/api/health/ready")
    writing = house.client.post("/api/llm/providers", json={**BODY, "name": "other"})
    assert (ready.status_code, ready.json()["data"]["status"]) == (200, "degraded")
    assert _checks(ready)["database"] == "no_rights"
    assert house.client.get("/api/llm/providers").status_code == 200
    assert (writing.status_code, "grant-app" in writing.text) == (503, True)
    _grant(house)
    time.sleep(1.1)
    assert _checks(house.client.get("/api/health/ready"))["database"] == "ok"


def _checks(answer: Response) -> dict[str, str]:
    body = answer.json()
    return dict((body.get("data") or body["error"])["checks"])
