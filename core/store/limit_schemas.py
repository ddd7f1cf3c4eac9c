"""What may be said in limits: a part of :mod:`~.schemas`, the only validator. Which rules there are is :mod:`core.resolving.limits`."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ..parameters import PARAMETERS
from ..resolving.limits import bound_of, parse, personal_choices, rules_for
from .organization_schemas import Id
from .organization_tables import MAX_LIMITS, MAX_NOTE
from .schemas import Input, Problems
from .values import empty_is_none, normalised

_LONGEST_FIELD: Final = 200
"""Characters of a field, ``custom_settings.`` and a key."""
_MOST_IN: Final = 100
"""Entries of one list."""
_KNOWN: Final = ("lock", "min", "max", "in", "send")


class LimitsInput(Input):
    """Limits of one scope, by one owner: field -> rule, an object with any of ``lock``, ``min``, ``max``, ``in`` and ``send``."""

    owner: Annotated[Literal["installation", "organization"], Field(description="installation or organization")] = (
        "installation"
    )
    organization_id: Annotated[Id | None, Field(description="the id of an organisation, or nothing")] = None
    feature_id: Annotated[Id | None, Field(description="the id of a feature, or nothing")] = None
    provider_id: Annotated[Id | None, Field(description="the id of a provider, or nothing")] = None
    limits: Annotated[
        dict[str, Any],
        Field(description='an object, as {"max_tokens": {"max": 4000}, "log_level": {"in": ["minimal"]}}'),
    ]
    note: Annotated[
        Annotated[str, Field(max_length=MAX_NOTE)] | None,
        BeforeValidator(empty_is_none),
        BeforeValidator(normalised),
        Field(description=f"a line of at most {MAX_NOTE} characters"),
    ] = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        problems = {}
        if self.owner == "organization" and self.organization_id is None:
            problems["organization_id"] = "is needed for a limit of an organisation's own"
        if not self.limits:
            problems["limits"] = "must limit something: to lift a limit, delete it"
        elif len(json.dumps(self.limits, ensure_ascii=False).encode("utf-8", "replace")) > MAX_LIMITS:
            problems["limits"] = f"must be at most {MAX_LIMITS:,} bytes of JSON"
        else:
            for field, rule in self.limits.items():
                if (problem := refusal(field, rule, names_provider=self.provider_id is not None)) is not None:
                    problems[field[:50]] = problem
        if problems:
            raise Problems(problems)
        return self

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        """The limits as they are stored: whole numbers for whole numbers, entries of lists once."""
        found = parse(self.limits, names_provider=self.provider_id is not None)
        return {
            field: {name: list(value) if isinstance(value, tuple) else value for name, value in rule.items()}
            for field, rule in found.items()
        }


def refusal(field: str, rule: Any, *, names_provider: bool) -> str | None:
    """Return what is wrong with the rule of a field; None: it makes sense."""
    allowed = rules_for(field, names_provider=names_provider) if len(field) <= _LONGEST_FIELD else ()
    if not allowed or not field.isprintable():
        if field == "default_provider":
            return "is limited where no provider is named"
        return "is nothing that can be limited; of a vendor's name limit the parameter that it is"
    if not isinstance(rule, Mapping) or not rule:
        return f"must be an object with any of {', '.join(allowed)}"
    for name, bound in rule.items():
        problem = _rule_refusal(field, name, bound, allowed)
        if problem is not None:
            return problem
    return "min must not be more than max" if "min" in rule and "max" in rule and rule["min"] > rule["max"] else None


def _rule_refusal(field: str, name: Any, bound: Any, allowed: Sequence[str]) -> str | None:
    if name not in allowed:
        known = f"has no rule {name}" if name in _KNOWN else "has a rule that there is not"
        return f"{known}; it may have {', '.join(allowed)}"
    problem = _bound_refusal(field, name, bound)
    return None if problem is None else f"{name} {problem}"


def _bound_refusal(field: str, name: Any, bound: Any) -> str | None:
    if name == "in":
        if not isinstance(bound, list | tuple) or not 0 < len(bound) <= _MOST_IN:
            return f"must be a list of 1 to {_MOST_IN} values"
        if all(bound_of(field, name, [each]) is not None for each in bound):
            return None
        choices = ["true" if each is True else "false" if each is False else each for each in personal_choices(field)]
        what = f"each one of {', '.join(choices)}" if choices else "ids of providers"
        what = f"each {PARAMETERS[field].rule}" if field in PARAMETERS else what
        return f"must have values that are {what}"
    if bound_of(field, name, bound) is not None:
        return None
    if name == "lock":
        return "must be true; without a lock, leave it out"
    return "must be true or false" if name == "send" else f"must be {PARAMETERS[field].rule}"
