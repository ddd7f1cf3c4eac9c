"""What a provider's calls carry besides its key: headers and query parameters, plain or sealed. No I/O."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

from ..crypto import Box, KeyRing, Place
from ..errors import KeyUnreadable

TABLE: Final = "llm_provider_secrets"
USES: Final[Mapping[str, str]] = {"header": "header", "query": "query parameter", "next_key": "next key"}
"""Use -> what people read."""
_WHY: Final[Mapping[str, str]] = {
    "unbound": "another program wrote it. Set it again",
    "moved": "it belongs to another row, name, provider or base URL. Restore that, or set it again",
    "sealed": "LLM_ENCRYPTION_KEY is not set for this process",
    "unknown_key": "its encryption key is not in the key ring. Add that key to LLM_ENCRYPTION_KEYS_EXTRA, or set it again",
    "damaged": "what is stored is damaged. Set it again",
}

Pairs = tuple[tuple[str, str], ...]


class Opened(NamedTuple):
    """Headers and query parameters, ready to be sent. Some of it is secret: it is not shown, and not pickled."""

    headers: Pairs = ()
    query: Pairs = ()
    secrets: tuple[str, ...] = ()
    """The values that were sealed, for what keeps secrets out of a log."""

    def __repr__(self) -> str:
        return f"Opened({len(self.headers)} headers, {len(self.query)} query parameters)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("What calls carry cannot be pickled or copied: some of it may be secret.")


NOTHING: Final = Opened()


class Carried:
    """The same as it is kept: what is sealed is verified, and opened for each client that is made."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[tuple[str, str, str | Box]]) -> None:
        self._rows = tuple(rows)
        """Use, name and value."""

    def open(self) -> Opened:
        """Open what is sealed now, in memory only."""
        pairs: dict[str, list[tuple[str, str]]] = {"header": [], "query": []}
        secrets = []
        for use, name, value in self._rows:
            plain = value if isinstance(value, str) else value.open()
            pairs[use].append((name, plain))
            if plain is not value:
                secrets.append(plain)
        return Opened(tuple(pairs["header"]), tuple(pairs["query"]), tuple(secrets))

    def __repr__(self) -> str:
        return f"Carried({', '.join(f'{USES[use]} {name}' for use, name, _ in self._rows)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("What calls carry cannot be pickled or copied: some of it may be secret.")


def place_of_secret(row_id: int, provider_id: int, use: str, name: str, origin: str) -> Place:
    """Return where a sealed value belongs: to its row, its use and name, its provider and the provider's host."""
    return Place(TABLE, row_id, f"{use} {name.lower() if use == 'header' else name} of {provider_id}", origin)


def carried_of(
    rows: Iterable[Mapping[str, Any]], ring: KeyRing, origin: str, absent: Callable[[], Any] | None = None
) -> Callable[[], Carried] | None:
    """Return what verifies the sealed ones of *rows* and returns all, or raises; None if there are none.

    Args:
        rows: Of ``llm_provider_secrets``, as column -> value, of one provider.
        ring: The encryption keys.
        origin: Of the provider.
        absent: Raises, where only the database has what is sealed: ``value_encrypted`` is then any text.
    """
    found = sorted(
        (row for row in rows if row["use"] in {"header", "query"} and row["name"]), key=lambda row: row["id"]
    )
    return partial(_verified, found, ring, origin, absent) if found else None


def _verified(rows: list[Mapping[str, Any]], ring: KeyRing, origin: str, absent: Callable[[], Any] | None) -> Carried:
    kept: list[tuple[str, str, str | Box]] = []
    for row in rows:
        blob, use, name = row["value_encrypted"], row["use"], row["name"]
        if not blob:
            if row["plain_value"] is not None:
                kept.append((use, name, row["plain_value"]))
            continue
        if absent is not None:
            absent()
        place = place_of_secret(row["id"], row["provider_id"], use, name, origin)
        try:
            kept.append((use, name, ring.box(blob, row["value_key_id"], row["value_binding"], place)))
        except KeyUnreadable as error:
            why = _WHY.get(error.reason, error.reason)
            raise KeyUnreadable(error.reason, f"Its {USES[use]} {name} cannot be opened: {why}.") from None
    return Carried(kept)
