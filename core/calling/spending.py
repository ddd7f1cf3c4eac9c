"""A call by one's own SDK client, counted as those of :mod:`core.ai` are: room in its budgets and rate limits before it is sent, settled once."""

import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Self

from ..errors import Invalid
from ..resolving.effective import EffectiveSettings
from . import admitting, budgeting, settling
from .admitting import Admitted
from .answers import Collected
from .failures import causes
from .pricing import is_priced_apart, price
from .request import TAG, is_short
from .settling import CAPS, LARGEST, AttemptCost, AttemptOutcome
from .usages import counts_in
from .vendors import Tokens, count_of, look

_NOT_SENT: Final = frozenset(
    {
        *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError"),
        *("ClientConnectorError", "ConnectionTimeoutError", "NewConnectionError", "NameResolutionError"),
    }
)
"""How the HTTP libraries of the SDKs call it that nothing has reached the vendor."""
_LOST: Final = (
    "ReadError",
    "WriteError",
    "CloseError",
    "RemoteProtocolError",
    "APIConnectionError",
    "ServerDisconnectedError",
)
"""How they call a connection that was lost on the way."""


class Spending:
    """A block in which one's own client makes one call; see :func:`core.ai.spending`."""

    def __init__(
        self,
        settings: EffectiveSettings,
        messages: object,
        *,
        max_tokens: int | None = None,
        model: str | None = None,
        options: Mapping[str, Any] | None = None,
        cost_centre: str | None = None,
        embeds: bool = False,
    ) -> None:
        if cost_centre is not None and not is_short(cost_centre):
            raise Invalid({"cost_centre": f"must be a text of 1 to {TAG} characters that can be printed"})
        if max_tokens is not None and not count_of(max_tokens):
            raise Invalid({"max_tokens": "must be a whole number from 1 on"})
        self.settings, self.cost_centre = settings, cost_centre or ""
        self.model = model or settings.model or ""
        self.usage: Tokens | None = None
        """What was used, once it is settled: as the vendor counted, or estimated."""
        self.cost: Decimal | None = None
        """US dollars, once it is settled; None: not yet, or the price is not known."""
        self.estimated = False
        """Whether a part of it is computed from lengths."""
        self._content: Sequence[Any] = messages if isinstance(messages, list | tuple) else [messages]
        self._embeds = embeds
        self._sent = dict(options or {}) if embeds else settings.adapted({}, options, model=model).sent
        if max_tokens is not None:
            self._sent = {name: value for name, value in self._sent.items() if name not in CAPS}
            self._sent["max_tokens"] = max_tokens
        self._collected = Collected()
        self._attempted: settling.Attempted | None = None
        self._outside: BaseException | None = None

    def __enter__(self) -> Self:
        """Hold what it may cost at most, and take its room; raises BudgetExceeded or RateLimited if there is none."""
        return self._begun(admitting.begin(self._priced()))

    async def __aenter__(self) -> Self:
        """As :meth:`__enter__`, for the running event loop, which goes on meanwhile."""
        return self._begun(await admitting.begin_async(self._priced()))

    def came(self, text: str) -> None:
        """Note a part of the answer: one that ends before the vendor has counted is estimated by it."""
        self._collected.since_counted += len(text.encode("utf-8", "replace"))

    def settle(
        self,
        usage: object = None,
        *,
        input: int | None = None,  # noqa: A002 - the vendors' word, and Tokens'
        output: int | None = None,
        cost: Decimal | None = None,
    ) -> None:
        """Say what the vendor has counted. The first time counts; never raises for what stands in *usage*.

        Args:
            usage: Of the SDK's answer, or the answer itself: OpenAI's, Anthropic's, Google's, or a mapping with their names
                or with ``input``, ``output``, ``cache_read``, ``cache_write``. None: the vendor has not counted, so it is
                estimated.
            input: Tokens of all that was sent, in place of *usage*; with *output*.
            output: Tokens of the answer.
            cost: US dollars, where the vendor says so itself. Default: by list prices.

        Raises:
            Invalid: If the block has not begun, or *cost* is less than 0.
        """
        if self._attempted is None:
            raise Invalid({"spending": "is a block: with spending(…) as call"})
        if cost is not None and not cost >= 0:
            raise Invalid({"cost": "must be US dollars from 0 on"})
        given = {"input": input, "output": output} if usage is None and input is not None else usage
        self._collected.counts = counts_in(given) or self._collected.counts
        self._settle("answered", at_most=True, cost=cost)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Settle what is not settled yet: as estimated, or for nothing where nothing can have been spent."""
        if error is None:
            self._settle("answered", at_most=True)
            return
        outcome = outcome_of(error, self._outside)
        self._settle(outcome or "broken_off", at_most=outcome is None)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """As :meth:`__exit__`."""
        self.__exit__(kind, error, trace)

    def _priced(self) -> budgeting.Priced:
        if self._attempted is not None:
            raise Invalid({"spending": "is one call: make another one for the next"})
        left = self.settings.request_timeout_ms / 1000
        return budgeting.Priced(self.settings, self.model, self._content, self._sent, left, writes=not self._embeds)

    def _begun(self, admitted: Admitted) -> Self:
        self._attempted = settling.begin(
            self.settings, self.model, self.cost_centre, lambda: self._spent("cancelled", at_most=False)
        )
        self._attempted.hold, self._attempted.permit = admitted
        self._outside = sys.exception()
        return self

    def _settle(self, outcome: AttemptOutcome, *, at_most: bool, cost: Decimal | None = None) -> None:
        if self._attempted is None or self.usage is not None:
            return
        spent = self._spent(outcome, at_most=at_most)
        if cost is not None:
            spent = spent._replace(cost=cost, estimated=False)
        self.usage, self.cost, self.estimated = spent.usage, spent.cost, spent.estimated
        self._attempted.settle(spent)

    def _spent(self, outcome: AttemptOutcome, *, at_most: bool) -> AttemptCost:
        """Return what it has cost, if it ends so now; *at_most*: of an answer of which nobody knows how long it is, its cap."""
        if outcome in {"refused", "failed"}:
            return AttemptCost(outcome, settling.NOTHING, Decimal(0))
        body = LARGEST * settling.BYTES_A_TOKEN if at_most and not self._embeds else 0
        is_whole = outcome == "answered"
        used, estimated = settling.used(self._collected, self._content, self._sent, body, is_whole=is_whole)
        known = None if is_priced_apart(self._sent) else price(self.settings, self.model, used)
        return AttemptCost(outcome, used, known, estimated)


def outcome_of(error: BaseException, outside: BaseException | None = None) -> AttemptOutcome | None:
    """Return how a call ended that *error* left, whatever SDK raised it; None: nobody knows whether it was sent.

    Args:
        error: What was raised.
        outside: What the caller was handling when the call began: Python chains it to whatever is raised within.
    """
    if not isinstance(error, Exception):
        return "cancelled"
    chain = list(causes(error, outside))
    names = {each.__name__ for one in chain for each in type(one).__mro__}
    found = [status for one in chain for status in _statuses(one)]
    unreached = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
    if found:
        is_late = found[0] in settling.OF_A_GATEWAY
        return "timed_out" if is_late else "refused" if found[0] >= 300 else "broken_off"  # noqa: PLR2004 - of HTTP
    if names & _NOT_SENT or any(isinstance(one, unreached) for one in chain):
        return "failed"
    if any("Timeout" in name for name in names):
        return "timed_out"
    is_lost = not names.isdisjoint(_LOST) or any(isinstance(one, ConnectionError) for one in chain)
    return "broken_off" if is_lost else None


def _statuses(error: BaseException) -> Iterator[int]:
    """Yield the status of HTTP in an error, wherever its library has it."""
    for path in (("status_code",), ("response", "status_code"), ("code",), ("status",)):
        status = look(error, *path)
        if isinstance(status, int) and 200 <= status < 600:  # noqa: PLR2004 - of HTTP
            yield status
