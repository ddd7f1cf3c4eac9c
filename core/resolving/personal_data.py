"""What happens to personal data in the calls of a scope, as settings say it. How it is found: :mod:`core.privacy`."""

from typing import Final, Literal, NamedTuple

LogsRule = Literal["off", "mask"]
PromptsRule = Literal["off", "mask", "refuse"]
AnswersRule = Literal["off", "mask"]
OnFailure = Literal["refuse", "send"]
PATTERN_NAME: Final = "[A-Z][A-Z0-9_]{0,29}"
"""Of an own pattern: what stands in placeholders."""
LONGEST_OWN_PATTERN: Final = 500
"""Characters."""
LONGEST_ENGINE: Final = 100
CHOICES: Final = {"logs": LogsRule, "prompts": PromptsRule, "answers": AnswersRule, "on_failure": OnFailure}
"""Field -> the words that it may have, as ``get_args`` gives them."""


class OwnPattern(NamedTuple):
    """A kind of personal data that an organisation names itself."""

    name: str
    """As placeholders name it: A to Z, 0 to 9 and underscores, beginning with a letter, at most 30."""
    pattern: str
    """A regular expression."""


class PersonalDataRules(NamedTuple):
    """What is looked for, and what becomes of it."""

    logs: LogsRule = "mask"
    """``mask``: the request log has placeholders."""
    prompts: PromptsRule = "off"
    """``mask``: vendors get placeholders; ``refuse``: nothing is sent that has personal data."""
    answers: AnswersRule = "off"
    """``mask``: the caller gets placeholders for what the vendor wrote."""
    restore: bool = True
    """With ``prompts=mask``: whether answers have the caller's own values in the place of their placeholders."""
    types: tuple[str, ...] | None = None
    """Kinds that are looked for, by :data:`core.privacy.spans.TYPES`; None: all of them. Own patterns always are."""
    countries: tuple[str, ...] = ()
    """Whose national numbers, and phone numbers without a country's prefix (ISO 3166)."""
    engine: str = "built-in"
    """``built-in``, or the name of an entry point of the group ``llm_settings.pii``."""
    patterns: tuple[OwnPattern, ...] = ()
    allow: tuple[str, ...] = ()
    """What is no personal data here, whatever its form."""
    on_failure: OnFailure = "refuse"
    """What becomes of a prompt that cannot be searched. The log never has it."""


UNLESS_SET = PersonalDataRules()
"""Where nobody has said anything."""
