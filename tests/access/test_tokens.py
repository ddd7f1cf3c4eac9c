"""API tokens: made once, stored as a hash, ended at once; and what each role may do."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core import redaction
from core.access import authority, tokens
from core.actors import COMMAND_LINE, Actor
from core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from core.manage import providers
from core.store import db


def make(session: Session, name: str = "billing", role: str = "analyst", **more: object) -> tuple[int, str]:
    """Make a token; return its id and the token."""
    row, token = tokens.create(session, COMMAND_LINE, {"name": name, "role": role, **more})
    return row.id or 0, token


def test_only_the_hash_is_stored(session: Session, admin: Actor) -> None:
    """A token is shown once: no column, dump or event of its row has it; two of them differ."""
    row, token = tokens.create(session, admin, {"name": " billing ", "role": "analyst"})
    _, other = make(session, "other")

    assert token.startswith("llms_")
    assert len(token) == 48
    assert token != other
    assert (row.name, row.hint, row.created_by, row.expires_at) == ("billing", token[:9], "ada", None)
    whole = session.execute(text("SELECT string_agg(t::text, ' ') FROM api_tokens t")).scalar_one()
    events = session.execute(text("SELECT string_agg(e::text, ' ') FROM audit_events e")).scalar_one()
    for said in (whole, events, repr(row), str(row.model_dump())):
        assert token[9:] not in said
    assert "token_hash" not in row.model_dump()


def test_a_token_stands_for_an_actor(session: Session) -> None:
    """Who holds it is found, by an actor whose name no user can have; any other text is nobody."""
    token_id, token = make(session)

    actor = tokens.find(session, token, "192.0.2.7")
    assert actor == Actor("token:billing", address="192.0.2.7", token_id=token_id)
    for wrong in ("", token[:-1], token + "x", token.upper(), token[:-1] + "\x00", "llms_" + "x" * 43, "é" * 48):
        assert tokens.find(session, wrong) is None


def test_a_token_is_got_by_id_or_name(session: Session) -> None:
    """By id whether revoked or not, by name only while it holds; an id no column can hold, and NUL, are not found."""
    token_id, _ = make(session)

    assert tokens.get(session, token_id).name == "billing"
    assert tokens.get_by_name(session, "billing").id == token_id
    tokens.revoke(session, COMMAND_LINE, token_id)
    assert tokens.get(session, token_id).revoked_at is not None
    for number in (token_id + 1, 0, -1, 2**63):
        with pytest.raises(NotFound):
            tokens.get(session, number)
    for name in ("billing", "nobody", "bill\x00ing"):
        with pytest.raises(NotFound):
            tokens.get_by_name(session, name)


@pytest.mark.parametrize(
    "end",
    [
        "revoked_at = clock_timestamp()",
        "expires_at = clock_timestamp() - interval '1 second'",
    ],
)
def test_a_token_ends(session: Session, end: str) -> None:
    """Revoked, or expired by the database's clock, it is nobody; and who was found before may do nothing more."""
    token_id, token = make(session, role="admin", expires_in_days=1)
    actor = tokens.find(session, token)
    assert actor is not None
    authority.require(session, actor, "provider.create")

    session.execute(text(f"UPDATE api_tokens SET {end} WHERE id = :id"), {"id": token_id})

    assert tokens.find(session, token) is None
    with pytest.raises(Forbidden, match="revoked or has expired"):
        authority.require(session, actor, "provider.create")


def test_expiry_is_counted_in_days(session: Session) -> None:
    """90 days are 90 days, from now on by the database's clock."""
    token_id, _ = make(session, expires_in_days=90)

    left = text("SELECT expires_at - clock_timestamp() FROM api_tokens WHERE id = :id")
    assert 89.9 < session.execute(left, {"id": token_id}).scalar_one().total_seconds() / 86400 <= 90


@pytest.mark.parametrize(
    ("role", "may"),
    [("admin", {"admin", "analyst", "metrics"}), ("analyst", {"analyst"}), ("metrics", {"metrics"})],
)
def test_roles(role: str, may: set[str]) -> None:
    """What each role may do; the rest is denied, and the denial is on record."""
    with db.transaction() as session:
        _, token = make(session, role=role)
        actor = tokens.find(session, token)
        assert actor is not None
        assert authority.role_of(session, actor) == role

    for needed in ("admin", "analyst", "metrics"):

        def act(needed: str = needed) -> None:
            with db.transaction() as session:
                authority.require(session, actor, f"try.{needed}", role=needed)

        if needed in may:
            act()
        else:
            with pytest.raises(Forbidden):
                act()
    with db.transaction() as session:
        denied = session.execute(text("SELECT target FROM audit_events WHERE action = 'denied'")).scalars()
        assert set(denied) == {f"try.{needed}" for needed in {"admin", "analyst", "metrics"} - may}


