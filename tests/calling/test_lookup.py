"""Look-ups of names: each once at a time, so many at once, and whoever waits gets what came of it."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from core.calling import lookup
from core.calling.lookup import AT_ONCE, Crowded, Lookups


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What every look-up of a test waits for; open at its end."""
    gate = threading.Event()
    yield gate
    gate.set()


def answer(gate: threading.Event, asked: list[Any], name: Any) -> Any:
    """A look-up that says so, and ends when the gate opens."""
    asked.append(name)
    assert gate.wait(30)
    return [name]


def test_one_name_is_looked_up_once_at_a_time(gate: threading.Event) -> None:
    """Who wants it meanwhile waits for the same; afterwards it is looked up anew."""
    lookups, asked = Lookups(), list[Any]()
    first, again = (lookups.begin("a", lambda: answer(gate, asked, "a")) for _ in range(2))
    other = lookups.begin("b", lambda: answer(gate, asked, "b"))
    gate.set()

    assert again is first
    assert (first.result(10), other.result(10), sorted(asked)) == (["a"], ["b"], ["a", "b"])
    assert lookups.begin("a", lambda: answer(gate, asked, "a")).result(10) == ["a"]
    assert sorted(asked) == ["a", "a", "b"]


def test_so_many_at_once_and_no_more(gate: threading.Event) -> None:
    """The next one is told so at once; one that runs already can be waited for; with the first end there is room."""
    lookups, asked = Lookups(), list[Any]()
    running = [lookups.begin(number, lambda n=number: answer(gate, asked, n)) for number in range(AT_ONCE)]
    refused = lookups.begin("more", lambda: answer(gate, asked, "more"))

    assert isinstance(refused.exception(0), Crowded)
    crew = [thread for thread in threading.enumerate() if thread.name == "llm-settings look-up"]
    assert len(crew) >= AT_ONCE
    assert all(thread.daemon for thread in crew), "a process that ends waits for no name server"
    assert lookups.begin(3, lambda: answer(gate, asked, 3)) is running[3]
    gate.set()
    assert [done.result(10) for done in running] == [[number] for number in range(AT_ONCE)]
    assert lookups.begin("more", lambda: answer(gate, asked, "more")).result(10) == ["more"]


def test_what_goes_wrong_is_told_who_waits() -> None:
    """And the name can be tried again."""
    lookups = Lookups()

    def fail() -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert isinstance(lookups.begin("a", fail).exception(10), socket.gaierror)
    assert lookups.begin("a", lambda: 7).result(10) == 7


def test_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's own looks up."""
    lookups = Lookups()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert lookups.begin("a", threading.get_ident).result(0) == threading.get_ident()
    assert lookups._running == {}


def test_who_gives_up_takes_it_from_nobody(gate: threading.Event) -> None:
    """A future that is cancelled goes on for the others."""
    lookups = Lookups()
    first = lookups.begin("a", lambda: answer(gate, [], "a"))

    assert not first.cancel()
    gate.set()
    assert first.result(10) == ["a"]


def test_each_address_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system sorts them (RFC 6724): it names one for each kind of socket."""
    answers = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 443, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 443, 0, 0)),
    ]
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: asked.append((args, more)) or answers)

    assert lookup.addresses_of("model.example", 443).result(10) == ["2001:db8::1", "192.0.2.1"]
    assert asked == [(("model.example", 443), {"type": socket.SOCK_STREAM})]
