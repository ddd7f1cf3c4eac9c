"""What calls have cost, over REST: analysts read all, an organisation's people what is of theirs."""

from fastapi.testclient import TestClient

from core.actors import COMMAND_LINE
from core.govern import closing
from core.manage import providers
from core.store import db
from core.store.table import id_of
from tests.govern.test_bills import BILL
from tests.govern.test_closing import OCTOBER, late
from tests.govern.test_spend import fill, told
from tests.rest import KEY, data, error, tenant, token, token_of

SPEND = "/api/llm/spend"


def test_spend_over_rest(client: TestClient) -> None:
    """Analysts read all, an organisation's people what is of theirs by its number; others' is not there."""
    with db.transaction() as session:
        made = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m"], "api_key": KEY}
        provider = id_of(providers.create(session, COMMAND_LINE, made | {"default_model": "m"}))
        theirs, other = tenant(session, "theirs", provider), tenant(session, "other", provider)
        fill(session)
        told(
            session, ("2026-10-02T00:00:00Z", (theirs.organization, "chat", "openai", "m1", "answered", "K-2"), "16", 0)
        )
    asked = f"{SPEND}?by=feature,costCentre&from=2026-10-01&to=2026-10-31&zone=Europe/Berlin"

    found = data(client.get(asked, headers=token("analyst")))
    assert (found["from"], found["to"], found["total"]["cost"]) == ("2026-10-01", "2026-10-31", "17.0000000002")
    assert found["rows"][0] == {
        "names": {"feature": "chat", "costCentre": "K-2"},
        "cost": "16.0000000000",
        "estimated": "8.0000000000",
        "calls": 2,
        "inputTokens": 10,
        "outputTokens": 5,
        "unpriced": 0,
    }
    of = f"{asked}&organizationId={theirs.organization}"
    for role in ("admin", "analyst"):
        own = data(client.get(of, headers=token_of(theirs.organization, role)))
        assert own["total"]["cost"] == "16.0000000000"
    error(client.get(of, headers=token_of(other.organization, "admin")), 404, "NOT_FOUND")
    error(client.get(asked, headers=token_of(other.organization, "admin")), 403, "FORBIDDEN")
    error(client.get(asked.replace("2026-10-31", "31.10."), headers=token("admin")), 422, "VALIDATION_ERROR")


def test_bills_over_rest(client: TestClient) -> None:
    """Set, compared, removed; as text, digit by digit."""
    with db.transaction() as session:
        fill(session)
    admin, analyst, path = token("admin"), token("analyst"), "/api/llm/spend/bills"
    made = data(client.put(path, json=BILL, headers=admin))
    assert (made["amount"], made["month"], made["source"], made["version"]) == ("10.0000000003", "2026-10", "typed", 1)
    found = data(client.get(f"{path}?month=2026-10", headers=analyst))
    assert [(each["provider"], each["difference"], each["perCent"]) for each in found] == [
        ("openai", "3.0000000001", "30.0")
    ]
    assert found[0]["counted"]["unpriced"] == 1
    assert client.put(path, json=BILL, headers=analyst).status_code == 403
    assert client.get(f"{path}?month=2026-1", headers=analyst).status_code in {400, 422}
    gone = client.delete(f"{path}?provider=openai&month=2026-10", headers={**admin, "If-Match": '"1"'})
    assert data(gone)["amount"] == "10.0000000003"
    assert client.delete(f"{path}?provider=openai&month=2026-10", headers=admin).status_code == 404


def test_a_closed_month_over_rest(client: TestClient) -> None:
    """Who reads what calls have cost reads a closed month too; members of nothing do not."""
    with db.transaction() as session:
        acme = fill(session)
        closing.close(session, COMMAND_LINE, OCTOBER)
        late(session, acme)
    path = "/api/llm/spend/charges?month=2026-10"
    found = data(client.get(path, headers=token("analyst")))
    assert (found["total"]["cost"], found["later"]["cost"], found["closedBy"]) == (
        "7.0000000002",
        "1.0000000007",
        COMMAND_LINE.name,
    )
    assert found["rows"][1]["costCentre"] == "K-1"
    error(client.get(f"{path}&zone=Asia/Tokyo", headers=token("analyst")), 422, "VALIDATION_ERROR")
    assert client.get("/api/llm/spend/charges?month=2026-13", headers=token("analyst")).status_code in {400, 422}


def test_months_are_closed_and_opened_again_over_rest(client: TestClient) -> None:
    """Admins close a month that is over, once, and open it again; analysts list, members of nothing do neither; refusals name the field."""
    with db.transaction() as session:
        fill(session)
    admin, analyst, path = token("admin"), token("analyst"), f"{SPEND}/closings"
    month = {"month": "2026-10", "zone": "Europe/Berlin"}
    error(client.post(path, json=month, headers=analyst), 403, "FORBIDDEN")

    made = data(client.post(path, json=month, headers=admin), 201)
    assert (made["month"], made["zone"]) == ("2026-10", "Europe/Berlin")
    assert data(client.get(path, headers=analyst)) == [made]
    assert data(client.get(f"{SPEND}/charges?month=2026-10", headers=analyst))["closedBy"] == made["closedBy"]
    error(client.post(path, json=month, headers=admin), 409, "ALREADY_EXISTS")
    for wrong, field in (
        ({"month": "2999-01"}, "month"),
        ({"month": "2026-13"}, "month"),
        ({"month": "2026-09", "zone": "Mars/Olympus"}, "zone"),
        ({"month": "2026-09", "mnth": 1}, "mnth"),
    ):
        assert field in error(client.post(path, json=wrong, headers=admin), 422, "VALIDATION_ERROR")["fields"], wrong

    gone = f"{path}?month=2026-10"
    error(client.delete(gone, headers=analyst), 403, "FORBIDDEN")
    assert data(client.delete(gone, headers=admin)) == made
    error(client.delete(gone, headers=admin), 404, "NOT_FOUND")
    assert data(client.get(path, headers=analyst)) == []
