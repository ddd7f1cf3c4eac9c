"""Text as plain data: YAML, by the rules of its version 1.2, and JSON. Bounded in size, depth and number before anything is built.

Of YAML the events are read, one by one, and never its objects: an alias is counted with all it stands for. What YAML 1.1 and
1.2 read differently (``no``, ``010``, ``1_000``, ``12:30``) is refused with its line, rather than read as either.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from ...errors import Invalid
from ...extras import from_extra
from ...redaction import scrub

MOST_BYTES: Final = 4 * 1024**2
"""Of a document, in UTF-8."""
MOST_VALUES: Final = 200_000
"""Keys and values, with those that aliases stand for. A document of the largest size in plain words has fewer."""


class Bounds(NamedTuple):
    """How large a text may be."""

    size: int
    """Bytes, in UTF-8."""
    values: int
    """Keys and values, with those that aliases stand for."""


EVERYWHERE: Final = Bounds(MOST_BYTES, MOST_VALUES)
FILES: Final = Bounds(16 * MOST_BYTES, 16 * MOST_VALUES)
"""Of a file on the command line: its own machine bears it. A document of 100,000 organisations with settings has 17 MB."""
MOST_DEPTH: Final = 40
DOCUMENT: Final = "document"
"""What errors call the text as a whole."""
_LONGEST_NUMBER: Final = 400
"""Signs. Python would not even read 5,000 digits."""
_LONGEST_KEY: Final = 500

_NULL: Final = re.compile(r"null|Null|NULL|~|")
_TRUE: Final = re.compile(r"true|True|TRUE")
_FALSE: Final = re.compile(r"false|False|FALSE")
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TWO_WAYS: Final = re.compile(
    r"(?i:y|yes|n|no|on|off)"  # true and false to YAML 1.1
    r"|[-+]?0[0-9_]+|[-+]?0[xob][0-9a-fA-F_]+"  # octal to 1.1, decimal to 1.2; hexadecimal
    r"|[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?"  # 1_000
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # 12:30 is 750 to 1.1
    r"|="
)


_FLAGS: Final = {"yes": True, "on": True, "no": False, "off": False}
"""What YAML 1.1 reads as true and false besides the words themselves."""


def parse(text: str, bounds: Bounds = EVERYWHERE, *, of_others: bool = False) -> Any:
    """Return the data of *text*, which is YAML or JSON; of YAML mappings are :class:`LinedMapping`, which know their lines.

    *bounds* say how large it may be. *of_others* is whether another product's file is read, and as that product reads it: a value with a tag (``!ENV X``) is
    text, ``yes`` and ``on`` are true, and other values that YAML 1.1 and 1.2 read differently are text.

    Raises:
        Invalid: Names ``document``, or the path at fault, and the rule with its line. Nothing of a value stands in it.
        MissingExtra: If it is YAML and no reader of it is installed.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > bounds.size:
        rule = f"must be at most {bounds.size // 1024**2} MB; this is {size / 1024**2:.1f} MB. Split it by sections"
        if bounds.size < FILES.size and not of_others:
            rule += f", or apply it on the command line, which takes {FILES.size // 1024**2} MB"
        raise Invalid({DOCUMENT: rule})
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise Invalid({DOCUMENT: "has a NUL or half a character: save it as UTF-8"})
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise Invalid({DOCUMENT: "is empty"})
    if text.lstrip()[0] in "{[" and (found := _json(text, bounds.values)) is not None:
        return found
    return _Builder(_events(text), bounds.values, of_others=of_others).whole()


class LinedMapping(dict[str, Any]):
    """A mapping as it was written: ``lines`` has the line of each key, if that is known."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


def line_of(data: Any, path: Iterable[str | int]) -> int | None:
    """Return the line of what stands at *path*, or of the nearest mapping's key above it; None if no line is known."""
    line = None
    for step in path:
        if isinstance(data, LinedMapping) and isinstance(step, str):
            line = data.lines.get(step, line)
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            break
    return line


