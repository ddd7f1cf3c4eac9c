"""Who may what of an organisation over REST: its own people manage it, and another's answers as what is not there."""

import re
from typing import Any

from httpx2 import Response
from sqlalchemy import event, text
from sqlmodel import Session
from starlette.testclient import TestClient

from api.app import make
from core.actors import COMMAND_LINE, Actor
from core.manage import organization_members
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from tests.rest import HOST, KEYS, NOBODY, ORGANIZATIONS, Tenant, cookie, data, token, token_of

Route = tuple[str, str, Any, int, int]
"""Method, path, body, and what the organisation's own admin and its analyst get."""
OWN: list[Route] = [
    ("GET", "/organizations/{organization}", None, 200, 200),
    ("GET", "/organizations/{organization}/names", None, 200, 200),
    ("GET", "/organizations/{organization}/members", None, 200, 200),
    ("GET", "/organizations/{organization}/providers", None, 200, 403),
    ("GET", "/organizations/{organization}/providers/{provider}", None, 200, 403),
    ("GET", "/settings/organization/{organization}", None, 200, 403),
    ("PUT", "/organizations/{organization}", {"name": "Mine", "version": 1}, 403, 403),
    ("POST", "/organizations/{organization}/restore", None, 403, 403),
    ("PUT", "/organizations/{organization}/names", {"externalNames": ["x"], "was": []}, 403, 403),
    ("POST", "/organizations/{organization}/members", {"username": "mel", "role": "analyst"}, 201, 403),
    ("DELETE", "/organizations/{organization}/members/{mel}", None, 200, 403),
    ("PUT", "/organizations/{organization}/providers/{provider}", {"ownModels": ["ft:x"], "version": 1}, 200, 403),
    ("PUT", "/organizations/{organization}/providers/{provider}", {"isAllowed": True, "version": 2}, 403, 403),
    ("POST", "/organizations/{organization}/providers/{provider}/api-key", {"apiKey": f"{KEYS['acme']}-2"}, 200, 403),
    ("DELETE", "/organizations/{organization}/providers/{provider}/api-key", None, 200, 403),
    ("POST", "/settings/organization/{organization}", {"providerId": None, "topP": 1}, 200, 403),
    ("PUT", "/settings/{settings}", {"topP": 0.5, "version": 2}, 200, 403),
    ("PUT", "/overrides/{override}", {"topP": 0.5, "version": 1}, 200, 403),
    ("DELETE", "/settings/{settings}", None, 200, 403),
    ("DELETE", "/overrides/{override}", None, 200, 403),
    ("DELETE", "/organizations/{organization}", None, 403, 403),
]
FOR_ALL = {
    ("GET", "/llm/organizations"): 200,
    ("GET", "/llm/features"): 200,
    ("GET", "/llm/features/{id}"): 404,
    ("GET", "/llm/settings"): 422,  # it has to name an organisation
    ("GET", "/health/live"): 200,
    ("GET", "/health/ready"): 200,
}
"""What names no organisation, and every member may ask: the answer to a bare request."""


def signed_in(username: str) -> dict[str, str]:
    """The header of a user's browser, by our own page."""
    with db.transaction() as session:
        query = text("SELECT id, auth_epoch FROM users WHERE username = :name").bindparams(name=username)
        number, epoch = session.execute(query).one()
    return {**cookie(Actor(username, number, epoch)), "Origin": HOST}


def member_of(organization_id: int, name: str, role: str) -> dict[str, str]:
    """Another member of an organisation, signed in."""
    with db.transaction() as session:
        user = User(username=name, role="member", password_hash="*")
        session.add(user)
        session.flush()
        organization_members.set_member(session, COMMAND_LINE, organization_id, id_of(user), role)
    return signed_in(name)


def asked(client: TestClient, route: Route, of: Tenant, numbers: dict[str, int], headers: dict[str, str]) -> Response:
    """Send one request of the table."""
    method, path, body, _, _ = route
    url = path.format(**of._asdict(), **numbers)
    sent = {"json": body} if body is not None else {}
    return client.request(method, f"/api/llm{url}", headers={**headers, "X-Request-ID": "0123456789abcdef"}, **sent)


def shape(client: TestClient, route: Route, of: Tenant, numbers: dict[str, int], headers: dict[str, str]) -> Any:
    """Status, body, headers and statements of an answer, with ids and what is counted left out."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(re.sub(r"\d+", "N", " ".join(statement.split())))

    connection: Any = db.get_engine()
    event.listen(connection, "before_cursor_execute", note)
    try:
        answer = asked(client, route, of, numbers, headers)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    counted = {"ratelimit-remaining", "ratelimit-reset", "content-length"}
    kept = {name: value for name, value in answer.headers.items() if name not in counted}
    return answer.status_code, re.sub(r"(?<= )\d+", "N", answer.text), kept, sorted(answer.headers), statements


def test_another_organisation_is_not_there(client: TestClient, two: list[Tenant], provider_id: int) -> None:
    """Every route x {admin of A, analyst of A, token of A} with B's ids: as ids that nobody has, in all that can be seen; and on record."""
    acme, beta = two
    numbers = {"provider": provider_id, "mel": beta.member}
    identities = {
        "admin": signed_in("acme-member"),
        "analyst": member_of(acme.organization, "alice", "analyst"),
        "token": token_of(acme.organization, "admin"),
        "analyst's token": token_of(acme.organization, "analyst"),
    }

    for who, headers in identities.items():
        for route in OWN:
            foreign, missing = (shape(client, route, of, numbers, headers) for of in (beta, NOBODY))
            assert foreign == missing, (who, route[:2])
            assert foreign[0] == 404, (who, route[:2], foreign)
    with db.transaction() as session:
        denied = session.execute(text("SELECT actor, changes::text FROM audit_events WHERE action = 'denied'")).all()
        stored = session.scalars(text("SELECT version FROM organizations")).all()
    assert len(denied) == 2 * len(OWN) * len(identities)
    for number in (beta.organization, beta.settings, beta.override):
        assert any(f" {number} " in reason for _, reason in denied)
    assert stored == [1, 1]


