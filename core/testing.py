"""For the unit tests of services: what `resolve` answers, without a database.

from core.testing import override

def test_summary():
    with override("openai", model="gpt-test", temperature=0.0, api_key="sk-test"):
        ...                                    # resolve("openai") is this, every other name is unknown
"""

import functools
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, get_args

from . import resolve
from .calling import stand_in
from .calling.stand_in import Answer
from .errors import KeyUnreadable
from .kinds import KINDS, facts_of
from .parameters import PARAMETERS, SENDABLE
from .resolving import extra
from .resolving.effective import EffectiveSettings, Status
from .resolving.layers import Layer
from .resolving.merge import ProviderFacts, build

T = TypeVar("T")

_OBJECTS = ("custom_settings", "extra_parameters")
_FIELDS = {*PARAMETERS, "omitted_parameters", *_OBJECTS}
_SET_UP = {"setUp", "asyncSetUp", "tearDown", "asyncTearDown", "setup_method", "teardown_method"}
_lock = threading.Lock()
_active: "list[override]" = []
"""The overrides in force, the newest last; they end in any order."""
_before: list[resolve.Resolver] = []
"""The resolver that comes back when the last of them has ended."""


class override:  # noqa: N801 - used as a function: a block, and a decorator
    """Have :func:`core.resolve.resolve` answer so for *provider*, in all threads, until the block ends.

    Also a decorator: of functions, coroutine functions, generators (fixtures) and async generators; of a class it
    covers the methods that begin with ``test``, and those that set up and tear down. Several add up, the newest wins, and
    they end in any order. A :class:`core.resolve.Resolver` of one's own is not touched.

    Args:
        provider: The name.
        model: None: the status is ``no_model``.
        api_key: None: the status is ``no_key``.
        needs_key: False: ``api_key()`` gives ``not-needed``, as for a server of one's own.
        kind: Default: the provider's name where that is a kind, else ``openai_compatible``.
        base_url: Default: the vendor's own.
        status: What is to be tried out: ``unknown_provider``, ``store_unavailable``, ``disabled``, ``key_unreadable``.
        answer: What the calls of :mod:`core.ai` are answered, without SDK, network, log or cost: a text, an error of
            :mod:`core.errors`, or a function of the messages (of the texts to embed) that returns one; for ``embed`` vectors
            too. None: they go to the vendor.
        **parameters: Of a settings row, as ``temperature=0.2`` or ``omitted_parameters=["top_p"]``; the rest has the
            built-in defaults.

    Raises:
        TypeError: If there is no such parameter, or it decorates something that it cannot cover.
        ValueError: If a value is one that could not be stored, or there is no such status or kind.
    """

    def __init__(
        self,
        provider: str,
        *,
        model: str | None = "test-model",
        api_key: str | None = "sk-test",
        needs_key: bool = True,
        kind: str | None = None,
        base_url: str | None = None,
        status: Status = "ok",
        answer: Answer | None = None,
        **parameters: Any,
    ) -> None:
        if not isinstance(provider, str):
            raise TypeError(f"override takes a provider's name, as override('openai'), not {provider!r}")
        _check("status", status, get_args(Status))
        _check("kind", kind, (None, *KINDS))
        _check_parameters(parameters)
        self.provider, self._answer = provider, answer
        if status in {"unknown_provider", "store_unavailable"}:
            self.settings = build(None, (), name=provider, missing=status)
        else:
            facts = ProviderFacts(
                id=1,
                name=provider,
                display_name=provider,
                kind=kind or (provider if facts_of(provider).base_url else "openai_compatible"),
                base_url=base_url,
                default_model=None if status == "no_model" else model,
                is_active=status != "disabled",
                version=1,
                changes={},
                open_box=None if api_key is None or status == "no_key" else lambda: _box(api_key, status),
                needs_key=needs_key or status in {"no_key", "key_unreadable"},
            )
            self.settings = build(facts, [Layer("provider", 1, 1, parameters, {})])

    def __enter__(self) -> EffectiveSettings:
        with _lock:
            if not _active:
                _before.append(resolve.resolver)
            _active.append(self)
            if self._answer is not None:
                stand_in.begin(self.settings, self._answer)
            resolve.resolver = _Fixed({each.provider: each.settings for each in _active})
        return self.settings

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _lock:
            _active.remove(self)
            if self._answer is not None:
                stand_in.end(self.settings)
            answers = {each.provider: each.settings for each in _active}
            resolve.resolver = _Fixed(answers) if _active else _before.pop()

    def __call__(self, decorated: T) -> T:
        """Return *decorated* with every call of it inside this override."""
        if isinstance(decorated, type):
            return self._cover_class(decorated)
        if isinstance(decorated, staticmethod | classmethod):
            return type(decorated)(self(decorated.__func__))
        if not (inspect.isroutine(decorated) or isinstance(decorated, functools.partial)):
            raise TypeError(
                f"override decorates functions and classes, not {decorated!r}; below @pytest.fixture it works"
            )
        cover = next((cover for is_one, cover in _COVERS if is_one(decorated)), _cover_function)
        return functools.update_wrapper(cover(self, decorated), decorated)  # type: ignore[return-value]  # called as before

    def _cover_class(self, decorated: T) -> T:
        covered = False
        for name in dir(decorated):
            method = inspect.getattr_static(decorated, name)
            function = getattr(method, "__func__", method)
            if not inspect.isfunction(function) or function.__module__.startswith("unittest"):
                continue
            if name.startswith("test") or name in _SET_UP:
                setattr(decorated, name, self(method))
                covered = covered or name.startswith("test")
        if not covered:
            raise TypeError(f"{decorated!r} has no method that begins with 'test': decorate its functions one by one")
        return decorated


