"""How a rate limit stands, in words: what it lets through, how near calls came to that, and what its vendor allows."""

from typing import Final

from core.manage.rate_limits import LastHour, RateLimitNow, VendorSays
from core.store.rate_tables import LlmRateLimit
from core.wording import counted, listed, plain_number
from ui.feedback import plain
from ui.widgets import ago, exact, isolated

_LONGEST: Final = 60
"""Characters of a model that a sentence has."""
_MOST: Final = 3
"""So many lines tell what vendors say."""


def lets_through(row: LlmRateLimit) -> str:
    """Return what a rate limit lets through: ``600 requests and 90,000 tokens a minute, 20 calls at once``."""
    at_once = "" if row.max_concurrent is None else f"{counted(row.max_concurrent, 'call')} at once"
    return ", ".join(filter(None, (_a_minute(row.requests_per_minute, row.tokens_per_minute), at_once)))


def when_full(row: LlmRateLimit) -> str:
    """Return what becomes of a call that finds no room."""
    if row.when_full == "refuse" or not row.max_wait_ms:
        return "refuses when full"
    return f"waits up to {_time(row.max_wait_ms)} when full"


def state(now: RateLimitNow) -> str:
    """Return how a rate limit stands in Markdown: an icon, a word and a colour."""
    if not now.row.is_active:
        return ":gray[:material/pause_circle: Off]"
    if now.hour is not None and now.hour.refused:
        return ":red[:material/block: Refused calls]"
    if now.hour is not None and now.hour.waited:
        return ":orange[:material/hourglass_bottom: Calls waited]"
    return ":green[:material/check_circle: On]"


def share(now: RateLimitNow) -> float:
    """Return how near calls came to a rate limit, from 0 to 1: of its figures that of the one which was nearest."""
    hour, row = now.hour, now.row
    if hour is None:
        return 0.0
    pairs = (
        (hour.peak_requests, row.requests_per_minute),
        (hour.peak_tokens, row.tokens_per_minute),
        (hour.peak_places, row.max_concurrent),
    )
    return min(max(peak / most for peak, most in pairs if most is not None), 1.0)


def lately(now: RateLimitNow) -> str:
    """Return what counted in the hour that is now and the one before, against what is let through."""
    hour, row = now.hour, now.row
    if hour is None:
        return "Nothing counted in this hour and the last"
    requests = _of(hour.peak_requests, row.requests_per_minute, "request")
    tokens = _of(hour.peak_tokens, row.tokens_per_minute, "token")
    places = _of(hour.peak_places, row.max_concurrent, "call")
    return (
        f"In this hour and the last at most {requests} and {tokens} in a minute, {places} at once ({now.in_use:,} now); "
        f"{_turned(hour)}"
    )


def vendor(now: RateLimitNow) -> str:
    """Return in Markdown what the vendor allows, and whether that is less; empty where it said nothing, or none is named."""
    if not now.vendor:
        return ""
    above = now.above
    said = above or now.vendor[0]
    lines = []
    if allows := _a_minute(said.requests, said.tokens):
        words = f"{said.provider} allows {allows} for {_model(said)}, it said {ago(said.heard_at)}"
        if above is not None:
            lines.append(f":orange[:material/warning: {plain(f'Above what the vendor allows: {words}')}]")
        else:
            lines.append(f":gray[:small[:material/cloud: {plain(words)}]]")
    lines += [_closed(each) for each in now.vendor if each.closed_until is not None]
    return "  \n".join(lines[:_MOST])


def _closed(said: VendorSays) -> str:
    words = f"{said.provider} lets nothing through for {_model(said)} until {exact(said.closed_until)}"
    return f":red[:material/cloud_off: {plain(words)}]"


def _model(said: VendorSays) -> str:
    return isolated(said.model if len(said.model) <= _LONGEST else f"{said.model[: _LONGEST - 1]}…")


def _a_minute(requests: int | None, tokens: int | None) -> str:
    pairs = ((requests, "request"), (tokens, "token"))
    figures = listed([counted(number, noun) for number, noun in pairs if number is not None])
    return f"{figures} a minute" if figures else ""


def _of(peak: int, most: int | None, noun: str) -> str:
    return counted(peak, noun) if most is None else f"{peak:,} of {counted(most, noun)}"


def _turned(hour: LastHour) -> str:
    waited = f"{counted(hour.waited, 'call')} waited"
    if hour.waited:
        waited += f" ({_time(hour.waited_ms // hour.waited)} in the mean)"
    return f"{waited}, {hour.refused:,} refused"


def _time(milliseconds: int) -> str:
    return f"{milliseconds:,} ms" if milliseconds < 1000 else f"{plain_number(round(milliseconds / 1000, 2))} s"  # noqa: PLR2004 - a second
