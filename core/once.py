"""One object of a process, made on first use."""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Decorates a function without arguments: its first result is kept.

    ``functools.cache`` calls the function in each thread that asks before the first result is there. Two limiters would
    then count one window apart, and two engines would each fill a pool. What fails is not kept.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self.__doc__ = make.__doc__
        self._make = make
        self._kept: list[T] = []
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)  # a thread of the parent may have held it

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    @property
    def is_made(self) -> bool:
        """Whether the object is there already."""
        return bool(self._kept)

    def __call__(self) -> T:
        """Return the object; raises what making it raises."""
        kept = self._kept
        if not kept:
            with self._lock:
                kept = self._kept
                if not kept:
                    kept.append(self._make())
        return kept[0]

    def cache_clear(self) -> None:
        """Forget the object: the next call makes another."""
        self._kept = []