def is_read_two_ways(text: str) -> bool:
    """Return whether *text*, without quotes, is read differently by YAML 1.1 and 1.2."""
    return _TWO_WAYS.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Return whether *text*, without quotes, is read as text by every version of YAML."""
    return not any(
        pattern.fullmatch(text) for pattern in (_NULL, _TRUE, _FALSE, _WHOLE, _NUMBER, _NO_NUMBER, _TWO_WAYS)
    )


def _json(text: str, most: int) -> Any:
    """Return the data of JSON; None if it is none: YAML may begin with a bracket too."""
    seen = _Count(most)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen.add(1, None)
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise Invalid({_shown(twice): "stands twice in one object"})
        return found

    try:
        found = json.loads(
            text, object_pairs_hook=once, parse_int=_whole, parse_float=_number, parse_constant=_constant
        )
    except RecursionError:
        raise _too_deep(None) from None
    except json.JSONDecodeError:
        return None
    _Count(most).of_all(found, 1)
    return found


class _Count:
    """Counts values, and refuses too many and too deep ones."""

    def __init__(self, most: int) -> None:
        self.number, self._most = 0, most

    def add(self, number: int, line: int | None) -> None:
        self.number += number
        if self.number > self._most:
            rule = f"has more than {self._most:,} values, with what its aliases stand for{_at(line)}: split it"
            raise Invalid({DOCUMENT: rule})

    def of_all(self, data: Any, depth: int) -> None:
        self.add(1, None)
        if depth > MOST_DEPTH:
            raise _too_deep(None)
        for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
            self.of_all(each, depth + 1)


def _events(text: str) -> Iterator[Any]:
    with from_extra():
        import yaml  # noqa: PLC0415 - of the extra `cli`; JSON is read without it

    fast: Any = getattr(yaml, "cyaml", None)  # libyaml, which the wheels carry
    parser = fast.CParser(text) if fast else yaml.SafeLoader(text)
    try:
        while True:
            event = parser.get_event()
            if event is None or isinstance(event, yaml.StreamEndEvent):
                return
            yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = "a tab cannot indent" if "'\\t'" in str(error.problem) else str(error.problem or "it cannot be read")
        raise Invalid({DOCUMENT: f"is no YAML{_at(None if mark is None else mark.line + 1)}: {scrub(why)}"}) from None
    except yaml.YAMLError:
        raise Invalid({DOCUMENT: "has characters that YAML does not allow: save it as UTF-8"}) from None


class _Anchored:
    """What an anchor names: its value, and how many values that is, how deep."""

    def __init__(self, value: Any, number: int, depth: int) -> None:
        self.value, self.number, self.depth = value, number, depth


class _Builder:
    """Builds data of events, counted as it grows."""

    def __init__(self, events: Iterator[Any], most: int, *, of_others: bool = False) -> None:
        self._events, self._count, self._of_others = events, _Count(most), of_others
        self._anchors: dict[str, _Anchored | None] = {}
        self._deepest = 0

    def whole(self) -> Any:
        """Return the one document of the stream."""
        data, number = None, 0
        for event in self._events:
            name = type(event).__name__
            if name == "DocumentStartEvent":
                number += 1
                if number > 1:
                    raise Invalid({DOCUMENT: f"must be one: another begins{_at(_line(event))}"})
            elif name not in {"StreamStartEvent", "DocumentEndEvent"}:
                data = self._value(event, 1)
        if data is None:
            raise Invalid({DOCUMENT: "is empty"})
        return data

    def _value(self, event: Any, depth: int) -> Any:
        line, name = _line(event), type(event).__name__
        if depth > MOST_DEPTH:
            raise _too_deep(line)
        if name == "AliasEvent":
            return self._alias(event.anchor, depth, line)
        if event.tag not in {None, "!"} and not self._of_others:
            raise Invalid({DOCUMENT: f"has a tag, as !name{_at(line)}: write plain YAML"})
        before, deepest = self._count.number, self._deepest
        self._count.add(1, line)
        self._deepest = depth
        if event.anchor:
            self._anchors[event.anchor] = None
        if name == "ScalarEvent":
            plain = event.implicit[0] and not event.style
            value: Any = _scalar(event.value, line, of_others=self._of_others) if plain else event.value
        elif name == "SequenceStartEvent":
            value = self._list(depth)
        else:
            value = self._mapping(depth)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, self._count.number - before, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)
        return value

    def _alias(self, anchor: str, depth: int, line: int) -> Any:
        named = self._anchors.get(anchor)
        if named is None:
            rule = "stands inside what it names" if anchor in self._anchors else "names an anchor that is not there"
            raise Invalid({DOCUMENT: f"has an alias that {rule}{_at(line)}"})
        self._count.add(named.number, line)
        if depth + named.depth > MOST_DEPTH:
            raise _too_deep(line)
        self._deepest = max(self._deepest, depth + named.depth)
        return named.value

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            found.append(self._value(event, depth + 1))
        return found

    def _mapping(self, depth: int) -> LinedMapping:
        found, merged = LinedMapping(), LinedMapping()
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            line = _line(event)
            if type(event).__name__ != "ScalarEvent":
                raise Invalid({DOCUMENT: f"has a key that is no plain name{_at(line)}"})
            self._count.add(1, line)
            key = event.value
            if len(key) > _LONGEST_KEY:
                raise Invalid({DOCUMENT: f"has a key of more than {_LONGEST_KEY} characters{_at(line)}"})
            value = self._value(next(self._events), depth + 1)
            if key == "<<" and not event.style:
                self._merge(merged, value, line)
                continue
            if key in found:
                raise Invalid({_shown(key): f"stands twice in one mapping{_at(line)}, and line {found.lines[key]}"})
            found[key] = value
            found.lines[key] = line
        for key, value in merged.items():
            if key not in found:
                found[key], found.lines[key] = value, merged.lines[key]
        return found

    def _merge(self, merged: LinedMapping, value: Any, line: int) -> None:
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, LinedMapping):
                raise Invalid({DOCUMENT: f"merges (<<) what is no mapping{_at(line)}"})
            self._count.add(len(each), line)
            for key, item in each.items():
                if key not in merged:
                    merged[key], merged.lines[key] = item, line


def _scalar(text: str, line: int, *, of_others: bool) -> Any:
    """Return what text without quotes says."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    if len(text) <= _LONGEST_NUMBER:
        if _WHOLE.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return _number(text)
        if of_others and (_NO_NUMBER.fullmatch(text) or _TWO_WAYS.fullmatch(text)):
            return _FLAGS.get(text.lower(), text)
        if _NO_NUMBER.fullmatch(text):
            raise Invalid({DOCUMENT: f"has no number where it says infinity or not a number{_at(line)}"})
        if _TWO_WAYS.fullmatch(text):
            meant = "true or false" if text.isalpha() else "the number in plain digits"
            raise Invalid(
                {
                    DOCUMENT: f"has a value that programs read in different ways{_at(line)}: write {meant}, or put it in quotes"
                }
            )
    return text


def _whole(text: str) -> int | float:
    return int(text) if len(text) <= _LONGEST_NUMBER else _number("1e999")


def _number(text: str) -> float:
    found = float(text)
    if found in {float("inf"), float("-inf")}:
        raise Invalid({DOCUMENT: "has a number that is too large"})
    return found


_constant: Final[Callable[[str], float]] = lambda _: _number("1e999")  # noqa: E731 - NaN and Infinity, which JSON has not


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _at(line: int | None) -> str:
    return "" if line is None else f" at line {line}"


def _too_deep(line: int | None) -> Invalid:
    return Invalid({DOCUMENT: f"must be at most {MOST_DEPTH} levels deep{_at(line)}"})


def _shown(key: str) -> str:
    return scrub(key)[:100]
