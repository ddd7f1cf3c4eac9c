"""Which parameters a request has, and by which names: the settings', the call's own, and the options."""

import enum
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from ..errors import Invalid
from ..kinds import facts_of
from ..models.adapt import Adapted
from ..parameters import PARAMETERS
from ..resolving.decision import SPELLINGS
from ..resolving.effective import EffectiveSettings

RESERVED: Final = frozenset(
    {"model", "messages", "contents", "stream", "timeout", "http_options", "extra_body", "extra_headers", "extra_query"}
)
"""What options may not name: the call decides it, or it would pass the rules by."""


class Omit(enum.Enum):
    """The one value :data:`OMIT`."""

    OMIT = "omit"


OMIT: Final = Omit.OMIT
"""In place of a parameter's value: it is not sent, whatever the settings say."""
Omitted = Literal[Omit.OMIT]


def check_given(given: Mapping[str, Any], options: Mapping[str, Any] | None) -> None:
    """Refuse what no call could send; see :func:`parameters`.

    Raises:
        Invalid: Names the parameter and the rule.
    """
    for name, value in given.items():
        parameter = PARAMETERS[name]
        if value is not OMIT and not parameter.fits(value):
            raise Invalid({name: f"must be {parameter.rule}, or OMIT"})
    if not options:
        return
    if not isinstance(options, Mapping):
        raise Invalid({"options": "must be a mapping of names to what JSON can hold"})
    if taken := sorted(RESERVED.intersection(options)):
        raise Invalid({"options": f"may not have {', '.join(taken)}: the settings and the call decide that"})
    try:
        json.dumps({name: value for name, value in options.items() if value is not OMIT}, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise Invalid({"options": "must be a mapping of names to what JSON can hold"}) from None
    named = set(given)
    for name in options:
        if (ours := SPELLINGS.get(name)) is not None:
            if ours in named:
                raise Invalid({"options": f"has {name}, which is {ours}, and that is given already: name it once"})
            named.add(ours)


def parameters(
    settings: EffectiveSettings,
    given: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    model: str | None = None,
) -> Adapted:
    """Return what is sent, by the API's names, and what became of the rest: as :meth:`EffectiveSettings.adapted` decides.

    Args:
        settings: Of the provider.
        given: Our parameters with this call's values, which count more than the settings'; OMIT leaves one out.
        options: More, by the vendor's names or ours; OMIT or None leaves one out.
        model: In place of the settings' own.

    Raises:
        Invalid: If *given* leaves out what the vendor's API cannot do without.
    """
    kind, given, options = facts_of(settings.kind), given or {}, options or {}
    without = [name for name, value in given.items() if value is OMIT]
    for name in kind.required.intersection(without):
        raise Invalid({name: f"cannot be left out: {kind.label}'s API takes no request without it"})
    chosen = {name: value for name, value in given.items() if value is not OMIT}
    more = {name: None if value is OMIT else value for name, value in options.items()}
    return settings.adapted(chosen, more, without, model=model)
