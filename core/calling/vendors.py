"""What an adapter of a kind of vendor does, and the words that it and a call share.

Each kind has one adapter (:mod:`core.calling.adapters`), which knows the vendor's SDK: how a client is made, how a request
is sent, what an answer, a part of one, and an error mean.
"""

import inspect
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

from ..extras import from_extra
from ..resolving.carried import NOTHING, Opened
from .failures import Failure

LARGEST_COUNT: Final = 2**31 - 1
"""Tokens: what the log's columns hold."""


class Tokens(NamedTuple):
    """Tokens, as the vendor counted them."""

    input: int
    """With those read from and written to a cache."""
    output: int
    """With those of reasoning."""
    cache_read: int = 0
    cache_write: int = 0


class Counts(NamedTuple):
    """Tokens as they stand in an answer, or in a part of one: of any type, and None where nothing stands."""

    input: object = None
    output: object = None
    cache_read: object = None
    cache_write: object = None

    def updated(self, later: "Counts | None") -> "Counts":
        """Return these with what *later* has."""
        if later is None:
            return self
        return Counts(*(new if new is not None else old for old, new in zip(self, later, strict=True)))

    def tokens(self) -> Tokens | None:
        """Return the tokens; None unless input and output are there, and all that is there is a whole number that fits."""
        found = [count_of(value) for value in self]
        wrong = any(number is None and value is not None for number, value in zip(found, self, strict=True))
        if wrong or found[0] is None or found[1] is None:
            return None
        return Tokens(found[0], found[1], found[2] or 0, found[3] or 0)


def count_of(value: object) -> int | None:
    """Return *value* as a count of tokens; None if it is none: missing, no number, fractional, negative or huge."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= LARGEST_COUNT and value == int(value) else None


def total(*values: object) -> object:
    """Return the sum of counts; what is no number stays visible, and what is missing counts nothing."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    counted = [count_of(value) for value in there]
    return there[counted.index(None)] if None in counted else sum(number for number in counted if number is not None)


class ToolCall(NamedTuple):
    """What the model wants called."""

    id: str
    """To be named with the result; empty where the vendor has none."""
    name: str
    arguments: str
    """As JSON, written by the model: it may be broken."""

    @property
    def input(self) -> dict[str, Any]:
        """The arguments, read.

        Raises:
            ValueError: If the model has written no JSON object.
        """
        read = json.loads(self.arguments or "{}")
        if not isinstance(read, dict):
            raise ValueError("the arguments are no JSON object")  # noqa: TRY004 - a wrong value of the model's
        return read


class ToolPart(NamedTuple):
    """A part of a tool call; those of one place belong together."""

    place: int
    """-1: a whole call."""
    id: str = ""
    name: str = ""
    arguments: str = ""


class Part(NamedTuple):
    """An answer, or a part of one."""

    text: str = ""
    is_answer: bool = False
    """Whether the model has a say in it: an answer in which no part has is none."""
    model: str | None = None
    """What the vendor says has answered."""
    counts: Counts | None = None
    finish: str | None = None
    """Why the model stopped, in the vendor's word; None in all parts but the last ones."""
    id: str | None = None
    """The vendor's, of the answer."""
    reasoning: str = ""
    refusal: str = ""
    tools: tuple[ToolPart, ...] = ()
    texts: tuple[str, ...] = ()
    """The text of each choice, where there is more than one."""


class Vectors(NamedTuple):
    """An answer with embeddings."""

    vectors: list[list[float]]
    model: str | None
    counts: Counts | None


@dataclass(frozen=True, slots=True)
class Sending:
    """One request, in the vendor's terms."""

    model: str
    content: Any
    """What :meth:`Vendor.translate` returned; the texts of embeddings."""
    parameters: Mapping[str, Any]
    """By the vendor's names."""
    timeout: float | None
    """Seconds; None: the transport alone keeps the time."""
    stream: bool = False
    bare: bool = False
    """Without what only some servers know: they refuse a request for more than they know."""


class Vendor(Protocol):
    """An adapter. What it returns for an asynchronous client is an awaitable of the same: the SDKs have each method twice."""

    embeds: bool
    """Whether it has embeddings."""

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool, carried: Opened = NOTHING) -> Any:
        """Return the SDK's client, whose every method that is needed has been looked up once.

        *carried* is sent with each of its requests.
        """

    def translate(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        """Return a conversation as this vendor's request has it.

        Raises:
            Invalid: If something in it has no place there: nothing is dropped.
        """

    def send(self, client: Any, sending: Sending) -> Any:
        """Send a request; return the SDK's answer, or its stream."""

    def read(self, answer: Any) -> Part:
        """Return what stands in a whole answer.

        Raises:
            NotUnderstood: If it is none.
        """

    def part(self, event: Any) -> Part:
        """Return what stands in an event of a stream."""

    def models(self, client: Any, timeout: float) -> Iterable[Any]:
        """Return the vendor's list of models, as the SDK has them: :func:`core.calling.listed.read` reads it."""

    def embed(self, client: Any, sending: Sending) -> Any:
        """Send texts to be embedded; return the SDK's answer."""

    def vectors(self, answer: Any) -> Vectors:
        """Return the embeddings in an answer; raises as :meth:`read`."""

    def format(self, name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters that have the answer be JSON of a schema."""

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of this SDK means; None for one that is not the SDK's."""


def look(value: Any, *path: str | int) -> Any:
    """Return what stands under *path* in an SDK's object, a mapping or a list; None where there is nothing.

    SDKs make their objects of whatever came, without a check: any attribute may be missing, or of another type.
    """
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list | tuple) and step < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            value = getattr(value, step, None)
    return value


def text_of(content: object) -> str:
    """Return the text of a message's content: a text, or a list of parts of which some have text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    parts = [one if isinstance(one, str) else look(one, "text") for one in content]
    return "".join(part for part in parts if isinstance(part, str))


def string(value: object) -> str:
    """Return *value* if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


@cache
def arguments_of(resource: Hashable) -> frozenset[str]:
    """Return what the SDK's method has arguments for: Anthropic's has none for temperature any more."""
    create: Any = getattr(resource, "create")  # noqa: B009 - a class of the SDK
    return frozenset(inspect.signature(create).parameters)


def split(sent: Mapping[str, Any], names: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the SDK's method has an argument for, and the rest, which goes into the body as it is."""
    return {k: v for k, v in sent.items() if k in names}, {k: v for k, v in sent.items() if k not in names}


def sdk(package: str) -> Any:
    """Import an SDK, or a module of one, on first use.

    Raises:
        MissingExtra: If it is not installed.
    """
    import importlib  # noqa: PLC0415 - on first use only

    with from_extra():
        return importlib.import_module(package)
