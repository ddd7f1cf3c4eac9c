"""Why something is changed: kept with each event, and asked for where the installation wants it, by every write alike."""

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE, FIRST_START, PERIODIC, WEBHOOKS, Actor
from core.audit.reasons import COMMENT, WITHOUT, needs_none
from core.audit.record import Target, explained, record, tried
from core.errors import Invalid
from core.manage import env_import, installation, organization_import, providers, settings, several
from core.store.table import id_of
from tests.audit.test_audit import ACME, CANARY, WRITES, events, pairs
from tests.conftest import ROOT

WHY = "ticket 4711: steadier answers"


def want(session: Session, actor: Actor) -> None:
    """Have the installation ask for a reason from now on."""
    installation.update(session, actor, {"require_reason": True})


@pytest.mark.parametrize("name", WRITES)
def test_every_write_asks_for_a_reason(session: Session, admin: Actor, name: str) -> None:
    """Each public write of core: refused without one, done with one, which its event has; but what is listed needs none."""
    prepare, work, action, _ = WRITES[name]
    target = prepare(session, admin)
    want(session, COMMAND_LINE)  # of some there is no user any more
    before = len(events(session))
    if not needs_none(action) and name != "users.bootstrap":
        attempt = session.begin_nested()
        with pytest.raises(Invalid) as told:
            work(session, admin, target)
        attempt.rollback()
        session.expire_all()
        assert list(told.value.fields) == [COMMENT]
        assert "--comment" in told.value.fields[COMMENT]
        assert len(events(session)) == before
    with explained(session, WHY):
        work(session, admin, target)

    (event,) = events(session)[before:]
    assert event.action == action
    assert pairs(event)[COMMENT] == (None, WHY)


def test_what_needs_none_is_something_that_is_recorded() -> None:
    """Each entry of the list is an action that core names, or a group of some, and says why."""
    rooms = [path for path in (ROOT / "core").rglob("*.py") if path.name != "reasons.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in rooms)
    for action, why in WITHOUT.items():
        assert why
        assert f'"{action.removesuffix("*")}' in text


def test_the_switch_itself(session: Session, admin: Actor) -> None:
    """Turning it on needs no reason, as none was needed before; turning it off needs one."""
    want(session, admin)
    with pytest.raises(Invalid, match="comment: is needed"):
        installation.update(session, admin, {"require_reason": False})
    with explained(session, "nobody wrote any"):
        assert not installation.update(session, admin, {"require_reason": False}).require_reason
    settings.upsert_global(session, admin, None, {"temperature": 0.2})


@pytest.mark.parametrize(
    "actor", [FIRST_START, PERIODIC, WEBHOOKS, COMMAND_LINE, Actor("import:chart"), Actor(PERIODIC.name, 7)]
)
def test_what_nobody_attends_needs_none(session: Session, admin: Actor, actor: Actor) -> None:
    """The first start and the periodic work; not the command line, no importer, and no user who is called so."""
    want(session, admin)
    if actor in {FIRST_START, PERIODIC, WEBHOOKS}:
        record(session, actor, "provider.update", Target("provider", 1, "acme"))
        return
    with pytest.raises(Invalid):
        record(session, actor, "provider.update", Target("provider", 1, "acme"))


def test_a_reason_is_one_line_without_secrets(session: Session, admin: Actor) -> None:
    """Line breaks become blanks, what looks like a key is masked, half characters are stored as what they can be."""
    with explained(session, f"  first\r\n second\x00\ud800 {CANARY} "):
        providers.create(session, admin, ACME)

    said = pairs(events(session)[-1])[COMMENT][1]
    assert str(said).startswith("first second\ufffd\ufffd ")
    assert CANARY not in str(said)
    with pytest.raises(Invalid, match="at most 500 characters; this has 501"), explained(session, "x" * 501):
        pass


def test_the_inner_reason_counts_and_an_empty_one_leaves_the_outer(session: Session, admin: Actor) -> None:
    """Each part of a transaction has its own; after it there is none."""
    with explained(session, "outer"):
        with explained(session, " "):
            providers.create(session, admin, {**ACME, "name": "one"})
        with explained(session, "inner"):
            providers.create(session, admin, {**ACME, "name": "two"})
        providers.create(session, admin, {**ACME, "name": "three"})
    providers.create(session, admin, {**ACME, "name": "four"})

    said = [pairs(event).get(COMMENT, (None, None))[1] for event in events(session, "provider.create")]
    assert said == ["outer", "inner", "outer", None]


def test_what_goes_on_after_a_refusal_is_refused_whole(session: Session, admin: Actor) -> None:
    """An import that reports line by line, and a change of several: without a reason nothing of it; a preview needs none."""
    number = id_of(providers.create(session, admin, ACME))
    want(session, admin)
    env, lines = {"OPENAI_API_KEY": CANARY}, [{"slug": "beta", "name": "Beta", "external_names": []}]
    change = several.Change("is_active", "value", value=True)
    before = len(events(session))

    assert any(each.action == "created" for each in env_import.preview(session, admin, env))
    with tried(session):
        attempt = session.begin_nested()
        assert not organization_import.put(session, admin, lines)[0].is_refused
        attempt.rollback()
    for work in (
        lambda: env_import.import_env(session, admin, env),
        lambda: organization_import.put(session, admin, lines),
        lambda: several.apply(session, admin, {number: 1}, change),
    ):
        with pytest.raises(Invalid) as told:
            work()
        assert list(told.value.fields) == [COMMENT]
    assert len(events(session)) == before