def _cover_function(inside: override, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **named: Any) -> Any:
        with inside:
            result = function(*args, **named)
        if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise TypeError(f"{function!r} returns a {type(result).__name__}: decorate what it calls")
        return result

    return wrapper


def _cover_coroutine(inside: override, function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **named: Any) -> Any:
        with inside:
            return await function(*args, **named)

    return wrapper


def _cover_generator(inside: override, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **named: Any) -> Any:
        with inside:
            return (yield from function(*args, **named))

    return wrapper


def _cover_async_generator(inside: override, function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **named: Any) -> Any:
        with inside:
            inner = function(*args, **named)
            step = inner.__anext__
            try:
                while True:
                    value = await step()
                    try:
                        step = functools.partial(inner.asend, (yield value))
                    except Exception as error:  # noqa: BLE001 - it is the generator's to handle
                        step = functools.partial(inner.athrow, error)
            except StopAsyncIteration:
                return
            finally:
                await inner.aclose()

    return wrapper


_COVERS: tuple[tuple[Callable[[Any], bool], Callable[[override, Callable[..., Any]], Callable[..., Any]]], ...] = (
    (inspect.iscoroutinefunction, _cover_coroutine),
    (inspect.isasyncgenfunction, _cover_async_generator),
    (inspect.isgeneratorfunction, _cover_generator),
)


class _Fixed(resolve.Resolver):
    """A resolver that asks nobody."""

    __slots__ = ("answers",)

    def __init__(self, answers: dict[str, EffectiveSettings]) -> None:
        super().__init__()
        self.answers = self._answers = answers
        self._connected = True
        self._stop.set()
        self._tried.set()

    def miss(self, provider: object) -> EffectiveSettings:
        """Answer for every other name."""
        return build(None, (), name=str(provider))

    def names(self) -> list[str]:
        """Return the names that are there: those of a status that has a provider."""
        return sorted(name for name, answer in self.answers.items() if answer.provider_id is not None)

    def age(self) -> float:
        """Return 0: nothing is newer."""
        return 0.0


class _Plain:
    """A key that is no secret."""

    def __init__(self, key: str) -> None:
        self._key = key

    def open(self) -> str:
        return self._key


def _check(what: str, given: object, known: tuple[object, ...]) -> None:
    if given not in known:
        raise ValueError(f"There is no {what} {given!r}. There are {', '.join(str(one) for one in known if one)}.")


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    unknown = parameters.keys() - _FIELDS
    if unknown:
        raise TypeError(f"No such parameter: {', '.join(sorted(unknown))}. There are {', '.join(sorted(_FIELDS))}.")
    for parameter in PARAMETERS.values():
        value = parameters.get(parameter.name)
        if value is not None and not parameter.fits(value):
            raise ValueError(f"{parameter.name}: a settings row could not have {value!r}")
    omitted = parameters.get("omitted_parameters")
    if omitted is not None:
        if not isinstance(omitted, list):
            raise ValueError("omitted_parameters: takes a list of names")
        for name in omitted:
            _check("parameter to omit,", name, SENDABLE)
    for name in _OBJECTS:
        if parameters.get(name) is not None:
            _check_object(name, parameters[name])
    if rule := extra.refusal(parameters.get("extra_parameters") or {}):
        raise ValueError(f"extra_parameters: {rule}")


def _check_object(name: str, value: object) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: takes a dict")  # noqa: TRY004 - as for every other value
    try:
        json.dumps(value, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"{name}: JSON cannot hold it: {error}") from error


def _box(api_key: str, status: Status) -> Any:
    if status == "key_unreadable":
        raise KeyUnreadable("damaged", "The stored key is damaged. Enter the API key again.")
    return _Plain(api_key)
