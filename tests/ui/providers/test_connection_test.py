"""The verdict of a connection test says in one line why, and its length is bounded."""

import pytest

from core.manage.connection import STAGES, Report, Stage
from ui.providers.connection_test import headline


def report(**found: tuple[str, str]) -> Report:
    """A report of the stages in *found*, each with its state and words; the others were not tried."""
    stages = tuple(
        Stage(name, found[name][0], 1, found[name][1]) if name in found else Stage(name, "not_checked", None, "")  # type: ignore[arg-type]  # one of its words
        for name in STAGES
    )
    return Report(stages, None, (), ())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"name": ("refused", "the host is not found")}, "Host not found: the host is not found"),
        ({"address": ("refused", "is a private address")}, "Address not allowed: is a private address"),
        ({"connected": ("refused", "no connection: refused")}, "Not reached: no connection: refused"),
        ({"key": ("refused", "401: Incorrect API key")}, "Key refused: 401 Incorrect API key"),
        (
            {"key": ("verified", "1 model is listed"), "model": ("refused", "404: no such model")},
            "Model refused: 404 no such model",
        ),
        ({"call": ("refused", "")}, "Call refused"),
        ({"call": ("verified", "answered")}, "It works: the model has answered."),
        ({"key": ("not_checked", "no API key is stored")}, "Whether it works is not known: no API key is stored"),
        (
            {"key": ("verified", "3 models are listed"), "call": ("not_checked", "429: slow down")},
            "The key is accepted; whether a call works is not known: 429 slow down",
        ),
        (
            {"tls": ("not_checked", "sent unencrypted"), "key": ("verified", ""), "model": ("not_checked", "no model")},
            "The key is accepted; whether a call works is not known: no model",
        ),
        ({}, "Whether it works is not known"),
    ],
)
def test_headline_has_the_reason(found: dict[str, tuple[str, str]], said: str) -> None:
    """The first refusal counts; where nothing was refused, what was not found out last."""
    assert headline(report(**found)) == said


def test_headline_is_short() -> None:
    """A vendor's page of words is in the stages, and only its beginning in the headline."""
    long = headline(report(call=("refused", "500: " + "x" * 2_000)))

    assert len(long) < 400
    assert long.endswith("x…")
