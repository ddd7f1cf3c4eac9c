"""The snapshot: everything that effective settings are made of, at one generation. No I/O.

Rows are kept as PostgreSQL's COPY sends them, and read when a provider is first asked for: most are never asked for, and
loading costs no more than copying (docs/decisions/snapshot-of-lines.md). :mod:`~.reading` fills it, :mod:`~.answering` answers.
"""

from collections.abc import Collection, Mapping
from copy import copy
from types import MappingProxyType
from typing import Any, Final

from ..models import overlay
from ..models.knowledge import Knowledge
from . import carried, organizations, rows
from .answering import Answering, Key, name_of
from .budgets import Budgeted
from .columns import SEALED
from .effective import EffectiveSettings
from .organizations import Organizations
from .rate_limits import RateScope
from .rows import NULL

_NONE: Final[Mapping[int, Any]] = MappingProxyType({})
ChangedLines = Mapping[str, Mapping[int, bytes | None]]
"""Table -> row id -> line, or None for a row that is gone."""


class Snapshot(Answering):
    """Everything that effective settings are made of, at one generation. Once it is published, only the memo grows.

    Args:
        generation: The store's.
        epoch: The store's id; a restored or another database has another one.
        providers: Row id -> line.
        settings: Row id -> line.
        secrets: Row id -> line; of headers and query parameters.
        facts: Row id -> line; of what is known of models.
        features: Row id -> line.
        overrides: Row id -> line; of features, but for those of organisations.
        installation: Row id -> line; there is one.
        limits: Row id -> line; but for those of organisations.
        budgets: Row id -> line; of all scopes.
        rate_limits: Row id -> line; of all scopes.
        personal_data: Row id -> line; but for those of organisations.
        organizations: With all they have.
        has_keys: Whether the lines have what is sealed: those of a file do not.
        is_older: Whether they were read from a schema that lacks what is in ``ADDED``.
    """

    __slots__ = (
        "_carried",
        "_feature_ids",
        "_names",
        "_of_features",
        "_scopes",
        "answers",
        "budgets",
        "epoch",
        "facts",
        "features",
        "generation",
        "has_keys",
        "installation",
        "is_older",
        "limits",
        "organizations",
        "overrides",
        "personal_data",
        "providers",
        "rate_limits",
        "scoped",
        "secrets",
        "settings",
    )

    def __init__(
        self,
        generation: int,
        epoch: str,
        providers: Mapping[int, bytes],
        settings: Mapping[int, bytes],
        secrets: Mapping[int, bytes] = _NONE,
        *,
        facts: Mapping[int, bytes] = _NONE,
        features: Mapping[int, bytes] = _NONE,
        overrides: Mapping[int, bytes] = _NONE,
        installation: Mapping[int, bytes] = _NONE,
        limits: Mapping[int, bytes] = _NONE,
        budgets: Mapping[int, bytes] = _NONE,
        rate_limits: Mapping[int, bytes] = _NONE,
        personal_data: Mapping[int, bytes] = _NONE,
        organizations: Organizations = organizations.NONE,
        has_keys: bool = True,
        is_older: bool = False,
    ) -> None:
        self.is_older = is_older
        self.generation, self.epoch, self.has_keys = generation, epoch, has_keys
        self.providers, self.settings, self.secrets = dict(providers), dict(settings), dict(secrets)
        self.facts, self.installation, self.organizations = dict(facts), dict(installation), organizations
        self.features, self.overrides, self.limits = dict(features), dict(overrides), dict(limits)
        self.budgets, self.rate_limits, self.personal_data = dict(budgets), dict(rate_limits), dict(personal_data)
        self._budgets: tuple[Budgeted, ...] | None = None
        self._rates: tuple[RateScope, ...] | None = None
        self._knowledge: Knowledge | None = None
        self.answers: dict[str | None, EffectiveSettings] = {}
        """What was merged already, by the names that are asked for and exist; None: the default provider."""
        self.scoped: dict[Key, EffectiveSettings] = {}
        """The same by provider, organisation and feature."""
        self._answered: dict[int, list[Key]] = {}
        """Id of an organisation, or of a template -> what of ``scoped`` is of it."""
        self._names = {name_of(line): row_id for row_id, line in providers.items()}
        self._feature_ids = {name_of(line): row_id for row_id, line in features.items()}
        self._scopes, self._carried = rows.indexed(settings), rows.indexed(secrets)
        self._of_features = rows.indexed(overrides)

    def after(
        self,
        generation: int,
        changes: ChangedLines,
        *,
        organizations: Organizations | None = None,
        changed: Collection[int] = (),
    ) -> "Snapshot":
        """Return the snapshot after a change.

        Args:
            generation: The new one.
            changes: Of all but organisations.
            organizations: All of them; None: as they are.
            changed: Ids of those that are not as they were.
        """
        if not any(changes.values()):  # of organisations alone, as most are: all the rest is shared
            new = copy(self)
            new.generation, new.organizations = (
                generation,
                self.organizations if organizations is None else organizations,
            )
            new._forget(changed)  # noqa: SLF001 - same class
            return new
        new = Snapshot(generation, self.epoch, {}, {}, has_keys=self.has_keys)
        new.providers, new.settings, new.secrets = self.providers.copy(), self.settings.copy(), self.secrets.copy()
        new._names, new._scopes, new._carried = self._names.copy(), self._scopes.copy(), self._carried.copy()
        new.features, new._feature_ids = self.features.copy(), self._feature_ids.copy()
        new.overrides, new._of_features = self.overrides.copy(), self._of_features.copy()
        _put_named(new.providers, new._names, changes.get("llm_providers", _NONE))
        _put_named(new.features, new._feature_ids, changes.get("llm_features", _NONE))
        for table, lines, index in (
            ("llm_settings", new.settings, new._scopes),
            (carried.TABLE, new.secrets, new._carried),
            ("feature_llm_overrides", new.overrides, new._of_features),
        ):
            for row_id, line in changes.get(table, _NONE).items():
                rows.put(lines, index, row_id, line)
        new.facts = _without_gone({**self.facts, **changes.get(overlay.TABLE, _NONE)})
        new.installation = _without_gone({**self.installation, **changes.get("installation", _NONE)})
        new.limits = _without_gone({**self.limits, **changes.get("llm_limits", _NONE)})
        new.budgets = _without_gone({**self.budgets, **changes.get("org_llm_budgets", _NONE)})
        new.rate_limits = _without_gone({**self.rate_limits, **changes.get("llm_rate_limits", _NONE)})
        new.personal_data = _without_gone({**self.personal_data, **changes.get("llm_pii_settings", _NONE)})
        new.organizations = self.organizations if organizations is None else organizations
        new._knowledge = None if changes.get(overlay.TABLE) else self._knowledge  # what was looked up in it is kept
        return new

    def _forget(self, changed: Collection[int]) -> None:
        """Have a memo of its own, without what was merged of the organisations *changed*, and of those that build on them."""
        self.scoped = self.scoped.copy()
        for one in changed:
            for key in self._answered.pop(one, ()):
                self.scoped.pop(key, None)

    def names(self) -> list[str]:
        """Return the names of all providers, sorted."""
        return sorted(filter(None, self._names))

    def is_like(self, other: "Snapshot") -> bool:
        """Tell whether the two would answer alike."""
        return (self.generation, self.epoch, self.has_keys) == (other.generation, other.epoch, other.has_keys) and (
            self.tables() == other.tables() and self.organizations == other.organizations
        )

    def tables(self) -> tuple[Mapping[int, bytes], ...]:
        """Return row id -> line of each table, in the order of the file."""
        return (
            *(self.providers, self.settings, self.secrets, self.facts),
            *(self.features, self.overrides, self.installation, self.limits, self.budgets, self.rate_limits),
            self.personal_data,
        )

    def without_keys(self) -> "Snapshot":
        """Return what may be written to a file: no ciphertext, only whether there was a key."""
        if not self.has_keys:
            return self
        return Snapshot(
            self.generation,
            self.epoch,
            {row_id: _unsealed(line) for row_id, line in self.providers.items()},
            self.settings,
            {row_id: _unsealed(line) for row_id, line in self.secrets.items()},
            facts=self.facts,
            features=self.features,
            overrides=self.overrides,
            installation=self.installation,
            limits=self.limits,
            budgets=self.budgets,
            rate_limits=self.rate_limits,
            personal_data=self.personal_data,
            organizations=self.organizations.without_keys(),
            has_keys=False,
        )


def _put_named(lines: dict[int, bytes], names: dict[str | None, int], changed: Mapping[int, bytes | None]) -> None:
    """Put rows in place of those before, and in the index by name."""
    for row_id, line in changed.items():
        if row_id in lines and names.get(name := name_of(lines.pop(row_id))) == row_id:
            del names[name]
        if line is not None:
            lines[row_id] = line
            names[name_of(line)] = row_id


def _without_gone(lines: Mapping[int, bytes | None]) -> dict[int, bytes]:
    return {row_id: line for row_id, line in lines.items() if line is not None}


def _unsealed(line: bytes) -> bytes:
    rest, blob, _, _ = line.rsplit(b"\t", SEALED)
    return rest + (b"\tf" if blob in {NULL, b""} else b"\tt")
