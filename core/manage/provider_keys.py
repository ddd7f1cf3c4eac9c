"""The key in a provider's row: sealed for its place, and whether it opens there. Who may change it: :mod:`~.providers`."""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlmodel import Session

from ..crypto import KeyRing, Place, get_ring, mask
from ..errors import Invalid, KeyUnreadable, NotFound, Unreadable
from ..store import api_keys
from ..store.schemas import ApiKeyInput, validate
from ..store.sealed import fingerprint, fingerprint_of, provider_place
from ..store.tables import LlmProvider
from . import keys


class KeyState(NamedTuple):
    """Whether a provider's key can be opened."""

    state: Literal["none", "not_needed", "ok", Unreadable]
    message: str
    """For people: what is wrong and the cure; empty where nothing is wrong."""


def key_state(provider: LlmProvider, ring: KeyRing | None = None) -> KeyState:
    """Return whether the provider's key can be opened: a state of this one row, never an error of the list."""
    if not provider.needs_key:
        return KeyState("not_needed", "")
    if not provider.api_key_encrypted:
        return KeyState("none", "")
    try:
        (ring or get_ring()).box(
            provider.api_key_encrypted, provider.api_key_key_id, provider.api_key_binding, place_of(provider)
        )
    except KeyUnreadable as error:
        return KeyState(error.reason, str(error))
    return KeyState("ok", "")


def place_of(provider: LlmProvider) -> Place:
    """Return where the provider's key belongs."""
    if provider.id is None:
        raise NotFound("provider", provider.name)
    return provider_place(provider)


def validate_api_key_format(kind: str, api_key: str, base_url: str | None = None) -> str | None:
    """Return a warning if *api_key* does not look like a key of this kind, or of the vendor at *base_url*. Only a warning: vendors change their formats."""
    return api_keys.look(kind, api_key, base_url).warning or None


def seal(session: Session, provider: LlmProvider, api_key: str) -> None:
    """Check a key that was typed, and seal it for the provider.

    Raises:
        Invalid, Sealed: The last if this process has no encryption key.
    """
    plain = validate(ApiKeyInput, {"api_key": api_key, "kind": provider.kind}).api_key.get_secret_value()
    if not provider.needs_key:
        raise Invalid({"api_key": "would not be used: this provider needs none. Say first that it needs one"})
    session.flush()
    keys.require_known(session, get_ring())
    place = place_of(provider)
    if not place.origin:  # written by SQL: a key bound to no host would fit the next such URL too
        raise Invalid({"api_base_url": "is no URL that a key can be bound to: correct it first"})
    put_key(provider, plain)


def put_key(provider: LlmProvider, plain: str | None, set_at: datetime | None = None) -> None:
    """Seal *plain* for its place, or have no key; nothing is checked, required or put on record here.

    *set_at* is when it was entered; None: now.
    """
    if plain is None:
        provider.api_key_encrypted = provider.api_key_masked = provider.api_key_fingerprint = None
        provider.api_key_key_id = provider.api_key_binding = provider.api_key_set_at = None
        return
    ring = get_ring()
    stored = ring.seal(plain, place_of(provider))
    provider.api_key_encrypted, provider.api_key_key_id, provider.api_key_binding = stored
    provider.api_key_masked, provider.api_key_fingerprint = mask(plain), fingerprint(ring, plain, stored)
    provider.api_key_set_at = set_at or datetime.now(UTC)


def key_fingerprint(provider: LlmProvider) -> str:
    """Return ``#`` and 8 hex digits by which keys with one mask are told apart; empty where none was written yet."""
    return fingerprint_of(provider.api_key_fingerprint, provider.api_key_encrypted)


def shown_key(provider: LlmProvider) -> str | None:
    """Return what is shown of the key, ``sk-proj...**** #3f9a07c2``; None without one."""
    if not provider.api_key_encrypted:
        return None
    return f"{provider.api_key_masked or '****'} {key_fingerprint(provider)}".rstrip()
