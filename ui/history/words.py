"""How History says what was changed: a version in a line, and values as people read them."""

import json
from collections.abc import Mapping
from typing import Any, Final

from core.govern.history import VersionChange
from core.govern.history_names import KINDS
from core.parameters import PARAMETERS
from core.resolving.words import value_text
from core.wording import counted
from ui.audit.words import field_label
from ui.feedback import plain, plain_cell
from ui.widgets import cut

Names = Mapping[tuple[str, int], str]
"""Field and id -> the name of what it refers to."""
_NAMED: Final = 2
"""So many fields are told with their values in a line; of more it says how many."""
_SHORT: Final = 40
_LONGEST: Final = 600
"""Characters of a value that are shown."""
_DID: Final = {"+": ("added", "add_circle"), "=": ("changed", "edit"), "-": ("deleted", "delete")}
_FIELDS: Final = {
    "deleted_at": "Deleted",
    "keep_history_days": "Days of history",
    "limits": "Limits",
    "note": "Note",
    "origin": "Origin",
    "plain_value": "Value",
    "provider_id": "Provider",
    "organization_id": "Organisation",
    "feature_id": "Feature",
    "use": "Use",
    "value": "Value (sealed)",
    "owner": "Owner",
}


def field_words(name: str) -> str:
    """Return what people call a field of a row."""
    words = _FIELDS.get(name) or field_label(name)
    return words if words != name else name.replace("_", " ").capitalize()


def value_words(field: str, value: Any, names: Names) -> str:
    """Return a value of a row as people read it; of a sealed one the history has only that there was one."""
    if value is None:
        return "not set"
    if isinstance(value, int) and (field, value) in names:
        return names[field, value]
    if isinstance(value, dict) and value.get("set") is True:
        fingerprint = value.get("fingerprint")
        return f"set, fingerprint {fingerprint}" if fingerprint else "set"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list) and field not in PARAMETERS:
        return (
            ", ".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in value) or "none"
        )
    return value_text(field, value)


def icon_of(change: VersionChange) -> str:
    """Return the icon of a change."""
    return "history" if change.is_first else _DID[change.op][1]


def sentence(change: VersionChange, names: Names) -> str:
    """Return what was changed in a line, in Markdown that shows hostile names as they are."""
    kind = KINDS.get(change.table, "row")
    about = "" if change.name == kind else f" **{cut(change.name, 80)}**"
    why = f" · {cut(f'“{change.comment}”', 100)}" if change.comment else ""
    return f"**{cut(change.by, 60)}** {_DID[change.op][0]} {plain(kind)}{about}{_fields(change, names)}{why}"


def _fields(change: VersionChange, names: Names) -> str:
    if change.op != "=":
        return ""
    told = [
        f"{plain(field_words(field))} {_short(field, before, names)} → {_short(field, after, names)}"
        for field, (before, after) in change.fields.items()
    ] + [plain(field_words(field)) for field in change.hidden]
    if len(told) > _NAMED:
        return f" · {counted(len(told), 'field')}"
    return f" · {', '.join(told)}" if told else ""


def _short(field: str, value: Any, names: Names) -> str:
    return cut(value_words(field, value, names), _SHORT)


def rows_of(fields: Mapping[str, tuple[Any, Any]], names: Names, heads: tuple[str, str]) -> list[dict[str, str]]:
    """Return the lines of a table of fields, with two values each under *heads*."""
    return [
        {
            "Field": plain(field_words(field)),
            heads[0]: _cell(field, before, names),
            heads[1]: _cell(field, after, names),
        }
        for field, (before, after) in fields.items()
    ]


def _cell(field: str, value: Any, names: Names) -> str:
    text = value_words(field, value, names)
    return plain_cell(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
