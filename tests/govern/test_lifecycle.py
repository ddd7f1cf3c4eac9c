"""Models in use that end are listed with the day, who uses them, and what comes after."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.access import tokens
from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden
from core.govern import lifecycle
from core.manage import model_facts, observed, providers, settings
from core.models.facts import facts
from tests.govern.test_usage import log

TODAY = date(2026, 11, 26)


def _add(session: Session, name: str, models: list[str], **more: str) -> int:
    data = {
        "name": name,
        "display_name": name,
        "kind": "openai",
        "available_models": models,
        "default_model": models[0],
    }
    return providers.create(session, COMMAND_LINE, data | more).id or 0


def test_who_uses_what_ends(session: Session, admin: Actor) -> None:
    """By the API that it is called through: Azure's day is another one, and a gateway's is nobody's."""
    first = _add(session, "first", ["gpt-5", "gpt-6-luna"])
    _add(session, "second", ["gpt-6-luna", "gpt-5"])
    _add(session, "azure", ["gpt-5"], kind="azure_openai", api_base_url="https://x.openai.azure.com")
    _add(session, "gateway", ["gpt-5"], kind="openai_compatible", api_base_url="https://gateway.example.com/v1")
    settings.upsert_global(session, admin, first, {"preferred_model": "gpt-5"})
    log(
        session,
        {"provider": "first", "model": "gpt-5"},
        {"provider": "second", "model": "gpt-5"},
        {"provider": "gateway", "model": "gpt-5"},
        {"provider": "first", "model": "gpt-5", "at": datetime.now(UTC) - timedelta(days=31)},
    )

    openai, azure = lifecycle.retiring(session, admin, today=TODAY)

    assert (openai.model, openai.api, openai.retires) == ("gpt-5", "OpenAI", date(2026, 12, 11))
    assert (openai.days, openai.rerouted, openai.successor) == (15, False, "gpt-6.1-sol")
    assert (openai.providers, openai.defaults, openai.calls) == (("first", "second"), 2, 2)
    assert openai.price is not None
    assert openai.successor_price is not None
    assert (openai.price.input, openai.successor_price.input) == (1.25, 2)
    known = facts("azure", "gpt-5")
    assert known is not None
    assert (azure.api, azure.retires, azure.providers) == ("Azure OpenAI", known.retires, ("azure",))


def test_what_has_ended_stays_on_the_list(session: Session, admin: Actor) -> None:
    """Rerouted is told apart from refused."""
    _add(session, "grok", ["grok-3"], kind="openai_compatible", api_base_url="https://api.x.ai/v1")

    (line,) = lifecycle.retiring(session, admin, today=TODAY)

    assert (line.days, line.rerouted, line.successor) == ((date(2026, 5, 15) - TODAY).days, True, "grok-4.3")


def test_what_ends_later_is_no_news(session: Session, admin: Actor) -> None:
    _add(session, "first", ["gpt-5"])

    assert lifecycle.retiring(session, admin, 14, today=TODAY) == []
    assert len(lifecycle.retiring(session, admin, 15, today=TODAY)) == 1


def test_unknown_models_and_odd_rows_are_no_trouble(session: Session, admin: Actor) -> None:
    _add(session, "odd", ["x" * 200, "unheard-of"])
    session.execute(text("UPDATE llm_providers SET default_model = NULL"))

    assert lifecycle.retiring(session, admin, today=TODAY) == []


def test_who_may_read_it(session: Session, analyst: Actor) -> None:
    """An analyst may; a token that reads metrics alone may not."""
    assert lifecycle.retiring(session, analyst) == []
    token, _ = tokens.create(session, COMMAND_LINE, {"name": "prometheus", "role": "metrics"})
    with pytest.raises(Forbidden):
        lifecycle.retiring(session, Actor("prometheus", token_id=token.id))


@pytest.mark.parametrize(
    ("days", "use", "tier"),
    [
        (181, {}, "legacy"),
        (180, {"calls": 1}, "announced"),
        (31, {}, "announced"),
        (30, {}, "soon"),
        (0, {"defaults": 1}, "soon"),
        (-1, {}, "retired"),
        (-1, {"calls": 1}, "overdue"),
        (-1, {"defaults": 1}, "overdue"),
    ],
)
def test_tiers(session: Session, admin: Actor, days: int, use: dict[str, int], tier: str) -> None:
    """What is near, or over, and in use is the most urgent."""
    _add(session, "first", ["gpt-5"])
    (line,) = lifecycle.retiring(session, admin, today=TODAY)

    assert line._replace(days=days, **{"defaults": 0, "calls": 0} | use).tier == tier


def test_an_admin_and_a_vendors_list_say_when_a_model_ends(session: Session, admin: Actor) -> None:
    """A day that the catalogue does not know, of one host or everywhere; an admin's counts more than a list's."""
    _add(session, "acme", ["our-own"])
    assert lifecycle.retiring(session, admin, 10**6) == []
    observed.keep(session, admin, "openai", None, {"our-own": {"retires": "2099-01-31", "successor": "next"}})
    (line,) = lifecycle.retiring(session, admin, 10**6)
    assert (line.model, line.retires, line.successor) == ("our-own", date(2099, 1, 31), "next")
    said = {"retires": "2099-02-01", "prices": [{"input": 1.5, "output": 2.0}]}
    model_facts.set_facts(session, admin, "our-own", said, why="they wrote to us")
    (line,) = lifecycle.retiring(session, admin, 10**6)
    assert (line.retires, line.successor, line.price and line.price.input) == (date(2099, 2, 1), "next", Decimal("1.5"))
