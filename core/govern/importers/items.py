"""A file's values with their paths, read so that nothing is passed over in silence: what nobody took is a loss."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .losses import Book, LossReason
from .reading import refused, tree

_NAME: Final = "[A-Za-z_][A-Za-z0-9_]{0,199}"
_REFERENCES: Final = re.compile(rf"os\.environ/({_NAME})|\$\{{({_NAME})(?::?-[^}}]*)?\}}|\$({_NAME})|env:({_NAME})")
"""How other products write *what this variable has*: LiteLLM, LibreChat and Otari (``${X}``, perhaps with a default), shells."""
_INSIDE: Final = re.compile(rf"os\.environ/{_NAME}|\$\{{[^}}]*\}}|\{{\{{.*?\}}\}}")
VARIABLES: Final = "give the file with its variables (--env FILE), or write the value itself"
LONGEST: Final = 2_000
"""Characters of a text that can be a value here."""


def reference(text: str) -> str:
    """Return the name of the variable that *text* refers to, all of it; empty if it is no reference."""
    found = _REFERENCES.fullmatch(text.strip())
    return next((name for name in found.groups() if name), "") if found else ""


def has_reference(text: str) -> bool:
    """Return whether a part of *text* is a reference, or a placeholder that the other product fills in at each call."""
    return _INSIDE.search(text) is not None


class Item:
    """One value of the file."""

    __slots__ = ("_taken", "book", "path", "value")

    def __init__(self, value: Any, path: str, book: Book) -> None:
        self.value = value
        self.path = path
        self.book = book
        self._taken: set[str] = set()

    def lose(self, why: str, instead: str = "", kind: Any = "lost") -> None:
        """Note that this did not come over as it stands there."""
        self.book.add(self.path or "the file", LossReason(why, instead, kind))

    def take(self, *names: str) -> "Item | None":
        """Return the first of these entries that is there and not null; all of them count as taken. None: there is none."""
        self._taken.update(names)
        if not isinstance(self.value, dict):
            return None
        return next((self._below(name) for name in names if self.value.get(name) is not None), None)

    def mapping(self, name: str) -> "Item":
        """Return the entry *name* as a mapping; one that is empty where it is missing, or no mapping, which is a loss."""
        found = self.take(name)
        return found.as_mapping() if found is not None else Item({}, self.path, self.book)

    def as_mapping(self) -> "Item":
        """Return this; an empty mapping where it is none, which is a loss."""
        if isinstance(self.value, dict):
            return self
        self.lose("is no mapping of names to values", "write each as NAME: VALUE on a line of its own")
        return Item({}, self.path, self.book)

    def elements(self, name: str) -> "list[Item]":
        """Return the elements of the entry *name*, a list; none where it is missing, or no list, which is a loss."""
        found = self.take(name)
        return found.as_list() if found is not None else []

    def as_list(self) -> "list[Item]":
        """Return the elements of this; none where it is no list, which is a loss."""
        if not isinstance(self.value, list):
            self.lose("is no list", "begin each of its entries with a hyphen")
            return []
        return [Item(each, f"{self.path}[{number}]", self.book) for number, each in enumerate(self.value)]

    def texts(self, name: str) -> list[str]:
        """Return the texts of the entry *name*, a list; what is no text there, or empty, is left out."""
        return [text for each in self.elements(name) if (text := each.as_text())]

    def entries(self) -> "Iterator[tuple[str, Item]]":
        """Return the entries of a mapping, all of them taken."""
        if isinstance(self.value, dict):
            self._taken.update(self.value)
            for name in self.value:
                yield name, self._below(name)

    def text(self, name: str) -> str:
        """Return the entry *name* as text without blanks around it; empty where it is missing or no text, which is a loss.

        A number counts as text: ``deployment: 4`` has no quotes in most files.
        """
        found = self.take(name)
        return found.as_text() if found is not None else ""

    def as_text(self) -> str:
        """Return the value as text; empty where it is none, which is a loss."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            self.lose("is no text")
            return ""
        text = str(self.value).strip()
        if len(text) > LONGEST or not text.isprintable():
            self.lose(f"is longer than {LONGEST:,} characters, or has characters that cannot be printed")
            return ""
        return text

    def known(self, variables: Mapping[str, str]) -> str:
        """Return a text that is no secret (an address, a version, a model), its variable replaced by the value that was given.

        Empty where it is no text, or the variable's value was not given: a loss.
        """
        text = self.as_text()
        variable = reference(text)
        if not variable and not _INSIDE.search(text):
            return text
        value = variables.get(variable, "").strip() if variable else ""
        if not value or not value.isprintable() or len(value) > LONGEST:
            what = (
                f"is in the variable {variable}, whose value is not known here" if variable else "is made of variables"
            )
            self.lose(what, VARIABLES, "to do")
            return ""
        return value

    def on(self, name: str, *, default: bool) -> bool:
        """Return the entry *name* as true or false; *default* where it is missing or neither, which is a loss."""
        found = self.take(name)
        return found.as_flag(default=default) if found is not None else default

    def as_flag(self, *, default: bool) -> bool:
        """Return this as true or false; *default* where it is neither, which is a loss."""
        if isinstance(self.value, bool):
            return self.value
        self.lose("is neither true nor false")
        return default

    def rest(self, whys: Mapping[str, LossReason | None], otherwise: LossReason | Callable[[str], LossReason]) -> None:
        """Note a loss for each entry that nobody took: its reason is that of its name, else *otherwise*. None: no loss."""
        if not isinstance(self.value, dict):
            return
        for name, value in self.value.items():
            if name in self._taken or value in (None, "", [], {}):  # nothing is lost with what is empty
                continue
            why = whys[name] if name in whys else otherwise(name) if callable(otherwise) else otherwise
            if why is not None:
                self._below(name).lose(*why)
        self._taken.update(self.value)

    def _below(self, name: str) -> "Item":
        assert isinstance(self.value, dict)  # noqa: S101 - its callers have looked
        return Item(self.value[name], f"{self.path}.{name}" if self.path else name, self.book)


def opened(text: str, product: str, signs: tuple[str, ...]) -> Item:
    """Read *text*, a configuration of *product*, which has at least one of the names *signs* at its top.

    Raises:
        Invalid: If it cannot be read, or is none.
        MissingExtra: If PyYAML is not installed.
    """
    value, lines = tree(text)
    if not isinstance(value, dict) or not any(sign in value for sign in signs):
        raise refused(f"is no configuration of {product}: it has no {' or '.join(signs)} at its top")
    return Item(value, "", Book(lines))
