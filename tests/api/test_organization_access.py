"""Every route x everybody: what is another organisation's answers as what is not there, in all that can be seen."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from core import config
from core.actors import COMMAND_LINE
from core.manage import (
    budgets,
    model_facts,
    next_keys,
    organization_deletion,
    organization_members,
    personal_data,
    provider_secrets,
    providers,
    rate_limits,
    settings_presets,
)
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from tests.conftest import ROOT, statements
from tests.rest import KEY, KEYS, ORGANIZATIONS, data, hook, signed_in, tenant, token, token_of
from tests.routes import BODIES, NAMED, ROUTES, Route, address, is_about_organisations

OTHERWISE: dict[Route, list[dict[str, Any]]] = {
    ("PUT", "/llm/organizations/{id}/providers/{providerId}"): [{"ownModels": ["ft:x"], "version": 1}],
}
"""Other bodies, which other people may send."""
OF_B: dict[Route, dict[str, Any]] = {
    ("PUT", "/llm/organizations/{id}/names"): {"externalNames": ["crm-1"], "was": ["crm beta"]},
}
"""Bodies that say what B has."""
FOR_ALL = {
    ("GET", "/llm/organizations"): 200,
    ("GET", "/llm/features"): 200,
    ("GET", "/llm/limits"): 200,
    ("GET", "/llm/budgets"): 200,
    ("GET", "/llm/alerts"): 200,
    ("GET", "/llm/features/{id}"): 200,
    ("GET", "/llm/presets"): 200,
    ("GET", "/llm/presets/{id}"): 200,
    ("GET", "/llm/settings"): 422,  # it has to name an organisation
    ("GET", "/llm/history"): 200,
    ("GET", "/llm/history/difference"): 422,  # it has to name two moments
    ("POST", "/llm/history/restore"): 404,
    ("GET", "/health/live"): 200,
    ("GET", "/health/ready"): 200,
}
"""What names no organisation, and every member may ask: the answer to a bare request."""
OF_MEMBERS = {"A's admin", "A's analyst", "A's token"}
OF_BETA = {"B's admin", "B's token", "B's analyst"}
WHO_SEE_B = {"admin", "analyst", *OF_BETA}
"""Who may know that it is there."""
PAGE = ROOT / "docs" / "organisations.md"
HEADING = "| method and path | nobody | admin | analyst | its admin | its analyst | of another |\n|---|---|---|---|---|---|---|\n"
COUNTED = {"ratelimit-remaining", "ratelimit-reset", "content-length"}
"""Headers with numbers of requests and of letters."""
CHANGES = re.compile(r"(?<!FOR )(?<!KEY )(?<!DO )(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
OF_SIGN_IN = {"auth_sessions", "api_tokens", "audit_events"}
"""What a refused request writes: that it came, and that it was denied."""
SEARCHES = ("", "search=beta", "search=crm beta", "deleted=true", "kind=template", "after=acme")
NUMBER = 999_999
"""Of what is not there."""


class World(NamedTuple):
    """Two organisations: addresses of what is B's, of what is nobody's, and who asks."""

    there: dict[str, object]
    missing: dict[str, object]
    people: dict[str, dict[str, str]]


@pytest.fixture
def world(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> World:
    """A and B with all that an organisation can have, and everybody who may ask."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    made: dict[str, Any] = {"name": "acme", "display_name": "A", "kind": "openai_compatible"}
    made |= {"api_base_url": "http://127.0.0.1:9/v1", "available_models": ["m1"], "api_key": KEY}
    with db.transaction() as session:
        provider = id_of(providers.create(session, COMMAND_LINE, made))
        said = model_facts.set_facts(session, COMMAND_LINE, "gpt-4", {"context": 4}, why="tried")
        next_keys.add(session, COMMAND_LINE, provider, f"{KEY}-2")
        for use in ("header", "query"):
            provider_secrets.set_value(session, COMMAND_LINE, provider, use, "X", value="x", sealed=True)
        personal = id_of(personal_data.create(session, COMMAND_LINE, {"logs": "off"}).row)
        rate = id_of(rate_limits.create(session, COMMAND_LINE, {"name": "r", "model": "m", "max_concurrent": 9}).row)
        preset = id_of(settings_presets.get_by_name(session, COMMAND_LINE, "creative"))
        one, other = (tenant(session, slug, provider, key) for slug, key in KEYS.items())
        of_b = {"name": "b", "amount": 1, "period": "month", "organization_id": other.organization}
        budget = id_of(budgets.create(session, COMMAND_LINE, of_b).row)
        budgets.correct(session, COMMAND_LINE, budget, "0.5", "the bill")
        alert = session.scalar(text("SELECT id FROM llm_alerts"))
        gone = tenant(session, "gone", provider, KEY)
        organization_members.set_member(session, COMMAND_LINE, gone.organization, other.member, "admin")
        organization_deletion.delete(session, COMMAND_LINE, gone.organization)
        people = [User(username=name, role="member", password_hash="*") for name in ("mel", "a-analyst", "b-analyst")]
        session.add_all(people)
        session.flush()
        for organization, user in zip((one.organization, other.organization), people[1:], strict=True):
            organization_members.set_member(session, COMMAND_LINE, organization, id_of(user), "analyst")
        webhook, message = hook(session)
    names = ("organizations", "orgId", "settings", "overrides", "userId", "limits")
    missing: dict[str, object] = dict.fromkeys(
        (
            *names,
            "features",
            "featureId",
            "providers",
            "model-facts",
            "presets",
            "budgets",
            "rate-limits",
            "pii-settings",
            "alerts",
        ),
        NUMBER,
    )
    missing |= {"providerId": provider, "file": "none.js", "api": "openai", "model": "none"}
    there = {**missing, "providers": provider, "model-facts": id_of(said), "file": "start.js", "model": "gpt-4"}
    there |= {"organizations": other.organization, "orgId": other.organization, "userId": other.member}
    there |= {
        "deleted": gone.organization,
        "settings": other.settings,
        "overrides": other.override,
        "limits": other.limits,
    }
    there |= {
        "features": other.feature,
        "featureId": other.feature,
        "presets": preset,
        "budgets": budget,
        "rate-limits": rate,
        "pii-settings": personal,
    }
    there |= {"alerts": alert}
    missing |= {"webhooks": NUMBER, "deliveryId": NUMBER}
    there |= {"webhooks": webhook, "deliveryId": message}
    identities = {
        "anonymous": {},
        "admin": token("admin"),
        "analyst": token("analyst"),
        "A's admin": signed_in("acme-member"),
        "A's analyst": signed_in("a-analyst"),
        "A's token": token_of(one.organization, "admin"),
        "B's admin": signed_in("beta-member"),
        "B's analyst": signed_in("b-analyst"),
        "B's token": token_of(other.organization, "admin"),
    }
    for headers in identities.values():
        client.get("/api/llm/settings", headers=headers)  # this route remembers tokens: none is looked up from here on
    return World(there, missing, identities)


