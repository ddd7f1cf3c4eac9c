"""What is known of a model, in lines with their sources, and what is otherwise with another one."""

from datetime import UTC, date, datetime

import pytest

from core.models.differences import Difference, differences, known_lines, verdict_text
from core.models.ranges import ranges
from core.models.verdict import Verdict
from core.models.words import ends_text, model_line

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def test_lines_have_their_sources() -> None:
    """Each parameter, then limits, reasoning, end and price; of an unknown model what its API does with each."""
    known = {line.what: line for line in known_lines("openai", "openai", "gpt-5", NOW)}
    unknown = {line.what: line.text for line in known_lines("openai", "openai", "unheard-of", NOW)}

    assert known["Temperature"].text == "not taken: it always reasons"
    assert known["Temperature"].sources[0].startswith("https://")
    assert known["Max tokens"].text.startswith("sent as max_completion_tokens; 1 to 128,000")
    assert known["Context"].text == "400,000 tokens"
    assert known["Context"].sources
    assert known["Retires"].text == "2026-12-11, then calls are refused"
    assert known["Price"].text == "$1.25 in, $10 out a million tokens"
    assert unknown["Temperature"] == "taken"
    assert unknown["Max tokens"] == "sent as max_completion_tokens"
    assert "Context" not in unknown


def test_differences_are_what_changes() -> None:
    """Parameters, limits and price side by side; the days of their ends are no difference."""
    found = {each.what: each for each in differences("openai", "openai", ("gpt-4o", "gpt-5"), NOW)}

    assert found["Temperature"] == Difference("Temperature", "0 to 2", "not taken: it always reasons")
    assert found["Context"].after == "400,000 tokens"
    assert "Retires" not in found
    assert differences("openai", "openai", ("gpt-5", "gpt-5"), NOW) == []
    assert {each.after for each in differences("openai", "openai", ("gpt-5", "x"), NOW) if each.what == "Context"} == {
        "not known"
    }


@pytest.mark.parametrize(
    ("does", "more", "text"),
    [
        ("refuse", {}, "not taken: why"),
        ("ignore", {}, "has no effect: why"),
        ("only", {"values": (0, 1)}, "only 0 and 1: why"),
        ("rename", {"to": "y"}, "sent as y"),
        ("exclusive", {"to": "y"}, "why"),
        ("require", {}, "required"),
        ("above", {"values": ("x", "y")}, "more than x.y"),
        ("ok", {}, "taken"),
    ],
)
def test_every_verdict_has_words(does: str, more: dict[str, object], text: str) -> None:
    assert verdict_text(Verdict(does, "why", "https://x.example", **more)) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("does", "why", "values", "text"),
    [
        ("ignore", "it has no effect there", (), "has no effect"),
        ("ignore", "an admin says that it has no effect", (), "has no effect"),
        ("refuse", "it takes none", (), "not taken"),
        ("only", "it takes low, high", ("low", "high"), "only low and high"),
    ],
)
def test_nothing_is_said_twice(does: str, why: str, values: tuple[str, ...], text: str) -> None:
    """A reason that only repeats the verdict is left out."""
    assert verdict_text(Verdict(does, why, "https://x.example", values=values)) == text  # type: ignore[arg-type]


def test_ranges_are_those_that_always_hold() -> None:
    """Anthropic's temperature ends at 1; what is refused anyway, or only while it thinks, bounds no form."""
    assert ranges("anthropic", "anthropic", "claude-sonnet-4-5")["temperature"] == (0, 1)
    assert "top_p" not in ranges("anthropic", "anthropic", "claude-sonnet-4-5")
    assert "temperature" not in ranges("openai", "openai", "gpt-5")
    assert ranges("openai", "openai", "gpt-5")["max_tokens"] == (1, 128_000)
    assert ranges("openai", "openai", None) == {}


def test_end_in_words() -> None:
    """Days left, today, and what calls get since."""
    day = date(2026, 12, 11)
    assert ends_text(day, date(2026, 12, 10), None) == "retires in 1 day (2026-12-11)"
    assert ends_text(day, day, None) == "retires today (2026-12-11)"
    assert ends_text(day, date(2026, 12, 13), "rerouted") == (
        "retired 2 days ago (2026-12-11): another model answers since"
    )
    assert "calls are refused" in ends_text(day, date(2026, 12, 13), None)


def test_model_in_a_line() -> None:
    """Known, assumed or unknown comes first; what is unknown works as well."""
    known = model_line("openai", "gpt-5", NOW.date())
    assert known.startswith("Known · context 400,000, ")
    assert known.endswith("retires in 15 days (2026-12-11) · then gpt-6.1-sol")
    assert model_line("openai", "gpt-5.9-luna").startswith("Assumed from gpt-5")
    assert model_line("openai", "unheard-of") == (
        "Not known here, which works as well: everything is sent as it is set"
    )
