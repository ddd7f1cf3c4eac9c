"""The vendored catalogue: a file beside this module, made by ``make catalogue``. Reading it; what is wrong with it.

Whatever the file holds, reading it raises nothing: then no model is known, and the catalogue says why.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
"""Raised when a key changes its meaning; a file with another number is not read."""
PATH: Final = Path(__file__).with_name("catalogue.json")
PROVENANCE: Final = Path(__file__).with_name("provenance.json")
MOST_BYTES: Final = 4 * 1024 * 1024

Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""API -> model -> its row as the file has it."""

_KEYS: Final = {"format", "as_of", "versions", "models"}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a catalogue file says."""

    rows: Rows = field(default_factory=dict)
    as_of: date = date.min
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package -> the version that was read."""
    problems: tuple[str, ...] = ()
    """Why all of it, or some rows, could not be read: sentences, the first ten."""


def read(path: Path = PATH) -> Catalogue:
    """Return what *path* says; an unreadable file is a catalogue without rows that says why, and so is one of our future."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            return _unread(path, "it has more than 4 MB")
        content = json.loads(raw.decode("utf-8"))
    except OSError as error:
        return _unread(path, error.strerror or type(error).__name__)
    except (ValueError, RecursionError) as error:  # not UTF-8, cut off, empty, nested a thousandfold
        return _unread(path, f"it is not JSON: {error}")
    return parse(content, path)


def parse(content: Any, path: Path = PATH) -> Catalogue:
    """Return what the JSON *content* says; *path* is named where it cannot be understood."""
    if not isinstance(content, dict) or content.keys() != _KEYS:
        return _unread(path, f"it has other keys than {', '.join(sorted(_KEYS))}")
    if content["format"] != FORMAT or isinstance(content["format"], bool):
        return _unread(path, f"its format is {content['format']!r:.40}, and this version reads {FORMAT}")
    models, versions = content["models"], content["versions"]
    if not isinstance(models, dict) or not isinstance(versions, dict):
        return _unread(path, "models or versions is no object")
    try:
        as_of = date.fromisoformat(content["as_of"])
    except (TypeError, ValueError):
        return _unread(path, "as_of is no date")
    problems = [f"{api}: no object" for api, rows in models.items() if not isinstance(rows, dict)]
    rows = {api: _objects(api, models[api], problems) for api in models if isinstance(models[api], dict)}
    return Catalogue(rows, as_of, versions, tuple(problems[:10]))


def _objects(api: str, rows: Mapping[str, Any], problems: list[str]) -> Mapping[str, Any]:
    wrong = [name for name, row in rows.items() if not isinstance(row, dict)]
    if not wrong:
        return rows
    problems += [f"{api} {name:.100}: no object" for name in wrong]
    return {name: row for name, row in rows.items() if isinstance(row, dict)}


def _unread(path: Path, why: str) -> Catalogue:
    return Catalogue(problems=(f"{path.name} is unread: {why}.",))