@contextmanager
def undone() -> Iterator[None]:
    """Take back whatever a request writes."""
    connection: Any = db.get_engine()
    point = connection.begin_nested()
    try:
        yield
    finally:
        point.rollback()


class Seen(NamedTuple):
    """All of an answer that somebody could see, with ids and what is counted left out."""

    status: int
    body: str
    headers: dict[str, str]
    names: list[str]
    """Of the headers, those with counts too."""
    run: list[str]
    """Statements."""
    denied: int
    """Events in the audit."""


def ask(client: TestClient, route: Route, of: dict[str, object], headers: dict[str, str], body: Any) -> Seen:
    """Send one request, look at all that comes of it, and take it back."""
    method, path = route
    named = NAMED.get(path) if method == "DELETE" or "{api}" in path else None
    more = {"json": body} if body is not None else {}
    with undone():
        with statements() as run:
            sent = {**headers, "X-Request-ID": "0123456789abcdef"}
            answer = client.request(method, address(path, of), headers=sent, params=named, **more)
        with db.transaction() as session:
            denied = session.scalar(text("SELECT count(*) FROM audit_events WHERE action = 'denied'"))
    kept = {name: value for name, value in answer.headers.items() if name not in COUNTED}
    body_seen = re.sub(r"(?<= )\d+", "N", answer.text)
    return Seen(answer.status_code, body_seen, kept, sorted(answer.headers), run, denied or 0)


