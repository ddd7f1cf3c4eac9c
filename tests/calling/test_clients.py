"""Clients: one for each address, key and header in use, gone with the last of these, closed with whoever opened it."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from core import redaction
from core.calling.clients import _ON_THE_LOOP, Clients, Wanted, _is_current, beside
from core.config import Config, get_config, most_clients
from core.errors import BadConfig
from core.resolving.carried import Opened
from core.resolving.effective import EffectiveSettings
from core.testing import override
from tests.conftest import run_async

URL = "http://127.0.0.1:1/v1"
KEYS = tuple(f"sk-of-the-clients-{number}-0123456789" for number in range(4))
"""No pattern of the redaction is needed to see them there."""


@pytest.fixture
def made() -> Iterator[Clients]:
    """The clients of a process that has none yet."""
    made = Clients()
    yield made
    made.close()


def of(provider: str = "acme", **values: Any) -> EffectiveSettings:
    """Settings of a provider, as a call has them."""
    return override(provider, **{"kind": "openai_compatible", "base_url": URL, "api_key": KEYS[0], **values}).settings


@pytest.mark.parametrize(
    "change",
    [
        {"api_key": KEYS[1]},
        {"base_url": f"{URL}/other"},
        {"kind": "openai"},
        {"status": "disabled"},
        {"status": "no_key"},
        {"status": "store_unavailable"},
    ],
    ids=str,
)
def test_a_client_is_current_for_what_it_was_made_with(change: dict[str, Any]) -> None:
    """Another key, address, kind or header is another client; without any right to call there is none."""
    wanted = Wanted("openai_compatible", URL, KEYS[0])

    assert _is_current(wanted, of())
    assert _is_current(wanted, of(model="another", temperature=0.1))
    assert not _is_current(wanted, of(**change))
    assert not _is_current(wanted._replace(carried=Opened((("X-Team", "blue"),))), of())


def test_what_is_out_of_use_goes_and_nothing_else(made: Clients) -> None:
    """Whichever stands first: what has changed goes, what is as it was stays, and so does all while the store is away."""
    before = {name: of(name, api_key=key) for name, key in zip("abcd", KEYS, strict=True)}
    for name, settings in before.items():
        made.get(settings, KEYS["abcd".index(name)])
    now = {
        **before,
        "a": of("a", status="store_unavailable"),
        "b": of("b", api_key=KEYS[1], base_url=f"{URL}/new"),
        "d": of("d", status="disabled"),
    }

    made.keep_current(lambda name, *_: now[name])

    assert [client.asked[0] for client in made.shared.values()] == ["a", "c"]
    assert made.shared.going == [], "a thread's client closes with its last call"


def test_a_client_out_of_use_is_gone_at_once(made: Clients) -> None:
    """With its key, and without waiting for the garbage collector."""
    made.get(of(), KEYS[0])
    sdk = weakref.ref(next(iter(made.shared.values())).sdk)
    assert KEYS[0] in redaction._passing
    gc.disable()
    try:
        made.keep_current(lambda *_: of(api_key=KEYS[1]))
        assert sdk() is None
    finally:
        gc.enable()
    assert KEYS[0] not in redaction._passing


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two clients are kept."""
    monkeypatch.setenv("LLM_CLIENTS", "2")
    get_config.cache_clear()
    yield
    monkeypatch.undo()
    get_config.cache_clear()


def test_the_65th_takes_the_place_of_the_one_not_used_for_the_longest_time(made: Clients) -> None:
    """Used, not made: a key that each second call has stays, however many others come and go."""
    keys = [f"sk-one-of-many-{number}-0123456789" for number in range(65)]
    for key in keys[:64]:
        made.get(of(api_key=key), key)
    first = made.get(of(api_key=keys[0]), keys[0])
    second = made.shared[_wanted(keys[1])].http

    made.get(of(api_key=keys[64]), keys[64])

    assert {wanted.key for wanted in made.shared} == {keys[0], *keys[2:]}
    assert made.get(of(api_key=keys[0]), keys[0]) is first
    assert second.is_closed
    assert keys[1] not in redaction._passing


def _wanted(key: str) -> Wanted:
    return Wanted("openai_compatible", URL, key)


@pytest.mark.usefixtures("two")
def test_what_makes_room_is_closed_with_its_last_call(made: Clients) -> None:
    """Of a call that is under way not before that has ended; then at once, with its secret, and no collector is waited for."""
    under_way = made.get(of(), KEYS[0])
    http = made.shared[_wanted(KEYS[0])].http
    gc.disable()
    try:
        for key in KEYS[1:]:
            made.get(of(api_key=key), key)
        assert [wanted.key for wanted in made.shared] == list(KEYS[2:])
        assert (http.is_closed, KEYS[0] in redaction._passing) == (False, True)
        del under_way
        assert (http.is_closed, KEYS[0] in redaction._passing) == (True, False)
    finally:
        gc.enable()


