"""The SDKs' clients with their connections: one for each provider's address and key, and for each event loop.

Of one loop, or of all threads, LLM_CLIENTS are kept. One more takes the place of the one that was not used for the longest
time; that one's connections are closed once its last call has ended.

A client is made beside the event loop, as importing an SDK and reading the certificates takes a second. The clients of a
loop end with it: they stand on the loop itself, and close when it is shut down (``asyncio.run`` does that).
"""

import asyncio
import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextvars import copy_context
from typing import Any, Final, NamedTuple, TypeVar

from .. import redaction
from ..config import get_config, most_clients
from ..errors import Invalid
from ..extras import from_extra
from ..kinds import facts_of
from ..resolving.carried import NOTHING, Opened
from ..resolving.effective import NOT_NEEDED, EffectiveSettings
from . import pricing
from .adapters import adapter_of

T = TypeVar("T")

_uses: Final = itertools.count()
"""Grows with each use of any client: whose last one is the lowest was not used for the longest time."""
_ON_THE_LOOP: Final = "_llm_settings_clients"
"""The attribute of an event loop that has its clients: so they live no longer than it does."""


class Wanted(NamedTuple):
    """What a client is for."""

    kind: str | None
    base_url: str | None
    key: str
    carried: Opened = NOTHING
    """Headers and query parameters."""


class Asking(NamedTuple):
    """What was resolved."""

    provider: str
    organization: str | None
    feature: str | None


class Client(NamedTuple):
    """An SDK's client, and the HTTP client below it, which has the connections."""

    sdk: Any
    http: Any
    asked: "Asking"
    """Whose settings it was made with."""
    used: list[int]
    """When it was used last, of :data:`_uses`: marked without a lock, as each call does it."""


class Kept(dict[Wanted, Client]):
    """The clients of a loop, or those of all threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self.loop = None if loop is None else weakref.ref(loop)
        """None: of all threads."""
        self.pid = os.getpid()
        """A child that goes on with its parent's loop has no part in its parent's connections."""

        self.going: list[Any] = []
        """HTTP clients of a loop that nothing new is sent by: calls that are under way may use their connections."""

        self.closing: set[asyncio.Task[None]] = set()
        """A loop knows its tasks weakly."""

    keeper: AsyncGenerator[None] | None = None
    """Ended by the loop when it is shut down."""


class Clients:
    """All clients of the process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all: the connections are the parent's after a fork."""
        self._making = threading.Lock()
        self._inherited = getattr(self, "shared", None)  # held, not closed: they are in use in the parent
        self.shared = Kept()
        self.loops: weakref.WeakSet[Any] = weakref.WeakSet()

    def get(self, settings: EffectiveSettings, key: str) -> Any:
        """Return the SDK's client for a provider, its key and its address; a changed one gets another.

        Raises:
            MissingExtra: If the SDK is not installed.
            BadConfig: If the certificates that the environment names cannot be read, or LLM_CLIENTS is no number of clients.
        """
        wanted = Wanted(settings.kind, settings.base_url, key, settings.carried())
        found = self.shared.get(wanted)
        if found is None:
            found = self._make(self.shared, wanted, _asking(settings), None)
            pricing.find(wanted.kind, wanted.base_url, settings.model)
        found.used[0] = next(_uses)
        return found.sdk

    async def get_async(self, settings: EffectiveSettings, key: str) -> Any:
        """Return the same for the running event loop, which goes on while one is made."""
        kept = await self._of_this_loop()
        wanted = Wanted(settings.kind, settings.base_url, key, settings.carried())
        found = kept.get(wanted)
        if found is None:
            loop = running_loop()

            def make() -> Client:
                made = self._make(kept, wanted, _asking(settings), loop)
                pricing.find(wanted.kind, wanted.base_url, settings.model)
                return made

            found = await beside(make)
        found.used[0] = next(_uses)
        return found.sdk

    def keep_current(self, resolve: Callable[[str, str | None, str | None], EffectiveSettings]) -> None:
        """Drop the clients whose provider has another key, address or header by now; calls under way end with theirs.

        With the last of these calls the old key is gone from memory.

        Args:
            resolve: Provider's name, organisation and feature -> the settings.
        """
        for kept in self._all():
            for wanted, client in list(kept.items()):
                now = resolve(*client.asked)
                if now.status == "store_unavailable" or _is_current(wanted, now):
                    continue
                if kept.pop(wanted, None) is not None:
                    self._let_go(kept, client, wanted)

    def _let_go(self, kept: Kept, client: Client, wanted: Wanted) -> None:
        """Have *client* end with its last call: its connections are closed then, and its secrets forgotten."""
        for secret in (wanted.key, *wanted.carried.secrets):
            weakref.finalize(client.sdk, self._forget, secret)
        ended: weakref.finalize[..., Any]
        if kept.loop is None:
            ended = weakref.finalize(client.sdk, client.http.close)
        else:
            kept.going.append(client.http)
            ended = weakref.finalize(client.sdk, _close_soon, kept, client.http)
        ended.atexit = False
        for name, value in list(vars(client.sdk).items()):  # circles: only the garbage collector would end them
            if getattr(value, "_client", None) is client.sdk:
                del vars(client.sdk)[name]

    def _forget(self, secret: str) -> None:
        in_use = (wanted for kept in self._all() for wanted in list(kept))
        if not any(secret == wanted.key or secret in wanted.carried.secrets for wanted in in_use):
            redaction.forget(secret)

    def _all(self) -> list[Kept]:
        found = [getattr(loop, _ON_THE_LOOP, None) for loop in list(self.loops)]
        return [self.shared, *(kept for kept in found if kept is not None)]

    def _make(self, kept: Kept, wanted: Wanted, asked: Asking, loop: asyncio.AbstractEventLoop | None) -> Client:
        most, is_async = most_clients(get_config()), loop is not None
        with from_extra(facts_of(wanted.kind).extra):
            from . import dial  # noqa: PLC0415 - needs httpx2, which comes with the extra
        for secret in (wanted.key, *wanted.carried.secrets):
            if secret != NOT_NEEDED:
                redaction.remember(secret)
        adapter = adapter_of(wanted.kind)
        with self._making:
            if wanted in kept:  # made while this thread waited
                return kept[wanted]
            http = dial.async_client() if is_async else dial.client()
            sdk = adapter.client(wanted.key, wanted.base_url, http, is_async=is_async, carried=wanted.carried)
            while len(kept) >= most:
                oldest = min(list(kept.items()), key=_last_used)
                if kept.pop(oldest[0], None) is not None:
                    self._let_go(kept, oldest[1], oldest[0])
            made = kept[wanted] = Client(sdk, http, asked, [next(_uses)])
            return made

    async def _of_this_loop(self) -> Kept:
        loop = running_loop()
        kept: Kept | None = getattr(loop, _ON_THE_LOOP, None)
        if kept is None or kept.pid != os.getpid():
            kept = Kept(loop)
            setattr(loop, _ON_THE_LOOP, kept)
            self.loops.add(loop)
            kept.keeper = _keep(kept)
            await anext(kept.keeper)
        return kept

    def close(self) -> None:
        """Close the connections of all threads; those of an event loop only it can close."""
        kept, self.shared = self.shared, Kept()
        for client in kept.values():
            client.http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        loop = running_loop()
        kept: Kept | None = getattr(loop, _ON_THE_LOOP, None)
        if kept is not None:
            delattr(loop, _ON_THE_LOOP)
            if kept.keeper is not None:
                await kept.keeper.aclose()


