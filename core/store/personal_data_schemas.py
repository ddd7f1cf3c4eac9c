"""What may be said of personal data: a part of :mod:`~.schemas`, the only validator."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from ..errors import Invalid
from ..privacy.national import COUNTRIES
from ..privacy.own_patterns import check_pattern
from ..privacy.spans import TYPES
from ..resolving.personal_data import (
    LONGEST_ENGINE,
    LONGEST_OWN_PATTERN,
    PATTERN_NAME,
    AnswersRule,
    LogsRule,
    OnFailure,
    PromptsRule,
)
from .organization_schemas import Flag, Id
from .personal_data_tables import MOST_ALLOWED, MOST_PATTERNS
from .schemas import Input
from .values import empty_is_none, no_halves, normalised

LONGEST_TEXT: Final = {"name": 30, "pattern": LONGEST_OWN_PATTERN, "matches": 500, "spares": 500}
"""Characters of each part of an own pattern; the examples are one that it finds, and one that it lets be."""
LONGEST_ALLOWED: Final = 200
_NOTHING: Final = ", or nothing"


def _among(known: frozenset[str], what: str) -> Any:
    def check(said: list[str] | None) -> list[str] | None:
        if said is not None and (unknown := [each for each in said if each not in known]):
            raise ValueError(f"must be {what}; {unknown[0][:20]!r} is none")
        return None if said is None else list(dict.fromkeys(said))

    return AfterValidator(check)


def _texts(said: list[str] | None) -> list[str] | None:
    for each in said or ():
        if not 0 < len(each) <= LONGEST_ALLOWED or "\x00" in no_halves(each):
            raise ValueError(f"must be texts of 1 to {LONGEST_ALLOWED} characters, without NUL")
    return None if said is None else list(dict.fromkeys(said))


def _own_patterns(said: list[dict[str, Any]] | None) -> list[dict[str, str]] | None:
    if said is None:
        return None
    found: list[dict[str, str]] = []
    for number, own in enumerate(said, 1):
        problem = own_pattern_problem(own)
        if problem is None and any(own["name"] == each["name"] for each in found):
            problem = f"name must be another: {own['name']} stands twice"
        if problem is not None:
            raise ValueError(f"number {number}: {problem}")
        found.append({name: own[name] for name in LONGEST_TEXT})
    return found


def own_pattern_problem(own: dict[str, Any]) -> str | None:
    """Return what is wrong with an own pattern, naming its part; None: nothing."""
    if own.keys() != LONGEST_TEXT.keys():
        return f"must have {', '.join(LONGEST_TEXT)}, and nothing else"
    for name, most in LONGEST_TEXT.items():
        if (problem := _text_problem(own[name], most)) is not None:
            return f"{name} {problem}"
    if re.fullmatch(PATTERN_NAME, own["name"]) is None:
        return "name must be of A to Z, 0 to 9 and underscores, beginning with a letter"
    return None


def _text_problem(text: Any, most: int) -> str | None:
    if not isinstance(text, str) or not 0 < len(text) <= most or "\x00" in text:
        return f"must be a text of 1 to {most} characters, without NUL"
    try:
        no_halves(text)
    except ValueError as error:
        return str(error)
    return None


def check_new_patterns(before: list[Any] | None, wanted: list[dict[str, str]] | None) -> None:
    """Refuse own patterns that do not find what they are to find, or can be made slow; those of *before* were measured then.

    Raises:
        Invalid: Naming ``patterns``, which one, its part, the rule and the cure.
    """
    for number, own in enumerate(wanted or (), 1):
        if own in (before or ()):
            continue
        problem = None
        try:
            check_pattern(**own)
        except Invalid as error:
            problem = " ".join(next(iter(error.fields.items())))
        if problem is not None:
            raise Invalid({"patterns": f"number {number}: {problem}"})


class PersonalDataInput(Input):
    """What becomes of personal data in a scope; what is nothing is inherited. What of a scope is not named is all of them."""

    organization_id: Annotated[Id | None, Field(description="the id of an organisation, or nothing")] = None
    feature_id: Annotated[Id | None, Field(description="the id of a feature, or nothing")] = None
    provider_id: Annotated[Id | None, Field(description="the id of a provider, or nothing")] = None
    logs: Annotated[LogsRule | None, BeforeValidator(empty_is_none), Field(description=f"off or mask{_NOTHING}")] = None
    prompts: Annotated[
        PromptsRule | None, BeforeValidator(empty_is_none), Field(description=f"off, mask or refuse{_NOTHING}")
    ] = None
    answers: Annotated[
        AnswersRule | None, BeforeValidator(empty_is_none), Field(description=f"off or mask{_NOTHING}")
    ] = None
    restore: Annotated[bool | None, Field(description=f"true or false{_NOTHING}")] = None
    types: Annotated[
        list[str] | None,
        _among(frozenset(TYPES), f"any of {', '.join(TYPES)}"),
        Field(description=f"a list of any of {', '.join(TYPES)}{_NOTHING}"),
    ] = None
    countries: Annotated[
        list[str] | None,
        _among(COUNTRIES, f"any of {', '.join(sorted(COUNTRIES))}"),
        Field(description=f"a list of any of {', '.join(sorted(COUNTRIES))}{_NOTHING}"),
    ] = None
    engine: Annotated[
        Annotated[str, Field(max_length=LONGEST_ENGINE)] | None,
        BeforeValidator(empty_is_none),
        BeforeValidator(normalised),
        Field(
            description=f"built-in, or the name of an engine that is installed, of at most {LONGEST_ENGINE} characters{_NOTHING}"
        ),
    ] = None
    patterns: Annotated[
        Annotated[list[dict[str, Any]], Field(max_length=MOST_PATTERNS)] | None,
        AfterValidator(_own_patterns),
        Field(description=f"a list of at most {MOST_PATTERNS}, each with {', '.join(LONGEST_TEXT)}{_NOTHING}"),
    ] = None
    allow: Annotated[
        Annotated[list[str], Field(max_length=MOST_ALLOWED)] | None,
        AfterValidator(_texts),
        Field(description=f"a list of at most {MOST_ALLOWED} texts of 1 to {LONGEST_ALLOWED} characters{_NOTHING}"),
    ] = None
    on_failure: Annotated[
        OnFailure | None, BeforeValidator(empty_is_none), Field(description=f"refuse or send{_NOTHING}")
    ] = None
    is_active: Flag = True
