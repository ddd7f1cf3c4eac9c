"""Reading a request's body: JSON, strictly. What its values may be is for :mod:`core.store.schemas` to say."""

import json
from collections import Counter
from itertools import islice
from typing import Any, Final

from starlette.requests import Request

from api.errors import Refused
from api.names import NAMED, NotAsNamed

LIMIT: Final = 2 * 1024 * 1024
"""Bytes of a body. The largest that is valid, 160,000 characters of model names in JSON's escapes of twelve bytes, has 1.94 MB."""
EXACT: Final = 2**53
"""Below it each whole number is a float of its own."""
DIGITS: Final = 400
"""A number with more is taken for infinity, which no field allows: Python would not even read 5,000."""


async def read_json(request: Request) -> dict[str, Any]:
    """Return the body, a JSON object.

    Raises:
        Refused: 415 for another content type, 413 over ``LIMIT``, 400 for what is no JSON in UTF-8; a mark before it is skipped.
        NotAsNamed: If it is no object, or a key stands twice: readers would differ in which one counts.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in {"", "charset=utf-8"}:
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON in UTF-8, with Content-Type: application/json.")
    raw = await _read(request)
    try:
        found = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_once, parse_int=_int)
    except UnicodeDecodeError:
        raise Refused(400, "NOT_JSON", "The body is not in UTF-8, as JSON is. Save or send it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refused(400, "NOT_JSON", f"The body is no JSON that can be read{where}.") from None
    if not isinstance(found, dict):
        raise NotAsNamed({"body": 'must be a JSON object, as {"name": "value"}'})
    return {name: _whole(value) for name, value in found.items()}


def _whole(value: Any) -> Any:
    """Return 2000.0 as 2000, which to JSON is the same number (RFC 8259 names no integers); below the top a value is as it was."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


async def _read(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    size, parts = 0, []
    if not (announced.isdigit() and int(announced[:20]) > LIMIT):
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > LIMIT:
                break
        else:
            return b"".join(parts)
    raise Refused(413, "TOO_LARGE", f"The body may have {LIMIT // 1024**2} MB at most.", {"Connection": "close"})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = (name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise NotAsNamed({name[:50]: "stands twice" for name in islice(twice, NAMED)})
    return found


def _int(text: str) -> int | float:
    return int(text) if len(text) <= DIGITS else float("inf")
