"""What an error means: by classes, chains and answers, each bound at its edge."""

import ssl
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from core.calling import failures
from core.calling.adapters import ADAPTERS, adapter_of
from core.calling.dial import Unacceptable
from core.calling.failures import Failure, answered, causes, judge, line
from core.errors import UnknownKind

OPENAI = ADAPTERS["openai"]


class Odd(Exception):
    """An error of nobody's."""


def test_an_adapter_of_every_kind_and_of_no_other() -> None:
    """A kind that this version does not know, or none, is an error that says what to do."""
    assert adapter_of("google") is ADAPTERS["google"]
    for kind in ("of-tomorrow", None, ""):
        with pytest.raises(UnknownKind, match="upgrade llm-settings in this service"):
            adapter_of(kind)


def test_words_are_cut() -> None:
    """A vendor's words have an end, also in the whole failure."""
    assert line("x" * failures.WORDS) == "x" * failures.WORDS
    assert line("x" * (failures.WORDS + 1)) == "x" * failures.WORDS + "…"
    assert len(answered(400, {"error": {"message": "x" * 2000}}).words) == failures.WORDS + 1
    assert line("a\n  b\tc") == "a b c"


@pytest.mark.parametrize(
    ("message", "param", "words"),
    [
        ("Invalid value: 'none'.", "reasoning_effort", "Invalid value: 'none'. (reasoning_effort)"),
        ("Unsupported parameter: 'temperature'.", "temperature", "Unsupported parameter: 'temperature'."),
        ("It failed.", None, "It failed."),
        ("It failed.", ["x"], "It failed."),
        ("It failed.", "x" * 65, "It failed."),
    ],
)
def test_the_parameter_that_is_meant_is_named(message: str, param: Any, words: str) -> None:
    """Some vendors say it beside the message alone."""
    assert answered(400, {"error": {"message": message, "param": param}}).words == words


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "86400"}, None, 86_400),
        ({"retry-after": "86401"}, None, 86_400),
        ({"retry-after-ms": "1e12"}, None, 86_400),
        ({"retry-after-ms": "1500"}, None, 1.5),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": "-1"}, None, 0),
        ({"retry-after": formatdate(4e9, usegmt=True)}, None, 86_400),
        ({"retry-after": formatdate(1e9, usegmt=True)}, None, 0),
        ({"retry-after": "soon"}, None, None),
        ({}, {"error": {"details": [{"retryDelay": "90000s"}]}}, 86_400),
        ({}, {"error": {"details": [{"x": 1}, {"retryDelay": "3s"}]}}, 3),
        ({}, {"error": {"details": "none"}}, None),
        ({}, [1], None),
    ],
)
def test_a_wait_is_a_day_at_most(headers: dict[str, str], body: object, wait: float | None) -> None:
    """Whatever the vendor asks for, in seconds, milliseconds, as a date, or as Google does."""
    assert answered(429, body, headers).retry_after == wait


def test_causes_that_lead_to_each_other() -> None:
    """Each is looked at once; what the caller was handling, and what led to that, is no cause."""
    one, two = Odd("one"), Odd("two")
    one.__cause__, two.__cause__ = two, one
    assert list(causes(one)) == [one, two]
    assert list(causes(one, two)) == [one]
    assert judge(OPENAI, one).reason == "not_understood"


