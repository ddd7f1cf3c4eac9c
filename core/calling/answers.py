"""What a call brings: the answer with everything about it, put together from its parts."""

from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, NamedTuple

from ..errors import Invalid
from ..models.adapt import Adjustment
from .structured import fault_of
from .vendors import Counts, Part, Tokens, ToolCall, ToolPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a call has brought."""

    text: str
    provider: str
    """Which has answered: with ``fallback`` perhaps another than the one asked for."""
    model: str
    """The one asked for; ``response_model`` is what the vendor answered from."""
    finish_reason: str
    """Why the model stopped, in the vendor's word: ``stop``, ``end_turn``, ``MAX_TOKENS`` …"""
    usage: Tokens | None
    """None: the vendor did not count, or not in whole numbers."""
    cost: Decimal | None
    """US dollars, by list prices; None: the price is not known. Never zero for not known."""
    latency_ms: int
    """From the first attempt to the last byte, waits included; without the time in which a stream's reader did not read."""
    attempts: int
    generation: int
    """Of the settings that were used."""
    estimated: bool = False
    """Whether ``cost`` is computed from lengths: the vendor did not count."""
    adjustments: tuple[Adjustment, ...] = ()
    """What was sent otherwise than the settings and the call have it, and what was not, each with the reason."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the model wants called."""
    refusal: str | None = None
    """Why the model does not answer, where it says so; None: it does."""
    reasoning: str | None = None
    """What the model thought, where the vendor shows it."""
    texts: tuple[str, ...] = ()
    """The text of every choice, where more than one was asked for; ``text`` is the first of them."""
    response_id: str | None = None
    """The vendor's, of this answer."""
    response_model: str | None = None
    """The model that has answered, often a dated version of the one asked for."""
    time_to_first_token_ms: int | None = None
    """From the first attempt to the first part; None: not streamed."""
    tags: tuple[str, ...] = ()
    correlation_id: str = ""
    """In the log's row too; with ``fallback`` all its rows have the same."""
    raw: Any = field(default=None, repr=False, compare=False)
    """The SDK's own object; of a stream the last event."""
    response_format: Any = field(default=None, repr=False, compare=False)
    """The class that was asked for."""

    @property
    def not_sent(self) -> tuple[str, ...]:
        """Parameters that have a value, and were left out, as the vendor's API or the model would refuse them."""
        return tuple(each.parameter for each in self.adjustments if each.what == "left_out")

    @property
    def parsed(self) -> Any:
        """The answer as an object of ``response_format``; None where none was asked for, or the model refused.

        Raises:
            Invalid: If the text is not such an object: it was cut off, or the vendor did not keep to the format.
        """
        if self.response_format is None or self.refusal is not None:
            return None
        asked = self.response_format
        try:
            return asked.model_validate_json(self.text)
        except ValueError as error:  # pydantic's, which has the answer in it: so ours is raised without it
            fault = fault_of(asked, error)
        raise Invalid({"answer": f"is no {asked.__name__} ({fault})"})

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of a conversation that goes on: with its tool calls, to be followed by their results."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        return message

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: without ``raw``, the cost as a text."""
        left_out = {"raw", "response_format"}
        shown = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in left_out}
        shown["usage"] = None if self.usage is None else self.usage._asdict()
        shown["cost"] = None if self.cost is None else str(self.cost)
        shown["adjustments"] = [each.as_dict() for each in self.adjustments]
        shown["not_sent"] = list(self.not_sent)
        shown["tool_calls"] = [call._asdict() for call in self.tool_calls]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """What :func:`core.ai.embed` has brought."""

    vectors: list[list[float]] = field(repr=False)
    """One for each text, in the order of the texts."""
    provider: str
    model: str
    usage: Tokens | None
    """``output`` is 0: there is none. None: the vendor did not count."""
    cost: Decimal | None
    latency_ms: int
    attempts: int
    generation: int
    estimated: bool = False
    response_model: str | None = None
    tags: tuple[str, ...] = ()
    correlation_id: str = ""
    raw: Any = field(default=None, repr=False, compare=False)


class Tool(NamedTuple):
    """A tool call as far as it has come."""

    id: str
    name: str
    arguments: list[str]


class Collected:
    """The parts of an answer that have come."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.counts: Counts | None = None
        self.since_counted = 0
        """Bytes of what the model wrote that have come since it was last told how many tokens that is."""
        self.finish: str | None = None
        self.model: str | None = None
        self.id: str | None = None
        self.texts: tuple[str, ...] = ()
        self.is_answer = False
        self._tools: list[Tool] = []
        self._current: dict[int, int] = {}
        """The vendor's place -> the call that its parts belong to now."""
        self._places: dict[int, str] = {}
        """The vendor's place -> the id that was last begun there."""

    def add(self, part: Part) -> None:
        """Take a part in."""
        self.is_answer = self.is_answer or part.is_answer
        for kept, new in ((self.parts, part.text), (self.reasoning, part.reasoning), (self.refusal, part.refusal)):
            if new:
                kept.append(new)
                self.since_counted += len(new.encode("utf-8", "replace"))
        self.since_counted += sum(len(text.encode("utf-8", "replace")) for text in part.texts[1:])
        self.since_counted += sum(len(piece.arguments.encode("utf-8", "replace")) for piece in part.tools)
        if part.counts is not None:
            self.counts = (self.counts or Counts()).updated(part.counts)
            if part.counts.output:  # some servers tell zeros until the last part
                self.since_counted = 0
        self.finish = part.finish or (self.finish if self.finish is not None else part.finish)
        self.model, self.id = part.model or self.model, part.id or self.id
        self.texts = part.texts or self.texts
        for piece in part.tools:
            self._add_tool(piece)

    def _add_tool(self, piece: ToolPart) -> None:
        """Take a part of a tool call in. An id begins a call: some servers give each the place 0, or none."""
        if piece.place < 0 or (piece.id and self._places.get(piece.place, piece.id) not in {piece.id, ""}):
            place = len(self._tools)
        else:
            place = self._current.get(piece.place, len(self._tools))
        self._current[piece.place] = place
        self._places[piece.place] = piece.id or self._places.get(piece.place, "")
        if place == len(self._tools):
            self._tools.append(Tool(piece.id, piece.name, []))
        if piece.arguments:
            self._tools[place].arguments.append(piece.arguments)

    @property
    def text(self) -> str:
        """All text that has come."""
        return "".join(self.parts)

    @property
    def usage(self) -> Tokens | None:
        """What the vendor has counted."""
        return None if self.counts is None else self.counts.tokens()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls, in their order."""
        return tuple(ToolCall(tool.id, tool.name, "".join(tool.arguments) or "{}") for tool in self._tools)


def logged(completion_text: str, tools: tuple[ToolCall, ...], refusal: str | None) -> str:
    """Return what the log has for the answer: the text, or what came in its place."""
    import json  # noqa: PLC0415 - rarely needed

    if completion_text or not (tools or refusal):
        return completion_text
    return refusal or json.dumps([call._asdict() for call in tools], ensure_ascii=False)
