"""From a model that ends to another one: list, default and preferred model change together, on record, and nobody else's do."""

import pytest
from sqlmodel import Session, col, select

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid
from core.manage import providers, settings, successors
from core.manage.successors import Move
from core.store.records import AuditEvent


def _add(session: Session, name: str, models: list[str], **more: str) -> int:
    data = {"name": name, "display_name": name, "kind": "openai", "available_models": models}
    return providers.create(session, COMMAND_LINE, {**data, "default_model": models[0], **more}).id or 0


def _state(session: Session, name: str) -> tuple[list[str], str | None, str | None]:
    row = providers.get_by_name(session, name)
    own = settings.get_global(session, row.id)
    return row.available_models, row.default_model, own.preferred_model if own else None


def test_all_that_use_it_change_at_once(session: Session, admin: Actor) -> None:
    """The plan says it before; another host's model, and a provider that is not chosen, stay as they are."""
    _add(session, "first", ["gpt-5", "gpt-4o"])
    second = _add(session, "second", ["gpt-4o", "gpt-5", "new"])
    settings.upsert_global(session, admin, second, {"preferred_model": "gpt-5"})
    _add(session, "third", ["gpt-5"])
    _add(session, "azure", ["gpt-5"], kind="azure_openai", api_base_url="https://x.openai.azure.com")

    planned = successors.plan(session, "openai", "gpt-5", "new", take_off=True)
    assert planned[:2] == [
        Move("first", "first", adds=True, default=True, preferred=False, takes_off=True),
        Move("second", "second", adds=False, default=False, preferred=True, takes_off=True),
    ]
    done = successors.change(
        session, admin, "openai", "gpt-5", "new", names={"first", "second", "azure"}, take_off=True
    )

    assert done == planned[:2]
    assert _state(session, "first") == (["new", "gpt-4o"], "new", None)
    assert _state(session, "second") == (["gpt-4o", "new"], "gpt-4o", "new")
    assert _state(session, "third") == (["gpt-5"], "gpt-5", None)
    assert _state(session, "azure") == (["gpt-5"], "gpt-5", None)
    events = session.exec(select(AuditEvent).where(col(AuditEvent.actor) == admin.name)).all()
    assert {(each.action, each.target) for each in events} == {
        ("settings.create", "second"),
        ("provider.update", "first"),
        ("settings.update", "second"),
        ("provider.update", "second"),
    }


def test_old_model_stays_where_programs_name_it(session: Session, admin: Actor) -> None:
    """Unless it is taken off, it stays in the list, the new one beside it; once that is so there is nothing to do."""
    _add(session, "first", ["gpt-5", "gpt-4o"])
    successors.change(session, admin, "openai", "gpt-5", "new", names={"first"}, take_off=False)

    assert _state(session, "first") == (["gpt-5", "new", "gpt-4o"], "new", None)
    assert successors.plan(session, "openai", "gpt-5", "new", take_off=False) == []


def test_what_is_refused(session: Session, admin: Actor, analyst: Actor) -> None:
    """An analyst, the model itself, a name that is none: nothing changes."""
    _add(session, "first", ["gpt-5"])
    with pytest.raises(Forbidden):
        successors.change(session, analyst, "openai", "gpt-5", "new", names={"first"}, take_off=True)
    for name in ("gpt-5", "", "x" * 1000):
        with pytest.raises(Invalid):
            successors.change(session, admin, "openai", "gpt-5", name, names={"first"}, take_off=False)
    assert _state(session, "first") == (["gpt-5"], "gpt-5", None)
