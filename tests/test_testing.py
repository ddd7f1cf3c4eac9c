"""core.testing: what a service's own unit tests use. None of these has a database."""

import asyncio
import functools
import itertools
import threading
import unittest
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest

from core import resolve as module
from core.errors import ApiKeyUnavailable
from core.parameters import PARAMETERS
from core.resolve import for_organization, resolve
from core.testing import override
from tests.conftest import run_async


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """No database is needed here: replaces the fixture of that name for this module."""


def service() -> tuple[str, str | None, float]:
    """What a service does."""
    settings = resolve("openai")
    return settings.client_options()["api_key"], settings.model, settings.request_options()["temperature"]


def test_override_is_what_resolve_answers() -> None:
    """Inside the block the name has what was given, the rest the built-in defaults; other names are unknown."""
    before = module.resolver
    with override("openai", model="gpt-test", temperature=0.2, api_key="sk-mine") as answer:
        assert service() == ("sk-mine", "gpt-test", 0.2)
        assert resolve("openai") is answer
        assert answer.status == "ok"
        assert answer.max_tokens == PARAMETERS["max_tokens"].default
        assert answer.source("temperature").layer == "provider"
        assert answer.client_options()["base_url"] == "https://api.openai.com/v1"
        assert resolve("anthropic").status == "unknown_provider"
        assert resolve(5).status == "unknown_provider"  # type: ignore[arg-type]  # that is the point
        assert resolve() is answer
        assert not module.resolver.stale
        assert module.resolver.start().wait(0.1)

    assert module.resolver is before
    assert before._thread is None


def test_override_nests_and_decorates() -> None:
    """Blocks add up, and what an inner one changes comes back; a decorator does the same."""

    @override("openai", model="outer")
    def decorated() -> str | None:
        return resolve("openai").model

    assert decorated() == decorated() == "outer"
    with override("openai", model="outer"), override("anthropic", model="claude"):
        with override("openai", model="inner", custom_settings={"a": 1}, omitted_parameters=["top_p"]):
            inner = resolve("openai")
            assert (inner.model, resolve("anthropic").model) == ("inner", "claude")
            assert (inner.custom_settings, inner.omitted) == ({"a": 1}, ("top_p",))
            assert "top_p" not in inner.request_options()
        assert resolve("openai").model == "outer"


@pytest.mark.parametrize(
    "status", ["unknown_provider", "store_unavailable", "disabled", "no_model", "no_key", "key_unreadable"]
)
def test_every_status_can_be_tried_out(status: module.Status) -> None:
    """A service's test sees what its code does without a key."""
    with override("openai", status=status):
        assert resolve("openai").status == status
        assert resolve("openai").cure
        with pytest.raises(ApiKeyUnavailable, match=status):
            service()


def test_missing_parts_have_their_status() -> None:
    """No key and no model are told as such."""
    with override("openai", api_key=None):
        assert resolve("openai").status == "no_key"
    with override("openai", model=None):
        assert resolve("openai").status == "no_model"


def test_a_provider_that_needs_no_key() -> None:
    """Its word stands for the key, whatever else is said of one."""
    with override("ollama", needs_key=False, api_key=None):
        assert (resolve("ollama").status, resolve("ollama").api_key()) == ("ok", "not-needed")


def test_mistakes_are_named() -> None:
    """A parameter that does not exist, or a value that could not be stored, is a mistake in the test."""
    with pytest.raises(TypeError, match=r"temprature.*temperature"), override("openai", temprature=1):
        pass
    with pytest.raises(ValueError, match="temperature"), override("openai", temperature=3):
        pass


def test_override_ends_with_an_exception() -> None:
    """A failing test leaves nothing behind, and threads see what the test sees."""
    seen = []

    @override("openai", model="gone")
    def failing() -> None:
        thread = threading.Thread(target=lambda: seen.append(resolve("openai").model))
        thread.start()
        thread.join()
        raise ZeroDivisionError

    before = module.resolver
    with pytest.raises(ZeroDivisionError):
        failing()
    assert seen == ["gone"]
    assert module.resolver is before


