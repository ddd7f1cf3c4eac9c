"""A dict in parts, for what is large and changes in single places: a change copies the parts that it touches, never all. No I/O."""

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
CROWDED: Final = 16
"""So many times as many entries as parts times parts are too many: then there are more parts."""


class Parted(Generic[K, V]):
    """Entries in about as many parts as each of them has entries. Never changed: :meth:`after` makes another, which shares parts.

    So reading is as with a dict, and a change of one of 100,000 entries copies some hundred, and some hundred pointers
    (docs/decisions/memo-carried-over.md).
    """

    __slots__ = ("_length", "_mask", "_parts")

    def __init__(self, entries: Mapping[K, V]) -> None:
        self._length = len(entries)
        self._mask = (1 << len(entries).bit_length() // 2) - 1
        self._parts: list[dict[K, V]] = [{} for _ in range(self._mask + 1)]
        for key, value in entries.items():
            self._parts[hash(key) & self._mask][key] = value

    def get(self, key: K) -> V | None:
        """Return the entry of *key*; None: there is none."""
        return self._parts[hash(key) & self._mask].get(key)

    def after(self, changed: Mapping[K, V | None]) -> "Parted[K, V]":
        """Return the same after a change: key -> its entry, or None where it is gone."""
        new: Parted[K, V] = Parted({})
        new._mask, new._length, new._parts = self._mask, self._length, self._parts.copy()
        for key, value in changed.items():
            place = hash(key) & new._mask
            if new._parts[place] is self._parts[place]:
                new._parts[place] = self._parts[place].copy()
            part = new._parts[place]
            new._length -= len(part)
            if value is None:
                part.pop(key, None)
            else:
                part[key] = value
            new._length += len(part)
        return new if new._length <= CROWDED * len(new._parts) ** 2 else Parted(dict(new.items()))

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield each key with its entry."""
        for part in self._parts:
            yield from part.items()

    def __len__(self) -> int:
        return self._length
