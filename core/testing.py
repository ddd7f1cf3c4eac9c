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
from .resolving.answering import label
from .resolving.effective import EffectiveSettings, Status, otherwise
from .resolving.layers import Layer
from .resolving.merge import ProviderFacts, build, with_unknown
from .resolving.tenant import Tenant

T = TypeVar("T")

_OBJECTS = ("custom_settings", "extra_parameters")
_FIELDS = {*PARAMETERS, "omitted_parameters", *_OBJECTS}
_SET_UP = {"setUp", "asyncSetUp", "tearDown", "asyncTearDown", "setup_method", "teardown_method"}
_WITHOUT_PROVIDER = {"unknown_provider", "no_provider", "store_unavailable"}
_OF_AN_ORGANIZATION = {"unknown_organization", "organization_disabled", "not_allowed"}
_lock = threading.Lock()
_active: "list[override]" = []
"""The overrides in force, the newest last; they end in any order."""
_before: list[resolve.Resolver] = []
"""The resolver that comes back when the last of them has ended."""


class override:  # noqa: N801 - used as a function: a block, and a decorator
    """Have :func:`core.resolve.resolve` answer so for *provider*, in all threads, until the block ends.

    Whatever organisation and feature are asked for, unless it names them; what names more counts more. Who asks for no provider
    gets the newest that fits: the default provider of the test.

    Also a decorator: of functions, coroutine functions, generators (fixtures) and async generators; of a class it
    covers the methods that begin with ``test``, and those that set up and tear down. Several add up, the newest wins, and
    they end in any order. A :class:`core.resolve.Resolver` of one's own is not touched.

    Args:
        provider: The name.
        organization: Of one organisation only, by the name that is asked for; another one is unknown then. None: of all, and
            of nobody.
        feature: The same of one feature.
        model: None: the status is ``no_model``.
        api_key: None: the status is ``no_key``.
        needs_key: False: ``api_key()`` gives ``not-needed``, as for a server of one's own.
        kind: Default: the provider's name where that is a kind, else ``openai_compatible``.
        base_url: Default: the vendor's own.
        status: What is to be tried out: ``unknown_provider``, ``store_unavailable``, ``disabled``, ``key_unreadable`` …;
            ``unknown_organization``, ``organization_disabled`` and ``not_allowed`` are of the organisation that is named.
        answer: What the calls of :mod:`core.ai` are answered, without SDK, network, log or cost: a text, an error of
            :mod:`core.errors`, or a function of the messages (of the texts to embed) that returns one; for ``embed`` vectors
            too. None: they go to the vendor.
        **parameters: Of a settings row, as ``temperature=0.2`` or ``omitted_parameters=["top_p"]``; the rest has the
            built-in defaults.

    Raises:
        TypeError: If there is no such parameter, or it decorates something that it cannot cover.
        ValueError: If a value is one that could not be stored, or there is no such status or kind, or it is an
            organisation's and none is named.
    """

    def __init__(
        self,
        provider: str,
        *,
        organization: str | None = None,
        feature: str | None = None,
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
        if status in _OF_AN_ORGANIZATION and organization is None:
            raise ValueError(f"status: {status} is an organisation's: name one, as organization='acme'")
        self.provider, self.organization, self.feature, self._answer = provider, organization, feature, answer
        if status in _WITHOUT_PROVIDER:
            self.settings = with_unknown(build(None, (), name=provider, missing=status), organization, feature)
            return
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
        tenant = None
        if organization is not None:
            is_active, is_allowed = status != "organization_disabled", status != "not_allowed"
            tenant = Tenant(1, organization, is_active=is_active, is_allowed=is_allowed)
        made = build(facts, [Layer("provider", 1, 1, parameters, {})], tenant=tenant, feature=feature)
        self.settings = with_unknown(made, organization, None) if status == "unknown_organization" else made

    def __enter__(self) -> EffectiveSettings:
        with _lock:
            if not _active:
                _before.append(resolve.resolver)
            _active.append(self)
            if self._answer is not None:
                stand_in.begin(self.settings, self._answer)
            resolve.resolver = _Fixed(list(_active))
        return self.settings

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _lock:
            _active.remove(self)
            if self._answer is not None:
                stand_in.end(self.settings)
            resolve.resolver = _Fixed(list(_active)) if _active else _before.pop()

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

    __slots__ = ("_active",)

    def __init__(self, active: "list[override]") -> None:
        super().__init__()
        self._active = active
        self._connected = True
        self._stop.set()
        self._tried.set()

    def miss(self, provider: object, organization: object = None, feature: object = None) -> EffectiveSettings:
        """Answer by the override that names the most of what is asked for, the newest first; one object for each question."""
        asked, of, for_what = label(provider), label(organization), label(feature)
        fits = [
            (each.organization is not None, each.feature is not None, place, each)
            for place, each in enumerate(self._active)
            if (asked is None or each.provider == asked)
            and each.organization in {None, of}
            and each.feature in {None, for_what}
        ]
        if fits:
            found = max(fits)[3]
            made = found.settings
            if (made.organization, made.feature) != (of, for_what):
                made = otherwise(made, organization=of, feature=for_what)
        else:
            others = [each.settings for each in self._active if each.provider == asked and of is not None]
            missing: Status = "no_provider" if asked is None else "unknown_provider"
            nobody = build(None, (), name=asked, missing=missing)
            made = with_unknown(others[-1] if others else nobody, of, None if others else for_what)
        if of is None and for_what is None:
            return self._answers.setdefault(asked, made)
        return self._scoped.setdefault((asked, of, for_what), made)

    def names(self) -> list[str]:
        """Return the names that are there: those of a status that has a provider."""
        return sorted({each.provider for each in self._active if each.settings.provider_id is not None})

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
