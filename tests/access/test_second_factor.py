"""The second factor: which codes sign in, each once; what is told before the code is right; who has to have one; how it goes."""

import threading
from collections.abc import Callable
from functools import partial

import pyotp
import pytest
from sqlalchemy import text
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core import config, crypto
from core.access import authority, second_factor, sessions, sign_in, tokens, users
from core.actors import COMMAND_LINE, Actor
from core.errors import BadConfig, Forbidden, Invalid, SecondFactorNeeded
from core.manage import keys, second_factors
from core.store import db, sealed
from core.store.table import id_of
from core.store.tables import User
from tests.conftest import PASSWORD, ROOT
from tests.processes import core
from tests.screens import everything, open_page
from ui.users.rows import review_csv

WRONG_PASSWORD = "an entirely other sentence"


def now(session: Session) -> int:
    return int(session.scalar(text("SELECT floor(extract(epoch FROM clock_timestamp()) / 30)")) or 0)


def code_of(session: Session, seed: str, steps: int = 0) -> str:
    """The code that an app with a clock so many times 30 seconds ahead shows."""
    return pyotp.TOTP(seed).generate_otp(now(session) + steps)


def calm(session: Session) -> None:
    """Wait until the 30 seconds that are now last some more, so that no test straddles their end."""
    while float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())::numeric % 30")) or 0) > 27:
        threading.Event().wait(0.2)


def grown(session: Session, name: str = "grace", role: str = "analyst") -> tuple[User, str, list[str]]:
    """A user with a password and a second factor, its seed and its recovery codes. The code of now is used up."""
    user = users.add(session, COMMAND_LINE, name, PASSWORD, role)
    actor = sessions.begin(session, user, None, None, ticket=False)[0]
    calm(session)
    seed = second_factors.begin_enrolment(session, actor).seed.reveal()
    codes = second_factors.confirm_enrolment(session, actor, code_of(session, seed))
    session.execute(text("UPDATE second_factors SET last_step = last_step - 10"))
    session.expire_all()
    return user, seed, codes


WAYS: dict[str, tuple[Callable[[Session, str, list[str]], str], bool]] = {
    "now": (lambda s, seed, _: code_of(s, seed), True),
    "30 seconds before": (lambda s, seed, _: code_of(s, seed, -1), True),
    "30 seconds after": (lambda s, seed, _: code_of(s, seed, 1), True),
    "a clock 2 minutes behind": (lambda s, seed, _: code_of(s, seed, -4), False),
    "a clock 2 minutes ahead": (lambda s, seed, _: code_of(s, seed, 4), False),
    "a clock a minute off": (lambda s, seed, _: code_of(s, seed, 2), False),
    "with blanks": (lambda s, seed, _: f" {code_of(s, seed)[:3]} {code_of(s, seed)[3:]}\u00a0", True),
    "full-width": (lambda s, seed, _: "".join(chr(ord(c) + 0xFEE0) for c in code_of(s, seed)), True),
    "another alphabet's digits": (lambda s, seed, _: "".join(chr(ord(c) + 0x630) for c in code_of(s, seed)), False),
    "one too many": (lambda s, seed, _: code_of(s, seed) + "0", False),
    "of another": (lambda s, _seed, _codes: code_of(s, pyotp.random_base32()), False),
    "nothing": (lambda _s, _seed, _codes: "", False),
    "odd": (lambda _s, _seed, _codes: "\x00\ud800%' OR 1=1", False),
    "recovery": (lambda _s, _seed, codes: codes[3], True),
    "recovery in capitals": (lambda _s, _seed, codes: codes[3].upper().replace("-", " "), True),
    "no recovery code": (lambda _s, _seed, _codes: "aaaa-bbbb-cccc-dddd", False),
}


@pytest.mark.long
def test_which_codes_sign_in(session: Session) -> None:
    """The table; what fits does so once, and a code before the last one that was used never."""
    user, seed, codes = grown(session)
    for name, (made, good) in WAYS.items():
        calm(session)
        session.execute(text("UPDATE second_factors SET last_step = 0"))
        session.execute(text("UPDATE recovery_codes SET used_at = NULL"))
        code = made(session, seed, codes)
        assert second_factor.fits(session, user, code) is good, name
        assert not second_factor.fits(session, user, code), name
    calm(session)
    session.execute(text("UPDATE second_factors SET last_step = 0"))
    assert second_factor.fits(session, user, code_of(session, seed))
    assert not second_factor.fits(session, user, code_of(session, seed, -1))


