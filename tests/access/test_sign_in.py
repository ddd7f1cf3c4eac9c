"""The throttle of sign-ins: in the database, before bcrypt, for all processes, and no lock on anybody."""

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import select

from core.access import sign_in, users
from core.access.sign_in import FREE_TRIES
from core.errors import TooManyAttempts
from core.store import db
from core.store.records import AuditEvent
from tests.conftest import ROOT, make_user
from tests.processes import environment

HERE, THERE = "192.0.2.7", "198.51.100.9"


def try_once(username: str = "ada", address: str = HERE) -> int | str:
    """Try with a wrong password; returns the seconds to wait if the try is not looked at."""
    try:
        with db.transaction() as session:
            sign_in.admit(session, username, address)
    except TooManyAttempts as error:
        return error.retry_after
    return "checked"


def pass_time(seconds: int) -> None:
    """Let so much of the database's time pass for every try so far."""
    with db.transaction() as session:
        session.execute(text("UPDATE login_attempts SET at = at - make_interval(secs => :s)"), {"s": seconds})


def tried(tries: list[tuple[str, str, float]]) -> None:
    """Put failures on record: name, address, seconds ago."""
    with db.transaction() as session:
        for name, address, age in tries:
            session.execute(
                text(
                    "INSERT INTO login_attempts (username, address, at)"
                    " VALUES (:u, :a, clock_timestamp() - make_interval(secs => :s))"
                ),
                {"u": sign_in._digest(name), "a": address, "s": age},
            )


def test_some_tries_are_free_then_each_waits_twice_as_long() -> None:
    """After the free ones in a quarter of an hour: 30 s, then 60, 120, 240, 480, and never more than 15 minutes."""
    assert [try_once() for _ in range(FREE_TRIES)] == ["checked"] * FREE_TRIES
    for wait in (30, 60, 120):
        refused = try_once()
        assert isinstance(refused, int)
        assert wait - 2 <= refused <= wait + 1
        pass_time(wait - 3)
        assert try_once() != "checked"
        pass_time(4)
        assert try_once() == "checked"


def test_who_waits_as_long_as_asked_is_let_in() -> None:
    """The seconds of a refusal are enough, for a user and for an address, and at most one more than needed."""
    for _ in range(FREE_TRIES):
        try_once()
    for _ in range(4):
        wait = try_once()
        assert isinstance(wait, int)
        pass_time(wait)
        assert try_once() == "checked"


EVERY_TEN = [10.0 * n for n in range(40)]


@pytest.mark.parametrize(
    ("ages", "wait"),
    [
        ([10] * (FREE_TRIES - 1), 0),
        ([10] * FREE_TRIES, 20),
        ([10] * (FREE_TRIES + 1), 50),
        ([10] * (FREE_TRIES + 9), 15 * 60 - 10),
        ([10] + [800] * (FREE_TRIES - 1), 20),
        ([10] * (FREE_TRIES - 1) + [15 * 60 + 5], 0),
        ([800] * FREE_TRIES, 0),
    ],
    ids=[
        "one less",
        "the free ones",
        "one more",
        "never longer than the window",
        "the newest decides",
        "one is too old",
        "waited already",
    ],
)
def test_wait_of_a_user(ages: list[float], wait: int) -> None:
    """The last of the tries within the window decides when the next one is looked at; the figures count who waits."""
    tried([("ada", HERE, age) for age in ages])
    with db.transaction() as session:
        assert sign_in.throttled(session) == (int(wait > 0), 0)

    refused = try_once()

    assert refused == "checked" if not wait else refused in {wait - 2, wait - 1, wait}


@pytest.mark.parametrize(
    ("ages", "wait"),
    [
        (EVERY_TEN[:29], 0),
        (EVERY_TEN[:30], 15 * 60 - 290),
        (EVERY_TEN[:40], 15 * 60 - 290),
        ([*EVERY_TEN[:29], 15 * 60 + 5], 0),
    ],
    ids=["one less", "thirty", "more", "one is too old"],
)
def test_wait_of_an_address(ages: list[float], wait: int) -> None:
    """The thirtieth before now decides, of all names together; the figures count the address, and no name."""
    tried([(f"user{n}", HERE, age) for n, age in enumerate(ages)])
    with db.transaction() as session:
        assert sign_in.throttled(session) == (0, int(wait > 0))

    refused = try_once("one-more")

    assert refused == "checked" if not wait else refused in {wait - 2, wait - 1, wait}


