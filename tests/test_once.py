"""An object that is made once, whoever asks first."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.access import ratelimit
from core.once import Once


def test_threads_that_ask_first_get_the_same() -> None:
    """With functools.cache each of them would make one: a limit of 10 would let 11 through."""
    together, made = threading.Barrier(20), []

    @Once
    def thing() -> object:
        time.sleep(0.05)
        made.append(1)
        return object()

    def ask(_: int) -> object:
        together.wait()
        return thing()

    with ThreadPoolExecutor(20) as crew:
        assert len(set(crew.map(ask, range(20)))) == 1
    assert len(made) == 1
    assert thing.is_made
    first = thing()
    thing.cache_clear()
    assert not thing.is_made
    assert thing() is not first


def test_what_fails_is_not_kept() -> None:
    """Each call tries again."""
    asked = []

    @Once
    def thing() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ValueError("not yet")
        return "there"

    with pytest.raises(ValueError, match="not yet"):
        thing()
    assert not thing.is_made
    assert (thing(), thing(), len(asked)) == ("there", "there", 2)


def test_there_is_one_limiter() -> None:
    """Two would count one window apart."""
    for _ in range(30):
        ratelimit.get_limiter.cache_clear()
        together = threading.Barrier(20)
        with ThreadPoolExecutor(20) as crew:
            made = crew.map(lambda _: (together.wait(), ratelimit.get_limiter())[1], range(20))  # noqa: B023 - used now
            assert len(set(made)) == 1
