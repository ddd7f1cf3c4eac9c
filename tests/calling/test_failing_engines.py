"""Engines of others that fail, hang, or say what cannot be: nothing that was not searched is sent, given or kept."""

import itertools
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest

from core.calling.masked_rows import NOT_KEPT
from core.calling.searching import engine_of
from core.errors import PersonalData
from core.privacy import engines
from core.privacy.engines import Installed
from core.privacy.placeholders import Placeholders, Unsearchable
from core.resolving.personal_data import UNLESS_SET
from tests.calling.test_guarded_calls import CANARIES, PROMPT, say
from tests.calling.test_personal_canaries import hits, said, says
from tests.calls import WAYS, logged
from tests.vendors import Vendor

pytest_plugins = ["tests.calls"]

_never = threading.Event()


def raises(text: str) -> Any:
    """With the text in its words, as parsers do."""
    raise ValueError(f"cannot parse {text}")


def raises_late(text: str) -> Iterator[Any]:
    """When its places are asked for."""
    yield 0, 2, "NAME"
    raise KeyError(text)


def exits(_: str) -> Any:
    """As a library for the command line does."""
    raise SystemExit(3)


def hangs(_: str) -> Any:
    """For ever."""
    _never.wait(30)
    return []


HOW: Final[Mapping[str, Callable[[str], Any]]] = {
    "raises": raises,
    "raises late": raises_late,
    "exits": exits,
    "hangs": hangs,
    "overlaps": lambda _: [(0, 4, "NAME"), (3, 6, "NAME")],
    "outside": lambda text: [(0, len(text) + 1, "NAME")],
    "negative": lambda _: [(-4, 2, "NAME")],
    "empty": lambda _: [(3, 3, "NAME")],
    "texts": lambda _: [("0", "2", "NAME")],
    "fractions": lambda _: [(0.5, 2.9, "NAME")],
    "no kind": lambda _: [(0, 2, None)],
    "a kind that is none": lambda _: [(0, 2, "<NAME_1>")],
    "no spans": lambda _: [0, 1],
    "nothing": lambda _: None,
    "a million": lambda _: [(0, 1, "NAME")] * 1_000_000,
    "without an end": lambda _: ((0, 1, "NAME") for _ in itertools.count()),
}


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an engine that is installed, and fails so."""
    monkeypatch.setattr(engines, "ANSWERS_WITHIN", 0.2)
    monkeypatch.setattr(engines, "LOADED_WITHIN", 0.2)
    name = f"fails: {request.param} {request.node.name}"
    Installed._known[name] = Installed(lambda: HOW[request.param])
    return name


@pytest.mark.parametrize("engine", HOW, indirect=True)
def test_nothing_that_was_not_searched_goes_anywhere(store: str, vendor: Vendor, engine: str) -> None:
    """In the log, in prompts, in answers, whole and streamed."""
    say(store, engine=engine)
    says(vendor, "openai", PROMPT)
    WAYS["sync"](PROMPT, provider="openai", user_id=CANARIES["EMAIL"])
    (row,) = logged(store)
    assert (row["prompt"], row["response"], hits(str(row))) == (NOT_KEPT, NOT_KEPT, set())
    asked = len(vendor.calls())
    say(store, engine=engine, prompts="mask", logs="off")
    for way in ("sync", "async", "stream"):
        with pytest.raises(PersonalData, match="could not be searched") as refused:
            WAYS[way](PROMPT, provider="openai")
        assert hits(said(refused.value) + "".join(traceback.format_exception(refused.value))) == set()
    assert len(vendor.calls()) == asked
    say(store, engine=engine, answers="mask")
    for way in ("sync", "stream", "stream_async"):
        says(vendor, "openai", f"{PROMPT}\n{PROMPT}", streams="stream" in way)
        with pytest.raises(PersonalData, match="could not be searched") as refused:
            WAYS[way]("Hi", provider="openai")
        assert hits(said(refused.value)) == set()
    assert hits(str(logged(store))) == set()


def test_an_engine_that_hangs_has_so_long_for_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its texts, and all of them."""
    monkeypatch.setattr(engines, "ALL_WITHIN", 0.2)
    asked: list[str] = []

    def slow(text: str) -> Any:
        asked.append(text)
        time.sleep(0.05)
        return []

    Installed._known["slow"] = Installed(lambda: slow)
    rules = UNLESS_SET._replace(engine="slow")
    with pytest.raises(Unsearchable, match="TimeoutError"):
        Placeholders(engine_of(rules)).mask([f"text {number}" for number in range(100)])
    assert 1 < len(asked) < 10
    Placeholders(engine_of(rules)).mask(["another call has its own time"])
