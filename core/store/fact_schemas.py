"""What an admin may say of a model: the vocabulary, checked. What passes here, :mod:`core.models.overlay` reads whole."""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..errors import Invalid
from ..models import overlay
from ..models.apis import APIS
from ..parameters import SENDABLE
from .schemas import ModelName, OneLine
from .values import normalised

MOST_BYTES: Final = 64 * 1024
MOST_WHY: Final = 2_000
_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

_HOST: Final = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,260}")
"""A host's name has 253 characters at most; perhaps with a port."""

TokenCount = Annotated[int, Field(ge=1, lt=10**9)]
Dollars = Annotated[float, Field(ge=0, lt=10**6)]
Number = Annotated[float, Field(ge=-(10**9), le=10**9)]
Minutes = Annotated[int, Field(ge=0, lt=24 * 60)]
Effort = Annotated[str, OneLine, Field(min_length=1, max_length=50)]


def _day(value: Any) -> Any:
    if isinstance(value, str):
        try:
            date.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a day, as 2027-01-31") from None
    return value


Day = Annotated[str, AfterValidator(_day)]


class PriceInput(BaseModel):
    """List prices in US dollars a million tokens; the last one whose day and hours hold counts."""

    model_config = _STRICT

    since: Day | None = None
    hours: Annotated[list[Minutes], Field(min_length=2, max_length=2)] | None = None
    input: Dollars | None = None
    output: Dollars | None = None
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    request: Dollars | None = None
    tiers: Annotated[list[Any], Field(max_length=20)] | None = None


class VerdictInput(BaseModel):
    """What an API does with one parameter; ``unless`` and ``by_default`` as :class:`core.models.verdict.Verdict`."""

    model_config = _STRICT

    ok: Literal[True] | None = None
    refuse: Literal[True] | None = None
    ignore: Literal[True] | None = None
    require: Literal[True] | None = None
    only: Annotated[list[Number], Field(min_length=1, max_length=20)] | None = None
    range: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    rename: Annotated[str, Field(max_length=64)] | None = None
    exclusive: str | None = None
    unless: Annotated[str, Field(max_length=140)] | None = None
    by_default: bool | None = None


class FactsInput(BaseModel):
    """Facts of a model, and verdicts on parameters by our names. What is not named is left to the next source."""

    model_config = _STRICT

    acts_as: ModelName | None = None
    """The model behind this name, as a deployment at Azure has one."""
    custom: Literal[True] | None = None
    """A model of one's own: nothing is taken from the catalogue."""
    context: TokenCount | None = None
    max_input: TokenCount | None = None
    max_output: TokenCount | None = None
    reasoning: Literal["none", "optional", "default", "always"] | None = None
    efforts: Annotated[list[Effort], Field(max_length=20)] | None = None
    default_effort: Effort | None = None
    sampling: Literal["yes", "no", "ignored"] | None = None
    temperature_max: Annotated[float, Field(ge=0, le=100)] | None = None
    retires: Day | None = None
    retired_effect: Literal["refused", "rerouted"] | None = None
    successor: ModelName | None = None
    prices: Annotated[list[PriceInput], Field(max_length=50)] | None = None


KEYS: Final = (*SENDABLE, *FactsInput.model_fields)
"""What facts may have: verdicts by our parameters' names, and what is known of the model."""


def pattern_of(value: Any) -> str:
    """Return a pattern of model names in small letters; ``*`` and ``?`` stand for characters, and nothing else does.

    Raises:
        Invalid: Names ``pattern`` and the rule.
    """
    try:
        found = normalised(value)
    except ValueError as error:
        raise Invalid({"pattern": str(error)}) from None
    if not isinstance(found, str) or not 0 < len(found) <= overlay.MOST_PATTERN:
        raise Invalid(
            {"pattern": f"must be a model's name of 1 to {overlay.MOST_PATTERN} characters; * and ? stand for any"}
        )
    if found.count("*") + found.count("?") > overlay.MOST_WILDCARDS:
        raise Invalid({"pattern": f"must have at most {overlay.MOST_WILDCARDS} of * and ?"})
    return found.lower()


def api_of(value: Any) -> str | None:
    """Return where something holds: None for everywhere, an API, or an API and ``@`` and a host.

    Raises:
        Invalid: Names ``api`` and the rule.
    """
    if value is None or value == "":
        return None
    name, at, host = value.partition("@") if isinstance(value, str) else ("", "", "")
    if name not in APIS or (at and not _HOST.fullmatch(host)):
        raise Invalid({"api": f"must be one of {', '.join(APIS)}, perhaps with @ and a host, or nothing: everywhere"})
    return f"{name}{at}{host.lower()}"


def why_of(value: Any) -> str:
    """Return the reason for what an admin says; raises Invalid, naming ``why``, without one."""
    try:
        found = normalised(value)
    except ValueError as error:
        raise Invalid({"why": str(error)}) from None
    if not isinstance(found, str) or not 0 < len(found) <= MOST_WHY:
        raise Invalid(
            {"why": f"is needed, in 1 to {MOST_WHY:,} characters: who comes later has to know whether it still holds"}
        )
    return found


def facts_of(value: Any, most: int = MOST_BYTES) -> dict[str, Any]:
    """Return the facts as they are stored, without what is null.

    Raises:
        Invalid: Names ``facts.KEY`` and the rule.
    """
    if not isinstance(value, Mapping):
        raise Invalid({"facts": 'must be a JSON object, as {"temperature": {"ok": true}}'})
    problems: dict[str, str] = {}
    found = _model_facts({key: part for key, part in value.items() if key not in SENDABLE}, problems)
    for name in SENDABLE:
        if value.get(name) is not None:
            found |= _verdict(name, value[name], problems)
    if (size := len(json.dumps(found, ensure_ascii=False).encode())) > most - most // 16:  # PostgreSQL writes it wider
        raise Invalid({"facts": f"must be at most {most * 15 // 16 // 1024} KB; this is {size / 1024:.1f} KB"})
    if not problems:
        _, _, unread = overlay.read_facts(found)
        problems = {f"facts.{line.split(' ', 1)[0]}": line.split(": ", 1)[-1] for line in unread}
    if problems:
        raise Invalid(problems)
    if not found:
        raise Invalid({"facts": f"must say something: {', '.join(KEYS)}"})
    return found


def _model_facts(value: Mapping[str, Any], problems: dict[str, str]) -> dict[str, Any]:
    try:
        return FactsInput.model_validate(dict(value)).model_dump(exclude_none=True)
    except ValidationError as error:
        problems |= _in_words(error, "facts")
    return {}


def _verdict(name: str, value: Any, problems: dict[str, str]) -> dict[str, Any]:
    try:
        return {name: VerdictInput.model_validate(value).model_dump(exclude_none=True)}
    except ValidationError as error:
        problems |= _in_words(error, f"facts.{name}")
    return {}


def _in_words(error: ValidationError, field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part)[:50] for part in item["loc"])
        rule = "is not a field here" if item["type"] == "extra_forbidden" else _rule(str(item["msg"]))
        found.setdefault(f"{field}.{path}" if path else field, rule)
    return found


def _rule(text: str) -> str:
    return (
        text.removeprefix("Value error, ").replace("Input should be", "must be", 1).replace("String should", "must", 1)
    )
