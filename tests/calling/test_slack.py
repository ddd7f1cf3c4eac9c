"""One message to Slack: its answers are judged as documented, nobody is called by what people wrote, and the URL is told to nobody."""

import json
import logging
import time
from collections.abc import Iterator

import pytest

from core.calling import slack, webhook
from core.calling.webhook import Sent
from core.redaction import scrub
from tests.receivers import DRIP, ENDLESS, GZIP, HANG, HUGE, RESET, Receiver

HERE = ("127.0.0.1",)
BODY = slack.body_of("hello")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Slack, as it takes everything."""
    with Receiver() as found:
        found.says = "ok"
        yield found


def send(receiver: Receiver) -> Sent:
    return slack.send(receiver.url, BODY, private_hosts=HERE)


@pytest.mark.parametrize(
    ("status", "says", "ok", "final", "gone", "error"),
    [
        (200, "ok", True, False, False, ""),
        (200, "<html>Sign in</html>", False, False, False, "It answered as no incoming webhook does"),
        (200, "", False, False, False, "It answered as no incoming webhook does"),
        (400, "invalid_payload", False, True, False, "It answered 400 invalid_payload"),
        (403, "action_prohibited", False, True, False, "It answered 403 action_prohibited"),
        (403, "invalid_token", False, True, True, "It answered 403 invalid_token"),
        (404, "no_service", False, True, True, "It answered 404 no_service"),
        (404, "channel_not_found", False, True, True, "It answered 404 channel_not_found"),
        (410, "channel_is_archived", False, True, True, "It answered 410 channel_is_archived"),
        (410, "", False, True, True, "It answered 410"),
        (403, "<h1>Blocked by the proxy</h1>", False, False, False, "It answered 403"),
        (404, "page not found", False, False, False, "It answered 404"),
        (429, "rate_limited", False, False, False, "It answered 429 rate_limited"),
        (500, "rollup_error", False, False, False, "The receiver answered 500"),
        (302, "", False, False, False, "It leads elsewhere, which is not followed"),
    ],
)
def test_what_an_answer_means(
    receiver: Receiver, status: int, says: str, ok: bool, final: bool, gone: bool, error: str
) -> None:
    """Taken by ``ok`` alone; what Slack will never take is final, a URL that is no more is gone; the rest is tried again."""
    receiver.does, receiver.says = status, says
    receiver.retry_after = "30" if status == 429 else ""

    found = send(receiver)

    assert (found.ok, found.status, found.final, bool(found.gone)) == (ok, status, final, gone)
    assert found.error.startswith(error)
    assert "enter its URL" in found.gone or not gone
    assert found.wait == (30 if status == 429 else 0)
    assert "secret" not in str(found)
    assert json.loads(receiver.got[0].body)["text"] == "hello"


@pytest.mark.parametrize("does", [HANG, DRIP, RESET, HUGE, ENDLESS, GZIP])
def test_faults_end_and_are_tried_again(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """Whatever it does, the try ends in its time, has not succeeded, and is not the last one."""
    monkeypatch.setattr(webhook, "SECONDS", 1.0)
    receiver.does = does
    began = time.monotonic()

    found = send(receiver)

    assert time.monotonic() - began < 4
    assert (found.ok, found.final, found.gone) == (False, False, "")
    assert "secret" not in str(found)


def test_nobody_is_called_by_what_people_wrote() -> None:
    """Signs that Slack reads are escaped, so that no name or reason is a link, a person or a whole channel; @channel is none either."""
    for text in (
        "<!channel>",
        "<!here|here>",
        "<@U123>",
        "<http://evil.example|our wiki>",
        "a & b",
        "&lt;!channel&gt;",
    ):
        written = slack.escaped(text)
        assert "<" not in written
        assert ">" not in written
        assert written.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text
    for text in ("@channel", "@HERE", "@everyone", "@all"):
        assert text not in slack.escaped(f"wake up {text}!")
    assert slack.escaped("ada@acme.example") == "ada@acme.example"
    assert json.loads(slack.body_of('a "b" \n é'))["text"] == 'a "b" \n é'


def test_the_log_has_no_url(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """What the libraries log of a try, on all levels, has neither the URL nor its path, once the log's filter was there."""
    with caplog.at_level(logging.DEBUG):
        assert send(receiver).ok
    raw = caplog.text
    assert "very-secret-token" in raw  # they do log it
    assert "very-secret-token" not in scrub(raw)
