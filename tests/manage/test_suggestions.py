"""What a vendor's refusal says of a model is suggested, in no way done by itself; taken over it is an admin's word, on record."""

from typing import Any

import pytest
from sqlmodel import Session, col, select

from core import ai
from core.actors import Actor
from core.errors import CallFailed, Forbidden
from core.manage import model_facts, settings, suggestions
from core.manage.suggestions import Suggestion
from core.store import db
from core.store.records import AuditEvent
from tests.calls import logged, settle
from tests.conftest import make_user
from tests.pages.test_providers import add
from tests.vendors import Status, Vendor

pytest_plugins = ["tests.calls"]


def fail(vendor: Vendor, kind: str, message: str, status: int = 400, model: str = "m1") -> None:
    """Make a call that the vendor refuses in these words."""
    error: dict[str, Any] = {"message": message, "type": "invalid_request_error", "code": status}
    vendor.fail(Status(status, {}, {"type": "error", "error": error}))
    with pytest.raises(CallFailed):
        ai.complete("Hello", provider=kind, model=model)


def test_failed_calls_suggest_and_one_takes_it_over(store: str, vendor: Vendor) -> None:
    """From the log's words, once each, at that host alone; taken over it counts, with its why; what is said already is kept."""
    fail(vendor, "anthropic", "`temperature` is deprecated for this model.")
    fail(vendor, "anthropic", "`temperature` is deprecated for this model.", model="M1")
    fail(vendor, "google", "Penalty is not enabled for this model")
    fail(vendor, "openai", "Unsupported parameter: 'top_p' is not supported with this model.", status=422)
    fail(vendor, "openai", "Unsupported parameter: 'top_p' is not supported with this model.", status=401)
    fail(vendor, "openai", "Request contains an invalid argument.")
    assert len(logged(store)) == 6
    ada, eve = make_user("ada", "admin"), make_user("eve", "analyst")
    with db.transaction() as session:
        found = suggestions.list_all(session)
        assert [(one.model, dict(one.facts)) for one in found] == [
            ("m1", {"top_p": {"refuse": True}}),
            ("m1", {"frequency_penalty": {"refuse": True}, "presence_penalty": {"refuse": True}}),
            ("m1", {"temperature": {"refuse": True}}),
        ]
        host = vendor.base_url("anthropic").partition("//")[2].partition("/")[0]
        assert found[-1].place == f"anthropic@{host}"
        assert model_facts.list_all(session) == []
        assert "temperature" in str(settings.effective(session, "anthropic").request_options())
        model_facts.set_facts(session, ada, "m1", {"context": 5}, why="by contract", api=found[-1].place)
        with pytest.raises(Forbidden):
            suggestions.accept(session, eve, found[-1])
        row = suggestions.accept(session, ada, found[-1])

        assert row.facts == {"context": 5, "temperature": {"refuse": True}}
        assert row.why == (
            f"by contract; refused by the vendor on {found[-1].seen:%Y-%m-%d}: `temperature` is deprecated for this model."
        )
        assert [one.facts.keys() for one in suggestions.list_all(session)] == [one.facts.keys() for one in found[:2]]
        assert "temperature" not in str(settings.effective(session, "anthropic").request_options())
        assert "temperature" in settings.effective(session, "openai").request_options()
        last = session.exec(select(AuditEvent).order_by(col(AuditEvent.id).desc())).first()
        assert last is not None
        assert (last.action, last.actor) == ("model_facts.set", "ada")
    settle()
    ai.complete("Hello", provider="anthropic")
    assert "temperature" not in str(vendor.asked[-1].body)


def log(session: Session, error: str, *, provider_id: int, model: str = "o3", days: int = 0) -> None:
    session.connection().exec_driver_sql(
        "INSERT INTO llm_logs (at, provider_id, provider, model, status, attempts, latency_ms, generation, error)"
        " VALUES (now() - %s * interval '1 day', %s, 'acme', %s, 'error', 1, 1, 1, %s)",
        (days, provider_id, model, error),
    )


def failed(words: str, status: int = 400) -> str:
    return str(CallFailed("acme", "o3", "refused", status, words, 1))


def found(session: Session) -> list[Suggestion]:
    return suggestions.list_all(session)


def test_what_is_known_or_said_or_old_is_no_suggestion(session: Session, admin: Actor) -> None:
    """The catalogue knows it, an admin says otherwise since, it was too long ago, the provider is gone, the name is no name."""
    words = "Unsupported parameter: '{}' is not supported with this model."
    provider = add(session, admin, available_models=["o3", "other"], default_model="o3")
    log(session, failed(words.format("temperature")), provider_id=provider)
    log(session, failed(words.format("stop")), provider_id=provider, model="other", days=suggestions.DAYS + 1)
    log(session, failed(words.format("stop")), provider_id=provider + 1_000, model="other")
    log(session, failed(words.format("stop")), provider_id=provider, model="*")
    log(session, failed(words.format("stop")), provider_id=provider, model="x" * 400)
    log(session, "rubbish 400: " + words.format("stop"), provider_id=provider, model="other")
    assert found(session) == []

    log(session, failed(words.format("top_p")), provider_id=provider, model="other")
    assert [dict(one.facts) for one in found(session)] == [{"top_p": {"refuse": True}}]
    model_facts.set_facts(session, admin, "other", {"top_p": {"ok": True}}, why="it does take it")
    assert found(session) == []


def test_what_is_dismissed_is_not_suggested_again(
    session: Session, admin: Actor, analyst: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For 90 days, of that model at that place, as to that fact; nothing counts by it, and it is on record. The same of what was taken back."""
    words = "Unsupported parameter: '{}' is not supported with this model."
    provider = add(session, admin, available_models=["other", "another"], default_model="other")
    for model in ("other", "another"):
        log(session, failed(words.format("top_p")), provider_id=provider, model=model)
    first, second = found(session)
    with pytest.raises(Forbidden):
        suggestions.dismiss(session, analyst, second)

    row = suggestions.dismiss(session, admin, second)

    assert (row.is_active, row.facts, row.updated_by) == (False, {"top_p": {"refuse": True}}, admin.name)
    assert found(session) == [first]
    assert model_facts.list_all(session) == []
    last = session.exec(select(AuditEvent).order_by(col(AuditEvent.id).desc())).first()
    assert last is not None
    assert (last.action, last.target) == ("model_facts.dismiss", f"{second.model} at {second.place}")
    log(session, failed(words.format("top_p")), provider_id=provider, model=second.model)
    log(session, failed(words.format("stop")), provider_id=provider, model=second.model)
    assert [(one.model, [*one.facts]) for one in found(session)] == [(second.model, ["stop"]), (first.model, ["top_p"])]

    noted = suggestions.accept(session, admin, first)
    model_facts.withdraw(session, admin, noted.id or 0)
    assert [[*one.facts] for one in found(session)] == [["stop"]]
    monkeypatch.setattr(suggestions, "DISMISSED_DAYS", 0)
    assert len(found(session)) == 3


def test_a_flood_of_failures_is_bounded(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest are looked at."""
    monkeypatch.setattr(suggestions, "MOST", 3)
    provider = add(session, admin, available_models=["other"], default_model="other")
    log(session, failed("`stop` is deprecated for this model."), provider_id=provider, model="other", days=1)
    assert len(found(session)) == 1
    for _ in range(3):
        log(session, failed("Overloaded", 429), provider_id=provider, model="other")
    assert found(session) == []
