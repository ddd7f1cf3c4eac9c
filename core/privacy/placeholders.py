"""Placeholders that stand for personal data, over a whole conversation, and the way back.

Which value a placeholder stands for is known to one object alone, for as long as a call lives: it is not written anywhere, cannot be
pickled, and shows counts where it is printed.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import index
from typing import Any, Final, NoReturn

from ..patterns import later
from .escapes import numbers_in, unescaped
from .looking import find, same
from .spans import PersonalSpan, PersonalType, plain

Engine = Callable[[str], Sequence[PersonalSpan]]
"""What finds personal data in a text; its spans do not overlap and lie within."""

DEEPEST: Final = 100
"""Levels of lists and mappings within each other that are gone into."""
_SMALLEST: Final = 1_000_000
"""No smaller number is anybody's."""
_KIND: Final = later("[A-Z][A-Z0-9_]{0,30}")
_PLACEHOLDER: Final = later(r"<([A-Z][A-Z0-9_]{0,30})_([1-9][0-9]{0,8})>")
_FILE: Final = later(
    r"(?=[^A-Z]{0,300}[A-Z])(?=[^a-z]{0,300}[a-z])(?!(?s:.*)\d{12})"
    r"(?:data:[\w/+.;=-]{0,200},)?(?:(?:[\w+/-]{64}\r?\n)+|(?:[\w+/-]{76}\r?\n)+)?[\w+/-]*={0,2}\s{0,9}"
)
"""Base64 of a file, in one line or in lines as MIME and PEM have them: nothing in it is read. Columns of numbers are none."""
_SHORTEST_FILE: Final = 1_024


class Placeholders:
    """What stands for the personal data of a conversation: ``<EMAIL_1>`` for the first e-mail address in it.

    The same value has the same number: addresses whatever their case, numbers whatever their separators. A conversation that is sent again has the same ones. A
    placeholder that a text has already is never given out.

    Args:
        engine: Finds personal data; default: :func:`core.privacy.looking.find`, all kinds, no country.
    """

    __slots__ = ("_back_to", "_engine", "_given", "_taken", "_values", "counts")

    def __init__(self, engine: Engine = find) -> None:
        self._engine = engine
        self._given: dict[tuple[PersonalType, str], str] = {}
        self._values: dict[str, str] = {}
        self._back_to = self._values
        self._taken: set[str] = set()
        self.counts: Counter[PersonalType] = Counter()
        """How many values of each kind have a placeholder."""

    def mask(self, value: Any, *, numbers: Collection[str] = ()) -> Any:
        """Return a copy of *value* with placeholders in all its texts: messages, options, whatever JSON can hold.

        Names of fields stay, and so do files (base64). What has been masked by this object before keeps its placeholders.

        Args:
            value: Texts, and lists and mappings of them.
            numbers: Names of its fields in which whole numbers are searched as texts are: what tools are called with, not ``seed``.

        Raises:
            Unsearchable: If the engine fails, or what is nested too deep; nothing of *value* is in it.
        """
        texts: list[str] = []
        _collect(value, texts, 0)
        for text in texts:
            self._taken.update(found[0] for found in _PLACEHOLDER.finditer(text))
        self._taken.difference_update(self._values)
        if not numbers:
            return self._masked(value)
        return {name: self._masked(item, numbers=name in numbers) for name, item in value.items()}

    def masked_upto(self, before: str, text: str, at: int) -> tuple[str, int]:
        """Return the beginning of *text* masked, and where it ends: at *at*, or where a value begins that goes on behind it.

        Args:
            before: What stands before it and was masked already: words in it say what a number is.
            text: What has come.
            at: Where the beginning ends at the latest.

        Raises:
            Unsearchable: As :meth:`mask`.
        """
        whole, shift = before + text, len(before)
        self._taken.update(found[0] for found in _PLACEHOLDER.finditer(text) if found[0] not in self._values)
        spans = self._found(whole)
        end = min([at, *(max(0, span.start - shift) for span in spans if span.start - shift < at < span.end - shift)])
        made: list[str] = []
        done = 0
        for start, behind, kind in ((max(0, a - shift), b - shift, kind) for a, b, kind in spans):
            if start < behind <= end:
                made += (text[done:start], self._placeholder(kind, text[start:behind]))
                done = behind
        return "".join((*made, text[done:end])), end

    def only_these(self) -> None:
        """Put back what has a placeholder now, and nothing that gets one later: what the caller has said, not the vendor."""
        self._back_to = dict(self._values)

    def restore(self, text: str, *, in_json: bool = False) -> str:
        """Return *text* with the values in the place of their placeholders; one that was never given out stays.

        Args:
            text: An answer, whole: parts of one go through :class:`Restoring`.
            in_json: Whether the text is JSON, in whose strings the values stand.
        """
        if "<" not in text or not self._back_to:
            return text
        return _PLACEHOLDER.sub(lambda found: self._back(found[0], in_json=in_json), text)

    def given(self, kind: PersonalType, value: str) -> str:
        """Return what stands for a value; of one that has none, as a number that is masked whole, its kind alone: ``<ID>``."""
        return self._given.get((kind, _identity(kind, value)), f"<{kind}>")

    def _back(self, placeholder: str, *, in_json: bool) -> str:
        value = self._back_to.get(placeholder)
        if value is None:
            return placeholder
        return json.dumps(value, ensure_ascii=False)[1:-1] if in_json else value

    def _masked(self, value: Any, *, numbers: bool = False) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {name: self._masked(item, numbers=numbers) for name, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self._masked(item, numbers=numbers) for item in value))
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(self._masked(item, numbers=numbers) for item in value)
        is_long = numbers and isinstance(value, int) and abs(value) >= _SMALLEST
        said = str(value) if is_long else _dumped(value)
        masked = None if said is None else self._masked(said, numbers=numbers)
        return value if masked == said else masked

    def _text(self, text: str) -> str:
        if len(text) < SHORTEST or (len(text) >= _SHORTEST_FILE and text.isascii() and _FILE.fullmatch(text)):
            return text
        read = unescaped(text)
        said = text if read is None else read.text
        spans = self._found(said)
        if not spans:
            return text
        made: list[str] = []
        at = 0
        numbers = numbers_in(text)
        for span, (start, end, kind) in zip(spans, spans if read is None else read.back(spans), strict=True):
            number = numbers[bisect_right(numbers, (start, len(text))) - 1] if numbers else (0, 0)
            if not number[0] <= start < end <= number[1]:
                made += (text[at:start], self._placeholder(kind, said[span.start : span.end]))
                at = end
            elif number[0] >= at:  # a text takes the place of the whole number
                made += (text[at : number[0]], f'"{self._placeholder(kind, text[slice(*number)])}"')
                at = number[1]
        return "".join((*made, text[at:]))

    def _found(self, said: str) -> list[PersonalSpan]:
        try:
            return sound(self._engine(said), len(said))
        except Unsearchable:
            raise
        except Exception as error:  # noqa: BLE001 - an engine may be anybody's
            why = type(
                error
            ).__name__  # what it says may have the text in it: ours is raised without it, even as a context
        raise Unsearchable(why)

    def _placeholder(self, kind: PersonalType, value: str) -> str:
        key = (kind, _identity(kind, value))
        if (known := self._given.get(key)) is not None:
            return known
        number = self.counts[kind] + 1
        while (made := f"<{kind}_{number}>") in self._taken or made in self._values:
            number += 1
        self._given[key], self._values[made] = made, value
        self.counts[kind] += 1
        return made

    def __repr__(self) -> str:
        return f"<{', '.join(f'{count} {kind}' for kind, count in sorted(self.counts.items())) or 'no personal data'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("What placeholders stand for cannot be pickled.")