def test_figures_count_a_name_once() -> None:
    """A name that waits at two addresses is one name; the same name at a third, with one try, changes nothing."""
    places = [HERE, THERE] * FREE_TRIES + ["203.0.113.5"]
    tried([("ada", place, 1) for place in places] + [("alan", HERE, 1)] * FREE_TRIES)
    with db.transaction() as session:
        assert sign_in.throttled(session) == (2, 0)


def test_there_is_no_permanent_lock() -> None:
    """Tries that are refused do not count, and a quarter of an hour later the count begins anew."""
    for _ in range(50):
        try_once()
    pass_time(15 * 60 + 1)

    assert [try_once() for _ in range(FREE_TRIES)] == ["checked"] * FREE_TRIES
    assert try_once() != "checked"


def test_longest_wait_is_the_window() -> None:
    """However many failures there are, nobody waits for more than 15 minutes."""
    for _ in range(40):
        with db.transaction() as session:
            session.execute(
                text("INSERT INTO login_attempts (username, address, at) VALUES (:u, :a, clock_timestamp())"),
                {"u": sign_in._digest("ada"), "a": HERE},
            )
    wait = try_once()

    assert isinstance(wait, int)
    assert 890 <= wait <= 901


def test_owner_signs_in_from_elsewhere() -> None:
    """CHECKS 20: the failures of an attacker do not keep the owner out who comes from another address."""
    for _ in range(FREE_TRIES + 1):
        try_once(address=THERE)

    assert try_once(address=THERE) != "checked"
    assert try_once(address=HERE) == "checked"


def test_one_address_has_thirty_tries() -> None:
    """Over all names, thirty tries in a quarter of an hour come from one address; the 31st waits for the first to fall out."""
    assert [try_once(f"user{n}") for n in range(30)] == ["checked"] * 30
    assert isinstance(try_once("one-more"), int)
    assert try_once("one-more", THERE) == "checked"
    pass_time(15 * 60 + 1)
    assert try_once("one-more") == "checked"


@pytest.mark.parametrize("username", ["ada", "nobody"])
def test_unknown_users_are_throttled_alike(username: str) -> None:
    """CHECKS 19: whether the name exists cannot be seen from the waits."""
    make_user("ada", "admin")
    answers = [try_once(username) for _ in range(FREE_TRIES + 2)]

    assert answers[:FREE_TRIES] == ["checked"] * FREE_TRIES
    assert all(isinstance(answer, int) for answer in answers[FREE_TRIES:])


@pytest.mark.parametrize("written", ["ADA", " ada ", "Ada"])
def test_one_user_however_written(written: str) -> None:
    """Case and spaces make no second user."""
    for _ in range(FREE_TRIES):
        try_once("ada")

    assert try_once(written) != "checked"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("x" * 300, "x" * 100),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    """An IPv4 address, the /64 of an IPv6 address, or what a proxy calls one, as far as its column has room."""
    assert sign_in.network_of(address) == network
    assert try_once(address=address) == "checked"


def test_ipv6_counts_by_network() -> None:
    """A customer has 2^64 addresses: the /64 counts. An IPv4 address in IPv6 clothes is the IPv4 address."""
    for n in range(FREE_TRIES):
        try_once(address=f"2001:db8:1:2::{n}")

    assert try_once(address="2001:db8:1:2:ffff::1") != "checked"
    assert try_once(address="2001:db8:1:3::1") == "checked"
    for _ in range(FREE_TRIES):
        try_once(address=f"::ffff:{HERE}")
    assert try_once(address=HERE) != "checked"


