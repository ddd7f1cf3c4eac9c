"""Resolve the LLM settings in force, and the key, in nanoseconds.

    from core.resolve import resolve

    settings = resolve("openai")
    client = openai.OpenAI(**settings.client_options())
    client.chat.completions.create(messages=..., **settings.request_options())

At import this module needs the standard library alone; the driver is imported by the refresh thread.
"""

import atexit
import logging
from collections.abc import Callable

from .resolving.answering import label
from .resolving.effective import EffectiveSettings, Status
from .resolving.explanation import Explained, Source
from .resolving.following import FIRST_WAIT, UNTOLD_HEARTBEAT, Following, Started
from .resolving.merge import build, with_unknown

__all__ = [
    "FIRST_WAIT",
    "UNTOLD_HEARTBEAT",
    "EffectiveSettings",
    "Explained",
    "ForOrganization",
    "Resolver",
    "Source",
    "Started",
    "Status",
    "for_organization",
    "resolve",
    "resolver",
    "watchers",
]

_log = logging.getLogger(__name__)


class Resolver(Following):
    """Answers from an immutable snapshot that one background thread keeps up to date.

    Args:
        url: The database; None: the one of the environment, else an existing embedded cluster.
        ring: The encryption keys; None: those of the environment.
        snapshot_file: Where to keep the last snapshot, without keys; None: nowhere, or without *url* what the
            environment says.
        organizations: Names of the organisations that are asked for: only they, and their templates, are read. None: all,
            or without *url* what the environment says.
    """

    __slots__ = ()

    def resolve(
        self, provider: str | None = None, organization: str | None = None, feature: str | None = None
    ) -> EffectiveSettings:
        """Return the effective settings; never raises, never waits for the network once it has a snapshot.

        Only the first call of a process waits, at most ``FIRST_WAIT`` seconds. An unknown name, or no store and no
        snapshot, gives the built-in defaults with a ``status`` that says so.

        Args:
            provider: The provider's name; None: the default provider of the rest.
            organization: A name of the organisation: its slug, one of your own for it, or a slug it had. None: nobody's.
            feature: What it is for, by the feature's name; None: nothing in particular.
        """
        try:
            if organization is None and feature is None:
                return self._answers[provider]
            return self._scoped[provider, organization, feature]
        except (KeyError, TypeError):
            return self.miss(provider, organization, feature)

    def miss(self, provider: object, organization: object = None, feature: object = None) -> EffectiveSettings:
        """Answer for what was not asked for yet; waits for the first snapshot if there is none yet."""
        found = self._snapshot or self._first_snapshot()
        if self._thread is None:
            self.start()  # it could not be started, or is gone with a fork: again, now and then
        if found is None:
            none = build(None, (), name=label(provider), missing="store_unavailable", problem=self._reason)
            return with_unknown(none, label(organization), label(feature))
        return found.answer(provider, self._ring, self._reason, organization=organization, feature=feature)

    def for_organization(self, organization: str) -> "ForOrganization":
        """Return what resolves for one organisation, by any name of its; it follows changes."""
        return ForOrganization(organization, self)

    def _has_changed(self) -> None:
        for watcher in watchers:
            try:
                watcher(self)
            except Exception:  # noqa: BLE001 - no change is missed for it
                _log.warning("What follows a change has failed", exc_info=True)


watchers: list[Callable[[Resolver], None]] = []
"""What a refresh thread calls once a change is in force; :mod:`core.ai` drops the connections of keys that are not in use."""
resolver = Resolver()
"""The resolver of this process, which :func:`resolve` asks."""


def resolve(
    provider: str | None = None, organization: str | None = None, feature: str | None = None
) -> EffectiveSettings:
    """Return the effective settings, from this process's resolver; see :meth:`Resolver.resolve`."""
    try:
        if organization is None and feature is None:
            return resolver._answers[provider]  # noqa: SLF001 - one lookup is the whole hot path
        return resolver._scoped[provider, organization, feature]  # noqa: SLF001 - as above
    except (KeyError, TypeError):
        return resolver.miss(provider, organization, feature)


class ForOrganization:
    """Resolves for one organisation. Made by :func:`for_organization`; it follows changes."""

    __slots__ = ("_resolver", "organization")

    def __init__(self, organization: str, which: Resolver | None = None) -> None:
        self.organization, self._resolver = organization, which

    def resolve(self, provider: str | None = None, feature: str | None = None) -> EffectiveSettings:
        """Return the effective settings of the organisation, as :meth:`Resolver.resolve`."""
        which = self._resolver or resolver
        try:
            return which._scoped[provider, self.organization, feature]  # noqa: SLF001 - same module
        except (KeyError, TypeError):
            return which.miss(provider, self.organization, feature)

    def __repr__(self) -> str:
        return f"for_organization({self.organization!r})"


def for_organization(organization: str) -> ForOrganization:
    """Return what resolves for one organisation, by any name of its, from this process's resolver; it follows changes."""
    return ForOrganization(organization)


@atexit.register
def _leave() -> None:
    resolver._stop.set()  # noqa: SLF001 - same module