SHORTEST: Final = 5
"""Characters: nothing shorter is personal data by its form."""


class Unsearchable(Exception):
    """A text could not be searched for personal data: nobody knows what is in it. Never has the text in it."""


class Restoring:
    """Puts values back into an answer that comes in parts: only what may become a known placeholder is held back.

    Args:
        placeholders: Those of the call.
        in_json: Whether the answer is JSON.
    """

    __slots__ = ("_beginnings", "_held", "_in_json", "_placeholders")

    def __init__(self, placeholders: Placeholders, *, in_json: bool = False) -> None:
        self._placeholders, self._in_json = placeholders, in_json
        self._held = ""
        known = placeholders._back_to  # noqa: SLF001 - the two are one thing
        self._beginnings = frozenset(name[:size] for name in known for size in range(1, len(name)))

    def feed(self, part: str) -> str:
        """Return what can be given on now."""
        text = self._held + part
        at = text.rfind("<")
        if at < 0:
            self._held = ""
            return text
        self._held = text[at:] if text[at:] in self._beginnings else ""
        return self._placeholders.restore(text[: len(text) - len(self._held)], in_json=self._in_json)

    def end(self) -> str:
        """Return what was held back: no more is to come."""
        held, self._held = self._held, ""
        return held


_BY_DIGITS: Final = frozenset({"PHONE", "CARD", "IBAN", "ID"})
_WITHOUT_CASE: Final = frozenset({"EMAIL", "IP"})


def _identity(kind: PersonalType, value: str) -> str:
    """Return what two spellings of one value have in common: who is put back must be who was there."""
    if kind in _BY_DIGITS:
        return same(value) or value
    return plain(value).text.casefold() if kind in _WITHOUT_CASE else value


def _collect(value: Any, texts: list[str], depth: int) -> None:
    if depth > DEEPEST:
        raise Unsearchable("nested too deep")
    if isinstance(value, str):
        if "<" in value:
            texts.append(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, texts, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _collect(item, texts, depth + 1)
    elif (said := _dumped(value)) is not None:
        _collect(said, texts, depth + 1)


def _dumped(value: Any) -> Any:
    """Return what an object of an SDK's says, as its own messages and parts are; None: it is no such object."""
    dump = None if value is None or isinstance(value, int | float | bytes) else getattr(value, "model_dump", None)
    return None if dump is None else dump(exclude_none=True)


def sound(found: Any, length: int) -> list[PersonalSpan]:
    """Return the spans that an engine has *found* in a text of this *length*, by place.

    Raises:
        Unsearchable: If they lie outside of the text, overlap, or are no spans.
    """
    try:
        spans = sorted(PersonalSpan(index(start), index(end), _kind(kind)) for start, end, kind in found)
    except (TypeError, ValueError):
        raise Unsearchable("no spans") from None
    before = 0
    for span in spans:
        if not before <= span.start < span.end <= length:
            raise Unsearchable("spans that lie outside, or overlap")
        before = span.end
    return spans


def _kind(kind: Any) -> str:
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ValueError
    return str(kind)