def test_what_its_own_people_may(client: TestClient, two: list[Tenant], provider_id: int) -> None:
    """Its admin manages it, by a sign-in or a token; its analyst sees it; what is the installation's is nobody's here."""
    acme = two[0]
    with db.transaction() as session:
        mel = User(username="mel", role="member", password_hash="*")
        session.add(mel)
        session.flush()
        numbers = {"provider": provider_id, "mel": id_of(mel)}
    analysts = [member_of(acme.organization, "alice", "analyst"), token_of(acme.organization, "analyst")]

    for headers in analysts:
        got = [asked(client, route, acme, numbers, headers).status_code for route in OWN]
        assert got == [route[4] for route in OWN]
    got = [asked(client, route, acme, numbers, signed_in("acme-member")).status_code for route in OWN]
    assert got == [route[3] for route in OWN]
    reading = [route for route in OWN if route[0] == "GET"]
    assert {
        asked(client, each, acme, numbers, token_of(acme.organization, "admin")).status_code for each in reading
    } == {200}
    listed = data(client.get(ORGANIZATIONS, headers=signed_in("acme-member")))
    assert [each["slug"] for each in listed] == ["acme"]
    assert data(client.get(f"{ORGANIZATIONS}?search=beta", headers=signed_in("acme-member"))) == []
    for query in ("deleted=true", "kind=template"):
        assert data(client.get(f"{ORGANIZATIONS}?{query}", headers=signed_in("acme-member"))) == []


def test_members_have_no_other_route(client: TestClient, two: list[Tenant]) -> None:
    """Whatever is not about an organisation is refused to its people, be it there or not: the table has every route."""
    own = {(method, re.sub(r"\{\w+\}", "{}", f"/llm{path}")) for method, path, *_ in OWN}
    headers = [signed_in("acme-member"), token_of(two[0].organization, "admin")]
    for route in make().routes:
        path: str = route.path_format  # type: ignore[attr-defined]  # of ours
        for method in route.methods:  # type: ignore[attr-defined]  # of ours
            if (method, re.sub(r"\{\w+\}", "{}", path)) in own:
                continue
            url = re.sub(
                r"\{(\w+)\}", lambda of: {"api": "openai", "model": "x", "file": "start.js"}.get(of[1], "999999"), path
            )
            query = "?name=X" if method == "DELETE" and path.endswith(("headers", "query")) else ""
            for each in headers:
                sent = {} if method in {"GET", "DELETE"} else {"json": {"slug": "x", "name": "X"}}
                got = client.request(method, f"/api{url}{query}", headers=each, **sent).status_code
                assert got == FOR_ALL.get((method, path), 403), (method, path)


def test_keys_of_two_organisations(client: TestClient, two: list[Tenant], provider_id: int, session: Session) -> None:
    """Neither key comes out: in no answer to anybody, no row of any table and no event; nor B's mask or fingerprint to A."""
    acme, beta = two
    numbers = {"provider": provider_id, "mel": beta.member}
    admin = token("admin")
    whole = ""
    for of in two:
        for route in OWN:
            if route[0] == "GET":
                whole += asked(client, route, of, numbers, admin).text
    whole += client.get("/api/llm/providers", headers=admin).text + client.get(ORGANIZATIONS, headers=admin).text
    seen = "".join(
        asked(client, route, of, numbers, signed_in("acme-member")).text
        for of in two
        for route in OWN
        if route[0] in {"GET", "PUT"}
    )
    of_beta = data(client.get(f"{ORGANIZATIONS}/{beta.organization}/providers/{provider_id}", headers=admin))
    tables = session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    stored = {name: "\n".join(session.scalars(text(f'SELECT t::text FROM "{name}" t'))) for name in tables}

    assert of_beta["apiKeyFingerprint"] in whole
    assert of_beta["apiKeyFingerprint"] not in seen
    for key in KEYS.values():
        assert key not in whole + seen
        assert [name for name, rows in stored.items() if key in rows] == []
    rows_of_keys = session.scalars(text("SELECT api_key_encrypted FROM organization_providers")).all()
    sealed = [max(re.findall("[0-9a-f]+", each), key=len) for each in rows_of_keys]
    assert [name for name, rows in stored.items() if any(each in rows for each in sealed)] == ["organization_providers"]
    assert len(sealed) == 2
    assert acme != beta
