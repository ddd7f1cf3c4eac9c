"""What would be found in a text by the rules of a scope, for whoever wants to see them at work. Nothing of it is stored, logged or sent."""

from typing import Final, NamedTuple

from ..errors import Invalid
from ..privacy.engines import engine_for
from ..privacy.escapes import unescaped
from ..privacy.looking import Looking, not_looked_for
from ..privacy.placeholders import Placeholders, Unsearchable
from ..privacy.spans import TYPES, PersonalSpan, PersonalType
from ..resolving.personal_data import PersonalDataRules

LARGEST_TEXT: Final = 100_000
"""Bytes of UTF-8."""


class FoundPlace(NamedTuple):
    """A place of a text that would be masked."""

    kind: PersonalType
    start: int
    """Characters before it."""
    end: int
    value: str
    """What stands there."""
    placeholder: str
    """What would stand there."""


class TriedText(NamedTuple):
    """What would be found in a text."""

    masked: str
    counts: dict[PersonalType, int]
    """Values of each kind, the most first: one that stands in the text twice counts once, as in the log."""
    places: list[FoundPlace]
    """By place."""
    missing: list[PersonalType]
    """Kinds that the rules name and that are not looked for here, as the extra ``pii`` is not installed."""


def try_text(text: str, rules: PersonalDataRules) -> TriedText:
    """Return what of *text* would be found by *rules*; takes as long as in a call: an engine has its time.

    Raises:
        Invalid: If the text is longer than :data:`LARGEST_TEXT`, or cannot be searched: the engine of the scope failed, is
            not installed here, or gave no sound answer. Nothing of the text is in it.
    """
    if (size := len(text.encode("utf-8", "surrogatepass"))) > LARGEST_TEXT:
        raise Invalid({"text": f"has {size:,} bytes, and {LARGEST_TEXT:,} are tried at most; try a part of it"})
    engine = engine_for(rules.engine, rules.types, rules.countries, rules.patterns, rules.allow)
    seen: list[tuple[str, PersonalSpan]] = []

    def noted(said: str) -> list[PersonalSpan]:
        spans = list(engine(said))
        seen.extend((said, span) for span in spans)
        return spans

    placeholders = Placeholders(noted)
    try:
        masked: str = placeholders.mask(text)
    except Unsearchable as error:
        why = {"LookupError": "it is not installed here", "TimeoutError": "it did not answer in time"}.get(str(error))
        raise Invalid(
            {
                "text": f"could not be searched: the engine {rules.engine} failed ({why or error}); where it fails, calls fare as the scope says"
            }
        ) from None
    read = unescaped(text)
    back = [span for _, span in seen] if read is None else read.back([span for _, span in seen])
    places = [
        FoundPlace(
            span.kind,
            span.start,
            span.end,
            text[span.start : span.end],
            placeholders.given(span.kind, said[was.start : was.end]),
        )
        for (said, was), span in zip(seen, back, strict=True)
    ]
    counts = dict(sorted(placeholders.counts.items(), key=lambda pair: (-pair[1], pair[0])))
    looking = Looking(frozenset(TYPES if rules.types is None else rules.types), rules.countries)
    return TriedText(masked, counts, sorted(places, key=lambda place: place.start), list(not_looked_for(looking)))
