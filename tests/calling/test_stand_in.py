"""`override("openai", answer=…)`: a service's unit tests call core.ai without SDK, key, network, log or cost."""

from typing import Any

import pytest

from core import ai, logs
from core.errors import CallFailed, CoreError, KeyMissing
from core.testing import override
from tests.calls import WAYS
from tests.conftest import run_async
from tests.processes import python

BUSY = CallFailed("openai", "m1", reason="busy", status=529, words="overloaded", attempts=4)


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """No database is needed here: replaces the fixture of that name for this module."""


@pytest.mark.parametrize("way", WAYS)
def test_a_text_answers_every_way(way: str) -> None:
    """Whole, in parts, and in both twins; nothing is counted."""
    dropped = logs.dropped()
    with override("openai", model="m1", answer="Hello from a test"):
        done = WAYS[way]("Hi", tags=["a"], correlation_id="c1")

    assert (done.text, done.provider, done.model, done.finish_reason) == ("Hello from a test", "openai", "m1", "stop")
    assert (done.usage, done.cost, done.tags, done.correlation_id) == (None, None, ("a",), "c1")
    assert (logs.flush(1), logs.dropped()) == (True, dropped)


@pytest.mark.parametrize("way", WAYS)
def test_an_error_is_raised(way: str) -> None:
    """Any of core.errors; a provider that stands in answers in its place."""
    with override("openai", answer=BUSY):
        with pytest.raises(CallFailed) as caught:
            WAYS[way]("Hi")
        assert caught.value.reason == "busy"
        with override("spare", answer="From the spare one"):
            assert WAYS[way]("Hi", fallback=["spare"]).provider == "spare"


def test_a_function_sees_the_messages() -> None:
    """And may answer differently each time."""
    seen: list[Any] = []

    def answer(messages: list[Any]) -> str | CoreError:
        seen.append(messages)
        return f"answer {len(seen)}" if len(seen) < 3 else BUSY

    with override("openai", answer=answer):
        assert ai.complete("One?").text == "answer 1"
        assert (
            ai.complete([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two?"}]).text
            == "answer 2"
        )
        with pytest.raises(CallFailed):
            ai.complete("Three?")

    assert seen[0] == [{"role": "user", "content": "One?"}]
    assert [message["role"] for message in seen[1]] == ["system", "user"]


def test_embeddings() -> None:
    """Of a text: vectors that are those of the same texts again. Vectors, or a function of the texts, are taken as given."""
    with override("openai", answer="whatever"):
        first, again = ai.embed(["a", "b"]), run_async(ai.embed_async(["b", "a"]))
        assert first.vectors == again.vectors[::-1]
        assert first.vectors[0] != first.vectors[1]
    with override("openai", answer=[[1.0, 0.0]]):
        assert ai.embed(["a"]).vectors == [[1.0, 0.0]]
    with override("openai", answer=lambda texts: [[float(len(text))] for text in texts]):
        assert ai.embed(["a", "bcd"]).vectors == [[1.0], [3.0]]


def test_it_ends_and_overlaps() -> None:
    """Two that overlap end in any order, and nothing is left."""
    from core.calling import stand_in  # noqa: PLC0415 - a look inside

    one, two = override("openai", answer="one"), override("openai", answer="two")
    one.__enter__()
    two.__enter__()
    assert ai.complete("Hi").text == "two"
    one.__exit__(None, None, None)
    assert ai.complete("Hi").text == "two"
    two.__exit__(None, None, None)
    assert stand_in._answers == []
    with override("openai", answer="one"), override("openai", api_key=None, answer="never"), pytest.raises(KeyMissing):
        ai.complete("Hi")


def test_it_decorates_coroutines() -> None:
    """As every override."""

    @override("openai", answer="Hello")
    async def summary() -> str:
        return (await ai.complete_async("Hi")).text

    assert run_async(summary()) == "Hello"


def test_without_an_sdk() -> None:
    """Not even httpx2 is imported."""
    ended = python(
        "import sys; from core import ai; from core.testing import override\n"
        "with override('anthropic', answer='Hi'): print(ai.complete('x', provider='anthropic').text)\n"
        "print([name for name in ('anthropic', 'openai', 'httpx2', 'genai_prices', 'psycopg') if name in sys.modules])"
    )

    assert ended.stdout.splitlines() == ["Hi", "[]"], ended.stderr


def test_what_is_no_answer() -> None:
    """A function that returns something else is the test's own mistake."""
    with override("openai", answer=lambda _messages: 7), pytest.raises(TypeError, match="a text or an error"):  # type: ignore[arg-type,return-value]  # that is the point
        ai.complete("Hi")
