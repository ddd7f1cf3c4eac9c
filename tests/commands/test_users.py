"""`users`, run as people run it."""

import re

import bcrypt
import pytest

from core.access import users
from core.store import db
from tests.conftest import PASSWORD
from tests.processes import core


def test_users_are_managed(committed: str) -> None:
    """users add, list, role, passwd and disable; the password comes from standard input and is never printed."""
    url = {"DATABASE_URL": committed}
    core("users", "add", "ada", "--role", "admin", stdin=PASSWORD + "\n", **url)
    added = core("users", "add", "Grace", stdin=PASSWORD + "\n", **url)
    short = core("users", "add", "bob", stdin="short\n", **url)
    core("users", "role", "grace", "admin", **url)
    core("users", "passwd", "grace", stdin="another " + PASSWORD, **url)
    core("users", "disable", "ada", **url)
    last = core("users", "disable", "grace", **url)

    assert added.stdout == "Added grace as analyst.\n"
    assert short.returncode == 1
    assert "password: must be 15 to 64 characters" in short.stderr
    assert "last active admin" in last.stderr
    assert re.findall(r"(\w+) +(\w+) +(\w+)", core("users", "list", **url).stdout) == [
        ("ada", "admin", "disabled"),
        ("grace", "admin", "active"),
    ]
    with db.transaction() as session:
        grace = users.find(session, "grace")
        assert grace is not None
        assert grace.auth_epoch == 3


@pytest.mark.parametrize(
    ("encoding", "end"), [("utf-8", "\n"), ("utf-8", "\r\n"), ("utf-8", ""), ("utf-8-sig", "\r\n"), ("utf-16", "\r\n")]
)
def test_passwords_as_windows_writes_them(committed: str, encoding: str, end: str) -> None:
    """A mark, CRLF and UTF-16 on standard input are no part of the password: it signs in as it was meant."""
    typed = f"{PASSWORD}{end}second line" if end else PASSWORD
    done = core("users", "add", "grace", stdin=typed.encode(encoding), DATABASE_URL=committed)

    assert done.returncode == 0, done.stderr
    with db.transaction() as session:
        user = users.find(session, "grace")
        assert user is not None
        assert bcrypt.checkpw(PASSWORD.encode(), user.password_hash.encode())


def test_a_password_in_another_encoding_is_told(committed: str) -> None:
    """Latin-1, and UTF-16 without its mark, are refused with the cure, and nobody is added."""
    for raw in (f"{PASSWORD}é\n".encode("latin-1"), PASSWORD.encode("utf-16-le")):
        done = core("users", "add", "grace", stdin=raw, DATABASE_URL=committed)
        assert done.returncode == 1
        assert "The password on standard input is not in UTF-8" in done.stderr
        assert PASSWORD not in done.stderr