@pytest.mark.usefixtures("two")
def test_what_makes_room_is_closed_on_its_own_loop(made: Clients) -> None:
    """As soon as its last call has ended; what is in use till the end of the loop, with that."""

    async def go() -> None:
        kept_in_use = await made.get_async(of(), KEYS[0])
        kept = getattr(asyncio.get_running_loop(), _ON_THE_LOOP)
        in_use = kept[_wanted(KEYS[0])].http
        await made.get_async(of(api_key=KEYS[1]), KEYS[1])
        idle = kept[_wanted(KEYS[1])].http
        for key in KEYS[2:]:
            await made.get_async(of(api_key=key), key)
        for _ in range(100):
            if idle.is_closed:
                break
            await asyncio.sleep(0.01)
        assert (idle.is_closed, in_use.is_closed, kept.going) == (True, False, [in_use])
        await made.aclose()
        assert in_use.is_closed
        del kept_in_use

    run_async(go())


@pytest.mark.parametrize("typed", ["0", "-1", "many", "1.5", "10001", "٣"])
def test_a_number_of_clients_that_is_none_is_refused(typed: str) -> None:
    """Before anything is made."""
    with pytest.raises(BadConfig, match="LLM_CLIENTS must be a whole number from 1 to 10000"):
        most_clients(Config.read({"LLM_CLIENTS": typed}))


def test_a_secret_is_forgotten_with_its_last_use(made: Clients) -> None:
    """As long as any client sends it, as its key or in a header, it is looked for in the log."""
    made.get(of(), KEYS[0])
    client = made.shared.popitem()[1]
    made.shared[Wanted("openai", None, KEYS[0], Opened(secrets=(KEYS[1], KEYS[2])))] = client
    for secret in KEYS:
        redaction.remember(secret)

    for secret in KEYS:
        made._forget(secret)

    assert [secret in redaction._passing for secret in KEYS] == [True, True, True, False]


def test_the_word_for_no_key_is_no_secret(made: Clients) -> None:
    """It may stand in any sentence."""
    settings = of(needs_key=False)
    made.get(settings, settings.api_key())

    assert settings.api_key() not in redaction._passing


def test_threads_that_want_the_same_share_one(made: Clients) -> None:
    """However many come at the same moment."""
    gate, found = threading.Barrier(8), []

    def get() -> None:
        gate.wait(10)
        found.append(made.get(of(), KEYS[0]))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_the_clients_of_a_loop(made: Clients) -> None:
    """One for all its calls; one out of use goes with the call that uses it, or the loop's others; twice is once."""

    async def go() -> None:
        loop = asyncio.get_running_loop()
        await made.aclose()
        one = await made.get_async(of(), KEYS[0])
        assert await made.get_async(of(), KEYS[0]) is one
        kept = getattr(loop, _ON_THE_LOOP)
        (first,) = (client.http for client in kept.values())
        made.keep_current(lambda *_: of(api_key=KEYS[1]))
        assert (dict(kept), kept.going, first.is_closed) == ({}, [first], False)
        await made.get_async(of(api_key=KEYS[1]), KEYS[1])
        (second,) = (client.http for client in kept.values())

        await made.aclose()

        assert (first.is_closed, second.is_closed, hasattr(loop, _ON_THE_LOOP)) == (True, True, False)
        await made.aclose()

    run_async(go())
    assert made.shared == {}


def test_a_child_with_its_parents_loop_has_clients_of_its_own(made: Clients) -> None:
    """Those that a fork has inherited stay its parent's."""

    async def go() -> None:
        one = await made.get_async(of(), KEYS[0])
        kept = getattr(asyncio.get_running_loop(), _ON_THE_LOOP)
        kept.pid -= 1  # as after a fork
        assert await made.get_async(of(), KEYS[0]) is not one
        assert [client.http.is_closed for client in kept.values()] == [False]
        await made.aclose()
        await kept.keeper.aclose()

    run_async(go())


def test_after_a_fork_nothing_is_shared(made: Clients) -> None:
    """The child knows no client of its parent, and does not close one either."""
    made.get(of(), KEYS[0])
    ((_, client),) = made.shared.items()
    made.reset()

    assert (made.shared, client.http.is_closed) == ({}, False)
    client.http.close()


def test_closing_closes_all(made: Clients) -> None:
    """And the next call opens another."""
    made.get(of(), KEYS[0])
    ((_, client),) = made.shared.items()
    made.close()

    assert client.http.is_closed
    assert made.get(of(), KEYS[0]) is not client.sdk


def test_where_no_thread_can_be_started_the_loop_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is slower then, and does not fail."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def go() -> tuple[int, int, int]:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            instead = await beside(threading.get_ident)
        return threading.get_ident(), instead, await beside(threading.get_ident)

    loop, instead, thread = run_async(go())

    assert instead == loop
    assert thread != loop
