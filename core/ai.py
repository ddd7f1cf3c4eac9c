"""Calls that obey the settings: the effective model, parameters, key, timeout and retries, by the vendor's own SDK.

from core.ai import complete

answer = complete("Say hello", provider="openai", user_id="42")
answer.text, answer.usage, answer.cost, answer.latency_ms, answer.attempts, answer.generation

Asynchronous: :func:`complete_async`. A part at a time: :func:`stream`, :func:`stream_async`. Each call is logged as the
settings say (:mod:`core.logs`). Needs the extra ``ai``.
"""

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from . import redaction
from .calling import log_writer, vendors
from .calling.vendors import Failure, NotUnderstood, Piece, Usage
from .errors import CallFailed, Invalid, MissingExtra
from .kinds import facts_of, origin_of
from .resolve import resolve
from .resolving.effective import EffectiveSettings

Prompt = str | Sequence[Mapping[str, str]]

LONGEST_WAIT: Final = 60.0
"""Seconds between two attempts at most, unless the vendor asks for more."""
CLIENTS: Final = 64
"""So many pools of connections are kept, one for each provider and key in use."""
RESERVED: Final = frozenset(
    {"model", "messages", "contents", "stream", "timeout", "http_options", "extra_body", "extra_headers", "extra_query"}
)
"""What options may not name: the call decides it, or it would pass the rules by."""


class Completion(NamedTuple):
    """What a call has brought."""

    text: str
    provider: str
    model: str
    """The one asked for; vendors may answer from a dated version of it."""
    finish_reason: str
    """Why the model stopped, in the vendor's word: ``stop``, ``end_turn``, ``MAX_TOKENS`` …"""
    usage: Usage | None
    """None: the vendor did not say."""
    cost: Decimal | None
    """US dollars, by genai-prices; None: the price, or the usage, is not known. Never zero for not known."""
    latency_ms: int
    """From the first attempt to the last byte, waits included."""
    attempts: int
    generation: int
    """Of the settings that were used."""
    not_sent: tuple[str, ...]
    """Parameters that have a value, but that the vendor's API does not have."""


def complete(
    prompt: Prompt,
    *,
    provider: str = "openai",
    user_id: str | int | None = None,
    options: Mapping[str, Any] | None = None,
    deadline: float | None = None,
) -> Completion:
    """Ask the model of *provider*, and return its whole answer.

    Args:
        prompt: A text, or messages as ``{"role": "system" | "user" | "assistant", "content": text}``.
        provider: A provider's name.
        user_id: Whom the call is made for, for the log.
        options: More for the request, by the vendor's own names, as ``{"reasoning_effort": "low"}``; they count more than
            the settings' parameters.
        deadline: Longest time of the whole call, all attempts and waits, in seconds. Default: the request timeout for
            each of the attempts that the settings allow.

    Raises:
        ApiKeyUnavailable: A subclass for each status other than ok; each names its cure.
        CallFailed: When the last attempt failed, or one that no other attempt can mend.
        Invalid: If the prompt, the options or the deadline is none.
        MissingExtra: If the SDK is not installed.
    """
    call = _Call(prompt, provider, user_id, options, deadline)
    try:
        while True:
            try:
                return call.succeeded(call.vendor.read(call.send(_client(call), stream=False)))
            except Exception as error:  # noqa: BLE001 - judged there, and raised again
                time.sleep(call.wait_after(error))
    except BaseException as error:
        call.ended(error)
        raise


async def complete_async(
    prompt: Prompt,
    *,
    provider: str = "openai",
    user_id: str | int | None = None,
    options: Mapping[str, Any] | None = None,
    deadline: float | None = None,
) -> Completion:
    """As :func:`complete`, for asyncio: the event loop goes on meanwhile."""
    call = _Call(prompt, provider, user_id, options, deadline)
    try:
        while True:
            try:
                return call.succeeded(call.vendor.read(await call.send(_async_client(call), stream=False)))
            except Exception as error:  # noqa: BLE001 - as above
                await asyncio.sleep(call.wait_after(error))
    except BaseException as error:
        call.ended(error)
        raise


