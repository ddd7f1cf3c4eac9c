"""Who may sign in, and what ends a sign-in."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import bcrypt
import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.access import authority, sessions, users
from core.actors import COMMAND_LINE, Actor
from core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from core.manage import bootstrap
from core.store import db
from tests.conftest import PASSWORD, SHIPPED_COST, make_user

GOOD = "correct horse battery"
OTHER = "a sentence of one's own"


def test_password_is_stored_as_bcrypt(session: Session, admin: Actor) -> None:
    """A password is stored as a bcrypt hash of cost 12 that it fits."""
    user = users.add(session, admin, "Grace", GOOD, "analyst")

    assert user.username == "grace"
    assert user.password_hash.startswith(f"$2b${users.COST}$")
    assert SHIPPED_COST == 12
    assert bcrypt.checkpw(GOOD.encode(), user.password_hash.encode())


def test_name_is_taken_in_any_case(session: Session, admin: Actor) -> None:
    """Ada and ADA are one user."""
    with pytest.raises(AlreadyExists, match="ada"):
        users.add(session, admin, " ADA ", GOOD, "admin")


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x" * 65,
        "é" * 40,
        " " * 20,
        " leading space is trimmed",
        "nul\x00 in the middle",
        "half \ud800 character",
    ],
)
def test_password_that_breaks_a_rule_is_refused_in_words(session: Session, admin: Actor, password: str) -> None:
    """CHECKS 21: too short, too long, over 72 bytes, blank, NUL, surrogate: a clear refusal that does not echo it."""
    with pytest.raises(Invalid) as caught:
        users.add(session, admin, "grace", password, "analyst")

    assert list(caught.value.fields) == ["password"]
    assert password.strip() not in str(caught.value) or not password.strip()


def test_last_admin_stays(session: Session, admin: Actor) -> None:
    """The last active admin can be neither disabled nor made an analyst."""
    assert admin.user_id is not None
    with pytest.raises(Invalid, match="last active admin"):
        users.set_active(session, admin, admin.user_id, active=False)
    with pytest.raises(Invalid, match="last active admin"):
        users.set_role(session, COMMAND_LINE, admin.user_id, "analyst")


@pytest.mark.parametrize(
    ("rows", "stays"),
    [
        ("('ada', 'admin', true)", True),
        ("('ada', 'admin', true), ('bob', 'admin', false), ('alan', 'analyst', true)", True),
        ("('ada', 'admin', true), ('bob', 'admin', true)", False),
        ("('ada', 'admin', false)", False),
        ("('ada', 'analyst', true)", False),
    ],
    ids=["alone", "others do not count", "another one", "not active", "no admin"],
)
def test_an_active_admin_is_left(session: Session, rows: str, *, stays: bool) -> None:
    """Only active admins count: one who is disabled, or an analyst, is none. Whoever is none may go anyway."""
    session.execute(
        text(f"INSERT INTO users (username, role, is_active, password_hash) SELECT *, '*' FROM (VALUES {rows}) AS v")
    )
    ada = users.find(session, "ada")
    assert ada is not None
    for change in (
        lambda: users.set_role(session, COMMAND_LINE, ada.id or 0, "analyst"),
        lambda: users.set_active(session, COMMAND_LINE, ada.id or 0, active=False),
    ):
        attempt = session.begin_nested()
        with pytest.raises(Invalid, match="last active admin") if stays else nullcontext():
            change()
        attempt.rollback()


def test_what_is_so_already_changes_nothing(session: Session, admin: Actor, analyst: Actor) -> None:
    """The role, or the state, that a user has: no sign-in ends, and nothing is put on record. The database counts."""
    user = users.get(session, analyst.user_id or 0)
    users.set_role(session, admin, analyst.user_id or 0, "analyst")
    users.set_active(session, admin, analyst.user_id or 0, active=True)
    session.execute(text("UPDATE users SET role = 'admin' WHERE username = 'alan'"))
    users.set_role(session, admin, analyst.user_id or 0, "admin")

    assert user.auth_epoch == analyst.auth_epoch
    assert session.execute(text("SELECT count(*) FROM audit_events")).scalar() == 0


@pytest.mark.parametrize("change", ["password", "role", "disable"])
def test_change_of_rights_ends_the_sign_in(session: Session, admin: Actor, analyst: Actor, change: str) -> None:
    """CHECKS 2: after a new password, another role or disabling, an actor from before is refused at once."""
    assert analyst.user_id is not None
    authority.require(session, analyst, "test", role="analyst")
    if change == "password":
        users.set_password(session, admin, analyst.user_id, GOOD)
    elif change == "role":
        users.set_role(session, admin, analyst.user_id, "admin")
    else:
        users.set_active(session, admin, analyst.user_id, active=False)

    with pytest.raises(Forbidden, match="Sign in again"):
        authority.require(session, analyst, "test", role="analyst")


def test_analyst_manages_no_users(session: Session, analyst: Actor) -> None:
    """Every write of this module asks for an admin."""
    assert analyst.user_id is not None
    for write in (
        lambda: users.add(session, analyst, "grace", GOOD, "analyst"),
        lambda: users.set_password(session, analyst, 1, GOOD),
        lambda: users.set_role(session, analyst, 1, "admin"),
        lambda: users.set_active(session, analyst, 1, active=True),
    ):
        with pytest.raises(Forbidden, match="Admin access required"):
            write()


def test_first_admin_is_made_once(session: Session) -> None:
    """CHECKS 23: bootstrap shows a made-up password once; a second run does nothing."""
    made = users.bootstrap(session, "admin", None)

    assert made is not None
    assert bcrypt.checkpw(made.encode(), users.list_all(session)[0].password_hash.encode())
    assert len(made) >= 20
    assert users.bootstrap(session, "admin", None) is None
    assert len(users.list_all(session)) == 1


def test_first_password_that_was_given_is_not_shown(session: Session) -> None:
    """It has to be changed, unless an admin gives the user another one."""
    assert users.bootstrap(session, "admin", PASSWORD) is None
    first = users.list_all(session)[0]
    assert first.must_change_password

    users.set_password(session, COMMAND_LINE, first.id or 0, OTHER)
    assert not first.must_change_password


def test_unknown_user_costs_as_much_as_a_known_one() -> None:
    """The hash that stands in for an unknown user's has the same cost, is kept, and no password is known for it."""
    decoy = users.decoy_hash()

    assert decoy.startswith(f"$2b${users.COST}$")
    assert users.decoy_hash() is decoy
    assert not any(bcrypt.checkpw(guess, decoy.encode()) for guess in (b"", PASSWORD.encode()))


