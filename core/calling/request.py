"""What a caller asks for: one typed set of arguments for every door of :mod:`core.ai`, checked before anything else happens."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from ..errors import Invalid
from ..parameters import SENDABLE
from ..redaction import shortened
from .messages import Prompt, read_prompt
from .sent import Omitted, check_given

TAGS: Final = 16
TAG: Final = 64
"""Characters of a tag, a correlation id, or a cost centre."""
SEVERAL: Final = ("n", "candidate_count", "candidateCount")
"""How vendors call the number of answers."""


class Common(TypedDict, total=False):
    """What every call takes."""

    provider: str | None
    """A provider's name. Default: the default provider of the organisation and feature where one is named, else ``openai``."""
    organization: str | None
    """Whom the settings, and perhaps the key, are of: a name of the organisation. For the log too."""
    feature: str | None
    """What the call is for, by the feature's name. For the log too."""
    model: str | None
    """One of the provider's models. Default: the one of the settings."""
    user_id: str | int | None
    """Whom the call is made for, for the log."""
    options: Mapping[str, Any] | None
    """More for the request, by the vendor's own names, as ``{"reasoning_effort": "low"}``; None or OMIT leaves one out."""
    deadline: float | None
    """Longest time of the whole call, all attempts and waits, in seconds. Default: the request timeout for each of the
    attempts that the settings allow; none for a stream whose parts come."""
    tags: Sequence[str] | None
    """At most 16 short texts, for the log and for the answer."""
    correlation_id: str | None
    """For the log and for the answer. Default: a new one."""
    cost_centre: str | None
    """Who pays for the call within your house, in at most 64 characters: what calls cost is added up by it, too."""


class How(Common, total=False):
    """What a call for an answer takes besides: parameters by our names, which count more than the settings'."""

    temperature: float | Omitted
    max_tokens: int | Omitted
    top_p: float | Omitted
    frequency_penalty: float | Omitted
    presence_penalty: float | Omitted
    reasoning_effort: str | Omitted
    stop: list[str] | Omitted
    response_format: type[Any] | None
    """A class of pydantic's: the answer is asked for as its JSON, and ``answer.parsed`` is an object of it."""
    fallback: Sequence[str] | None
    """Providers that are asked one after the other when the first is unavailable after its retries."""


class Clock:
    """The time of a call: without what the caller's own code takes between two parts of a stream."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._left_at: float | None = None

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return (self._left_at if self._left_at is not None else time.perf_counter()) - self._began

    @contextmanager
    def away(self) -> Iterator[None]:
        """Stand still for the block: its time is the caller's."""
        self._left_at = time.perf_counter()
        try:
            yield
        finally:
            self._began += time.perf_counter() - self._left_at
            self._left_at = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, checked; the same for every provider that is tried."""

    prompt: Any
    """As it was given, for the log."""
    messages: list[dict[str, Any]]
    """Empty: texts to be embedded."""
    providers: tuple[str | None, ...]
    """None: the default provider."""
    model: str | None = None
    organization: str | None = None
    feature: str | None = None
    user_id: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] | None = None
    deadline: float | None = None
    response_format: type[Any] | None = None
    tags: tuple[str, ...] = ()
    correlation_id: str = ""
    cost_centre: str = ""
    streams: bool = False


def request_of(prompt: Prompt, how: How, *, streams: bool = False) -> Request:
    """Return the request for an answer.

    Raises:
        Invalid: If the prompt, or anything in *how*, is none.
        TypeError: If there is no such argument.
    """
    _known(how, How)
    given = {name: how[name] for name in SENDABLE if name in how}  # type: ignore[literal-required]  # tested: How has all
    options = how.get("options")
    check_given(given, options)
    if streams and any((options or {}).get(name) not in (None, 1) for name in SEVERAL):
        raise Invalid({"options": "asks for several answers, of which a stream has room for one: use complete()"})
    response_format = how.get("response_format")
    if response_format is not None and not hasattr(response_format, "model_json_schema"):
        raise Invalid({"response_format": "must be a class of pydantic's; other formats go by options"})
    return Request(
        prompt=prompt,
        messages=read_prompt(prompt),
        providers=(provider_of(how), *_names("fallback", how.get("fallback"))),
        given=given,
        response_format=response_format,
        streams=streams,
        **_common(how),
    )


def embedding_of(texts: Sequence[str], how: Common) -> Request:
    """Return the request for embeddings; raises as :func:`request_of`."""
    _known(how, Common)
    if isinstance(texts, str) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise Invalid({"texts": "must be a list of texts that are not empty"})
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise Invalid({"texts": "have half a character in them (a lone surrogate)"}) from None
    check_given({}, how.get("options"))
    return Request(prompt=list(texts), messages=[], providers=(provider_of(how),), **_common(how))


def provider_of(how: Common) -> str | None:
    """Return the provider that is asked; None: the default provider of the organisation and the feature."""
    if "provider" in how:
        return how["provider"]
    scoped = how.get("organization") is not None or how.get("feature") is not None
    return None if scoped else "openai"


def _known(how: Mapping[str, Any], arguments: Any) -> None:
    if unknown := sorted(set(how) - set(arguments.__annotations__) - set(Common.__annotations__)):
        raise TypeError(f"no such argument: {', '.join(unknown)}")


def _common(how: Common) -> dict[str, Any]:
    deadline: object = how.get("deadline")
    if deadline is not None and not (isinstance(deadline, int | float) and deadline > 0):
        raise Invalid({"deadline": "must be a number of seconds above 0"})
    model: object = how.get("model")
    if model is not None and not (isinstance(model, str) and model):
        raise Invalid({"model": "must be the name of one of the provider's models"})
    tags = _names("tags", how.get("tags"))
    if len(tags) > TAGS or not all(is_short(tag) for tag in tags):
        raise Invalid({"tags": f"must be at most {TAGS} texts of 1 to {TAG} characters"})
    correlation_id = how.get("correlation_id")
    if correlation_id is not None and not is_short(correlation_id):
        raise Invalid({"correlation_id": f"must be a text of 1 to {TAG} characters"})
    cost_centre = how.get("cost_centre")
    if cost_centre is not None and not is_short(cost_centre):
        raise Invalid({"cost_centre": f"must be a text of 1 to {TAG} characters that can be printed"})
    user_id = how.get("user_id")
    return {
        "model": model,
        "organization": how.get("organization"),
        "feature": how.get("feature"),
        "user_id": None if user_id is None else shortened(str(user_id), 200),
        "options": how.get("options"),
        "deadline": deadline,
        "tags": tags,
        "correlation_id": correlation_id or uuid.uuid4().hex,
        "cost_centre": cost_centre or "",
    }


def _names(field: str, given: object) -> tuple[str, ...]:
    """Return a list of texts; a text alone is none, though Python reads it as one of letters."""
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise Invalid({field: "must be a list of texts"})
    return tuple(given)


def is_short(text: object) -> bool:
    """Return whether it is a text of 1 to :data:`TAG` characters that can be printed."""
    return isinstance(text, str) and 0 < len(text) <= TAG and text.isprintable()
