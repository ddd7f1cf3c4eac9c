"""Which parameters a request has, and by which names: the settings', the call's own, and the options."""

import enum
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from ..errors import Invalid
from ..kinds import KINDS, KindFacts, facts_of
from ..parameters import PARAMETERS, SENDABLE
from ..resolving.effective import EffectiveSettings


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return "".join([head, *map(str.title, tail)])


SPELLINGS: Final[Mapping[str, str]] = {
    spelling: ours
    for kind in KINDS.values()
    for ours, theirs in kind.names.items()
    for name in (ours, theirs or ours)
    for spelling in (name, _camel(name))
}
"""What some vendor calls it, also in camel case -> our parameter: two of one parameter are never sent."""
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
    settings: EffectiveSettings, given: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is sent, by the vendor's names, and which of our parameters are not, as the vendor has none such.

    What the settings omit is left out, but for what an API cannot do without (Anthropic's max_tokens), and but for what
    they omit because of its old name: OpenAI's models that reason refuse ``max_tokens``, and take it by its new name.

    Args:
        settings: Of the provider.
        given: Our parameters with this call's values, which count more than the settings'; OMIT leaves one out.
        options: More, by the vendor's names or ours; OMIT or None leaves one out.

    Raises:
        Invalid: If *given* leaves out what the vendor's API cannot do without.
    """
    kind, given, options = facts_of(settings.kind), given or {}, options or {}
    names = {name: theirs for name, theirs in kind.names.items() if theirs}
    kept = kind.required | {name for name in names if is_renamed(kind, name)}
    values = {name: getattr(settings, name) for name in SENDABLE if name in kept or name not in settings.omitted}
    values |= given
    for name in kind.required:
        if values.get(name) is OMIT:
            raise Invalid({name: f"cannot be left out: {kind.label}'s API takes no request without it"})
    for name in options:
        values.pop(SPELLINGS.get(name, ""), None)
    # None: a parameter without a default that nobody has set
    values = {name: value for name, value in values.items() if value is not OMIT and value is not None}
    sent = {names[name]: value for name, value in values.items() if name in names}
    sent |= {names.get(name, name): value for name, value in options.items() if value is not None and value is not OMIT}
    return sent, tuple(name for name in values if name not in names)


def is_renamed(kind: KindFacts, name: str) -> bool:
    """Tell whether settings omit a parameter because of its old name, which is the one that other programs would send."""
    return kind.name == "openai" and kind.names[name] not in {name, None}