def test_every_route_and_everybody(client: TestClient, world: World) -> None:
    """CHECKS 26: who may not is answered alike for B's and for nobody's: status, body, headers, statements, record; the docs have the table."""
    table = {
        (route, number): {who: look(client, world, route, body, who) for who in asked_by(route, world)}
        for route in ROUTES
        for number, body in enumerate([OF_B.get(route, BODIES.get(route)), *OTHERWISE.get(route, [])])
    }
    odd = [found for row in table.values() for _, problems in row.values() for found in problems]
    statuses = {key: {who: status for who, (status, _) in row.items()} for key, row in table.items()}
    rows = list(filter(None, (written(route, number, row) for (route, number), row in statuses.items())))

    assert odd == []
    for (route, number), row in statuses.items():
        members = {row[who] for who in OF_MEMBERS & row.keys()}
        assert len(members) == 1, (route, number, row)
        assert row.get("B's admin") == row.get("B's token"), (route, number, row)
        if not is_anothers(route):
            assert members == {FOR_ALL.get(route, 403)}, (route, row)
    assert PAGE.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n\n")[0] == "\n".join(rows)


def is_anothers(route: Route) -> bool:
    """Whether a route names what may be another organisation's."""
    return is_about_organisations(route[1], route[0]) and "{" in route[1]


def asked_by(route: Route, world: World) -> Iterable[str]:
    """Who asks: for what is never an organisation's, one of its programs stands for all of A."""
    return world.people if is_about_organisations(route[1], route[0]) else ("A's token",)


def look(client: TestClient, world: World, route: Route, body: Any, who: str) -> tuple[int, list[object]]:
    """Ask for B's object, and if that is refused for nobody's; the status, and what told one from the other."""
    there = world.there
    if route[1].endswith("/restore"):
        there = {**there, "organizations": there["deleted"]}
    seen = ask(client, route, there, world.people[who], body)
    if seen.status < 400:
        return seen.status, []
    other = ask(client, route, world.missing, world.people[who], body)
    problems: list[object] = []
    if not {name for each in seen.run for name in CHANGES.findall(each)} <= OF_SIGN_IN:
        problems.append((who, route, "changed something", seen.run))
    if seen != other and not (who in WHO_SEE_B and other.status == 404):  # of what they see
        problems.append((who, route, body, seen, other))
    if who in OF_MEMBERS and is_anothers(route) and (seen.status, seen.denied) != (404, 1):
        problems.append((who, route, "is not as if it were not there, and on record", seen))
    return seen.status, problems


def written(route: Route, number: int, row: dict[str, int]) -> str:
    """A row of the docs' table; none for what members are refused whatever it is about."""
    if not is_about_organisations(route[1], route[0]) or {row[who] for who in (*OF_MEMBERS, *OF_BETA)} == {403}:
        return ""
    of = [row[who] for who in ("anonymous", "admin", "analyst", "B's admin", "B's analyst", "A's admin")]
    bodies = [BODIES.get(route, {}), *OTHERWISE.get(route, [])]
    more = f", `{next(iter(bodies[number]))}`" if len(bodies) > 1 else ""
    return f"| {route[0]} `/api{route[1]}`{more} | {' | '.join(map(str, of))} |"


def test_a_list_has_ones_own_alone(client: TestClient, world: World) -> None:
    """Whatever is searched for, and also among templates and deleted ones: A's people find A; a feature of B's rows has no rows of theirs."""
    for who in OF_MEMBERS:
        headers = world.people[who]
        found = {query: data(client.get(f"{ORGANIZATIONS}?{query}", headers=headers)) for query in SEARCHES}
        assert [each["slug"] for each in found[""]] == ["acme"]
        assert [query for query, rows in found.items() if rows] == [""]
    own = data(client.get(ORGANIZATIONS, headers=world.people["A's admin"]))[0]["id"]
    rows = client.get(
        f"/api/llm/settings/organization/{own}?featureId={world.there['features']}", headers=world.people["A's admin"]
    )
    assert data(rows) == []
