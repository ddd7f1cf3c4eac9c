"""What may be a header or a query parameter of a provider: one set of rules. No sentence here repeats a value."""

import re
from typing import Final

from ..kinds import facts_of
from ..redaction import scrub

MAX_NAME: Final = 100
MAX_VALUE: Final = 8192
"""Characters. Servers end at 8 KB of headers."""
MOST: Final = 20
"""Headers of one provider, and query parameters."""

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token: RFC 9110 §5.6.2
_QUERY_NAME: Final = re.compile(r"[A-Za-z0-9_.~\[\]$:-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]+")
"""RFC 9110 §5.5 lets Latin-1 pass; the HTTP client of the SDKs (httpx) encodes ASCII and raises for more."""
_MASK: Final = re.compile(r"\S{0,12}?(\.\.\.|\u2026)?[*\u2022\u25cf]{3,}")
_TRANSPORT: Final = frozenset(
    {
        "host", "content-length", "transfer-encoding", "content-encoding", "content-type", "accept", "accept-encoding",
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "upgrade", "expect", "date", "http2-settings",
    }
)  # fmt: skip
"""What the HTTP client and the SDK write themselves, and what is of one connection alone: RFC 9110 §7.6.1, RFC 9112 §6."""
_SECRET_NAME: Final = re.compile(r"(?i)(key|token|secret|password|passwd|credential|authorization|cookie|signature)s?$")
_RANDOM: Final = re.compile(
    r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{16,}|(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
"""Letters and digits, mixed and with nothing between them: words, versions and addresses are shorter. Or a UUID."""


def refused_name(kind: str, use: str, name: str) -> str:
    """Return the rule that *name* breaks as a header or query parameter of a provider of *kind*; empty if none."""
    if not 1 <= len(name) <= MAX_NAME:
        return f"must be 1 to {MAX_NAME} characters"
    return _refused_query(kind, name) if use == "query" else _refused_header(kind, name)


def _refused_query(kind: str, name: str) -> str:
    facts = facts_of(kind)
    if not facts.takes_query:
        return f"cannot be sent: the SDK of {facts.label} has no place for query parameters"
    return "" if _QUERY_NAME.fullmatch(name) else "must be letters, digits and - _ . ~ [ ] $ : only, as api-version"


def _refused_header(kind: str, name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        return "must be letters, digits and hyphens, as X-Api-Key: no colon, no blank"
    if name.lower() in _TRANSPORT:
        return f"{name} is written by the HTTP client itself"
    if name.lower() == facts_of(kind).key_header.lower():
        return f"{name} carries the API key already: enter the value as the API key"
    return ""


def refused_value(value: str) -> str:
    """Return the rule that *value* breaks; empty if none."""
    if not 1 <= len(value) <= MAX_VALUE:
        return f"must be 1 to {MAX_VALUE:,} characters"
    if not _VALUE.fullmatch(value):
        place = next(number for number, sign in enumerate(value, start=1) if not _VALUE.fullmatch(sign))
        what = (
            "a line break or control character" if value[place - 1] < " " or value[place - 1] == "\x7f" else "no ASCII"
        )
        return f"has a character (number {place}) that cannot be sent: {what}. Copy it again"
    if _MASK.fullmatch(value):
        return "is the mask of a stored value: leave it out to keep what is stored"
    return ""


def warning(name: str, value: str) -> str:
    """Return why a plain *value* is probably a secret, which should be sealed; empty if it is none."""
    pair = f"{name}={value}"
    if scrub(value) != value or scrub(pair) != pair or _SECRET_NAME.search(name) or _RANDOM.search(value):
        return "This looks like a secret, and everybody who may see providers will see it. Seal it."
    return ""
