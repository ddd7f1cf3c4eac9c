"""One webhook: signed as the specification has it, to a host that is allowed, within its time, whatever the receiver does."""

import email.utils
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.calling import lookup, webhook
from core.calling.webhook import Sent
from core.errors import Invalid
from tests.receivers import DRIP, ENDLESS, GZIP, HANG, HUGE, RESET, Receiver, is_signed
from tests.vendors import make_certificate

HERE = ("127.0.0.1",)
BODY = b'{"type":"settings.changed"}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with Receiver() as found:
        yield found


def send(url: str, *secrets: str, allowed: tuple[str, ...] = HERE) -> Sent:
    keys = secrets or (webhook.new_secret(),)
    return webhook.send(url, keys, "msg_1", int(time.time()), BODY, private_hosts=allowed)


def test_the_specifications_own_vector() -> None:
    """What the libraries of Standard Webhooks have as their test of signing: the same secret, message and signature."""
    found = webhook.sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
    )

    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_message_as_it_comes(receiver: Receiver) -> None:
    """The body byte by byte, its type, and a signature for each secret: whoever has one of the two verifies it, nobody else."""
    old, new, other = (webhook.new_secret() for _ in range(3))

    assert send(receiver.url, new, old) == Sent(ok=True, status=200, error="")

    (got,) = receiver.got
    assert (got.body, got.headers["content-type"]) == (BODY, "application/json")
    assert got.headers["user-agent"].startswith("llm-settings/")
    assert [is_signed(got, secret) for secret in (new, old, other)] == [True, True, False]
    assert not is_signed(got._replace(body=BODY + b" "), new)
    assert "." not in webhook.new_id()


@pytest.mark.parametrize(
    ("does", "ok", "status", "error"),
    [
        *((status, True, status, "") for status in (200, 201, 202, 204)),
        *((status, False, status, f"The receiver answered {status}") for status in (400, 404, 410, 429, 500, 503)),
        *((status, False, status, "It leads elsewhere, which is not followed") for status in (301, 302, 307)),
        *((does, True, 200, "") for does in (HUGE, ENDLESS, GZIP)),
        (RESET, False, None, "Server disconnected"),
    ],
)
def test_what_counts(receiver: Receiver, does: int | str, ok: bool, status: int | None, error: str) -> None:
    """2xx is done, whatever stands behind the head of the answer, of which not a byte is read; nothing else is."""
    receiver.does = does

    found = send(receiver.url)

    assert (found.ok, found.status) == (ok, status)
    assert found.error.startswith(error)
    assert len(receiver.got) == 1


def test_how_long_a_receiver_asks_to_be_left_alone(receiver: Receiver) -> None:
    """Retry-After of 429 and 503 alone: seconds or a date, an hour at most; what is past, negative or neither is none."""
    now = datetime.now(UTC)
    dates = {
        name: email.utils.format_datetime(now + timedelta(seconds=seconds), usegmt=True)
        for name, seconds in (("soon", 90), ("past", -90), ("next year", 31_536_000))
    }
    cases: list[tuple[int, str, float]] = [
        *((status, "120", 120) for status in (429, 503)),
        *((status, "120", 0) for status in (200, 301, 404, 410, 500, 502)),
        *((503, text, 3600) for text in ("3600", "3601", "9" * 20, dates["next year"])),
        *((429, text, 0) for text in ("", "0", "-5", "1.5", "1e3", "nan", "9" * 21, "in an hour", "é", dates["past"])),
        (429, " 7 ", 7),
        (503, dates["soon"], 90),
        (503, dates["soon"].replace(" GMT", " -0000"), 90),
    ]
    for receiver.does, receiver.retry_after, wait in cases:
        found = send(receiver.url, webhook.new_secret())
        assert found.status == receiver.does
        assert wait - 60 < found.wait <= wait if "," in receiver.retry_after and wait == 90 else found.wait == wait


@pytest.mark.parametrize("does", [HANG, DRIP])
def test_receiver_that_is_never_done(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """A receiver that says nothing, or a byte now and then, is left when the time is over."""
    monkeypatch.setattr(webhook, "SECONDS", 1.0)
    receiver.does = does
    began = time.monotonic()

    assert not send(receiver.url).ok

    assert time.monotonic() - began < 5


def test_errors_do_not_repeat_the_url(receiver: Receiver, tmp_path: Path) -> None:
    """Neither its path nor its query, which may have a token in them, be it away, be its certificate nobody's."""
    receiver.__exit__()
    away = send(receiver.url)
    certificate = make_certificate(tmp_path)
    with Receiver(certificate=certificate) as other:
        untrusted = send(other.url)

    assert (away.ok, untrusted.ok, other.got) == (False, False, [])
    assert "certificate" in untrusted.error
    assert "secret" not in away.error + untrusted.error + webhook.shown(receiver.url)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://hooks.example.com/x", "must begin with https://"),
        ("https://169.254.169.254/latest", "points to a link-local address"),
        ("https://metadata.google.internal/x", "points to the metadata service"),
        (
            "https://10.0.0.1/x",
            "points to a private address .* allowed when the operator lists it in LLM_PRIVATE_HOSTS",
        ),
        ("http://localhost/x", "points to a private address"),
        ("https://[::ffff:169.254.169.254]/x", "points to a link-local address"),
        ("https://2852039166/x", "points to a link-local address"),
    ],
)
def test_hosts_that_may_not_be_saved(url: str, rule: str) -> None:
    """Plain http to the internet, what is a cloud's inside, and what is private and not allowed."""
    with pytest.raises(Invalid, match=rule) as refused:
        webhook.check(url, HERE)

    assert list(refused.value.fields) == ["url"]


@pytest.mark.parametrize("url", ["https://hooks.example.com/x?a=b", "http://127.0.0.1:1/x", "http://127.1/x"])
def test_hosts_that_may(url: str) -> None:
    """https to anywhere public, and either to a private host that the operator lists."""
    webhook.check(url, HERE)


@pytest.mark.parametrize(
    ("url", "answers", "error"),
    [
        ("https://hooks.example.com/x", ["169.254.169.254"], "The URL points to a link-local address"),
        ("https://hooks.example.com/x", ["203.0.114.1", "169.254.169.254"], "The URL points to a link-local address"),
        ("https://hooks.example.com/x", ["10.1.2.3"], "The URL points to a private address"),
        ("http://hooks.internal/x", ["93.184.215.14"], "The URL leads out of the private network"),
    ],
)
def test_names_that_lead_where_they_may_not(
    monkeypatch: pytest.MonkeyPatch, url: str, answers: list[str], error: str
) -> None:
    """What a name leads to is asked before each try, and nothing is dialled but what was looked at."""
    dialled: list[object] = []
    connect: Callable[..., object] = lambda *a, **_: dialled.append(a)  # noqa: E731 - in place of a function
    monkeypatch.setattr("socket.create_connection", connect)
    monkeypatch.setattr(lookup, "_system", lambda *_: answers)

    found = send(url, allowed=("hooks.internal",))

    assert (found.ok, found.status, dialled) == (False, None, [])
    assert found.error.startswith(error)


def test_name_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for longer than a try may take."""
    monkeypatch.setattr(webhook, "LOOK_UP", 0.2)
    monkeypatch.setattr(lookup, "_system", lambda *_: time.sleep(3))
    began = time.monotonic()

    found = send("https://slow-name-server.example.com/x")

    assert (found.ok, time.monotonic() - began < 2.5) == (False, True)