def chained(*errors: BaseException) -> BaseException:
    """The first error, caused by the second, and so on."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


CERTIFICATE = ssl.SSLCertVerificationError(1, "self-signed")


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (chained(Odd(), Unacceptable("too large")), "unacceptable", False),
        (chained(Odd(), httpx2.ConnectError("x"), CERTIFICATE), "tls", False),
        (chained(Odd(), httpx2.ConnectError("x"), ssl.SSLError(1, "eof")), "tls", True),
        (chained(Odd(), httpx2.ReadTimeout("x")), "timeout", True),
        (chained(Odd(), TimeoutError()), "timeout", True),
        (httpx2.ReadError("x"), "connection", True),
        (ConnectionResetError("x"), "connection", True),
        (FileNotFoundError(2, "no such file"), "not_understood", False),
        (PermissionError(13, "denied"), "not_understood", False),
        (KeyError("choices"), "not_understood", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_errors_of_the_way(kind: str, error: BaseException, reason: str, retryable: bool) -> None:
    """By their classes, for every kind; a file that an SDK does not find is no connection."""
    found = judge(ADAPTERS[kind], error)

    assert (found.reason, found.retryable, found.status) == (reason, retryable, None)
    assert (failures.OWN_AUTHORITY in found.words) == (reason == "tls" and not retryable)


EXPIRED = ssl.SSLCertVerificationError(1, "[SSL] certificate verify failed (_ssl.c:1000)")
EXPIRED.verify_message = "certificate has expired"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            chained(Odd("odd"), httpx2.ConnectError("x"), EXPIRED),
            f"TLS: certificate has expired{failures.OWN_AUTHORITY}",
        ),
        (chained(Odd("odd"), ssl.SSLError(1, "first"), OSError("last")), "TLS: last"),
        (chained(Odd("odd"), httpx2.ReadError("first"), ConnectionResetError("last")), "last"),
        (chained(Odd("odd"), httpx2.ReadError("first"), ConnectionResetError()), "the connection was lost"),
        (chained(httpx2.ProxyError("the proxy answers 502"), OSError("last")), "the proxy answers 502"),
        (chained(Odd("odd"), Unacceptable("too large"), TimeoutError()), "too large"),
    ],
    ids=range(6),
)
def test_words_of_the_way(error: BaseException, words: str) -> None:
    """Those of whoever knows best: what refused a certificate, the proxy, else the last cause."""
    assert judge(OPENAI, error).words == words


@pytest.mark.parametrize(("words", "again"), [("answers 502 Bad Gateway", True), ("(403 Forbidden)", False)])
def test_what_a_proxy_says_decides_on_another_attempt(words: str, *, again: bool) -> None:
    """It is no timeout and no answer of the vendor's, whatever it was caused by."""
    found = judge(OPENAI, chained(httpx2.ProxyError(words), TimeoutError()))

    assert (found.reason, found.status, found.retryable) == ("connection", None, again)


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (b'{"error": {"code": 429, "message": "slow down"}}', "rate_limit", "slow down"),
        (b'{"error": "upstream is gone"}', "busy", "upstream is gone"),
        (b'{"error": null}', "not_understood", 'describes: it begins with {"error": null}'),
        (b'{"error": [1]}', "not_understood", 'describes: it begins with {"error": [1]}'),
        (b'["error"]', "not_understood", 'describes: it begins with ["error"]'),
        (b"", "not_understood", "describes (Odd)"),
        (b"<html>\n\xff" + b"y" * 1000, "not_understood", f"it begins with <html> \ufffd{'y' * 192}"),
        (b"[" * 100_000, "not_understood", f"it begins with {'[' * 200}"),
    ],
    ids=range(8),
)
def test_an_answer_that_nobody_understands(body: bytes, reason: str, words: str) -> None:
    """The vendor's own error, where one is in it, else how it begins; what cannot be read is not asked for again."""
    found = judge(OPENAI, Odd("secret"), body=body)

    assert found.reason == reason
    assert found.words.endswith(words)
    assert found.status is None
    assert found.retryable is (reason != "not_understood")


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        *((299, "busy", True), (300, "refused", False), (399, "refused", False), (400, "refused", False)),
        *((499, "refused", False), (500, "busy", True), (408, "timeout", True), (409, "busy", True)),
        *((401, "key", False), (402, "refused", False), (403, "key", False), (404, "model", False)),
        *((405, "refused", False), (407, "refused", False), (428, "refused", False), (429, "rate_limit", True)),
        *((430, "refused", False), (410, "refused", False)),
    ],
)
def test_statuses(status: int, reason: str, retryable: bool) -> None:
    """At their edges."""
    found = answered(status, {"error": {"message": "m"}})

    assert (found.reason, found.retryable) == (reason, retryable)
    assert found.status == (status if status >= 300 else None)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (399, "busy"),
        (400, "refused"),
        (599, "busy"),
        (600, "busy"),
        ("404", "model"),
        ("4x4", "busy"),
        ("²", "busy"),
        (None, "busy"),
    ],
)
def test_codes_within_an_answer(code: object, reason: str) -> None:
    """A code that is no status of an error says nothing."""
    assert answered(200, {"error": {"message": "m", "code": code}}).reason == reason


def test_bodies_that_are_nothing() -> None:
    """Whatever comes, there is a failure with words."""
    for body in (None, "", [], {}, 7, "text", {"error": None}, {"error": []}, {"error": {"message": ""}}):
        assert isinstance(answered(500, body, None, "Internal Server Error"), Failure)
    assert answered(500, None, None, "Internal Server Error").words == "Internal Server Error"
    assert answered(500, "text").words == "text"
