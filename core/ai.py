"""Calls that obey the settings: the effective model, parameters, key, timeout and retries, by the vendor's own SDK.

from core.ai import complete

answer = complete("Say hello", provider="openai", user_id="42")
answer.text, answer.usage, answer.cost, answer.estimated, answer.latency_ms, answer.attempts, answer.generation

Asynchronous: :func:`complete_async`. A part at a time: :func:`stream`, :func:`stream_async`. Embeddings: :func:`embed`.
A call by one's own client of a vendor's SDK, counted in the same way: :func:`spending`.
Each call is logged as the settings say (:mod:`core.logs`). Needs the extra ``ai``.
"""

import asyncio
import atexit
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final, TypeVar, Unpack

from . import resolve as resolving
from .calling import leases, stand_in
from .calling.answers import Completion, Embeddings
from .calling.attempt import Attempt
from .calling.call import END, Call
from .calling.clients import beside, clients
from .calling.messages import Prompt
from .calling.meters import BudgetStanding
from .calling.pricing import price
from .calling.request import Clock, Common, How, Request, embedding_of, request_of
from .calling.sent import OMIT
from .calling.spending import Spending
from .calling.vendors import Tokens, ToolCall
from .errors import ApiKeyUnavailable, CallFailed, CoreError, Invalid
from .resolving.effective import EffectiveSettings

__all__ = [
    "OMIT",
    "AsyncStream",
    "BudgetStanding",
    "Common",
    "Completion",
    "Embeddings",
    "How",
    "Prompt",
    "Spending",
    "Stream",
    "Tokens",
    "ToolCall",
    "aclose",
    "budget",
    "close",
    "complete",
    "complete_async",
    "embed",
    "embed_async",
    "prepare",
    "prepare_async",
    "price",
    "spending",
    "stream",
    "stream_async",
]

A = TypeVar("A", Completion, Embeddings)

UNAVAILABLE: Final = frozenset({"busy", "rate_limit", "quota", "timeout", "connection", "tls", "key"})
"""Reasons for which another provider is asked, where there is a fallback: what the caller sent is not among them."""
_NOT_READY: Final = frozenset({"disabled", "not_allowed", "no_key", "no_model", "key_unreadable"})
"""The same of statuses: a name that does not exist is a mistake, not an outage."""


def complete(prompt: Prompt, **how: Unpack[How]) -> Completion:
    """Ask a model, and return its whole answer.

    Args:
        prompt: A text, or messages as ``{"role": "system" | "user" | "assistant" | …, "content": text}``; the content may
            be a list of the vendor's own parts.
        **how: The provider, the model, parameters …: see :class:`core.calling.request.How`.

    Raises:
        ApiKeyUnavailable: A subclass for each status other than ok; each names its cure.
        CallFailed: When the last attempt failed, or one that no other attempt can mend.
        BudgetExceeded: If a budget has no room for what it may cost; that attempt was not sent.
        RateLimited: If a rate limit of ours has no room for it in time; that attempt was not sent.
        PersonalData: If settings refuse personal data in prompts and there is some, or it could not be searched.
        Invalid: If the prompt, or an argument, is none; nothing was sent.
        BadConfig: If the certificates that the environment names cannot be read; nothing was sent.
        MissingExtra: If the SDK is not installed.
    """
    calls = _Calls(request_of(prompt, how))
    while True:
        try:
            return _whole(calls, _read_answer, stand_in.completion)
        except CoreError as error:
            calls.go_on(error)


async def complete_async(prompt: Prompt, **how: Unpack[How]) -> Completion:
    """As :func:`complete`, for asyncio: the event loop goes on meanwhile, in the first call too."""
    calls = _Calls(request_of(prompt, how))
    while True:
        try:
            return await _whole_async(calls, _read_answer, stand_in.completion)
        except CoreError as error:
            calls.go_on(error)


def stream(prompt: Prompt, **how: Unpack[How]) -> "Stream":
    """Ask as :func:`complete` does, and have the answer a part at a time.

    Another attempt, or another provider, is tried only before the first part: afterwards there is no way to go on where
    it broke off. The request timeout is the longest silence between two parts; ``deadline`` is for the whole; the time that
    the caller takes between two parts counts for neither.
    """
    return Stream(request_of(prompt, how, streams=True))


def stream_async(prompt: Prompt, **how: Unpack[How]) -> "AsyncStream":
    """As :func:`stream`, for ``async for``."""
    return AsyncStream(request_of(prompt, how, streams=True))


def embed(texts: Sequence[str], **how: Unpack[Common]) -> Embeddings:
    """Return the embeddings of *texts*, by a provider whose kind has them; ``model`` names one of its embedding models.

    Raises:
        CoreError: As :func:`complete`; Invalid also where the provider's kind has no embeddings.
    """
    return _whole(_Calls(embedding_of(texts, how)), Call.embedded, stand_in.embeddings)


