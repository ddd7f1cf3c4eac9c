"""Seal and open API keys. Standard library at import; `cryptography` when first needed.

The stored blob is ``iv:authTag:ciphertext`` in lowercase hex: AES-256-GCM, 16-byte random IV, 16-byte tag, no
associated data: a fixed format, which programs in other languages read and write. What ties a blob
to its place stands beside it: see :meth:`KeyRing.seal`.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from .config import Config, get_config
from .errors import BadKey, Invalid, KeyUnreadable, Sealed
from .redaction import remember

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_DIGITS = 64
VARIABLE: Final = "LLM_ENCRYPTION_KEY"
IV_BYTES = 16
TAG_BYTES = 16
MASK_FROM = 16
"""Length from which the first 7 characters of a key are shown; of a shorter one they would be too large a part."""

_BLOB = re.compile(r"([0-9a-fA-F]{32}):([0-9a-fA-F]{32}):((?:[0-9a-fA-F]{2})*)")
_KEY_ID_LABEL = b"llm-settings key id v1"
_BINDING_INFO = b"llm-settings binding v1"
_FINGERPRINT_INFO = b"llm-settings fingerprint v1"
_PSEUDONYM_INFO = b"llm-settings pseudonym v1"


class Place(NamedTuple):
    """Where a sealed key belongs; a blob found anywhere else is refused."""

    table: str
    row_id: int
    column: str
    origin: str
    """Origin (scheme, host, port) that the key is sent to."""


class SealedKey(NamedTuple):
    """What is stored of an API key."""

    blob: str
    key_id: str
    binding: str

    def __repr__(self) -> str:
        return f"SealedKey(key_id={self.key_id!r})"


class Box:
    """One sealed key, verified and ready to be opened. Never shows what it holds."""

    __slots__ = ("_aead", "_data", "_iv")

    def __init__(self, aead: "AESGCM", iv: bytes, data: bytes) -> None:
        self._aead, self._iv, self._data = aead, iv, data

    def open(self) -> str:
        """Return the plain key. It exists in memory only, for as long as the caller holds it."""
        return self._aead.decrypt(self._iv, self._data, None).decode()

    def __repr__(self) -> str:
        return "<sealed key>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A sealed key cannot be pickled or copied.")


class KeyRing:
    """The encryption keys this process knows: the primary one seals, all may open.

    Args:
        primary: 64 hex digits, or None: then the ring is *sealed*, it opens nothing and seals nothing new.
        extra: Further keys that may open.
        kept_in: Where the primary key comes from, or should: the variable, or the name of an embedded store's key file.

    Raises:
        BadKey: If a key is malformed; says which one and the exact reason, never the key.
    """

    __slots__ = ("_keys", "kept_in", "primary_id")

    def __init__(self, primary: str | None, extra: Iterable[str] = (), *, kept_in: str = VARIABLE) -> None:
        self._keys: dict[str, _Key] = {}
        self.primary_id: str | None = None
        self.kept_in = kept_in
        if primary is not None:
            key = _Key(_parse(primary, kept_in))
            self.primary_id = key.id
            self._keys[key.id] = key
        for number, text in enumerate(extra, start=1):
            key = _Key(_parse(text.strip(" "), f"LLM_ENCRYPTION_KEYS_EXTRA, entry {number}"))
            self._keys.setdefault(key.id, key)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all keys, the primary one first."""
        return tuple(self._keys)

    def seal(self, plain: str, place: Place) -> SealedKey:
        """Encrypt *plain* with the primary key and bind it to *place*.

        The binding is an HMAC-SHA256, under a key derived with HKDF from the encryption key, over table, row id,
        column, origin and blob: it stands beside the blob, so that readers who know only the blob can still open it.

        Raises:
            Sealed: If there is no primary key.
            Invalid: If *plain* has half a character in it; nothing that Python says of it is chained.
        """
        if self.primary_id is None:
            raise Sealed
        key = self._keys[self.primary_id]
        with suppress(UnicodeEncodeError):  # which holds the whole text: nothing is raised from it
            return key.seal(plain.encode(), place)
        raise Invalid({place.column: "has half a character (a lone surrogate); type it again"})

    def box(self, blob: str, key_id: str | None, binding: str | None, place: Place) -> Box:
        """Verify that *blob* was sealed for *place* and can be opened.

        Raises:
            KeyUnreadable: With the reason: ``unbound`` (written by another program), ``moved`` (to another row, or the
                base URL was changed behind our back), ``sealed``, ``unknown_key`` or ``damaged``.
        """
        if not key_id and not binding:
            raise KeyUnreadable(
                "unbound",
                "This key was written by another program. Adopt it on the Providers page, or by `python -m core keys adopt` with the provider's name.",
            )
        if not key_id or not binding:
            raise KeyUnreadable("moved", "Part of this key's record is missing. Enter the API key again.")
        if not self._keys:
            raise KeyUnreadable("sealed", self.absent())
        key = self._keys.get(key_id)
        if key is None:
            raise KeyUnreadable(
                "unknown_key",
                f"This key was sealed with encryption key {key_id[:8]}, which is not in the key ring. Add that key to "
                "LLM_ENCRYPTION_KEYS_EXTRA, or enter the API key again.",
            )
        box = key.box(blob)
        if box is None:
            raise KeyUnreadable("damaged", "The stored key is damaged. Enter the API key again.")
        import hmac  # noqa: PLC0415 - keeps the import of the resolver lean

        if not hmac.compare_digest(binding.encode("utf-8", "replace"), key.bind(place, blob).encode()):
            raise KeyUnreadable(
                "moved",
                "The stored key belongs to another row or to another base URL. Restore the base URL, or enter the API key again.",
            )
        return box

    def open(self, blob: str, key_id: str | None, binding: str | None, place: Place) -> str:
        """Return the plain key; raises as :meth:`box` does."""
        return self.box(blob, key_id, binding, place).open()

    def open_unbound(self, blob: str) -> str:
        """Open a blob written by another program, with whichever key fits. For an admin who adopts it.

        Raises:
            KeyUnreadable: ``sealed`` without any key, else ``damaged``: no key of the ring opens it.
        """
        if not self._keys:
            raise KeyUnreadable("sealed", self.absent())
        for key in self._keys.values():
            if (box := key.box(blob)) is not None:
                return box.open()
        raise KeyUnreadable("damaged", "No key of the key ring opens this blob. Enter the API key again.")

    def fingerprint(self, plain: str, key_id: str | None = None) -> str:
        """Return 8 hex digits by which two API keys with one mask are told apart.

        An HMAC-SHA256 under a key derived with HKDF, with an info of its own, from the encryption key *key_id* of the ring;
        None: the primary one. Equal for equal keys under one encryption key; without that one it tells nothing of *plain*.

        Raises:
            Sealed: If there is no such key.
        """
        key = self._keys.get(key_id or self.primary_id or "")
        if key is None:
            raise Sealed
        return key.fingerprint(plain.encode())

    def pseudonym(self, plain: str, key_id: str) -> str:
        """Return 20 hex digits that stand for a person: as :meth:`fingerprint`, of 80 bits, so that no two are alike.

        Raises:
            Sealed: If there is no such key.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise Sealed
        return key.pseudonym(plain.encode("utf-8", "replace"))

    def find(self, blob: str) -> str | None:
        """Return the id of the key that opens *blob*, whoever wrote it; None if no key of the ring does."""
        return next((key.id for key in self._keys.values() if key.box(blob) is not None), None)

    def absent(self) -> str:
        """Say where the primary key is missing, for a ring without one."""
        if self.kept_in == VARIABLE:
            return f"{VARIABLE} is not set for this process, so no API key can be opened."
        return f"{self.kept_in} is missing from the data folder: put it back, and restart. Until then no API key can be opened."

    def __repr__(self) -> str:
        return f"KeyRing(primary={self.primary_id}, ids={self.ids})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key ring cannot be pickled or copied.")


class _Key:
    __slots__ = ("_binding_key", "_fingerprint_key", "_pseudonym_key", "aead", "id")

    def __init__(self, raw: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - keeps the resolver lean
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - keeps the resolver lean
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - keeps the resolver lean

        self.aead = AESGCM(raw)
        self.id = _id_of(raw)
        self._binding_key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_BINDING_INFO).derive(raw)
        self._fingerprint_key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_FINGERPRINT_INFO).derive(raw)
        self._pseudonym_key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PSEUDONYM_INFO).derive(raw)

    def __reduce__(self) -> NoReturn:
        raise TypeError("An encryption key cannot be pickled or copied.")

    def seal(self, plain: bytes, place: Place) -> SealedKey:
        iv = os.urandom(IV_BYTES)
        data = self.aead.encrypt(iv, plain, None)
        blob = f"{iv.hex()}:{data[-TAG_BYTES:].hex()}:{data[:-TAG_BYTES].hex()}"
        return SealedKey(blob, self.id, self.bind(place, blob))

    def fingerprint(self, plain: bytes) -> str:
        return _digest(self._fingerprint_key, plain)[:4].hex()

    def pseudonym(self, plain: bytes) -> str:
        return _digest(self._pseudonym_key, plain)[:10].hex()

    def bind(self, place: Place, blob: str) -> str:
        parts = [
            part.encode("utf-8", "replace")
            for part in (place.table, str(place.row_id), place.column, place.origin, blob)
        ]
        message = b"".join(len(part).to_bytes(4) + part for part in parts)  # lengths, so that no two places look alike
        return _digest(self._binding_key, message).hex()

    def box(self, blob: str) -> Box | None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - keeps the resolver lean

        match = _BLOB.fullmatch(blob)
        if match is None:
            return None
        iv, tag, ciphertext = (bytes.fromhex(part) for part in match.groups())
        box = Box(self.aead, iv, ciphertext + tag)
        try:
            box.open()
        except (InvalidTag, UnicodeDecodeError):
            return None
        return box


def generate_key() -> str:
    """Return a new encryption key: 64 random hex digits."""
    return os.urandom(32).hex()


def mask(plain: str) -> str:
    """Return what may be shown of an API key."""
    return f"{plain[:7]}...****" if len(plain) >= MASK_FROM else "****"


def _parse(text: str, name: str) -> bytes:
    if text != text.strip():
        ends = "a line break" if text.strip(" \t") != text.strip() else "a space"
        raise BadKey(
            f"{name} begins or ends with {ends}. Remove it: the key is {KEY_DIGITS} hex digits and nothing else."
        )
    if len(text) != KEY_DIGITS:
        hint = " It looks like base64; write it as hex." if re.fullmatch(r"[A-Za-z0-9+/_-]{43}=?", text) else ""
        if blank := re.search(r"\s", text):
            hint = f" It has a blank or a line break inside, after {blank.start()} characters."
        raise BadKey(f"{name} has {len(text)} characters; it must be {KEY_DIGITS} hex digits.{hint}")
    wrong = next((i for i, c in enumerate(text, start=1) if c not in "0123456789abcdefABCDEF"), None)
    if wrong is not None:
        raise BadKey(f"{name}: character {wrong} is not a hex digit (0-9, a-f).")
    if len(set(text.lower())) == 1:
        raise BadKey(f"{name} is one digit repeated. Make a real key: python -m core generate-key")
    return bytes.fromhex(text)


def _digest(key: bytes, message: bytes) -> bytes:
    import hmac  # noqa: PLC0415 - keeps the import of the resolver lean

    return hmac.digest(key, message, "sha256")


def _id_of(raw: bytes) -> str:
    return _digest(raw, _KEY_ID_LABEL)[:4].hex()


def ids_of(config: Config) -> tuple[str, ...]:
    """Return the ids of the keys of *config*, the primary one first, without the library that :func:`load_ring` needs.

    Raises:
        BadKey: As :func:`load_ring`.
    """
    primary, extra = _texts(config)
    named = [(primary, "LLM_ENCRYPTION_KEY")] if primary is not None else []
    named += [(text.strip(" "), "LLM_ENCRYPTION_KEYS_EXTRA") for text in extra]
    return tuple(dict.fromkeys(_id_of(_parse(text, name)) for text, name in named))


def ensure_key_file(path: Path) -> bool:
    """Make an encryption key for an embedded installation in *path* (mode 0600); False if there is one already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        with draft.open("w", encoding="ascii") as file:
            file.write(generate_key() + "\n")
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave an empty key file under a name that is there for good
        with suppress(FileExistsError):
            os.link(draft, path)  # never replaces a key; of several makers one wins, and never half a file
            _sync(path.parent)
            return True
    finally:
        draft.unlink()
    return False


def _sync(folder: Path) -> None:
    """Have the names in *folder* survive a power cut, where folders can be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load_ring(config: Config) -> KeyRing:
    """Build the key ring of *config*; an embedded installation without ``LLM_ENCRYPTION_KEY`` uses its key file.

    Raises:
        BadKey: If a key is malformed.
    """
    primary, extra = _texts(config)
    by_file = config.encryption_key is None and config.embedded
    return KeyRing(primary, extra, kept_in=config.key_file.name if by_file else VARIABLE)


def _texts(config: Config) -> tuple[str | None, list[str]]:
    primary = config.encryption_key.reveal() if config.encryption_key else None
    if primary is None and config.embedded and config.key_file.is_file():
        primary = config.key_file.read_text(encoding="utf-8", errors="replace").removesuffix("\n")
        remember(primary, for_good=True)
    return primary, [key.reveal() for key in config.encryption_keys_extra]


@cache
def get_ring() -> KeyRing:
    """Return the key ring of this process, built on first use; raises as :func:`load_ring` does."""
    return load_ring(get_config())
