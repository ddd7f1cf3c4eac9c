"""The name of a connection says what, which version, which keys and where, in 63 bytes, and is read back."""

import os
import socket

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.postgres import names
from core.version import VERSION

IDS = [f"{number:08x}" for number in range(0x545A969B, 0x545A969B + 12)]


@given(
    st.sampled_from(["", "app", "resolver"]),
    st.integers(0, 12),
    st.text(max_size=70),
    st.sampled_from([1, 12345, 4194304]),
)
@example("", 0, "\n", 1)
@example("app", 2, "\x00\x7f web", 12345)
def test_what_is_written_is_read(what: str, number: int, host: str, pid: int) -> None:
    """Whatever the host is called and however many keys there are: it fits, and no key is read that is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: host)
        patch.setattr(os, "getpid", lambda: pid)
        name = names.written(what, IDS[:number])

    assert len(name.encode()) <= names.LONGEST
    assert name.isascii()
    assert name.isprintable()
    found = names.read(name)
    assert found is not None
    assert (found.what, found.version) == (what, VERSION)
    assert found.has_pii is (True if what == "resolver" else None)
    assert found.keys == tuple(IDS[: len(found.keys or ())])
    assert found.more == (len(found.keys or ()) < number)
    if number <= 2:
        assert len(found.keys or ()) == number
        assert found.place.endswith(f":{pid}")


def test_older_versions_and_others() -> None:
    """0.1.0 says no version; what is not ours is nobody's."""
    assert names.read("llm-settings resolver") == ("resolver", None, None, False, "", None)
    assert names.read("llm-settings resolver/0.2.0") == ("resolver", "0.2.0", None, False, "", None)
    assert names.read("llm-settings/0.2.0 none web-1:7") == ("", "0.2.0", (), False, "web-1:7", None)
    assert names.read("llm-settings resolver/0.3.1-pii none web-1:7") == (
        "resolver",
        "0.3.1",
        (),
        False,
        "web-1:7",
        False,
    )
    assert names.read("llm-settings resolver/0.3.1+pii none web-1:7") == (
        "resolver",
        "0.3.1",
        (),
        False,
        "web-1:7",
        True,
    )
    for other in ("psql", "", "llm-settings log", "llm-settings resolver/x", "my llm-settings"):
        assert names.read(other) is None


def test_server_keeps_it_whole(database: str) -> None:
    """PostgreSQL cuts at 63 bytes: nothing of ours is cut."""
    name = names.written("resolver", IDS[:2])
    with psycopg.connect(database, application_name=name) as connection:
        row = connection.execute("SELECT current_setting('application_name')").fetchone()
    assert row == (name,)
