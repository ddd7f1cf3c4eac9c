"""What went wrong with an attempt: one verdict for every error, by what the adapter, the transport and the answer show.

An adapter judges its own SDK's errors by their classes; what is common to all stands here: certificates, time limits, lost
connections, and answers that nobody understands, which may have an error of the vendor's in them.
"""

import email.utils
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from ..errors import Reason
from ..redaction import on_one_line

RETRYABLE: Final = frozenset({408, 409, 429})
"""Statuses below 500 that may pass by themselves; of 500 and above all may."""
STATUS_OF: Final[Mapping[str, int]] = {
    # https://platform.claude.com/docs/en/api/errors; OpenAI's have the same names, or none of these
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
}
"""What an error within a 200 is called -> the status that it would have had otherwise. Others are the vendor's fault."""
SPENT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "insufficient_credits"})
"""Codes of a 429 that no wait mends: https://developers.openai.com/api/docs/guides/error-codes."""
_LONGEST_PARAM: Final = 64
WORDS: Final = 500
"""Characters of a vendor's own words."""
LONGEST_RETRY_AFTER: Final = 86_400.0
"""Seconds: a vendor's wait counts as a day at most."""


OWN_AUTHORITY: Final = (
    ". For certificates of an authority of one's own, name its file in SSL_CERT_FILE, or a folder in SSL_CERT_DIR"
)


class Failure(NamedTuple):
    """What went wrong with one attempt."""

    reason: Reason
    status: int | None
    """Of HTTP; None without an answer."""
    words: str
    """The vendor's own, or the network's; scrubbed."""
    retryable: bool
    retry_after: float | None = None
    """Seconds that the vendor asks to wait."""


class NotUnderstood(Exception):
    """An answer that is not of the vendor's API."""


class Judge(Protocol):
    """Who knows an SDK's errors: an adapter."""

    def failure(self, error: BaseException) -> Failure | None:
        """Return what an error of this SDK means; None for one that is not the SDK's."""


def judge(vendor: Judge, error: BaseException, *, outside: BaseException | None = None, body: bytes = b"") -> Failure:
    """Return what *error*, raised by an SDK or by an adapter's reading of an answer, means.

    Args:
        vendor: The adapter that was in use.
        error: What was raised.
        outside: What the caller was handling when the call began: Python chains it to whatever is raised within.
        body: The beginning of the answer, where there was one.
    """
    import httpx2  # noqa: PLC0415 - of the extra, which is there when something was sent

    from .dial import Unacceptable  # noqa: PLC0415 - as above

    chain = list(causes(error, outside))
    for one in chain:
        if isinstance(one, Unacceptable):
            return Failure("unacceptable", None, str(one), retryable=False)
    known = vendor.failure(error)
    if known is not None and known.reason != "connection":
        return known
    for one in chain:
        if (found := _of_the_way(one, chain)) is not None:
            return found
    if any(isinstance(one, TimeoutError | httpx2.TimeoutException) for one in chain):
        return TIMEOUT
    if known is not None or any(isinstance(one, ConnectionError | httpx2.TransportError) for one in chain):
        words = line(str(chain[-1])) or "the connection was lost"
        return Failure("connection", None, words, retryable=True)
    return _not_understood(error, body)


def _of_the_way(one: BaseException, chain: list[BaseException]) -> Failure | None:
    """Return what went wrong before the vendor was reached: with its certificate, or with a proxy; else None."""
    import httpx2  # noqa: PLC0415 - of the extra, which is there when something was sent

    from .proxies import passes  # noqa: PLC0415 - as above

    if isinstance(one, ssl.SSLError):
        words = getattr(one, "verify_message", "") or line(str(chain[-1]))
        unverified = isinstance(one, ssl.SSLCertVerificationError)
        cure = OWN_AUTHORITY if unverified else ""
        return Failure("tls", None, f"TLS: {words}{cure}", retryable=not unverified)
    if isinstance(one, httpx2.ProxyError):
        return Failure("connection", None, line(str(one)), retryable=passes(one))
    return None


TIMEOUT: Final = Failure("timeout", None, "no whole answer within the timeout", retryable=True)


