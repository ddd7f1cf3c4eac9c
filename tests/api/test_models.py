"""Over REST: what is known of a model and by whom, which models in use end, and what admins say, set and taken back."""

from collections.abc import Iterator

import pytest
from sqlmodel import Session, col, select
from starlette.testclient import TestClient

from core.actors import COMMAND_LINE
from core.govern import lifecycle
from core.manage import providers
from core.store import db
from core.store.records import AuditEvent
from tests.rest import data, error, serving, token

FACTS = "/api/llm/model-facts"
SAID = {"pattern": "O3", "api": "openai", "facts": {"context": 5, "temperature": {"ok": True}}, "why": "tried"}


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API, with an admin's token."""
    monkeypatch.setenv("LLM_RATE_LIMIT_SENSITIVE", "1000 per minute")
    with serving(monkeypatch) as client:
        client.headers.update(token("admin"))
        yield client


def test_what_is_known_of_a_model(root: TestClient) -> None:
    """Facts and verdicts with sources; what an admin says, what it hides; a name with a slash; unknown models; no such API."""
    plain = data(root.get("/api/llm/models/openai/o3"))
    row = data(root.post(FACTS, json=SAID), 201)
    told = data(root.get("/api/llm/models/openai/o3"))
    context = next(fact for fact in told["facts"] if fact["name"] == "context")
    before = {one["parameter"]: one for one in plain["parameters"]}
    after = {one["parameter"]: one for one in told["parameters"]}

    assert (plain["modelIs"], plain["assumedFrom"], plain["actsAs"], plain["isCustom"]) == ("known", None, None, False)
    assert (before["temperature"]["does"], before["temperature"]["source"]) != ("ok", "operator")
    renamed = next(one for one in plain["parameters"] if (one["parameter"], one["does"]) == ("max_tokens", "rename"))
    assert renamed["to"] == "max_completion_tokens"
    assert renamed["url"] is None  # a name of the protocol stands in our own table
    assert before["temperature"]["url"].startswith("https://")
    assert (context["value"], context["source"], context["rowId"], context["why"]) == (
        5,
        "operator",
        row["id"],
        "tried",
    )
    assert context["hides"] == [{"source": "catalogue", "value": 200_000}]
    assert (after["temperature"]["does"], after["temperature"]["source"]) == ("ok", "operator")
    prices = next(fact["value"] for fact in told["facts"] if fact["name"] == "prices")
    assert all(isinstance(price["input"], float) for price in prices)
    by_query = data(root.get("/api/llm/models/openrouter", params={"model": "openai/o3:nitro"}))
    assert (by_query["model"], by_query["modelIs"]) == ("openai/o3:nitro", "known")
    assert data(root.get("/api/llm/models/compatible/nobody-knows"))["modelIs"] == "unknown"
    error(root.get("/api/llm/models/nowhere/o3"), 404, "NOT_FOUND")
    assert error(root.get("/api/llm/models/openai"), 422, "VALIDATION_ERROR")["fields"].keys() == {"model"}


def test_models_in_use_that_end_are_those_of_the_board(root: TestClient) -> None:
    """The same lines, and no more than were asked for; a number of days that is none is refused."""
    with db.transaction() as session:
        grok = {"kind": "openai_compatible", "api_base_url": "https://api.x.ai/v1"}
        made = {"name": "grok", "display_name": "G", "available_models": ["grok-3"], "default_model": "grok-3"}
        providers.create(session, COMMAND_LINE, made | grok)
        root_lines = lifecycle.retiring(session, COMMAND_LINE, 0)

    (line,) = data(root.get("/api/llm/models?retiring=0"))

    assert (line["model"], line["api"], line["retires"]) == ("grok-3", "xai", root_lines[0].retires.isoformat())
    assert (line["daysLeft"], line["tier"], line["rerouted"]) == (root_lines[0].days, "overdue", True)
    assert (line["providers"], line["chosenBy"], line["successor"]) == (["grok"], ["grok"], "grok-4.3")
    assert line["price"] == {"input": 3.0, "output": 15.0}
    for wrong in ("-1", "1.5", "x", "36501", "", "+3"):
        assert error(root.get(f"/api/llm/models?retiring={wrong}"), 422, "VALIDATION_ERROR")["fields"].keys() == {
            "retiring"
        }


def test_what_admins_say_from_first_to_last(root: TestClient) -> None:
    """Set (201), again (200, with its version), a stale one, read, taken back with a why that the audit has; not read as active."""
    made = root.post(FACTS, json=SAID)
    row = data(made, 201)
    again = root.post(FACTS, json={**SAID, "facts": {"context": 6}}, headers={"If-Match": '"1"'})

    assert (row["pattern"], row["api"], row["isActive"], row["version"]) == ("o3", "openai", True, 1)
    assert row["warnings"] == ["No model of a provider matches it yet."]
    assert (data(again)["version"], again.headers["ETag"]) == (2, '"2"')
    stale = error(root.post(FACTS, json={**SAID, "version": 1}), 409, "CONFLICT")
    assert stale["changes"]["facts"]["stored"] == {"context": 6}
    one = root.get(f"{FACTS}/{row['id']}")
    assert (data(one)["facts"], one.headers["ETag"]) == ({"context": 6}, '"2"')
    assert [each["id"] for each in data(root.get(FACTS))] == [row["id"]]
    error(root.delete(f"{FACTS}/{row['id']}", headers={"If-Match": '"1"'}), 409, "CONFLICT")
    gone = data(root.delete(f"{FACTS}/{row['id']}", params={"why": "They changed it"}, headers={"If-Match": '"2"'}))
    assert (gone["isActive"], gone["why"]) == (False, "tried")
    assert data(root.get(FACTS)) == []
    assert [each["id"] for each in data(root.get(f"{FACTS}?withdrawn=true"))] == [row["id"]]
    with db.transaction() as session:
        assert _comment(session) == "They changed it"
    error(root.delete(f"{FACTS}/99"), 404, "NOT_FOUND")
    long = error(root.delete(f"{FACTS}/{row['id']}", params={"why": "x" * 501}), 422, "VALIDATION_ERROR")
    assert long["fields"].keys() == {"why"}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"facts": {"max_output": "x"}}, "facts.max_output"),
        ({"facts": {"temperature": {"maybe": True}}}, "facts.temperature.maybe"),
        ({"facts": {"maxOutput": 5}}, "facts.maxOutput"),
        ({"facts": {}}, "facts"),
        ({"why": " "}, "why"),
        ({"pattern": ""}, "pattern"),
        ({"api": "nowhere"}, "api"),
        ({"origin": "operator"}, "origin"),
    ],
)
def test_what_is_refused_is_named_as_it_was_sent(root: TestClient, more: dict[str, object], field: str) -> None:
    """Keys inside facts are no names of the wire."""
    assert field in error(root.post(FACTS, json=SAID | more), 422, "VALIDATION_ERROR")["fields"]


def _comment(session: Session) -> object:
    wanted = select(AuditEvent.changes).where(AuditEvent.action == "model_facts.withdraw")
    changes = session.exec(wanted.order_by(col(AuditEvent.id).desc())).first() or {}
    return changes["comment"]["after"]
