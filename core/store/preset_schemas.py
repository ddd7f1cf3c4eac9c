"""What may be said of a named set of parameters: a part of :mod:`~.schemas`, the only validator."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from ..errors import Invalid
from .preset_tables import NAME_PATTERN
from .schemas import Input, OneLine, Problems, SettingsInput, validate
from .values import empty_is_none, paragraph

PRESET_FIELDS: Final = tuple(
    name for name in SettingsInput.model_fields if name not in {"preferred_model", "is_active"}
)
"""The fields of a settings row that a preset may have. No model: a preset is for any provider's, and allows none."""


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    problems = {name[:50]: "is no parameter of a preset" for name in given if name not in PRESET_FIELDS}
    if not problems:
        try:
            checked = validate(SettingsInput, given).model_dump(include=set(PRESET_FIELDS), exclude_none=True)
        except Invalid as error:
            problems = error.fields
        else:
            omitted = checked.get("omitted_parameters") or []
            twice = [name for name in omitted if name in checked]
            if not omitted:
                checked.pop("omitted_parameters", None)
            if checked and not twice:
                return checked
            problems = dict.fromkeys(twice, "cannot have a value and be omitted")
    raise Problems(
        {f"fields.{name}": rule for name, rule in problems.items()} or {"fields": "must say something of a parameter"}
    )


class PresetNaming(Input):
    """What a preset is called, and for."""

    name: Annotated[
        str,
        OneLine,
        Field(
            pattern=NAME_PATTERN,
            description="1 to 100 of the characters a to z, 0 to 9, dot, underscore and hyphen, beginning with a letter or digit",
        ),
    ]
    description: Annotated[
        Annotated[str, Field(max_length=2000)] | None,
        BeforeValidator(empty_is_none),
        BeforeValidator(paragraph),
        Field(description="at most 2000 characters"),
    ] = None


class PresetInput(PresetNaming):
    """A named set of parameters; what it does not name stays as it is where it is applied."""

    fields: Annotated[dict[str, Any], Field(description="a JSON object of parameters"), AfterValidator(_fields)]