def test_writes_are_put_down_to_the_token(session: Session) -> None:
    """The change history and the audit name the token."""
    _, token = make(session, "deploy", "admin")
    actor = tokens.find(session, token)
    assert actor is not None

    row = providers.create(
        session, actor, {"name": "acme", "display_name": "A", "kind": "openai", "available_models": ["m"]}
    )

    assert row.updated_by == "token:deploy"
    event = session.execute(text("SELECT actor, actor_id FROM audit_events WHERE action = 'provider.create'")).one()
    assert tuple(event) == ("token:deploy", None)


def test_analysts_make_and_revoke_none(session: Session, analyst: Actor) -> None:
    """It takes an admin, or a token of that role."""
    token_id, token = make(session)
    holder = tokens.find(session, token)
    assert holder is not None

    works: list[Callable[[Actor], object]] = [
        lambda actor: tokens.create(session, actor, {"name": "x", "role": "admin"}),
        lambda actor: tokens.revoke(session, actor, token_id),
    ]
    for actor in (analyst, holder):
        for work in works:
            with pytest.raises(Forbidden):
                work(actor)


def test_a_name_is_free_again_after_revoking(session: Session, admin: Actor) -> None:
    """Two that hold never have one name; a revoked one stays listed, below, and ends once."""
    token_id, _ = make(session)
    with pytest.raises(AlreadyExists, match="billing"), session.begin_nested():
        make(session)

    revoked = tokens.revoke(session, admin, token_id)
    moment = revoked.revoked_at
    make(session)

    assert tokens.revoke(session, COMMAND_LINE, token_id).revoked_at == moment
    assert [row.revoked_by for row in tokens.list_all(session)] == [None, "ada"]
    assert tokens.get_by_name(session, "billing").id != token_id
    for missing in ("none", "nul\x00"):
        with pytest.raises(NotFound):
            tokens.get_by_name(session, missing)
    for number in (0, 999_999, 2**40):
        with pytest.raises(NotFound):
            tokens.revoke(session, admin, number)


ENDED = {
    "revoked": ("now() - interval '366 days'", "NULL"),
    "revoked before its end": ("now() - interval '366 days'", "now() + interval '30 days'"),
    "expired": ("NULL", "now() - interval '366 days'"),
    "revoked, kept": ("now() - interval '364 days'", "NULL"),
    "expired, kept": ("NULL", "now() - interval '364 days'"),
    "revoked after its end": ("now() - interval '364 days'", "now() - interval '366 days'"),
    "will end": ("NULL", "now() + interval '366 days'"),
    "without an end": ("NULL", "NULL"),
}


def test_what_ended_long_ago_is_dropped(session: Session, admin: Actor) -> None:
    """A year after its end, whichever way it ended; the audit has their names, and nothing where there is none."""
    for name, (revoked, expires) in ENDED.items():
        token_id, _ = make(session, name)
        session.execute(
            text(f"UPDATE api_tokens SET revoked_at = {revoked}, expires_at = {expires} WHERE id = :id"),
            {"id": token_id},
        )
    gone = sorted(name for name, (revoked, expires) in ENDED.items() if "- interval '366" in revoked + expires)

    assert [tokens.drop_ended(session, admin) for _ in range(2)] == [len(gone), 0]
    assert {row.name for row in tokens.list_all(session)} == ENDED.keys() - set(gone)
    events = session.execute(text("SELECT changes FROM audit_events WHERE action = 'token.purge'")).scalars().all()
    assert [event["names"] for event in events] == [{"before": gone, "after": None}]


def test_what_a_session_has_read_before_does_not_count(session: Session, admin: Actor) -> None:
    """A token that somebody else has ended meanwhile stays as it is."""
    token_id, _ = make(session)
    kept = tokens.get(session, token_id)
    session.execute(
        text("UPDATE api_tokens SET revoked_at = now(), revoked_by = 'grace' WHERE id = :id"), {"id": token_id}
    )

    assert tokens.revoke(session, admin, token_id).revoked_by == kept.revoked_by == "grace"
    assert session.execute(text("SELECT count(*) FROM audit_events WHERE action = 'token.revoke'")).scalar() == 0