def stream(
    prompt: Prompt,
    *,
    provider: str = "openai",
    user_id: str | int | None = None,
    options: Mapping[str, Any] | None = None,
    deadline: float | None = None,
) -> "Stream":
    """Ask as :func:`complete` does, and have the answer a part at a time.

    Another attempt is made only before the first part: afterwards there is no way to go on where it broke off.
    """
    return Stream(_Call(prompt, provider, user_id, options, deadline))


def stream_async(
    prompt: Prompt,
    *,
    provider: str = "openai",
    user_id: str | int | None = None,
    options: Mapping[str, Any] | None = None,
    deadline: float | None = None,
) -> "AsyncStream":
    """As :func:`stream`, for ``async for``."""
    return AsyncStream(_Call(prompt, provider, user_id, options, deadline))


class Stream:
    """The parts of an answer as they come; ``completion`` is the whole, once the last one has come. Iterate it once."""

    def __init__(self, call: "_Call") -> None:
        self._call = call
        self.completion: Completion | None = None

    def __iter__(self) -> Iterator[str]:
        """Yield the text, part by part; raises as :func:`complete`."""
        call = self._call.started()
        try:
            while self.completion is None:
                try:
                    events = call.send(_client(call), stream=True)
                    with _Closing(events):
                        for event in events:
                            if text := call.took(event):
                                yield text
                    self.completion = call.streamed()
                except Exception as error:  # noqa: BLE001 - as in complete
                    time.sleep(call.wait_after(error))
        except BaseException as error:
            call.ended(error)
            raise


