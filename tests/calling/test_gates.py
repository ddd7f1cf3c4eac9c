"""What vendors say of their own rate limits is understood where it makes sense; a closed gate lets one call through first."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.calling import gates
from core.calling.gates import Allowed, Gate, Gates, allowed, reset


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"}, Allowed(500, 30_000)),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-output-tokens-limit": "8000",
            },
            Allowed(50, None, 40_000, 8_000),
        ),
        ({"x-ratelimit-limit-requests": "-1", "x-ratelimit-limit-tokens": "0"}, Allowed()),
        ({"x-ratelimit-limit-requests": "1e9", "x-ratelimit-limit-tokens": "9" * 30}, Allowed()),
        ({"x-ratelimit-limit-requests": "100, 100;w=60", "x-ratelimit-limit-tokens": "٣"}, Allowed()),
        ({}, Allowed()),
    ],
)
def test_what_a_vendor_allows(headers: dict[str, str], wanted: Allowed) -> None:
    """OpenAI's and Anthropic's words; what is negative, absent or absurd says nothing."""
    assert allowed(headers) == wanted


def _at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("remaining", "text", "wanted"),
    [
        ("0", "6m0s", 120),
        ("0", "1m2.5s", 62.5),
        ("0", "12ms", 0.012),
        ("0", "7.66", 7.66),
        ("0", "PT1M30S", 90),
        ("0", "2000000000", 120),
        ("0", "2000000000000", 120),
        ("0", "1000000000", None),
        ("0", "1000000000000", None),
        ("1", "7s", None),
        ("-1", "7s", None),
        ("", "7s", None),
        ("0", "0", None),
        ("0", "-5", None),
        ("0", "nan", None),
        ("0", "inf", None),
        ("0", "soon", None),
        ("0", "1s1", None),
        ("0", "", None),
    ],
)
def test_when_there_is_more(remaining: str, text: str, wanted: float | None) -> None:
    """Durations of each form, where something is used up, two minutes at most."""
    found = reset({"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": text})
    assert found == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize(("ahead", "wanted"), [(30, 30), (86_400, 120), (-30, None)])
def test_when_there_is_more_by_a_moment(ahead: float, wanted: float | None) -> None:
    """Anthropic's RFC 3339; one that is over, as where a clock is wrong, says nothing."""
    of = "anthropic-ratelimit-output-tokens"
    found = reset({f"{of}-remaining": "0", f"{of}-reset": _at(ahead)})
    assert found == (None if wanted is None else pytest.approx(wanted, abs=2))
    assert reset({f"{of}-remaining": "0", f"{of}-reset": "2099-11-27T07:00:00"}) is None  # of no zone
    used_up = {f"{of}-remaining": "0", f"{of}-reset": "9s", "x-ratelimit-remaining-tokens": "0"}
    assert reset({**used_up, "x-ratelimit-reset-tokens": "4s"}) == 9  # both have to be there again


def test_a_closed_gate_lets_one_call_through_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then all, once it was answered, or a second later; closed again by another 429, and two minutes at most."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gate = Gate(1, "m", "f")
    assert (gate.is_closed, gate.wait()) == (False, 0)
    gate.close(None)  # without a time
    assert not gate.is_closed
    gate.close(2)
    gate.close(1)  # another call was told so at the same time
    assert gate.wait() == 2
    gate.heard(200, {})  # of a call that was sent before
    assert gate.is_closed
    now = 102.0
    assert [gate.wait(), gate.wait(), gate.wait()] == [0, gates.TURN, gates.TURN]
    gate.heard(429, {})
    gate.close(3)
    assert gate.wait() == 3
    now = 105.0
    assert [gate.wait(), gate.wait()] == [0, gates.TURN]
    gate.heard(200, {})
    assert (gate.is_closed, gate.wait()) == (False, 0)
    gate.close(10_000)
    assert gate.wait() == gates.LONGEST
    now += gates.LONGEST
    assert gate.wait() == 0
    now += gates.FIRST
    assert (gate.wait(), gate.is_closed) == (0, False)
    gate.heard(429, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "4s"})
    gate.close(None)
    assert gate.wait() == 4


def test_what_is_told_and_heard_of_gates() -> None:
    """By fingerprint, never by key; each is told once, and closes the gate of another process, that it has already or makes later."""
    ours, others = Gates(), Gates()
    gate, key = ours.of(7, "m", "sk-secret"), "sk-secret"
    assert ours.of(7, "m", key) is gate
    assert len({id(ours.of(*of)) for of in ((7, "m", key), (7, "n", key), (8, "m", key), (7, "m", "other"))}) == 4
    gate.heard(200, {"x-ratelimit-limit-requests": "60"})
    gate.close(30)
    told = ours.news()
    assert ours.news() == []
    assert [(each["p"], each["m"], each["r"], each["t"]) for each in told] == [(7, "m", 60, None)]
    assert 29 < told[0]["c"] <= 30
    assert key not in str(told)
    known = others.of(7, "m", key)
    heard: list[dict[str, Any]] = [
        {"p": 7, "m": "m", "f": told[0]["f"], "c": 30},
        {"p": 7, "m": "n", "f": told[0]["f"], "c": 20},
    ]
    others.hear(heard)
    assert 29 < known.wait() <= 30
    assert 19 < others.of(7, "n", key).wait() <= 20
    assert not others.of(7, "m", "other").is_closed
    assert others.news() == []


def test_what_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest that a vendor said of each figure; how long a gate is closed only if that is new; nothing without a fingerprint."""
    rung: list[int] = []
    monkeypatch.setattr(gates, "when_closed", [lambda: rung.append(1)])
    gate, nameless = Gate(7, "m", "f"), Gate(7, "m", None)
    gate.heard(429, {"x-ratelimit-limit-requests": "10", "x-ratelimit-limit-tokens": "900"})
    gate.heard(200, {"x-ratelimit-limit-requests": "60"})
    told = gate.news()
    assert told is not None
    assert (told["r"], told["t"], told["c"]) == (60, 900, None)
    gate.heard(200, {})
    assert gate.news() is None
    gate.close(30)
    assert rung == [1]
    told = gate.news()
    assert told is not None
    assert (told["r"], told["t"], round(told["c"])) == (60, 900, 30)
    nameless.heard(200, {"x-ratelimit-limit-requests": "60"})
    nameless.close(30)
    assert (nameless.is_closed, nameless.news(), rung) == (True, None, [1])


def test_what_others_say_of_a_gate_that_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rest of the same time does not close it anew; that it is open is told; too many gates are all learned anew."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(gates, "MOST", 2)
    ours = Gates()
    gate = ours.of(7, "m", "k")
    gate.close(30)
    assert [each["c"] for each in ours.news()] == [30]
    now = 130.0
    assert gate.wait() == 0
    ours.hear([{"p": 7, "m": "m", "f": gate.fingerprint, "c": 0.5}])
    assert gate.wait() == gates.TURN
    gate.heard(200, {})
    assert [each["c"] for each in ours.news()] == [0]
    ours.of(7, "n", "k")
    assert ours.of(7, "m", "k") is gate
    ours.of(7, "o", "k")
    assert ours.of(7, "m", "k") is not gate