def answered(status: int | None, body: object, headers: Mapping[str, str] | None = None, phrase: str = "") -> Failure:
    """Return what an answer with an error means.

    Args:
        status: Of HTTP; below 400, or None, where the error stands in an answer that began well.
        body: The answer's JSON, or its text.
        headers: The answer's.
        phrase: HTTP's own words, for an answer that has none.
    """
    headers = headers or {}
    if status is not None and 300 <= status < 400:  # noqa: PLR2004 - a redirect
        return Failure("refused", status, "answers with a redirect, which is not followed", retryable=False)
    shown = status if status is not None and status >= 400 else None  # noqa: PLR2004 - of HTTP
    counts = shown or _status_within(body)
    reasons: dict[int, Reason] = {401: "key", 403: "key", 404: "model", 408: "timeout", 429: "rate_limit"}
    retryable = counts in RETRYABLE or counts >= 500  # noqa: PLR2004 - the vendor's fault
    reason = reasons.get(counts, "busy" if retryable else "refused")
    if SPENT.intersection(_names(body)):
        reason, retryable = "quota", False
    # both OpenAI's and Anthropic's SDKs mind this header before any status: openai/_base_client.py, _should_retry
    retryable = {"true": True, "false": False}.get(headers.get("x-should-retry", ""), retryable)
    words = _words(body) or phrase
    return Failure(reason, shown, line(words), retryable=retryable, retry_after=_retry_after(headers, body))


def line(text: str) -> str:
    """Return *text* as one line for people, scrubbed, of at most :data:`WORDS` characters."""
    clean = on_one_line(text, WORDS + 1)
    return clean if len(clean) <= WORDS else f"{clean[:WORDS]}…"


def causes(error: BaseException, outside: BaseException | None = None) -> Iterator[BaseException]:
    """Yield *error* and what led to it, down to *outside*; each once, even where they lead to each other."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and one is not outside and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _not_understood(error: BaseException, body: bytes) -> Failure:
    """Return what an answer means that could not be read: some vendors put an error into a 200."""
    try:
        read: object = json.loads(body)
    except (ValueError, RecursionError):
        read = None
    if isinstance(read, Mapping) and isinstance(read.get("error"), Mapping | str):
        return answered(None, read)
    begins = line(body.decode("utf-8", "replace"))[:200]
    shown = f": it begins with {begins}" if begins else f" ({type(error).__name__})"
    return Failure("not_understood", None, f"the answer is not what the vendor's API describes{shown}", retryable=False)


def _inner(body: object) -> object:
    return body.get("error", body) if isinstance(body, Mapping) else body


def _names(body: object) -> list[str]:
    inner = _inner(body)
    named = [inner.get(name) for name in ("type", "code", "status")] if isinstance(inner, Mapping) else []
    return [name for name in named if isinstance(name, str)]


def _status_within(body: object) -> int:
    """Return the status that an error within a 200 would have had."""
    inner = _inner(body)
    code = inner.get("code") if isinstance(inner, Mapping) else None
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isascii() and code.isdigit()) else 0
    if 400 <= number < 600:  # noqa: PLR2004 - of HTTP
        return number
    return next((STATUS_OF[name] for name in _names(body) if name in STATUS_OF), 500)


def _words(body: object) -> str:
    """Return the message in the vendor's answer, with the parameter that it is about; or else the answer."""
    inner = _inner(body)
    message = inner.get("message") if isinstance(inner, Mapping) else inner
    if isinstance(message, str) and message.strip():
        param = inner.get("param") if isinstance(inner, Mapping) else None
        named = isinstance(param, str) and 0 < len(param) <= _LONGEST_PARAM and param not in message
        return f"{message} ({param})" if named else message
    return json.dumps(body, default=str) if body else ""


def _retry_after(headers: Mapping[str, str], body: object) -> float | None:
    """Return the wait that an answer asks for: RFC 9110 §10.2.3; OpenAI's in ms; google.rpc.RetryInfo in the body."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (wait := _seconds(headers.get(name, ""), unit)) is not None:
            return wait
    try:
        at = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, min(at.timestamp() - time.time(), LONGEST_RETRY_AFTER))
    except (TypeError, ValueError):
        pass
    inner = _inner(body)
    details = inner.get("details") if isinstance(inner, Mapping) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay", "") if isinstance(detail, Mapping) else ""
        if (wait := _seconds(str(delay).removesuffix("s"))) is not None:
            return wait
    return None


def _seconds(text: str, unit: float = 1.0) -> float | None:
    try:
        wait = float(text) * unit
    except ValueError:
        return None
    return None if wait != wait else max(0.0, min(wait, LONGEST_RETRY_AFTER))  # noqa: PLR0124 - NaN
