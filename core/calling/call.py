"""One call to one provider with its attempts: what is sent, when another attempt is made, and what is logged in the end."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from .. import redaction
from ..errors import BadConfig, CallFailed, Invalid, MissingExtra, PersonalData
from ..kinds import facts_of
from ..models.adapt import Adapted
from ..resolving.effective import EffectiveSettings
from . import admitting, budgeting, failures, gates, log_rows, log_writer, sent, settling, structured
from .adapters import adapter_of
from .admitting import Admitted
from .answers import Collected, Completion, Embeddings, logged
from .attempt import Attempt
from .clients import beside
from .failures import Failure, NotUnderstood
from .pricing import is_priced_apart, price
from .request import Clock, Request
from .settling import AttemptCost, AttemptOutcome
from .vendors import Sending, Tokens

if TYPE_CHECKING:
    from .guarding import Guard

AT_ONCE: Final = 8_192
"""Characters that are searched on an event loop itself: some milliseconds."""
LONGEST_WAIT: Final = 60.0
"""Seconds between two attempts at most, unless the vendor asks for more."""
END: Final = object()
"""In place of an event: there is none any more."""


class Call:
    """A call that is prepared: nothing was sent yet.

    Args:
        request: What is asked for.
        settings: Of the provider; with a key.
        is_first: Whether it is the provider that was asked for, not one that stands in for it.

    Raises:
        ApiKeyUnavailable: For every status of the settings but ok.
        Invalid: If the vendor's request has no room for something that is asked for.
        UnknownKind: If this version has no adapter for the provider.
    """

    def __init__(self, request: Request, settings: EffectiveSettings, *, is_first: bool = True) -> None:
        self.request, self.settings = request, settings
        self.key = settings.api_key()  # raises for every status but ok
        self.vendor = adapter_of(settings.kind)
        self.model = (request.model if is_first else None) or settings.model or ""
        self.attempts = 0
        self.gate = gates.gates.of(settings.provider_id, self.model, self.key)
        self.timeout = settings.request_timeout_ms / 1000
        self.sent, self.adjustments = self._parameters(is_first=is_first)
        self.collected = Collected()
        self._is_first = is_first
        self._guard: Guard | None = None
        self._searched: Request | PersonalData | None = None
        self._content: Any = None
        self._raw: Any = None
        self._first_part_at: float | None = None
        self._is_logged = False
        self._is_bare = _leaves_out(request, "stream_options") or not facts_of(settings.kind).stream_usage
        self._spent: AttemptCost | None = None
        """Of the attempt that was answered."""
        self.wait = 0.0
        """Seconds before the next attempt."""
        self._spare = 0
        """Attempts that do not count as retries."""
        self._outside = sys.exception()
        self._clock, self._began, self.at = Clock(), 0.0, log_rows.now()

    def _parameters(self, *, is_first: bool) -> Adapted:
        if not self.request.messages:
            more = self.request.options or {}
            return Adapted({k: v for k, v in more.items() if v is not None and v is not sent.OMIT}, ())
        given = self.request.given
        found = sent.parameters(self.settings, given, self.request.options, model=self.model)
        never = facts_of(self.settings.kind).never_accepted
        if is_first and (lacking := sorted(name for name in never & set(given) if given[name] is not sent.OMIT)):
            raise Invalid(dict.fromkeys(lacking, f"is nothing that {self.settings.display_name}'s API has"))
        if (asked := self.request.response_format) is not None:
            for name, wanted in self.vendor.format(asked.__name__, structured.schema_of(asked)).items():
                found.sent[name] = _joined(name, found.sent.get(name), wanted)
        return found

    # The clock

    @contextmanager
    def begun(self, clock: Clock) -> Iterator[None]:
        """Start the time of this call, as its client is there; have it logged, however the block ends.

        Raises:
            Invalid: As the class: what the vendor's request has no room for, its SDK says.
        """
        self._clock, self._began, self.at = clock, clock.now(), log_rows.now()
        try:
            self._be_guarded()
            messages = self.request.messages
            self._content = self.vendor.translate(messages) if messages else self.request.prompt
            yield
        except BaseException as error:
            self._ended(error)
            raise

    def search(self) -> None:
        """Search what is sent for personal data, if settings say so; else nothing is done, and nothing imported."""
        rules = self.settings.personal_data
        if self._guard is None and (rules.prompts != "off" or rules.answers != "off"):
            from .guarding import Guard  # noqa: PLC0415 - with the first call that needs it

            guard = Guard(self.settings)
            self._searched = guard.searched(self.request)
            self._guard = guard

    async def search_beside(self) -> None:
        """As :meth:`search`, beside the running event loop where it may take long."""
        rules = self.settings.personal_data
        content = self.request.messages or self.request.prompt
        if rules.prompts != "off" and (rules.engine != "built-in" or log_rows.size(content) > AT_ONCE):
            await beside(self.search)

    def _be_guarded(self) -> None:
        """Have what is sent be what settings let through.

        Raises:
            PersonalData: If nothing is to be sent.
        """
        self.search()
        if isinstance(self._searched, PersonalData):
            raise self._searched from None
        if self._searched is not None and self._searched is not self.request:
            self.request = self._searched
            self.sent, self.adjustments = self._parameters(is_first=self._is_first)

    def shown(self, done: Completion) -> Completion:
        """Return an answer as the caller gets it: with their own values, or without what is personal in it.

        Raises:
            PersonalData: If it cannot be searched, and has to be.
        """
        return done if self._guard is None else self._guard.shown(done)

    def rest(self, attempt: Attempt) -> str:
        """Return what of a stream was held back, which has come to its end; raises as :meth:`streamed`."""
        self._check_end(attempt)
        return "" if self._guard is None else self._guard.rest()

    def _left(self) -> float:
        """Return how long attempts and waits may take from now on."""
        now = self._clock.now()
        if self.request.deadline is not None:
            return self.request.deadline - now
        return self.timeout * (self.settings.max_retries + 1) - (now - self._began)

    def _latency(self) -> int:
        return round((self._clock.now() - self._began) * 1000)

    # Attempts

    def attempt(self) -> Attempt:
        """Begin an attempt."""
        self.attempts += 1
        left = max(0.001, self._left())
        if self.request.streams:
            return Attempt(left if self.request.deadline is not None else None, silence=self.timeout)
        return Attempt(min(self.timeout, left))

    def send(self, client: Any, attempt: Attempt) -> Any:
        """Send the request; of an asynchronous client the result is to be awaited."""
        timeout = None if self.request.streams else max(0.001, attempt.left())
        sending = Sending(self.model, self._content, self.sent, timeout, self.request.streams, self._is_bare)
        return self.vendor.send(client, sending) if self.request.messages else self.vendor.embed(client, sending)

    def event(self, events: Any, attempt: Attempt) -> Any:
        """Return the next event of a stream, or :data:`END`; it has a time of its own."""
        attempt.go_on(self._left() if self.request.deadline is not None else None)
        with attempt.in_force():  # Google's SDK sends the request with the first event
            return next(events, END)

    async def event_async(self, events: Any, attempt: Attempt) -> Any:
        """As :meth:`event`."""
        attempt.go_on(self._left() if self.request.deadline is not None else None)
        with attempt.in_force():
            return await anext(events, END)

    def receive(self, event: Any) -> str:
        """Take an event of a streamed answer in; return its text."""
        part = self.vendor.part(event)
        self.collected.add(part)
        self._raw = event
        if self._first_part_at is None and (part.text or part.reasoning or part.refusal or part.tools):
            self._first_part_at = self._clock.now()
        return part.text if self._guard is None or not part.text else self._guard.part(part.text)

    def trying(self) -> "Trying":
        """Return an attempt from its beginning to its settlement, as a block; :attr:`wait` says how long to wait after it."""
        return Trying(self)

    def judge(self, error: Exception, attempt: Attempt) -> Failure:
        """Return what went wrong with an attempt.

        Raises:
            Invalid: If no request could be made of what was asked for; so MissingExtra and BadConfig.
        """
        if isinstance(error, MissingExtra | Invalid | BadConfig):
            raise error
        failure = failures.judge(self.vendor, error, outside=self._outside, body=attempt.head)
        if not attempt.left_the_machine and failure.status is None:
            words = f"{type(error).__name__}: {failures.line(str(error))}"
            raise Invalid({"options": f"make no request that the vendor's SDK would send ({words})"}) from None
        return failure

    def go_on(self, failure: Failure) -> None:
        """Prepare for another attempt.

        Raises:
            CallFailed: If there is none: it would not help, was the last, or would come too late.
        """
        self.wait = self._backoff(failure)
        if self._is_refused_for_more(failure):
            self._is_bare, self._spare, self.wait = True, self._spare + 1, 0.0
        elif self._is_last(failure, self.wait):
            raise self._failed(failure) from None
        self.collected = Collected()

    def held_up(self) -> Iterator[float]:
        """Yield how long to wait, as often as the vendor lets nothing through, as it told a call before.

        Raises:
            CallFailed: If it is for longer than another attempt could be waited for.
        """
        while self.gate.is_closed and (wait := self.gate.wait()):
            if wait >= self._left() or not self.settings.max_retries:
                words = (
                    f"its rate limit is used up for {wait:.1f} seconds more, as it told a call before; nothing was sent"
                )
                raise self._failed(Failure("rate_limit", 429, words, retryable=True, retry_after=wait))
            yield wait

    # What it costs

    def priced_by(self) -> budgeting.Priced:
        """Return what decides what the next attempt costs at most."""
        request = self.request
        content = request.messages or request.prompt
        return budgeting.Priced(
            self.settings, self.model, content, self.sent, max(0.0, self._left()), writes=bool(request.messages)
        )

    def spent(self, outcome: AttemptOutcome, attempt: Attempt) -> AttemptCost:
        """Return what the attempt under way has cost, if it ends so now."""
        if outcome in {"refused", "failed"} or not attempt.was_sent:
            return AttemptCost(outcome, settling.NOTHING, Decimal(0))
        body = 0 if self.request.streams else attempt.seen
        content = self.request.messages or self.request.prompt
        is_whole = outcome == "answered"
        usage, estimated = settling.used(self.collected, content, self.sent, body, is_whole=is_whole)
        return AttemptCost(outcome, usage, self._price(usage), estimated)

    def spent_in_all(self, attempt: Attempt) -> AttemptCost:
        """Return what the attempt has cost that has ended without an error."""
        return self._spent or self.spent("answered", attempt)

    def _is_last(self, failure: Failure, wait: float) -> bool:
        retries = self.attempts - 1 - self._spare
        is_over = retries >= self.settings.max_retries or wait >= self._left()
        return not failure.retryable or bool(self.collected.parts) or is_over

    def _is_refused_for_more(self, failure: Failure) -> bool:
        """Whether a server refuses ``stream_options``, which the request can do without: then tokens are not counted."""
        return (
            self.request.streams
            and not self._is_bare
            and "stream_options" not in self.sent
            and failure.reason == "refused"
            and "stream_options" in failure.words
        )

    def _failed(self, failure: Failure) -> CallFailed:
        return CallFailed(
            self.settings.provider,
            self.model,
            reason=failure.reason,
            status=failure.status,
            words=failure.words,
            attempts=self.attempts,
            retry_after=failure.retry_after,
        )

    def _backoff(self, failure: Failure) -> float:
        base: float = self.settings.retry_backoff_ms / 1000 * 2 ** (self.attempts - 1)
        jittered = min(base, LONGEST_WAIT) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        return max(jittered, failure.retry_after or 0.0)

    # Ends

    def answered(self, answer: Any, attempt: Attempt) -> Completion:
        """Return what a whole answer has brought, and have it logged."""
        self.collected.add(self.vendor.read(answer))
        self._raw = answer
        return self._completed(attempt)

    def streamed(self, attempt: Attempt) -> Completion:
        """Return the whole of a streamed answer; one that neither says why nor that it ends broke off."""
        self._check_end(attempt)
        return self._completed(attempt)

    def _check_end(self, attempt: Attempt) -> None:
        if self.collected.finish is None and not (attempt.done and self.collected.is_answer):
            if not self.collected.is_answer and self.collected.counts is None:
                raise NotUnderstood
            raise ConnectionResetError("the answer broke off halfway")

    def _completed(self, attempt: Attempt) -> Completion:
        collected, usage = self.collected, self.collected.usage
        spent = self._spent = self.spent("answered", attempt)
        first = self._first_part_at
        refusal = "".join(collected.refusal) or None
        done = Completion(
            text=collected.text,
            provider=self.settings.provider,
            model=self.model,
            finish_reason=collected.finish or "",
            usage=usage,
            cost=spent.cost,
            estimated=spent.estimated,
            latency_ms=self._latency(),
            attempts=self.attempts,
            generation=self.settings.generation,
            adjustments=self.adjustments,
            tool_calls=collected.tool_calls,
            refusal=refusal,
            reasoning="".join(collected.reasoning) or None,
            texts=collected.texts,
            response_id=collected.id,
            response_model=collected.model,
            time_to_first_token_ms=None if first is None else round((first - self._began) * 1000),
            tags=self.request.tags,
            correlation_id=self.request.correlation_id,
            raw=self._raw,
            response_format=self.request.response_format,
        )
        self._put("ok", logged(done.text, done.tool_calls, refusal), usage, None if usage is None else done.cost, None)
        return done

    def embedded(self, answer: Any, attempt: Attempt) -> Embeddings:
        """Return the embeddings in an answer, and have the call logged."""
        found = self.vendor.vectors(answer)
        self.collected.counts = found.counts
        if len(found.vectors) != len(self.request.prompt):
            raise NotUnderstood
        usage = self.collected.usage
        attempt.seen = 0  # numbers are no tokens
        spent = self._spent = self.spent("answered", attempt)
        done = Embeddings(
            vectors=found.vectors,
            provider=self.settings.provider,
            model=self.model,
            usage=usage,
            cost=spent.cost,
            estimated=spent.estimated,
            latency_ms=self._latency(),
            attempts=self.attempts,
            generation=self.settings.generation,
            response_model=found.model,
            tags=self.request.tags,
            correlation_id=self.request.correlation_id,
            raw=answer,
        )
        self._put("ok", None, usage, None if usage is None else done.cost, None)
        return done

    def _price(self, usage: Tokens) -> Decimal | None:
        return None if is_priced_apart(self.sent) else price(self.settings, self.model, usage)

    def _ended(self, error: BaseException) -> None:
        """Log a call that brought nothing, or only a part."""
        came = self.collected.text or None
        if isinstance(error, CallFailed | Invalid):
            error.__context__ = None  # the SDK's error has the request in it, key and all
        if isinstance(error, CallFailed):
            self._put("error", came, self.collected.usage, None, str(error))
        elif isinstance(error, Exception):
            self._put("error", None, None, None, f"{type(error).__name__}: {redaction.scrub(str(error))[:500]}")
        else:  # the caller went away: a closed generator, a cancelled task
            self._put("cancelled", came, self.collected.usage, None, None)

    def _put(
        self,
        status: log_rows.CallStatus,
        response: str | None,
        usage: Tokens | None,
        cost: Decimal | None,
        error: str | None,
    ) -> None:
        if self._is_logged:
            return
        self._is_logged = True
        request = self.request
        prompt: Any = request.prompt if isinstance(request.prompt, str) else request.messages or request.prompt
        is_refused = isinstance(self._searched, PersonalData)
        log_writer.put(
            self.settings,
            log_rows.CallToLog(
                at=self.at,
                user_id=request.user_id,
                model=self.model,
                status=status,
                attempts=self.attempts,
                latency_ms=self._latency(),
                prompt=None if is_refused else prompt,
                parameters={"model": self.model} if is_refused else {"model": self.model, **self.sent},
                response=response,
                token_usage=None if usage is None else usage._asdict(),
                cost=cost,
                error=error,
                operation="chat" if request.messages else "embed",
                tags=request.tags,
                correlation_id=request.correlation_id,
                adjusted=sum(each.is_against_a_choice for each in self.adjustments),
                cost_centre=request.cost_centre,
                personal_data=None if self._guard is None or is_refused else self._guard.counts,
                is_unsearched=self._guard is not None and self._guard.is_unsearched and not is_refused,
            ),
        )


class Trying:
    """One attempt: begun before anything is sent, judged and settled once, whatever ends it."""

    __slots__ = ("_attempt", "_attempted", "_call")

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> Attempt:
        """Begin it; raises BudgetExceeded or RateLimited if there is no room for it, CallFailed if the vendor lets nothing through."""
        for pause in self._call.held_up():
            time.sleep(pause)
        return self._begun(admitting.begin(self._call.priced_by()))

    async def __aenter__(self) -> Attempt:
        """As :meth:`__enter__`, for the running event loop, which goes on meanwhile."""
        for pause in self._call.held_up():
            await asyncio.sleep(pause)
        return self._begun(await admitting.begin_async(self._call.priced_by()))

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """As :meth:`__exit__`."""
        return self.__exit__(kind, error, trace)

    def _begun(self, admitted: Admitted) -> Attempt:
        call = self._call
        attempt = self._attempt = call.attempt()
        attempt.gate = call.gate
        self._attempted = settling.begin(
            call.settings, call.model, call.request.cost_centre, lambda: call.spent("cancelled", attempt)
        )
        self._attempted.hold, self._attempted.permit = admitted
        return attempt

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Settle it; return whether there is to be another one.

        Raises:
            CallFailed, Invalid: As :meth:`Call.go_on` and :meth:`Call.judge`.
        """
        call, attempt = self._call, self._attempt
        if error is None:
            self._attempted.settle(call.spent_in_all(attempt))
        elif not isinstance(error, Exception) or isinstance(error, PersonalData):
            self._attempted.settle()  # the caller went away: a closed generator, a cancelled task; or is given nothing more
        else:
            try:
                failure = call.judge(error, attempt)
            except BaseException:
                self._attempted.forget()
                raise
            if failure.reason == "rate_limit":
                call.gate.close(failure.retry_after)
            if failure.status is not None:
                attempt.seen = 0  # an error's words are no answer
            has_begun = call.collected.is_answer or call.collected.counts is not None
            outcome = settling.outcome_of(failure, was_sent=attempt.was_sent, has_begun=has_begun)
            self._attempted.settle(call.spent(outcome, attempt))
            call.go_on(failure)
            return True
        return False


def _joined(name: str, given: Any, wanted: Any) -> Any:
    """Return what ``response_format`` wants beside what the options have: Anthropic's ``output_config`` is for both."""
    if given is None:
        return wanted
    if isinstance(given, Mapping) and isinstance(wanted, Mapping) and not set(given) & set(wanted):
        return {**given, **wanted}
    raise Invalid({"options": f"has {name}, which response_format stands for"})


def _leaves_out(request: Request, name: str) -> bool:
    """Return whether the options say that *name*, which we would add, is not sent."""
    options = request.options or {}
    return name in options and (options[name] is None or options[name] is sent.OMIT)
