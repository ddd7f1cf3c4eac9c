"""What an attempt has cost, settled once, however it ends: the one place at which money is counted.

``begin`` before anything is sent; ``settle`` in the ``finally`` of the attempt. What ends with the process, or is left open by a
generator that nobody closes, is settled as given up before the process tells for the last time.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from ..resolving.effective import EffectiveSettings
from . import leases, rates, teller
from .answers import Collected
from .failures import Failure
from .holds import Hold
from .rate_queue import Permit
from .vendors import LARGEST_COUNT, Tokens, count_of

AttemptOutcome = Literal["answered", "broken_off", "cancelled", "failed", "refused", "timed_out"]
"""``failed``: nothing reached the vendor. ``refused``: it answered with an error. ``cancelled``: the caller went away."""

BYTES_A_TOKEN: Final = 3
"""Of text whose tokens nobody has counted: between English (5.2) and rare scripts (1.0)."""
A_FILE: Final = 1600
"""Tokens that a picture or another file of a message is taken for: its bytes say nothing of them."""
SAID: Final = frozenset({"busy", "key", "model", "not_understood", "quota", "rate_limit", "refused"})
"""Reasons that the vendor's own answer gave."""
OF_A_GATEWAY: Final = frozenset({504, 524})
"""Statuses of who stands between: what the vendor makes of the request goes on, and is charged."""
CAPS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How vendors call the most tokens of an answer."""
LARGEST: Final = 32_768
"""Tokens of an answer of which only bytes are known, where no cap was sent."""
NOTHING: Final = Tokens(0, 0)

_log = logging.getLogger(__name__)


class AttemptCost(NamedTuple):
    """What an attempt has cost."""

    outcome: AttemptOutcome
    usage: Tokens
    """As the vendor counted, or as it is estimated; zeros where nothing was spent."""
    cost: Decimal | None
    """US dollars; None: the price is not known."""
    estimated: bool = False
    """Whether a part of *usage* is computed from lengths."""


class Attempted:
    """An attempt under way, to be settled once.

    Args:
        settings: Of the call.
        model: As it is called.
        cost_centre: Of the call; empty: none.
        so_far: What it has cost if it ends now.
    """

    __slots__ = ("_at", "_holder", "_of", "_so_far", "hold", "permit")

    def __init__(
        self, settings: EffectiveSettings, model: str, cost_centre: str, so_far: Callable[[], AttemptCost]
    ) -> None:
        self._at, self._holder, self._so_far = time.monotonic(), teller.teller.holder, so_far
        self._of = (settings, model, cost_centre)
        self.hold: Hold | None = None
        """What it holds of budgets."""
        self.permit: Permit | None = None
        """What it has of rate limits."""

    def settle(self, spent: AttemptCost | None = None) -> None:
        """Count what was spent: the first time alone, and in the process that began. Never raises, waits for nothing."""
        if _open.pop(id(self), None) is None or self._holder is not teller.teller.holder:
            return
        if spent is None:
            spent = self._given_up()
        self._give_back(spent.cost, spent.usage, estimated=spent.estimated)
        settings, model, cost_centre = self._of
        if not settings.generation:  # of no store: a test's
            return
        teller.teller.put(teller.Settled(_of(settings, model, spent.outcome, cost_centre), self._at, *_sum(spent)))

    def forget(self) -> None:
        """Count nothing: no request could be made."""
        _open.pop(id(self), None)
        self._give_back(Decimal(0), None)

    def _give_back(self, cost: Decimal | None, usage: Tokens | None, *, estimated: bool = False) -> None:
        """Put the cost in the place of what is held of budgets (None: nobody knows it), and end what is had of rate limits."""
        if self.permit is not None:
            rates.rates.end(self.permit, None if usage is None else usage.input + usage.output)
        if self.hold is not None:
            leases.leases.settle(self.hold, cost or Decimal(0), estimated=estimated, unpriced=cost is None)

    def _given_up(self) -> AttemptCost:
        try:
            return self._so_far()
        except Exception as error:  # noqa: BLE001 - the caller went away, and what it sent may be anything
            _log.warning("What a call that was given up has cost cannot be computed (%s).", type(error).__name__)
            return AttemptCost("cancelled", NOTHING, None)


_open: dict[int, Attempted] = {}
"""What is under way."""


def begin(settings: EffectiveSettings, model: str, cost_centre: str, so_far: Callable[[], AttemptCost]) -> Attempted:
    """Return an attempt that is about to be sent."""
    if settings.generation:
        teller.teller.begin()
    attempted = Attempted(settings, model, cost_centre, so_far)
    _open[id(attempted)] = attempted
    return attempted


def settle_recorded(
    settings: EffectiveSettings, model: str, cost_centre: str, spent: AttemptCost, *, at: float, attempts: int
) -> None:
    """Count a call that somebody else has made, *at* by the monotonic clock."""
    if settings.generation and attempts:
        teller.teller.begin()
        of = _of(settings, model, spent.outcome, cost_centre)
        teller.teller.put(teller.Settled(of, at, *_sum(spent), calls=attempts))


def _of(settings: EffectiveSettings, model: str, outcome: AttemptOutcome, cost_centre: str) -> teller.Of:
    return teller.Of(
        settings.organization_id or 0,
        teller.named(settings.feature),
        teller.named(settings.provider),
        teller.named(model),
        outcome,
        cost_centre,
    )


def _sum(spent: AttemptCost) -> tuple[int, int, Decimal | None, bool]:
    return spent.usage.input, spent.usage.output, spent.cost, spent.estimated


def outcome_of(failure: Failure, *, was_sent: bool, has_begun: bool) -> AttemptOutcome:
    """Return how an attempt ended.

    Args:
        failure: What went wrong.
        was_sent: Whether bytes of the request went out.
        has_begun: Whether a part of an answer has come.
    """
    if failure.status is not None and failure.status not in OF_A_GATEWAY:
        return "refused"
    if not was_sent:
        return "failed"
    if failure.status is not None or failure.reason == "timeout":
        return "timed_out"
    if failure.reason in SAID and failure.reason != "not_understood" and not has_begun:
        return "refused"
    return "broken_off"


def used(
    collected: Collected, content: Any, sent: Mapping[str, Any], body: int, *, is_whole: bool
) -> tuple[Tokens, bool]:
    """Return what an attempt has used that the vendor was sent, and whether that is estimated.

    What it told counts; what came since is estimated, and so is the input that it did not tell.

    Args:
        collected: What came.
        content: Messages, or texts to embed.
        sent: Parameters.
        body: Bytes that came, where they were no stream.
        is_whole: Whether the answer came to its end.
    """
    told, counts = collected.usage, collected.counts
    is_last = collected.finish is not None and not collected.since_counted
    if told is not None and (is_whole or is_last):
        return told, False
    given = count_of(counts.input) if counts is not None else None
    made = count_of(counts.output) if counts is not None else None
    cached = (count_of(counts.cache_read) or 0, count_of(counts.cache_write) or 0) if counts is not None else (0, 0)
    came = -(-collected.since_counted // BYTES_A_TOKEN)
    if not came and made is None:
        caps = [cap for name in CAPS if (cap := count_of(sent.get(name)))]
        came = min(-(-body // BYTES_A_TOKEN), *caps, LARGEST)
    if not given:
        given = tokens_of(content) + sum(tokens_of(sent[name]) for name in ("tools", "functions") if name in sent)
    return Tokens(min(given, LARGEST_COUNT), min((made or 0) + came, LARGEST_COUNT), *cached), True


def tokens_of(content: Any) -> int:
    """Return about how many tokens messages, texts or tools are: a third of their bytes, and so many for each file."""
    size, files = measured(content)
    return -(-size // BYTES_A_TOKEN) + files * A_FILE


def measured(content: Any) -> tuple[int, int]:
    """Return bytes of text, and the number of files, at any depth."""
    size = files = 0
    left = [content]
    while left:
        one = left.pop()
        if isinstance(one, str):
            if one.startswith("data:") and ";base64," in one[:200]:
                files += 1
            else:
                size += len(one.encode("utf-8", "replace"))
        elif isinstance(one, int | float):
            size += len(repr(one))
        elif isinstance(one, bytes) or (isinstance(one, dict | Mapping) and _is_file(one)):
            files += 1
        elif isinstance(one, dict | Mapping):
            left += one.values()
        elif isinstance(one, list | tuple):
            left += one
        elif (dump := getattr(one, "model_dump", None)) is not None:
            left.append(dump(mode="json", exclude_none=True))
        elif one is not None:
            size += len(json.dumps(one, default=str))
    return size, files


_FILES: Final = ("image", "audio", "video", "document", "file", "media")


def _is_file(part: Mapping[Any, Any]) -> bool:
    """Return whether a part of a message is a file, whatever the vendor calls it."""
    if "inline_data" in part or "inlineData" in part or "file_data" in part or "fileData" in part:
        return True
    kind = part.get("type")
    if not isinstance(kind, str):
        return False
    has_bytes = part.get("source") is not None or any(part.get(f"{name}_url") for name in _FILES)
    return (has_bytes or "data" in part or "file" in part) and any(n in kind for n in _FILES)


def settle_open() -> None:
    """Settle what is under way as given up: the process ends."""
    for attempted in list(_open.values()):
        attempted.settle()
    leases.leases.flush()
    rates.rates.flush()


teller.before_the_end(settle_open)
