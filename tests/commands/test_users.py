"""`users`, run as people run it."""

import re

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