@pytest.mark.usefixtures("committed")
def test_of_two_who_revoke_the_first_has_done_it(admin: Actor) -> None:
    """The second waits for the first one's commit, and changes nothing."""
    with db.transaction() as session:
        token_id, _ = make(session)

    def second() -> str | None:
        with db.transaction() as session:
            return tokens.revoke(session, COMMAND_LINE, token_id).revoked_by

    with ThreadPoolExecutor(1) as other:
        with db.transaction() as first:
            tokens.revoke(first, admin, token_id)
            waiting = other.submit(second)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        assert waiting.result(20) == "ada"
    with db.transaction() as session:
        actors = session.execute(text("SELECT actor FROM audit_events WHERE action = 'token.revoke'")).scalars()
        assert list(actors) == ["ada"]


def test_the_list_begins_with_what_holds(session: Session) -> None:
    """By name, whatever its case; of equal names the newest first."""
    ids = {}
    for name, revoked in (("b", True), ("B", False), ("a", True), ("c", False), ("a", True), ("A", False)):
        token_id, _ = make(session, name)
        ids[token_id] = name
        if revoked:
            tokens.revoke(session, COMMAND_LINE, token_id)
    first, second = (number for number, name in ids.items() if name == "a")

    rows = tokens.list_all(session)
    assert [row.name for row in rows] == ["A", "B", "c", "a", "a", "b"]
    assert [row.id for row in rows][3:5] == [second, first]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "", "role": "admin"}, "name"),
        ({"name": "x" * 101, "role": "admin"}, "name"),
        ({"name": "a\x00b", "role": "admin"}, "name"),
        ({"name": "a\nb", "role": "admin"}, "name"),
        ({"name": "\ud800", "role": "admin"}, "name"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "admin", "expires_in_days": 0}, "expires_in_days"),
        ({"name": "x", "role": "admin", "expires_in_days": 3651}, "expires_in_days"),
        ({"name": "x", "role": "admin", "expires_in_days": 1.5}, "expires_in_days"),
        ({"name": "x", "role": "admin", "token_hash": "x"}, "token_hash"),
    ],
)
def test_bad_input_names_the_field(session: Session, admin: Actor, data: dict[str, object], field: str) -> None:
    """Each rule is told beside its field."""
    with pytest.raises(Invalid) as told:
        tokens.create(session, admin, data)

    assert set(told.value.fields) == {field}


def test_last_use_is_noted_once_a_minute(session: Session) -> None:
    """The first use, and then no more often than once a minute, with the address."""
    token_id, token = make(session)

    def used() -> tuple[object, str | None]:
        row = session.execute(
            text("SELECT last_used_at, last_used_from FROM api_tokens WHERE id = :id"), {"id": token_id}
        )
        at, where = row.one()
        return at, where

    assert used() == (None, None)
    tokens.find(session, token, "192.0.2.1")
    first = used()
    assert first[1] == "192.0.2.1"
    tokens.find(session, token, "192.0.2.2")
    assert used() == first
    session.execute(text("UPDATE api_tokens SET last_used_at = last_used_at - interval '61 seconds'"))
    tokens.find(session, token, "192.0.2.2")
    assert used()[1] == "192.0.2.2"


@pytest.mark.usefixtures("committed")
def test_nobody_waits_for_anybody() -> None:
    """Eight requests with one token, while a long write of that token holds its row: none waits, none fails."""
    with db.transaction() as session:
        _, token = make(session, role="admin")
        holder = tokens.find(session, token)
        assert holder is not None
        session.execute(text("UPDATE api_tokens SET last_used_at = NULL"))
    failed: list[BaseException] = []

    def one() -> None:
        try:
            with db.transaction() as session:
                actor = tokens.find(session, token)
                assert actor is not None
                authority.require(session, actor, "provider.create")
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    with db.transaction() as holding:
        authority.require(holding, holder, "provider.create")
        crew = [threading.Thread(target=one) for _ in range(8)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join(10)
        assert not any(thread.is_alive() for thread in crew)
    assert failed == []


def test_a_token_is_taken_out_of_the_log() -> None:
    """By its prefix, also one that this process has not made."""
    said = redaction.scrub("GET /x with llms_" + "Ab1-_" * 8 + "xyz")

    assert said == "GET /x with llms_****"
