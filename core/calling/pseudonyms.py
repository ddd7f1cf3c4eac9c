"""What the request log has in the place of a ``user_id`` that has an e-mail address in it: a fingerprint by the encryption key.

So a person's calls are found, and erased, by the address that programs gave, and the log has no address. Who has no key can try none.
docs/decisions/personal-data-in-calls.md.
"""

from typing import Final

from ..crypto import KeyRing, get_ring
from ..errors import BadKey
from ..patterns import later
from ..privacy.looking import Looking, find
from ..privacy.spans import plain

UNKNOWN: Final = "<EMAIL>"
"""By a process that has no encryption key."""
_ADDRESS: Final = later(r"[^\s@]@[^\s@.]{1,200}\.[^\s@.]")
_WRITTEN_OUT: Final = Looking(kinds=frozenset({"EMAIL"}))


def pseudonym(user_id: str) -> str:
    """Return what is logged for *user_id*: itself, where it has no e-mail address in it."""
    if not _has_address(user_id):
        return user_id
    ring = _ring()
    return UNKNOWN if ring is None or ring.primary_id is None else _by(ring, ring.primary_id, user_id)


def logged_as(user_id: str) -> list[str]:
    """Return all that *user_id* may be in the log: as it was given, and by each key of the ring."""
    ring = _ring() if _has_address(user_id) else None
    return [user_id, *(() if ring is None else (_by(ring, key_id, user_id) for key_id in ring.ids))]


def _has_address(user_id: str) -> bool:
    # of an identifier more is one than of a text: also behind a slash, or within a URL
    return _ADDRESS.search(plain(user_id).text) is not None or bool(find(user_id, _WRITTEN_OUT))


def _by(ring: KeyRing, key_id: str, user_id: str) -> str:
    return f"<EMAIL:{ring.pseudonym(plain(user_id).text.strip().casefold(), key_id)}>"


def _ring() -> KeyRing | None:
    try:
        return get_ring()
    except BadKey:
        return None