class AsyncStream:
    """As :class:`Stream`."""

    def __init__(self, call: "_Call") -> None:
        self._call = call
        self.completion: Completion | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the text, part by part; raises as :func:`complete`."""
        call = self._call.started()
        try:
            while self.completion is None:
                try:
                    events = await call.send(_async_client(call), stream=True)
                    try:
                        async for event in events:
                            if text := call.took(event):
                                yield text
                    finally:
                        await _aclose(events)
                    self.completion = call.streamed()
                except Exception as error:  # noqa: BLE001 - as in complete
                    await asyncio.sleep(call.wait_after(error))
        except BaseException as error:
            call.ended(error)
            raise


class _Call:
    """One call with its attempts: what is sent, when another attempt is made, and what is logged in the end."""

    def __init__(
        self,
        prompt: Prompt,
        provider: str,
        user_id: str | int | None,
        options: Mapping[str, Any] | None,
        deadline: float | None,
    ) -> None:
        if deadline is not None and not deadline > 0:
            raise Invalid({"deadline": "must be a number of seconds above 0"})
        if options:
            _check_options(options)
        self.prompt = prompt
        self.messages = vendors.read_prompt(prompt)
        settings = self.settings = resolve(provider)
        self.key = settings.api_key()  # raises for every status but ok
        self.vendor = vendors.VENDORS[settings.kind or ""]
        self.model = settings.model or ""
        sent, self.not_sent = vendors.parameters(settings)
        self.sent = {**sent, **options} if options else sent
        self.user_id = None if user_id is None else str(user_id)[:200]
        self.timeout = settings.request_timeout_ms / 1000
        self.longest = deadline if deadline is not None else self.timeout * (settings.max_retries + 1)
        self.attempts = 0
        self._parts: list[str] = []
        self._last = Piece()
        self._logged = False
        self._iterated = False
        self._begin()

    def _begin(self) -> None:
        self.at, self.began = log_writer.now(), time.perf_counter()
        self._outside = sys.exception()

    def started(self) -> "_Call":
        """Note that a stream is read; a second time there is nothing to read."""
        if self._iterated:
            raise Invalid({"stream": "was read already: call stream() again"})
        self._iterated = True
        self._begin()
        return self

    def send(self, client: Any, *, stream: bool) -> Any:
        """Make an attempt; of an asynchronous client the result is to be awaited."""
        self.attempts += 1
        timeout = max(0.001, min(self.timeout, self._left()))
        return self.vendor.send(client, self.model, self.messages, self.sent, timeout, stream=stream)

    def took(self, event: Any) -> str:
        """Take a part of a streamed answer in; return its text."""
        piece: Piece = self.vendor.piece(event)
        usage = piece.usage
        if usage is not None and self._last.usage is not None and not usage.input:
            usage = self._last.usage._replace(output=usage.output)
        self._last = Piece(
            usage=usage or self._last.usage,
            finish=piece.finish or self._last.finish,
        )
        if piece.text:
            self._parts.append(piece.text)
        return piece.text

    def streamed(self) -> Completion:
        """Return the whole of a streamed answer; a stream that did not say that it is over broke off."""
        if self._last.finish is None:
            if not self._parts and self._last.usage is None:
                raise NotUnderstood
            raise ConnectionResetError("the answer broke off halfway")
        return self.succeeded(self._last._replace(text="".join(self._parts)))

    def succeeded(self, piece: Piece) -> Completion:
        """Return what the call has brought, and have it logged."""
        usage = piece.usage
        done = Completion(
            text=piece.text,
            provider=self.settings.provider,
            model=self.model,
            finish_reason=piece.finish or "",
            usage=usage,
            cost=None if usage is None else price(self.settings, self.model, usage),
            latency_ms=self._latency(),
            attempts=self.attempts,
            generation=self.settings.generation,
            not_sent=self.not_sent,
        )
        self._put("ok", done.text, usage, done.cost, None)
        return done

    def wait_after(self, error: Exception) -> float:
        """Return how long to wait before another attempt.

        Raises:
            CallFailed: If there is none: it would not help, was the last, or would come too late.
        """
        if isinstance(error, MissingExtra | Invalid):
            raise error
        failure = vendors.judge(error, self._outside)
        wait = self._backoff(failure)
        if not failure.retryable or self._parts or self.attempts > self.settings.max_retries or wait >= self._left():
            raise CallFailed(
                self.settings.provider,
                self.model,
                reason=failure.reason,
                status=failure.status,
                words=failure.words,
                attempts=self.attempts,
                retry_after=failure.retry_after,
            ) from None
        self._last = Piece()
        return wait

    def ended(self, error: BaseException) -> None:
        """Log a call that brought nothing, or only a part."""
        if isinstance(error, CallFailed):
            error.__context__ = None  # the SDK's error has the request in it, key and all
            self._put("error", "".join(self._parts) or None, self._last.usage, None, str(error))
        elif isinstance(error, Exception):
            self._put("error", None, None, None, f"{type(error).__name__}: {redaction.scrub(str(error))[:500]}")
        else:  # the caller went away: a closed generator, a cancelled task
            self._put("cancelled", "".join(self._parts) or None, self._last.usage, None, None)

    def _put(
        self,
        status: log_writer.Status,
        response: str | None,
        usage: Usage | None,
        cost: Decimal | None,
        error: str | None,
    ) -> None:
        if self._logged:
            return
        self._logged = True
        log_writer.put(
            self.settings,
            log_writer.Call(
                at=self.at,
                user_id=self.user_id,
                model=self.model,
                status=status,
                attempts=self.attempts,
                latency_ms=self._latency(),
                prompt=self.prompt if isinstance(self.prompt, str) else [m._asdict() for m in self.messages],
                parameters={"model": self.model, **self.sent},
                response=response,
                token_usage=None if usage is None else usage._asdict(),
                cost=cost,
                error=error,
            ),
        )

    def _backoff(self, failure: Failure) -> float:
        base: float = self.settings.retry_backoff_ms / 1000 * 2 ** (self.attempts - 1)
        jittered = min(base, LONGEST_WAIT) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        return max(jittered, failure.retry_after or 0.0)

    def _latency(self) -> int:
        return round((time.perf_counter() - self.began) * 1000)

    def _left(self) -> float:
        return self.longest - (time.perf_counter() - self.began)


def price(settings: EffectiveSettings, model: str, usage: Usage) -> Decimal | None:
    """Return what *usage* costs in US dollars, by genai-prices; None if the price is not known.

    The prices are the vendors' own: at another host than theirs, nothing is known unless genai-prices knows that host.
    """
    where = _where(settings.kind or "", settings.base_url, model)
    if where is None:
        return None
    import genai_prices  # noqa: PLC0415 - of the extra, with the first call

    counted = genai_prices.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
    )
    try:
        return genai_prices.calc_price(counted, model, **where).total_price
    except (LookupError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _where(kind: str, base_url: str | None, model: str) -> Mapping[str, Any] | None:
    """Return where genai-prices finds the model; None if it does not. Looked up once: a miss searches all its vendors."""
    try:
        import genai_prices  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        return None
    where: dict[str, Any] = {"provider_api_url": base_url}
    if facts_of(kind).base_url and origin_of(kind, base_url) == origin_of(kind, None):
        where = {"provider_id": kind}
    try:
        genai_prices.calc_price(genai_prices.Usage(input_tokens=0, output_tokens=0), model, **where)
    except (LookupError, ValueError):
        return None
    return where


class _Clients:
    """SDK clients with their connections, so that a call does not begin with a handshake."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all: the connections are the parent's after a fork."""
        self._lock = threading.Lock()
        self._clients: dict[Any, Any] = {}
        self._of_loop: dict[Any, dict[Any, Any]] = {}

    def get(self, settings: EffectiveSettings, key: str, *, is_async: bool) -> Any:
        """Return the client of a provider, its key and its address; a changed one gets another."""
        wanted = (settings.kind, settings.base_url, key)
        kept = self._of_loop.get(asyncio.get_running_loop(), {}) if is_async else self._clients
        found = kept.get(wanted)
        if found is None:
            found = self._make(settings, key, wanted, is_async=is_async)
        return found

    def _make(self, settings: EffectiveSettings, key: str, wanted: Any, *, is_async: bool) -> Any:
        try:
            from .calling import dial  # noqa: PLC0415 - needs httpx2, which comes with the extra
        except ModuleNotFoundError:
            raise MissingExtra("httpx2") from None
        redaction.remember(key)
        vendor = vendors.VENDORS[settings.kind or ""]
        made = vendor.client(
            key, settings.base_url, dial.async_client() if is_async else dial.client(), is_async=is_async
        )
        with self._lock:
            for loop in [loop for loop in self._of_loop if loop.is_closed()]:
                del self._of_loop[loop]  # its connections know it: it would never be freed by itself
            kept = self._of_loop.setdefault(asyncio.get_running_loop(), {}) if is_async else self._clients
            while len(kept) >= CLIENTS:
                kept.pop(next(iter(kept)))
            return kept.setdefault(wanted, made)


def _check_options(options: Mapping[str, Any]) -> None:
    if taken := sorted(RESERVED.intersection(options)):
        raise Invalid({"options": f"may not have {', '.join(taken)}: the settings and the call decide that"})
    try:
        json.dumps(dict(options), allow_nan=False)
    except (TypeError, ValueError):
        raise Invalid({"options": "must be a mapping of names to what JSON can hold"}) from None


_clients: Final = _Clients()
os.register_at_fork(after_in_child=_clients.reset)


def _client(call: _Call) -> Any:
    return _clients.get(call.settings, call.key, is_async=False)


def _async_client(call: _Call) -> Any:
    return _clients.get(call.settings, call.key, is_async=True)


class _Closing:
    def __init__(self, events: Any) -> None:
        self._events = events

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._events.close()


async def _aclose(events: Any) -> None:
    with suppress(Exception):
        await (events.aclose() if hasattr(events, "aclose") else events.close())
