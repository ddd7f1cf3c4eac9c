"""Answers that a service's unit tests give in place of a vendor: see :func:`core.testing.override`."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..errors import CoreError
from ..resolving.effective import EffectiveSettings
from .answers import Completion, Embeddings
from .request import Request

Given = str | CoreError | Sequence[Sequence[float]]
"""A text, an error to be raised, or vectors."""
Answer = Given | Callable[[list[Any]], Given]
"""One of those, or a function of the messages, or of the texts to embed, that returns one."""

SIZE: Final = 8
"""Numbers of a vector that nobody has given."""
_answers: list[tuple[EffectiveSettings, Answer]] = []


def begin(settings: EffectiveSettings, answer: Answer) -> None:
    """Answer calls with these settings so from now on."""
    _answers.append((settings, answer))


def end(settings: EffectiveSettings) -> None:
    """Take back what :func:`begin` said last of these settings."""
    for place in reversed(range(len(_answers))):
        if _answers[place][0] is settings:
            del _answers[place]
            return


def of(settings: EffectiveSettings) -> Answer | None:
    """Return the answer that calls with these settings have, for whatever organisation and feature; None: the vendor's."""
    why = settings._why  # noqa: SLF001 - one object for all that are made of one merge
    return next((answer for known, answer in reversed(_answers) if known._why is why), None)  # noqa: SLF001 - as above


def completion(settings: EffectiveSettings, request: Request, answer: Answer) -> Completion:
    """Return *answer* as that of a vendor: nothing is counted, logged or charged.

    Raises:
        CoreError: The one that was given.
        TypeError: If what was given is no text.
    """
    given = _given(answer, list(request.messages))
    if not isinstance(given, str):
        raise TypeError(f"the override's answer is to be a text or an error of core.errors, not {given!r}")
    return Completion(
        text=given, finish_reason="stop", response_format=request.response_format, **_common(settings, request)
    )


def embeddings(settings: EffectiveSettings, request: Request, answer: Answer) -> Embeddings:
    """Return the vectors of *answer*; where it is a text, vectors that depend on the texts alone."""
    given = _given(answer, list(request.prompt))
    vectors = [_vector(text) for text in request.prompt] if isinstance(given, str) else [list(one) for one in given]
    return Embeddings(vectors=vectors, **_common(settings, request))


def parts_of(text: str) -> Iterator[str]:
    """Yield a text as a stream does, word by word."""
    words = text.split(" ")
    yield from (word if at == 0 else f" {word}" for at, word in enumerate(words) if at or word)


def _given(answer: Answer, asked: list[Any]) -> str | Sequence[Sequence[float]]:
    given = answer(asked) if callable(answer) else answer
    if isinstance(given, CoreError):
        raise given
    return given


def _common(settings: EffectiveSettings, request: Request) -> Mapping[str, Any]:
    return {
        "provider": settings.provider,
        "model": request.model or settings.model or "",
        "usage": None,
        "cost": None,
        "latency_ms": 0,
        "attempts": 1,
        "generation": settings.generation,
        "tags": request.tags,
        "correlation_id": request.correlation_id,
    }


def _vector(text: str) -> list[float]:
    return [byte / 127.5 - 1 for byte in hashlib.sha256(text.encode()).digest()[:SIZE]]