def test_what_is_stored_signs_nobody_in(session: Session) -> None:
    """Ten codes as SHA-256, a sealed seed that moves with the key ring, and no secret in what is shown of the objects."""
    user, seed, codes = grown(session)
    stored = str(
        [
            session.execute(text(f"SELECT row_to_json(t)::text FROM {name} t")).all()
            for name in ("second_factors", "recovery_codes", "audit_events")
        ]
    )
    assert len(codes) == len(set(codes)) == second_factor.CODES
    assert seed not in stored
    assert not any(code in stored or code.replace("-", "").upper() in stored for code in codes)
    old = crypto.get_ring()
    new = crypto.KeyRing("ab" * 32, [config.get_config().encryption_key.reveal()])  # type: ignore[union-attr]  # tests have one
    assert old.primary_id != new.primary_id
    list(keys.rotate(lambda work: work(session), COMMAND_LINE, new, force=True))
    assert session.scalar(text("SELECT seed_key_id FROM second_factors")) == new.primary_id
    assert [row.state for row in sealed.open_all(session, new)] == ["ok"]
    assert second_factor.is_on(session, id_of(user))


def test_one_of_two_at_the_same_moment(committed: str) -> None:
    """Two browsers with one code: one is let in. Two with one step, too."""
    assert committed
    with db.transaction() as session:
        user, seed, _ = grown(session)
        step = second_factor.begin_step(session, user)
        number = user.id
    let_in: list[bool] = []
    gate = threading.Barrier(4)

    def come(code: str) -> None:
        gate.wait(10)
        with db.transaction() as session:
            found = session.get(User, number)
            assert found is not None
            let_in.append(second_factor.fits(session, found, code))

    def finish(code: str) -> None:
        with db.transaction() as session:
            let_in.append(second_factor.finish_step(session, step, code) is not None)

    with db.transaction() as session:
        calm(session)
        code, later = code_of(session, seed), code_of(session, seed, 1)
    threads = [threading.Thread(target=come, args=(code,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(let_in) == [False, False, False, True]
    let_in.clear()
    finish(later)
    finish(later)
    assert let_in == [True, False]


def test_a_step_ends(session: Session) -> None:
    """After five minutes, with a new password or role, when disabled, and once used; one that was made up is nobody's."""
    user, seed, _ = grown(session)

    def made(sql: str) -> User | None:
        step = second_factor.begin_step(session, user)
        session.execute(text(sql))
        session.expire_all()
        return second_factor.whose_step(session, step)

    assert made("SELECT 1") == user
    assert made("UPDATE second_factor_steps SET expires_at = expires_at - interval '299 seconds'") == user
    assert made("UPDATE second_factor_steps SET expires_at = expires_at - interval '301 seconds'") is None
    assert made("UPDATE users SET auth_epoch = auth_epoch + 1") is None
    assert made("UPDATE users SET is_active = false") is None
    session.execute(text("UPDATE users SET is_active = true"))
    session.expire_all()
    step = second_factor.begin_step(session, user)
    calm(session)
    assert second_factor.finish_step(session, step, "000000" if code_of(session, seed) != "000000" else "1") is None
    assert second_factor.finish_step(session, step, code_of(session, seed)) == user
    assert second_factor.whose_step(session, step) is None
    assert second_factor.whose_step(session, "x\x00\ud800") is None


# The page


def signing_in(password: str = PASSWORD, name: str = "grace") -> AppTest:
    at = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30).run()
    at.text_input[0].input(name)
    at.text_input[1].input(password)
    at.button(key="sign_in_button").click().run()
    assert not at.exception
    return at


def answer(at: AppTest, code: str) -> AppTest:
    at.text_input[0].input(code)
    at.button(key="second_factor_button").click().run()
    assert not at.exception
    return at


def is_in(at: AppTest) -> bool:
    return "actor" in at.session_state


@pytest.mark.long
def test_signing_in(session: Session) -> None:
    """A wrong password tells nothing of the factor; the right one asks for the code, and nobody is in before it; guesses wait as those of passwords."""
    _, seed, codes = grown(session)
    for wrong in (signing_in(WRONG_PASSWORD), signing_in(WRONG_PASSWORD, "nobody")):
        assert [box.label for box in wrong.text_input] == ["Username", "Password"]
        assert "The username or the password is wrong." in everything(wrong)
    session.execute(text("DELETE FROM login_attempts"))
    at = signing_in()
    assert [box.label for box in at.text_input] == ["Code"]
    assert not is_in(at)
    for _ in range(sign_in.FREE_TRIES - 1):
        answer(at, "999999 1")
        assert "the clock of your device may be off" in everything(at)
    calm(session)
    answer(at, code_of(session, seed))
    assert "Too many" in everything(at)
    assert not is_in(at)
    again = signing_in()  # the right password takes nothing back
    assert [box.label for box in again.text_input] == ["Username", "Password"]
    session.execute(text("DELETE FROM login_attempts"))
    calm(session)
    answer(at, code_of(session, seed))
    assert is_in(at)
    assert session.scalar(text("SELECT count(*) FROM login_attempts WHERE NOT succeeded")) == 0
    for code, good in ((codes[0], True), (codes[0], False)):
        assert is_in(answer(signing_in(), code)) is good
    actions = set(session.scalars(text("SELECT action FROM audit_events")))
    assert {"session.second_factor_failed", "session.sign_in_throttled", "second_factor.use_code"} <= actions


@pytest.mark.long
def test_who_has_to_have_one(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """By role: nothing is reachable but setting it up; then everything is. Others, tokens and who came by a provider are not asked."""
    user = users.add(session, COMMAND_LINE, "grace", PASSWORD, "analyst")
    actor = sessions.begin(session, user, None, None, ticket=False)[0]
    elsewhere = sessions.begin(session, user, None, None, ticket=False)[0]
    row, _ = tokens.create(session, COMMAND_LINE, {"name": "t", "role": "analyst"})
    require = partial(authority.require, session, role="member")
    with pytest.raises(BadConfig, match="LLM_REQUIRE_SECOND_FACTOR must be a comma list"):
        config.check_at_start(config.Config.read({"LLM_REQUIRE_SECOND_FACTOR": "admins"}))
    for roles, asked in (("admin,member", False), ("admin, analyst", True)):
        monkeypatch.setenv("LLM_REQUIRE_SECOND_FACTOR", roles)
        config.get_config.cache_clear()
        if asked:
            for act in ("page.view", "session.list", authority.CHANGE_PASSWORD, "second_factor.remove"):
                with pytest.raises(SecondFactorNeeded):
                    require(actor, act)
            with pytest.raises(SecondFactorNeeded):
                authority.visible(session, actor, "organization.list")
            require(Actor("token:t", token_id=row.id), "page.view")
        else:
            require(actor, "page.view")
    at = open_page("effective_preview", actor)
    assert "Set up a second factor first" in everything(at)
    assert [box.label for box in at.text_input] == ["Code"]
    (seed,) = {"".join(block.value.split()) for block in at.code}
    calm(session)
    at.text_input[0].input("000000 0")
    at.button(key="enrolment_save").click().run()
    assert "the clock of your device may be off" in everything(at)
    at.text_input[0].input(code_of(session, seed))
    at.button(key="enrolment_save").click().run()
    assert len(at.code[-1].value.splitlines()) == second_factor.CODES
    at.button(key="codes_kept").click().run()
    assert "Set up a second factor" not in everything(at)
    require(actor, "page.view")
    with pytest.raises(Forbidden, match="has ended"):
        require(elsewhere, "page.view")
    session.execute(text("DELETE FROM second_factors"))
    session.execute(text("UPDATE auth_sessions SET sso_sid = '' WHERE id = :id"), {"id": actor.session_id})
    require(actor, "page.view")


@pytest.mark.long
def test_own_and_anothers_are_taken_away(session: Session, admin: Actor) -> None:
    """The owner with password and code, which count as guesses; an admin, on record, which ends the sign-ins; and it is in the review."""
    user, seed, codes = grown(session)
    actor = sessions.begin(session, user, None, None, ticket=False)[0]
    assert b'"app"' in review_csv(admin)
    calm(session)
    for password, code in ((WRONG_PASSWORD, code_of(session, seed)), (PASSWORD, "1"), (PASSWORD, "")):
        with pytest.raises(Invalid):
            second_factors.remove(session, actor, password, code)
    at = open_page("account", actor)
    at.text_input(key="remove_factor_password").input(PASSWORD)
    at.text_input(key="remove_factor_code").input("1")
    at.button(key="remove_factor_save").click().run()
    assert session.scalar(text("SELECT count(*) FROM login_attempts WHERE NOT succeeded")) == 1
    at.text_input(key="remove_factor_code").input(codes[0])
    at.button(key="remove_factor_save").click().run()
    assert not second_factor.is_on(session, actor.own_id())
    with pytest.raises(Forbidden):
        second_factors.reset(session, actor, admin.own_id())
    with pytest.raises(Invalid):
        second_factors.reset(session, admin, actor.own_id())
    other, _, _ = grown(session, "hedy")
    theirs = sessions.begin(session, other, None, None, ticket=False)[0]
    at = open_page("users", admin)
    at.button(key="factor_hedy").click().run()
    at.button(key="user_save").click().run()
    assert not second_factor.is_on(session, theirs.own_id())
    assert session.scalar(text("SELECT count(*) FROM recovery_codes")) == 0
    with pytest.raises(Forbidden):
        authority.require(session, theirs, "page.view", role="member")
    events = session.execute(text("SELECT actor, action, target FROM audit_events WHERE action LIKE '%factor'")).all()
    assert ("ada", "user.reset_second_factor", "hedy") in [tuple(row) for row in events]


@pytest.mark.long
def test_the_way_back_of_the_last_admin(committed: str) -> None:
    """The command line takes it away; once, and a name that is not there is told."""
    with db.transaction() as session:
        grown(session, "root", "admin")
    url = {"DATABASE_URL": committed}
    assert "no second factor any more" in core("users", "second-factor-reset", "root", **url).stdout
    again = core("users", "second-factor-reset", "root", **url)
    assert again.returncode == 1
    assert "root has none" in again.stderr
    with db.transaction() as session:
        assert second_factor.who_has_one(session) == frozenset()
