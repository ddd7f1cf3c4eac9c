"""What is being edited on the Defaults page, apart from how it is drawn: choices, unsaved edits, the patch they make."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from core.errors import Invalid
from core.parameters import PARAMETERS, SENDABLE
from core.resolving.words import value_text
from core.store.schemas import SettingsInput, parse_json_object, validate

INHERIT, VALUE, OMIT = "inherit", "value", "omit"
LABELS: Final[Mapping[str, str]] = {
    "preferred_model": "Preferred model",
    **{name: parameter.label for name, parameter in PARAMETERS.items()},
    "extra_parameters": "Extra request parameters",
    "custom_settings": "Custom settings",
}
OBJECTS: Final = ("extra_parameters", "custom_settings")
"""The fields that are JSON objects."""


class Choice(NamedTuple):
    """What is chosen for one field: inherit, a value, or do not send."""

    mode: str
    value: Any = None
    """Of a JSON object the text as it was typed, which may not be JSON."""


@dataclass
class Edit:
    """The unsaved changes of one scope, and what they are based on."""

    version: int
    """Of the settings row when the editing began; 0: there was none."""
    base: dict[str, Any]
    """The fields of that row."""
    changed: dict[str, Choice] = field(default_factory=dict)
    preset: tuple[str, dict[str, Choice]] | None = None
    """The preset that was filled in last, and what it chooses."""


def choices(fields: Mapping[str, Any]) -> dict[str, Choice]:
    """Return what the fields of a settings row choose; in one row an omission wins over a value."""
    return {name: _choice(fields, name) for name in LABELS}


def _choice(fields: Mapping[str, Any], name: str) -> Choice:
    value = fields[name]
    if name in SENDABLE and name in (fields["omitted_parameters"] or ()):
        return Choice(OMIT)
    if value is None:
        return Choice(INHERIT)
    return Choice(VALUE, json.dumps(value, indent=2, ensure_ascii=False) if name in OBJECTS else value)


def preset_choices(fields: Mapping[str, Any]) -> dict[str, Choice]:
    """Return what the fields of a preset choose; what it does not name is not there."""
    whole = {**dict.fromkeys(LABELS), "omitted_parameters": None, **fields}
    return {name: choice for name, choice in choices(whole).items() if choice.mode != INHERIT}


def value_of(name: str, choice: Choice) -> Any:
    """Return the value of a choice, of a JSON object the object; None: it is no JSON, or there is no value."""
    try:
        return _object(name, choice) if name in OBJECTS else choice.value
    except Invalid:
        return None


def chosen(edit: Edit, name: str) -> Choice:
    """Return the unsaved choice of a field, or else the saved one."""
    return edit.changed[name] if name in edit.changed else _choice(edit.base, name)


def differs(name: str, choice: Choice, saved: Choice) -> bool:
    """Return whether *choice* would change what is saved; another layout of the same JSON would not."""
    if name in OBJECTS:
        try:
            return _object(name, choice) != _object(name, saved)
        except Invalid:
            return True
    return choice != saved


def tidy(value: Any, saved: Any) -> Any:
    """Take from a slider's number what binary fractions added to it: 0.7000000000000001 is 0.7."""
    if not isinstance(value, float):
        return value
    if isinstance(saved, float) and math.isclose(value, saved, abs_tol=1e-9):
        return saved
    return round(value, 6) + 0.0


def patch(fields: Mapping[str, Any], changed: Mapping[str, Choice]) -> dict[str, Any]:
    """Return what the choices in *changed* alter in a row with *fields*, ready for ``settings.upsert_global``.

    Raises:
        Invalid: If a JSON object is none.
    """
    wanted = {name: _object(name, c) if name in OBJECTS else c.value for name, c in changed.items()}
    omitted = {name for name in SENDABLE if _choice(fields, name).mode == OMIT and name not in changed}
    omitted |= {name for name, choice in changed.items() if choice.mode == OMIT}
    if omitted != set(fields["omitted_parameters"] or ()):
        wanted["omitted_parameters"] = [name for name in SENDABLE if name in omitted] or None
    return {name: value for name, value in wanted.items() if value != fields[name]}


def problems(edit: Edit, models: list[str] | None) -> dict[str, str]:
    """Return field -> the rule that an unsaved choice breaks; *models* are the provider's, None for all providers."""
    found = {}
    try:
        validate(SettingsInput, patch(edit.base, edit.changed))
    except Invalid as error:
        found = error.fields
    if (model := chosen(edit, "preferred_model").value) and models is not None and model not in models:
        found["preferred_model"] = "is no longer one of the provider's models; choose another, or inherit"
    return found


def problem(name: str, rule: str) -> str:
    """Return a sentence that names a field and the rule that it breaks."""
    return f"{LABELS.get(name, name)} {rule}{'' if rule.endswith(('.', ')')) else '.'}"


def rebase(edit: Edit, version: int, fields: dict[str, Any]) -> Edit:
    """Return the same unsaved choices on another stored row; those that it has already are dropped."""
    changed = {n: c for n, c in edit.changed.items() if differs(n, c, _choice(fields, n))}
    return Edit(version, fields, changed, edit.preset)


def described(name: str, choice: Choice) -> str:
    """Return a choice in words."""
    if choice.mode != VALUE:
        return "Inherit" if choice.mode == INHERIT else "Do not send"
    if name in OBJECTS:
        try:
            return json.dumps(_object(name, choice), ensure_ascii=False)
        except Invalid:
            return str(choice.value)
    return value_text(name, choice.value)


def _object(name: str, choice: Choice) -> dict[str, Any] | None:
    return parse_json_object(choice.value or "", name)
