"""The rules of one value, as functions of :mod:`~.schemas`: each returns it as it is stored, or raises ValueError with the rule."""

import json
import re
import unicodedata
from collections import Counter
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from ..resolving.merge import is_deeper
from . import base_urls

MAX_TEXT = 10_000
MAX_MODELS = 5_000
MAX_MODELS_TEXT = 160_000
"""Characters of all model names together: a REST body of 2 MiB holds them, whatever they are and however they are escaped."""
MAX_CUSTOM_BYTES = 16 * 1024
MAX_CUSTOM_DEPTH = 20
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad\u061c\U000e0000-\U000e007f]")
_HALF = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


def normalised(value: Any) -> Any:
    """Return text in NFC, trimmed, without zero-width characters; anything else as it is.

    Raises:
        ValueError: If the text is too long to be looked at, or has control characters or lone surrogates.
    """
    if not isinstance(value, str):
        return value
    if len(value) > MAX_TEXT:
        raise ValueError(f"must be at most {MAX_TEXT} characters")
    no_halves(value)
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", value)).strip()
    if _CONTROL.search(text):
        raise ValueError("has control characters or line breaks")
    return text


def exact(value: str) -> str:
    """Return text that programs compare letter by letter as it is; refuse what nobody could see the difference of."""
    no_halves(value)
    if _CONTROL.search(value):
        raise ValueError("has control characters or line breaks")
    if value != value.strip():
        raise ValueError("must not begin or end with a blank")
    return value


def no_halves(value: Any) -> Any:
    """Refuse text with a lone surrogate."""
    if isinstance(value, str) and _HALF.search(value):
        raise ValueError("has half a character (a lone surrogate); type it again")
    return value


def empty_is_none(value: Any) -> Any:
    """Return None for an empty text: nothing was typed."""
    return None if value == "" else value


def paragraph(value: Any) -> Any:
    """Return text of several lines, each of them normalised."""
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return "\n".join(normalised(line) for line in value.splitlines()).strip("\n")
    return normalised(value)


def url(value: str) -> str:
    """Refuse what is no base URL of a vendor's API: scheme, host, perhaps port and path."""
    host_of(value, "https://host.example/v1")
    parts = urlsplit(value)
    if parts.query or parts.fragment or value.endswith(("?", "#")):
        raise ValueError(f"must end with the path: no ? and no #{base_urls.without_query(value)}")
    return value


def host_of(value: str, example: str) -> str:
    """Return the host of a URL; refuse what is none, or has a user name or a password in it. *example* is for the error."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("must name a host and perhaps a port, as https://host.example:8443/v1") from None
    if parts.scheme not in {"http", "https"} or not value.startswith(f"{parts.scheme}://"):
        raise ValueError("must begin with https:// or http://, in small letters")
    if "@" in parts.netloc or "\\" in value:
        raise ValueError("must have no user name, password or backslash in it")
    if port == 0 or not parts.hostname or not _HOST.fullmatch(parts.hostname) or " " in value or not value.isascii():
        raise ValueError(f"must name a host, as {example}, in ASCII")
    return parts.hostname


def distinct(models: list[str]) -> list[str]:
    """Refuse names of models that stand twice, or are too long together."""
    twice = sorted(model for model, times in Counter(models).items() if times > 1)
    if twice:
        raise ValueError(f"must name each model once; twice: {', '.join(twice)[:200]}")
    if (size := sum(map(len, models))) > MAX_MODELS_TEXT:
        raise ValueError(f"must have at most {MAX_MODELS_TEXT:,} characters in all names together; these have {size:,}")
    return models


def no_line_breaks(value: Any) -> Any:
    """Return a key without blanks around it; refuse one with characters inside that no key has."""
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        value = value.strip()
        if _CONTROL.search(value) or _INVISIBLE.search(value):
            raise ValueError("has line breaks, control or invisible characters inside; copy it again")
    return no_halves(value)


def trimmed(value: Any) -> Any:
    """Return text without blanks and tabs around it, as the value of a header loses them."""
    return value.strip(" \t") if isinstance(value, str) and len(value) <= MAX_TEXT else value


def custom(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse custom settings that are too deep, too large, or that PostgreSQL cannot hold."""
    if is_deeper(value, MAX_CUSTOM_DEPTH):
        raise ValueError(f"must be at most {MAX_CUSTOM_DEPTH} levels deep")
    numbers: list[str] = []
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        json.loads(text, parse_float=numbers.append)
        size = len(text.encode()) + sum(len(f"{Decimal(n):f}") - len(n) for n in numbers)  # 1e300 is stored in full
    except (ValueError, TypeError):
        raise ValueError("must hold JSON only: no NaN, no infinity, no half characters") from None
    if size > MAX_CUSTOM_BYTES:
        raise ValueError(f"must be at most {MAX_CUSTOM_BYTES // 1024} KB; this is {size / 1024:.1f} KB")
    if "\\u0000" in text.replace("\\\\", ""):  # an escape, and not a backslash that is followed by u0000
        raise ValueError("has a NUL character")
    return value
