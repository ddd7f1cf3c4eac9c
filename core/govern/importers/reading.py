"""Text of another product's file -> its values, and the line of each where the text is YAML: by the reader of documents."""

from collections.abc import Iterator
from typing import Any

from ...errors import Invalid
from ..documents import parsing


def refused(rule: str) -> Invalid:
    """Return the error of a file that is not read."""
    return Invalid({"the file": rule})


def tree(text: str) -> tuple[Any, dict[str, int]]:
    """Return the values of *text*, and for paths the line they stand on.

    Raises:
        Invalid: With the rule and its line, if it is no YAML or JSON, too long or deep, or has a key twice.
        MissingExtra: If it is YAML and no reader of it is installed.
    """
    try:
        found = parsing.parse(text, of_others=True)
    except Invalid as error:
        problems = {"the file" if name == parsing.DOCUMENT else name: rule for name, rule in error.fields.items()}
    else:
        return found, dict(_lines(found, ""))
    raise Invalid(problems)


def _lines(value: Any, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, parsing.LinedMapping):
        for name, below in value.items():
            at = f"{path}.{name}" if path else name
            if name in value.lines:
                yield at, value.lines[name]
            yield from _lines(below, at)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            at = f"{path}[{number}]"
            if isinstance(below, parsing.LinedMapping) and below.lines:
                yield at, min(below.lines.values())
            yield from _lines(below, at)