def test_every_kind_of_function_is_covered() -> None:
    """Coroutine functions, generators and async generators, static and class methods, and what they give back."""
    before = module.resolver
    inside = override("openai", model="covered")

    def model() -> str | None:
        return resolve("openai").model

    @inside
    async def coroutine() -> str | None:
        await asyncio.sleep(0)
        return model()

    @inside
    def generator() -> Iterator[str | None]:
        yield model()
        yield model()

    @inside
    async def async_generator() -> AsyncIterator[str | None]:
        yield model()
        await asyncio.sleep(0)
        yield model()

    async def collected() -> list[str | None]:
        return [one async for one in async_generator()]

    class Helper:
        @inside
        @staticmethod
        def static() -> str | None:
            return model()

        @classmethod
        @inside
        def of_the_class(cls) -> str | None:
            return model()

    seen = [run_async(coroutine()), *generator(), *run_async(collected()), Helper.static(), Helper.of_the_class()]
    seen.append(inside(functools.partial(model))())
    assert seen == ["covered"] * 8
    assert module.resolver is before


def test_fixtures_of_both_kinds_hold_while_the_test_runs() -> None:
    """As pytest and its async plugins use them: a generator that waits in the middle, and is told of errors."""

    @contextmanager
    @override("openai", model="fixture")
    def fixture() -> Iterator[str]:
        try:
            yield "given"
        except ZeroDivisionError:
            assert resolve("openai").model == "fixture"

    @asynccontextmanager
    @override("openai", model="async")
    async def async_fixture() -> AsyncIterator[str]:
        try:
            yield "given"
        except ZeroDivisionError:
            assert resolve("openai").model == "async"

    async def asynchronously() -> None:
        async with async_fixture() as given:
            assert (given, resolve("openai").model) == ("given", "async")
            raise ZeroDivisionError

    before = module.resolver
    with fixture() as given:
        assert (given, resolve("openai").model) == ("given", "fixture")
        raise ZeroDivisionError
    run_async(asynchronously())
    assert module.resolver is before


def test_classes_are_covered_test_by_test() -> None:
    """Of unittest and of pytest, set-up and inherited tests too; a class without a test is a mistake."""
    seen: list[str | None] = []

    def look() -> None:
        seen.append(resolve("openai").model)

    class Base(unittest.IsolatedAsyncioTestCase):
        def setUp(self) -> None:
            look()

        def test_inherited(self) -> None:
            look()

    @override("openai", model="class")
    class Tests(Base):
        async def test_async(self) -> None:
            look()

        def helper(self) -> None:
            raise AssertionError

    def run() -> unittest.TestResult:
        return unittest.defaultTestLoader.loadTestsFromTestCase(Tests).run(unittest.TestResult())

    before = module.resolver
    thread = threading.Thread(target=run)  # where no loop of another test runs
    thread.start()
    thread.join()
    assert seen == ["class"] * 4
    assert module.resolver is before
    assert not hasattr(Base.setUp, "__wrapped__")  # the base is as it was
    with pytest.raises(TypeError, match="no method that begins with 'test'"):
        override("openai")(type("Plain", (), {"helper": look}))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_overrides_end_in_any_order(order: tuple[int, ...]) -> None:
    """Each holds until its own end, the newest of a name wins, and nothing is left."""
    before = module.resolver
    names = ["a", "b", "a"]
    open_ones = {turn: override(names[turn], model=f"m{turn}") for turn in range(3)}
    for one in open_ones.values():
        one.__enter__()
    for turn in order:
        open_ones.pop(turn).__exit__(None, None, None)
        for name in set(names) if open_ones else ():  # afterwards the real one would be asked
            newest = max((left for left in open_ones if names[left] == name), default=None)
            assert resolve(name).model == (None if newest is None else f"m{newest}")
    assert module.resolver is before


def test_tasks_and_threads_overlap() -> None:
    """Two tasks of one loop, and two threads, each with its own, none of which ends where it began."""

    async def overlapping() -> None:
        first_began, second_ended = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            with override("a", model="ma"):
                first_began.set()
                await second_ended.wait()
                assert (resolve("a").model, resolve("b").model) == ("ma", None)

        async def second() -> None:
            await first_began.wait()
            async with AsyncExitStack() as stack:
                stack.enter_context(override("b", model="mb"))
                assert (resolve("a").model, resolve("b").model) == ("ma", "mb")
            second_ended.set()

        await asyncio.gather(first(), second())

    before = module.resolver
    run_async(overlapping())
    barrier = threading.Barrier(4)

    def in_a_thread(number: int) -> None:
        barrier.wait(10)
        for _ in range(50):
            with override(f"n{number}", model=f"m{number}"):
                assert resolve(f"n{number}").model == f"m{number}"

    failed: list[BaseException] = []

    def checked(number: int) -> None:
        try:
            in_a_thread(number)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=checked, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert module.resolver is before