@given(username=st.text(max_size=200), address=st.text(max_size=200).filter(lambda a: "\x00" not in a))
@settings(max_examples=50, deadline=None)
def test_strange_names_and_addresses_are_counted(username: str, address: str) -> None:
    """CHECKS 54: whatever is typed as a name, and whatever a proxy calls an address, counts and never raises."""
    with db.transaction() as session:
        outer = session.begin_nested()
        sign_in.admit(session, username, address.encode("utf-8", "replace").decode())
        outer.rollback()


def test_success_forgets_the_users_failures() -> None:
    """The right password clears the count of this user from this address, not the address's own, and not another user's."""
    for _ in range(FREE_TRIES - 1):
        try_once("ada")
        try_once("alan")
    with db.transaction() as session:
        sign_in.succeeded(session, sign_in.admit(session, "ada", HERE))

    assert [try_once("ada") for _ in range(FREE_TRIES)] == ["checked"] * FREE_TRIES
    assert try_once("alan") == "checked"
    assert try_once("alan") != "checked"


def test_table_holds_no_name() -> None:
    """What is typed as a name may be a password: it stands nowhere, neither among the tries nor in the audit."""
    typed = "hunter2 is my password"
    for _ in range(FREE_TRIES + 2):
        try_once(typed)
    with db.transaction() as session:
        sign_in.failed(session, users.find(session, typed), HERE)
        sign_in.refused(session, users.find(session, typed), HERE, 30)
        stored = str(session.execute(text("SELECT row_to_json(l)::text FROM login_attempts AS l")).all())
        stored += str(session.execute(text("SELECT row_to_json(e)::text FROM audit_events AS e")).all())

    assert "hunter2" not in stored


def test_failures_are_on_record_and_floods_are_not() -> None:
    """A wrong password is one event each; refused tries are one a minute for an address."""
    make_user("ada", "admin")
    with db.transaction() as session:
        user = users.find(session, "ada")
        for _ in range(3):
            sign_in.failed(session, user, HERE)
            sign_in.refused(session, user, HERE, 30)
        sign_in.refused(session, None, THERE, 30)
        found = session.exec(select(AuditEvent).order_by(AuditEvent.id)).all()

    assert [event.action for event in found].count("session.sign_in_failed") == 3
    throttled = [(e.actor, e.address) for e in found if e.action == "session.sign_in_throttled"]
    assert throttled == [("ada", HERE), ("somebody unknown", THERE)]


def test_old_tries_go() -> None:
    """Tries are kept for a day."""
    try_once()
    pass_time(25 * 3600)
    try_once("alan", THERE)
    with db.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM login_attempts")).scalar() == 1


@pytest.mark.usefixtures("committed")
def test_parallel_tries_do_not_outrun_the_count() -> None:
    """Of 40 tries at once, the free ones are looked at."""
    start = threading.Barrier(8)

    def run(_: int) -> int | str:
        start.wait(10)
        return try_once()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(run, range(40)))

    assert answers.count("checked") == FREE_TRIES


PROGRAM = """
import sys
from core.store import db
from core.access import sign_in
from core.errors import TooManyAttempts
for _ in range(int(sys.argv[1])):
    try:
        with db.transaction() as session:
            sign_in.admit(session, "ada", "192.0.2.7")
        print("checked")
    except TooManyAttempts as error:
        print("wait", error.retry_after)
"""


@pytest.mark.program
def test_processes_share_the_count_and_it_survives_a_restart(committed: str) -> None:
    """CHECKS 18: three wrong passwords in one process, two in another, and a third one, started later, has to wait."""

    def process(tries: int) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tries)],
            env=environment(DATABASE_URL=committed),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.splitlines()

    assert process(3) == ["checked"] * 3
    assert process(2) == ["checked"] * 2
    assert process(1)[0].startswith("wait ")


@pytest.mark.parametrize("page", ["administration.md", "security.md", "decisions/sign-in-throttle.md"])
def test_docs_say_how_many_tries_are_free(page: str) -> None:
    """The number that people read is the one that holds."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    word = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"][FREE_TRIES]

    assert re.search(rf"\b({word}|{FREE_TRIES})\b[^.]* (wrong|free)", text)