def test_the_app_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first unknown user costs no more than the next: the hash is there as soon as the app runs, be the store away."""
    monkeypatch.setattr(db, "close_engine", lambda: None)  # it is the tests'
    users.decoy_hash.cache_clear()
    with bootstrap.running():
        assert users.decoy_hash.cache_info().currsize == 1


def test_longest_password_fits_whole(session: Session) -> None:
    """72 bytes, which are all that bcrypt looks at: with more behind them it is another password, and wrong."""
    longest = "quartz violins jump over sleepy harbour lamps at night, ßöäüéèàù"
    assert len(longest.encode()) == 72
    user = users.add(session, COMMAND_LINE, "grace", longest, "analyst")

    assert users._fits(user, longest)
    for wrong in (longest + "x", longest[:-1], longest[:-1] + "u", longest + "\x00"):
        assert not users._fits(user, wrong)


@pytest.mark.usefixtures("admin")
def test_find_takes_any_text(session: Session) -> None:
    """A name typed at sign-in is found in any case; NUL and 10,000 characters find nobody and raise nothing."""
    assert users.find(session, " ADA ") is not None
    assert users.find(session, "a\x00da") is None
    assert users.find(session, "x" * 10_000) is None


def test_user_who_is_gone(session: Session, admin: Actor) -> None:
    """Changing a user that does not exist says so."""
    with pytest.raises(NotFound, match="user"):
        users.set_active(session, admin, 999_999, active=False)


def test_longer_name_is_nobody(session: Session) -> None:
    """A name of 64 characters with more behind it is not that user: to the throttle it would be another one each time."""
    users.add(session, COMMAND_LINE, "a" * 64, PASSWORD, "analyst")

    assert users.find(session, " " + "A" * 64) is not None
    assert users.find(session, "a" * 65) is None


def test_judging_a_password_holds_up_nobody(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - real commits
    """While one user's new password is judged and hashed, others are managed: no lock is held for that."""
    with db.transaction() as session:
        grace = users.add(session, COMMAND_LINE, "grace", PASSWORD, "analyst")
        mine, _ = sessions.begin(session, grace, None, None, ticket=False)
    judging, go_on = threading.Event(), threading.Event()
    judge = users._hash

    def slow(password: str) -> str:
        judging.set()
        assert go_on.wait(20)
        return judge(password)

    def change() -> None:
        with db.transaction() as session:
            users.change_password(session, mine, OTHER, PASSWORD)

    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as crew:
        patch.setattr(users, "_hash", slow)
        changing = crew.submit(change)
        assert judging.wait(20)
        patch.setattr(users, "_hash", judge)
        with db.transaction() as session:
            assert users.add(session, COMMAND_LINE, "ada2", GOOD, "analyst").id
        go_on.set()
        changing.result(20)


def test_denials_of_one_actor_do_not_fill_the_audit(committed: str, analyst_committed: Actor) -> None:  # noqa: ARG001 - real commits
    """A page that is asked for again and again leaves a hundred denials on record, of each actor, and no more."""
    for _ in range(110):
        with pytest.raises(Forbidden), db.transaction() as session:
            authority.require(session, analyst_committed, "page.view")
    with db.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM audit_events WHERE action = 'denied'")).scalar() == 100


@pytest.fixture
def analyst_committed(committed: str) -> Actor:  # noqa: ARG001 - real commits
    """The analyst alan, in a database of the test's own."""
    return make_user("alan", "analyst")


def test_password_that_was_handed_over_is_for_one_sign_in(session: Session, admin: Actor) -> None:
    """Who got a password from somebody else chooses one; who set their own does not, nor whom nobody handed one."""
    grace = users.add(session, admin, "grace", PASSWORD, "analyst", handed_over=True)
    grace_id = grace.id or 0
    assert grace.must_change_password
    assert not users.add(session, admin, "bea", PASSWORD, "analyst").must_change_password
    assert not users.set_password(session, admin, grace_id, PASSWORD).must_change_password
    assert users.set_password(session, admin, grace_id, PASSWORD, handed_over=True).must_change_password
    assert not users.set_password(session, admin, admin.own_id(), PASSWORD, handed_over=True).must_change_password