async def embed_async(texts: Sequence[str], **how: Unpack[Common]) -> Embeddings:
    """As :func:`embed`, for asyncio."""
    return await _whole_async(_Calls(embedding_of(texts, how)), Call.embedded, stand_in.embeddings)


def prepare(provider: str | None = "openai", organization: str | None = None, feature: str | None = None) -> None:
    """Do beforehand what the first call of a process needs: settings, SDK, certificates, prices. Sends nothing.

    None for the provider: the default provider of the rest.

    Raises:
        CoreError: As :func:`complete`, but no CallFailed.
    """
    settings = resolving.resolve(provider, organization, feature)
    clients.get(settings, settings.api_key())


async def prepare_async(
    provider: str | None = "openai", organization: str | None = None, feature: str | None = None
) -> None:
    """As :func:`prepare`, for the running event loop, which goes on meanwhile."""
    settings = await _resolve_beside(provider, organization, feature)
    await clients.get_async(settings, settings.api_key())


def spending(
    settings: EffectiveSettings,
    messages: object,
    *,
    max_tokens: int | None = None,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
    cost_centre: str | None = None,
    embeds: bool = False,
) -> Spending:
    """Count a call that one's own client makes in the block: in its budgets and rate limits, and in what calls cost.

    ``with spending(settings, messages, max_tokens=500) as call: … call.settle(answer.usage)``; ``async with`` in an event
    loop, which goes on meanwhile. What it costs at most is held from the beginning of the block; without ``settle`` it is
    estimated in the end, from lengths. An error that says that nothing was spent settles for nothing; docs/costs.md has all
    ends. What the SDK tries again by itself is one call.

    Args:
        settings: What :func:`core.resolve.resolve` answered: their organisation, feature, provider, budgets and rate limits count.
        messages: What is sent, in the vendor's form or a text: its bytes bound its tokens. Of embeddings the texts.
        max_tokens: The cap of the answer that is sent. Default: the settings', else 32,768 are held.
        model: As it is called. Default: the settings'.
        options: What the request has besides, by the vendor's names: tools, ``n``, ``service_tier``, ``system`` …
        cost_centre: Who pays for it within your house, in at most 64 characters.
        embeds: Whether it asks for embeddings, so that no answer is written.

    Raises:
        BudgetExceeded: At the beginning of the block, if a budget has no room: send nothing then.
        RateLimited: The same, if a rate limit of ours has no room in time.
        Invalid: If *max_tokens* or the cost centre is none.
    """
    return Spending(
        settings,
        messages,
        max_tokens=max_tokens,
        model=model,
        options=options,
        cost_centre=cost_centre,
        embeds=embeds,
    )


def budget(name: str) -> BudgetStanding | None:
    """Return how a budget stands, as this process knows it: spent, limit, left, ratio. Asks nobody, never waits.

    None: no call of this process has counted against a budget of that name in its present period yet. While calls are made
    it is at most a few seconds old, ``as_of`` says how much.
    """
    return leases.leases.state(name)


def close() -> None:
    """Close the connections of all calls made outside event loops; the next call opens its own."""
    clients.close()


async def aclose() -> None:
    """Close the connections of the running event loop; ``asyncio.run`` does so when it ends."""
    await clients.aclose()


atexit.register(close)


class Stream:
    """The parts of an answer as they come; ``completion`` is the whole, once the last one has come. Iterate it once."""

    def __init__(self, request: Request) -> None:
        self._calls: _Calls | None = _Calls(request)
        self.completion: Completion | None = None

    def __iter__(self) -> Iterator[str]:
        """Yield the text, part by part; raises as :func:`complete`."""
        calls, self._calls = self._calls, None
        if calls is None:
            raise Invalid({"stream": "was read already: call stream() again"})
        while self.completion is None:
            try:
                yield from self._parts(calls)
            except CoreError as error:
                calls.go_on(error)

    def _parts(self, calls: "_Calls") -> Iterator[str]:
        call = calls.next(resolving.resolve(*calls.asked))
        if (given := stand_in.of(call.settings)) is not None:
            done = stand_in.completion(call.settings, call.request, given)
            yield from stand_in.parts_of(done.text)
            self.completion = done
            return
        client = clients.get(call.settings, call.key)
        with call.begun(calls.clock()):
            while self.completion is None:
                with call.trying() as attempt:
                    with attempt.in_force():
                        events = call.send(client, attempt)
                    with _Closing(events):
                        while (event := call.event(events, attempt)) is not END:
                            if text := call.receive(event):
                                calls.has_begun = True
                                with calls.clock().away():
                                    yield text
                        if text := call.rest(attempt):
                            calls.has_begun = True
                            yield text
                    self.completion = call.shown(call.streamed(attempt))
                    return
                time.sleep(call.wait)


