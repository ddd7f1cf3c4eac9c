"""A newer catalogue from the operator's address: taken where it has the digest that was named, or a signature of the operator's key."""

import hashlib
import hmac
from base64 import b64decode
from typing import Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ..calling import download
from ..config import Config, catalogue_source
from ..errors import Invalid
from ..models import vendored

SECONDS: Final = 30.0
"""For the bundle, and again for its signature."""
_URL: Final = "LLM_CATALOGUE_URL"
_LARGEST_SIGNATURE: Final = 1024 * 1024
_BYTES: Final = 64
"""Of a signature, RFC 8032."""


def fetch(config: Config, *, seconds: float = SECONDS) -> bytes:
    """Return the bundle at ``LLM_CATALOGUE_URL``, once its digest or its signature is right. Nothing is stored.

    Where both are set, both must be right.

    Raises:
        BadConfig: If a variable is malformed.
        Invalid: Names the variable and the cure: none is set, or what is got is not what it should be.
    """
    source = catalogue_source(config)
    if source.url is None:
        raise Invalid({_URL: "is not set: it says where the catalogue is"})
    if source.sha256 is None and source.key is None:
        cure = (
            "set LLM_CATALOGUE_SHA256, or LLM_CATALOGUE_KEY where it is signed; or get the file yourself, look at it, "
            "and use `catalogue import PATH`"
        )
        raise Invalid({_URL: f"is not enough: nothing says that what is got there is the right catalogue; {cure}"})
    url = source.url.reveal()
    raw = download.get(_URL, url, config.private_hosts, largest=vendored.MOST_BYTES, seconds=seconds)
    if source.sha256 is not None and not hmac.compare_digest(hashlib.sha256(raw).digest(), source.sha256):
        raise Invalid(
            {"LLM_CATALOGUE_SHA256": "is the digest of another file than the one that is there: nothing is taken"}
        )
    if source.key is not None:
        beside = urlsplit(url)
        at = beside._replace(path=f"{beside.path}.sig").geturl()
        found = download.get(
            f"{_URL} with .sig behind", at, config.private_hosts, largest=_LARGEST_SIGNATURE, seconds=seconds
        )
        _verify(source.key, found, raw)
    return raw


def _verify(key: bytes, found: bytes, raw: bytes) -> None:
    try:
        signature = found if len(found) == _BYTES else b64decode(found.strip(), validate=True)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, raw)
    except (InvalidSignature, ValueError):
        pass
    else:
        return
    raise Invalid(
        {"LLM_CATALOGUE_KEY": "has not signed the file that is there, or its .sig is no signature: nothing is taken"}
    )