def test_the_resolver_inside_is_one_that_is_up_to_date() -> None:
    """Names, age and the rest fit the answers."""
    with override("openai"), override("acme", status="no_key"), override("gone", status="unknown_provider"):
        assert module.resolver.names() == ["acme", "openai"]
        assert module.resolver.age() == 0
        assert not module.resolver.stale


REFUSED: dict[str, tuple[type[Exception], Callable[[], object]]] = {
    "a status": (ValueError, lambda: override("openai", status="nonsense")),  # type: ignore[arg-type]  # the point
    "a kind": (ValueError, lambda: override("openai", kind="azure")),
    "a name to omit": (ValueError, lambda: override("openai", omitted_parameters=["temprature"])),
    "a parameter that is never sent": (ValueError, lambda: override("openai", omitted_parameters=["max_retries"])),
    "one name to omit": (ValueError, lambda: override("openai", omitted_parameters="top_p")),
    "custom settings as text": (ValueError, lambda: override("openai", custom_settings="text")),
    "custom settings that JSON has not": (ValueError, lambda: override("openai", custom_settings={"a": float("nan")})),
    "custom settings of objects": (ValueError, lambda: override("openai", custom_settings={"a": object()})),
    "no name": (TypeError, lambda: override(lambda: None)),  # type: ignore[arg-type]  # `@override` without its brackets
    "an object": (TypeError, lambda: override("openai")(object())),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_at_once(what: str) -> None:
    """Where it is written down, not where it is used."""
    error, attempt = REFUSED[what]
    with pytest.raises(error):
        attempt()


def test_a_function_that_hands_out_a_coroutine_is_no_silent_nothing() -> None:
    """What runs later would run outside."""

    def later() -> object:
        return (number for number in range(3))

    with pytest.raises(TypeError, match="decorate what it calls"):
        override("openai")(later)()


def test_overrides_of_organisations_and_features() -> None:
    """What names more of what is asked for counts more; else it is for all, and the answer says what was asked."""
    with (
        override("openai", temperature=0.1),
        override("openai", organization="acme", temperature=0.2),
        override("openai", feature="classify", temperature=0.3),
        override("openai", organization="acme", feature="classify", temperature=0.4),
        override("local", organization="acme", temperature=0.5, status="not_allowed"),
    ):
        asked = [(None, None), ("beta", "x"), ("acme", None), ("acme", "x"), ("beta", "classify"), ("acme", "classify")]
        found = [resolve("openai", *each) for each in asked]
        assert [each.temperature for each in found] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.4]
        assert [(each.organization, each.feature) for each in found] == asked
        assert for_organization("acme").resolve("openai", "classify") is found[-1]
        assert resolve("openai", "beta", "x") is found[1]
        assert resolve("local", "acme").status == "not_allowed"
        assert (resolve("local", "beta").status, resolve("local").status) == (
            "unknown_organization",
            "unknown_provider",
        )
        assert resolve("gone", "acme").status == "unknown_provider"
        assert resolve(None, "acme").provider == "local"
    with override("openai", organization="acme"):
        assert resolve(None, "acme").status == "ok"
        assert (resolve().status, resolve(None, "beta").status) == ("no_provider", "no_provider")


@pytest.mark.parametrize("status", ["unknown_organization", "organization_disabled", "not_allowed"])
def test_statuses_of_organisations_need_one(status: module.Status) -> None:
    """Each can be tried out of an organisation that is named; of nobody there is none."""
    with override("openai", organization="acme", status=status):
        assert resolve("openai", "acme").status == status
        with pytest.raises(ApiKeyUnavailable, match=status):
            resolve("openai", "acme").api_key()
    with pytest.raises(ValueError, match="organization='acme'"):
        override("openai", status=status)