def _asking(settings: EffectiveSettings) -> Asking:
    """Return what has the same key and address as *settings*, of any feature: of the organisation only where the key is its own."""
    return Asking(settings.provider, settings.organization if settings.key_owner == "organization" else None, None)


def _is_current(wanted: Wanted, settings: EffectiveSettings) -> bool:
    """Return whether a call with these settings would have a client made for *wanted*."""
    if settings.status != "ok":
        return False
    return wanted == Wanted(settings.kind, settings.base_url, settings.api_key(), settings.carried())


def _last_used(each: tuple[Wanted, Client]) -> int:
    return each[1].used[0]


def _close_soon(kept: Kept, http: Any) -> None:
    """Close an HTTP client of a loop on that loop; called where the last call by it has ended, in any thread."""
    loop = None if kept.loop is None else kept.loop()
    if loop is None or loop.is_closed() or kept.pid != os.getpid():
        return

    def close() -> None:
        if http in kept.going:
            kept.going.remove(http)
            task = loop.create_task(http.aclose())
            kept.closing.add(task)
            task.add_done_callback(kept.closing.discard)

    with contextlib.suppress(RuntimeError):  # closed by now, and its clients with it
        loop.call_soon_threadsafe(close)


async def _keep(kept: Kept) -> AsyncGenerator[None]:
    """Close the clients when the loop ends its generators, or whoever holds this one does."""
    try:
        yield
    finally:
        connections = [*(client.http for client in kept.values()), *kept.going]
        kept.clear()
        kept.going.clear()
        for http in connections:
            await http.aclose()
        if kept.closing:
            await asyncio.wait(kept.closing)


async def beside(work: Callable[[], T]) -> T:
    """Return what *work* returns, done in a thread; on the loop itself where no thread can be started."""
    try:
        done = running_loop().run_in_executor(None, copy_context().run, work)
    except RuntimeError:
        return work()
    return await done


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        Invalid: If asyncio runs none: the call was made under another library's loop, as trio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise Invalid(
            {"event loop": "must be asyncio's: this call runs under no other (for trio: trio_asyncio)"}
        ) from None


clients: Final = Clients()
"""The clients of this process."""
os.register_at_fork(after_in_child=clients.reset)
