"""Parameters of other products, entered as ours. What is no value here is a loss."""

import re
from typing import Any, Final

from ...errors import Invalid
from ...parameters import PARAMETERS
from ...store.schemas import SettingsInput, validate
from .items import Item

_EXACT: Final = 10**15
"""Whole numbers below this are the same as floats."""


def put(settings: dict[str, Any], item: Item, name: str, *, factor: float = 1) -> None:
    """Enter one of our parameters, unless its value is none here (a loss).

    Args:
        settings: Where it is entered.
        item: The entry of the file.
        name: One of :data:`~core.parameters.PARAMETERS`.
        factor: By what a number is multiplied: 1000 makes milliseconds of seconds.
    """
    parameter, value = PARAMETERS[name], item.value
    if isinstance(value, str) and parameter.value_type in {int, float}:
        value = _number(value)
    if isinstance(value, str) and parameter.value_type is list:
        value = [value]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and -_EXACT < value * factor < _EXACT:  # so no NaN either
        value = round(value * factor) if parameter.value_type is int else float(value * factor)
    if parameter.fits(value):
        settings[name] = value
    else:
        item.lose(f"is no value of {parameter.label} here: that is {parameter.rule}")


def put_extra(settings: dict[str, Any], item: Item, name: str) -> None:
    """Enter a parameter of the vendor's that is none of ours, to be sent as it is, unless it cannot be (a loss)."""
    extra = {**settings.get("extra_parameters", {}), name: item.value}
    try:
        validate(SettingsInput, {**settings, "extra_parameters": extra})
    except Invalid as error:
        item.lose(f"cannot be sent along: extra parameters {error.fields.get('extra_parameters', 'must be JSON')}")
        return
    settings["extra_parameters"] = extra


def omit(settings: dict[str, Any], name: str) -> None:
    """Have one of our parameters never be sent."""
    settings[name] = {"omit": True}


def _number(text: str) -> Any:
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text.strip()) else text