class AsyncStream:
    """As :class:`Stream`."""

    def __init__(self, request: Request) -> None:
        self._calls: _Calls | None = _Calls(request)
        self.completion: Completion | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the text, part by part; raises as :func:`complete`."""
        calls, self._calls = self._calls, None
        if calls is None:
            raise Invalid({"stream": "was read already: call stream_async() again"})
        while self.completion is None:
            try:
                async with aclosing(self._parts(calls)) as parts:
                    async for text in parts:
                        yield text
            except CoreError as error:
                calls.go_on(error)

    async def _parts(self, calls: "_Calls") -> AsyncGenerator[str]:
        call = calls.next(await _resolve_beside(*calls.asked))
        if (given := stand_in.of(call.settings)) is not None:
            done = stand_in.completion(call.settings, call.request, given)
            for text in stand_in.parts_of(done.text):
                yield text
            self.completion = done
            return
        client = await clients.get_async(call.settings, call.key)
        await call.search_beside()
        with call.begun(calls.clock()):
            while self.completion is None:
                async with call.trying() as attempt:
                    with attempt.in_force():
                        events = await call.send(client, attempt)
                    async with _Closing(events):
                        while (event := await call.event_async(events, attempt)) is not END:
                            if text := call.receive(event):
                                calls.has_begun = True
                                with calls.clock().away():
                                    yield text
                        if text := call.rest(attempt):
                            calls.has_begun = True
                            yield text
                    self.completion = call.shown(call.streamed(attempt))
                    return
                await asyncio.sleep(call.wait)


class _Calls:
    """The calls of a request: one, and one more for each provider that stands in."""

    def __init__(self, request: Request) -> None:
        self._request, self._place = request, 0
        self._clock: Clock | None = None
        self.has_begun = False
        """Whether a part of a stream has gone to the caller: from then on nobody can stand in."""

    @property
    def asked(self) -> tuple[str | None, str | None, str | None]:
        """What to resolve now: provider, organisation and feature."""
        return self._request.providers[self._place], self._request.organization, self._request.feature

    def next(self, settings: EffectiveSettings) -> Call:
        """Return the call to it; raises as :class:`Call`."""
        return Call(self._request, settings, is_first=self._place == 0)

    def clock(self) -> Clock:
        """Return the time of all calls, which begins when it is first asked for: when the first client is there."""
        if self._clock is None:
            self._clock = Clock()
        return self._clock

    def go_on(self, error: CoreError) -> None:
        """Turn to the next provider; raise *error* where there is none, or where it would not help."""
        reason = getattr(error, "reason", None) if isinstance(error, CallFailed) else None
        status = error.status if isinstance(error, ApiKeyUnavailable) else None
        deadline = self._request.deadline
        is_late = deadline is not None and self.clock().now() >= deadline
        is_last = self._place + 1 >= len(self._request.providers)
        if is_last or is_late or self.has_begun or not (reason in UNAVAILABLE or status in _NOT_READY):
            raise error
        self._place += 1


StandIn = Callable[[EffectiveSettings, Request, stand_in.Answer], A]


def _read_answer(call: Call, answer: Any, attempt: Attempt) -> Completion:
    return call.shown(call.answered(answer, attempt))


def _whole(calls: _Calls, read: Callable[[Call, Any, Attempt], A], standing: StandIn[A]) -> A:
    call = calls.next(resolving.resolve(*calls.asked))
    if (given := stand_in.of(call.settings)) is not None:
        return standing(call.settings, call.request, given)
    client = clients.get(call.settings, call.key)
    with call.begun(calls.clock()):
        while True:
            with call.trying() as attempt, attempt.in_force():
                return read(call, call.send(client, attempt), attempt)
            time.sleep(call.wait)


async def _whole_async(calls: _Calls, read: Callable[[Call, Any, Attempt], A], standing: StandIn[A]) -> A:
    call = calls.next(await _resolve_beside(*calls.asked))
    if (given := stand_in.of(call.settings)) is not None:
        return standing(call.settings, call.request, given)
    client = await clients.get_async(call.settings, call.key)
    await call.search_beside()
    with call.begun(calls.clock()):
        while True:
            async with call.trying() as attempt:
                with attempt.in_force():
                    return read(call, await call.send(client, attempt), attempt)
            await asyncio.sleep(call.wait)


async def _resolve_beside(*asked: str | None) -> EffectiveSettings:
    """Resolve; where the first snapshot may have to be waited for, beside the event loop."""
    if resolving.resolver.generation < 0:
        return await beside(lambda: resolving.resolve(*asked))
    return resolving.resolve(*asked)


class _Closing:
    """Closes a stream's connection at the end of the block, whatever its SDK calls that."""

    def __init__(self, events: Any) -> None:
        self._events = events

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._events.close()

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        with suppress(Exception):
            await (self._events.aclose() if hasattr(self._events, "aclose") else self._events.close())


def _drop_old_clients(which: resolving.Resolver) -> None:
    if which is resolving.resolver:
        clients.keep_current(which.resolve)


resolving.watchers.append(_drop_old_clients)
