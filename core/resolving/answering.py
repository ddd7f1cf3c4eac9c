"""How a snapshot answers: for a provider, an organisation and a feature, merged from lines on first use. No I/O."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from ..crypto import KeyRing
from ..errors import StoreUnavailable
from ..kinds import origin_of
from ..models import overlay
from ..models.knowledge import Knowledge
from . import carried, organizations, rows
from .budgets import Budgeted, applying, budgeted
from .columns import BUDGETS, FACTS, FEATURES, PROVIDERS, RATE_LIMITS, SEALED, SECRETS, Columns, is_true
from .effective import EffectiveSettings, Status, otherwise
from .explanation import LayerName
from .limits import Limit
from .merge import build, provider_of, with_unknown
from .organizations import OrganizationRow, Organizations
from .rate_limits import RateScope, applying_rates, scoped
from .rows import NULL
from .scope import (
    Feature,
    Ref,
    ScopedRef,
    layers_of,
    limits_of,
    personal_layers,
    refs_of,
    scoped_refs,
    tenant_of,
    terms_of,
)
from .tenant import Default, Tenant, default_provider, place_of_own_key

MOST_ANSWERS: Final = 20_000
"""Answers for organisations and features that are kept, about 2 KiB each; when there are more, the memo starts anew."""

Key = tuple[str | None, str | None, str | None]
"""Provider, organisation and feature, by the names that were asked for."""


class With(NamedTuple):
    """What an answer is made with."""

    ring: KeyRing
    why: str | None = None
    """Why the database is out of reach, and the cure: for a key that only the database has."""


class Scope(NamedTuple):
    """What was asked for, looked up."""

    key: Key
    row: OrganizationRow | None
    """The organisation's own row."""
    template: OrganizationRow | None
    feature: Feature | None
    """None also where its layers do not count."""


class Answering:
    """The lines of a snapshot, and the answers merged of them so far."""

    __slots__ = ("_answered", "_budgets", "_knowledge", "_rates")
    generation: int
    has_keys: bool
    providers: dict[int, bytes]
    settings: dict[int, bytes]
    secrets: dict[int, bytes]
    features: dict[int, bytes]
    overrides: dict[int, bytes]
    facts: dict[int, bytes]
    installation: dict[int, bytes]
    limits: dict[int, bytes]
    budgets: dict[int, bytes]
    rate_limits: dict[int, bytes]
    personal_data: dict[int, bytes]
    organizations: Organizations
    answers: dict[str | None, EffectiveSettings]
    scoped: dict[Key, EffectiveSettings]
    _names: dict[str | None, int]
    _feature_ids: dict[str | None, int]
    _scopes: dict[bytes, tuple[int, ...]]
    _of_features: dict[bytes, tuple[int, ...]]
    _carried: dict[bytes, tuple[int, ...]]
    _answered: dict[int, list[Key]]
    _knowledge: Knowledge | None
    _budgets: tuple[Budgeted, ...] | None
    _rates: tuple[RateScope, ...] | None

    @property
    def knowledge(self) -> Knowledge:
        """What is known of models, read on first use."""
        found = self._knowledge
        if found is None:  # two threads may do it: the same twice
            read = [rows.read(line, FACTS) for line in self.facts.values()]
            found = self._knowledge = Knowledge(overlay.read(sorted(read, key=_operators_first)))
        return found

    @property
    def is_open(self) -> bool:
        """Whether an organisation that nobody has registered is served as without one."""
        return any(line.endswith(b"\topen") for line in self.installation.values())  # its last column

    def answer(
        self,
        name: object,
        ring: KeyRing,
        why: str | None = None,
        *,
        organization: object = None,
        feature: object = None,
    ) -> EffectiveSettings:
        """Return the effective settings of a scope, merged on first use; what has an unknown name in it is not kept.

        Args:
            name: The provider's; None: the default provider.
            ring: The encryption keys.
            why: Why the database is out of reach, and the cure: for a key that only the database has.
            organization: A name of an organisation's; None: nobody's. What is no text is unknown.
            feature: The feature's name; None: none.
        """
        return self._answer((name, organization, feature), With(ring, why))

    def _answer(self, asked: tuple[object, object, object], how: With) -> EffectiveSettings:
        name, organization, feature = asked
        found = self._kept(asked)
        if found is not None:
            return found
        key: Key = (label(name), label(organization), label(feature))
        feature_id = self._feature_ids.get(feature) if isinstance(feature, str) else None
        if feature is not None and feature_id is None:
            return with_unknown(self._answer((name, organization, None), how), None, key[2])
        one = self.organizations.id_of(organization) if isinstance(organization, str) else None
        row = self.organizations.row(one)
        if organization is not None and row is None:
            base = self._answer((name, None, feature), how)
            known = otherwise(base, organization=key[1], organization_known=False) if self.is_open else None
            return known or with_unknown(base, key[1], None)
        if row is not None and organization != row.slug and self.organizations.id_of(row.slug) == row.id:
            return self._keep(key, row, self._answer((name, row.slug, feature), how))  # one answer for all its names
        is_active = feature_id is not None and _is_active(self.features[feature_id])
        of = Feature(b"%d" % feature_id, key[2] or "") if feature_id is not None and is_active else None
        return self._made(name, Scope(key, row, self._template(row), of), how)

    def _kept(self, asked: tuple[object, object, object]) -> EffectiveSettings | None:
        try:
            if asked[1] is None and asked[2] is None:
                return self.answers.get(asked[0])  # type: ignore[call-overload, no-any-return]  # what is no name is not in it
            return self.scoped.get(asked)  # type: ignore[arg-type]  # as above
        except TypeError:  # not hashable
            return None

    def _made(self, name: object, scope: Scope, how: With) -> EffectiveSettings:
        if name is None:
            chosen, of = self._default(scope)
            if chosen is not None:
                made = self._answer((chosen, *scope.key[1:]), how)
                made = otherwise(made, default_by=of.source, default_limited_by=of.limited_by)
                return self._keep(scope.key, scope.row, made)
        row_id = self._names.get(name) if isinstance(name, str) else None
        if row_id is not None:
            return self._keep(scope.key, scope.row, self._merged(row_id, scope, how))
        missing: Status = "no_provider" if name is None else "unknown_provider"
        made = build(
            None,
            (),
            name=scope.key[0],
            missing=missing,
            generation=self.generation,
            tenant=None if scope.row is None else Tenant(scope.row.id, scope.row.slug),
            feature=scope.key[2],
        )
        return self._keep(scope.key, scope.row, made) if name is None else made

    def _merged(self, row_id: int, scope: Scope, how: With) -> EffectiveSettings:
        row, provider_id = scope.row, b"%d" % row_id
        own, own_limits = self._own_refs(scope, provider_id), self._own_scoped(scope, provider_id, b"L")
        own_personal = self._own_scoped(scope, provider_id, b"P")
        terms, of_template = (self._terms(each, provider_id) for each in (row, scope.template))
        owns = own or own_limits or own_personal or terms or of_template
        if row is not None and row.is_active and row.shares_keys and not owns:
            base = self._answer((scope.key[0], None, scope.key[2]), how)
            return otherwise(base, organization=row.slug, organization_id=row.id, **self._counted(scope, row_id))
        line, open_box = self.providers[row_id], None
        if not self.has_keys:
            line, _, had_key = line.rpartition(b"\t")
            line += (b"\t" + NULL) * SEALED
            open_box = partial(_not_in_the_file, how.why) if had_key == b"t" else None
        found = rows.read(line, PROVIDERS)
        tenant = None
        if row is not None:
            origin = origin_of(found["kind"], found["api_base_url"])
            tenant = tenant_of(row, terms, of_template, self._open_own(row, terms, origin, how))
        refs = (*self._refs(provider_id, scope.feature), *own)
        personal = (*scoped_refs(self.personal_data.values(), None, provider_id, scope.feature, NULL), *own_personal)
        made = build(
            provider_of(found, how.ring, open_box, self._open_carried(found, how)),
            layers_of(refs),
            generation=self.generation,
            knowledge=self.knowledge,
            tenant=tenant,
            feature=scope.key[2],
            again=partial(layers_of, refs),
            limits=self._limits(scope, provider_id, own_limits),
            personal=partial(personal_layers, personal) if personal else None,
        )
        return otherwise(made, **self._counted(scope, row_id)) if self.budgets or self.rate_limits else made

    def _counted(self, scope: Scope, provider: int) -> dict[str, Any]:
        """Return what calls of a scope count against: the fields ``budgets`` and ``rate_limits``, each by id."""
        budgets, rates = self._budgets, self._rates
        if budgets is None:  # two threads may do it: the same twice
            budgets = self._budgets = tuple(budgeted(rows.read(line, BUDGETS)) for line in self.budgets.values())
        if rates is None:
            rates = self._rates = tuple(scoped(rows.read(line, RATE_LIMITS)) for line in self.rate_limits.values())
        one = None if scope.row is None else scope.row.id
        feature = self._feature_ids.get(scope.key[2]) if scope.key[2] is not None else None
        of = (one, feature, provider)
        return {"budgets": applying(budgets, *of), "rate_limits": applying_rates(rates, *of)}

    def _refs(self, provider: bytes | None, feature: Feature | None) -> Iterator[Ref]:
        """Yield what counts of nobody's rows."""
        for row_id in self._scopes.get(NULL, ()):
            yield Ref("all_providers", None, self.settings[row_id])
        for row_id in self._scopes.get(provider, ()) if provider is not None else ():
            yield Ref("provider", None, self.settings[row_id])
        if feature is None:
            return
        for row_id in self._of_features.get(feature.id, ()):
            line = self.overrides[row_id]
            of = line.split(b"\t", 3)[2]
            if of in {NULL, provider}:
                name: LayerName = "feature" if of == NULL else "feature+provider"
                yield Ref(name, feature.name, line, of_feature=True)

    def _own_refs(self, scope: Scope, provider: bytes | None) -> list[Ref]:
        """Return what counts of the organisation's lines, and of its template's."""
        found: list[Ref] = []
        for row in (scope.row, scope.template):
            if row is not None and (row is scope.row or row.is_active):
                found += refs_of(self.organizations.lines(row.id) or b"", row, provider, scope.feature)
        return found

    def _own_scoped(self, scope: Scope, provider: bytes | None, kind: bytes) -> list[ScopedRef]:
        """Return which limits (``L``), or rows of personal data (``P``), of the organisation, and of its template, count."""
        found: list[ScopedRef] = []
        for row in (scope.row, scope.template):
            if row is not None and (row is scope.row or row.is_active):
                lines = organizations.of_kind(self.organizations.lines(row.id) or b"", kind)
                found += scoped_refs(lines, row, provider, scope.feature, organizations.NULL)
        return found

    def _limits(self, scope: Scope, provider: bytes | None, own: list[ScopedRef]) -> tuple[Limit, ...]:
        """Return the limits that count, *own* and nobody's."""
        if not (own or self.limits):
            return ()
        return limits_of((*scoped_refs(self.limits.values(), None, provider, scope.feature, NULL), *own))

    def _template(self, row: OrganizationRow | None) -> OrganizationRow | None:
        """Return the template that an organisation builds on; another organisation, as raw SQL may name one, is none."""
        template = None if row is None else self.organizations.row(row.template_id)
        return template if template is not None and template.is_template else None

    def _terms(self, row: OrganizationRow | None, provider: bytes) -> dict[str, Any] | None:
        lines = None if row is None else self.organizations.lines(row.id)
        return None if lines is None else terms_of(lines, provider, has_keys=self.has_keys)

    def _open_own(
        self, row: OrganizationRow, terms: Mapping[str, Any] | None, origin: str, how: With
    ) -> Callable[[], Any] | None:
        blob = None if terms is None else terms["api_key_encrypted"]
        if terms is None or not blob:
            return None
        if not self.has_keys:
            return partial(_not_in_the_file, how.why) if blob == "t" else None
        place = place_of_own_key(terms["id"], row.id, terms["provider_id"], origin)
        return partial(how.ring.box, blob, terms["api_key_key_id"], terms["api_key_binding"], place)

    def _default(self, scope: Scope) -> tuple[str | None, Default]:
        """Return the name of the provider of a scope that names none, and who chose it."""
        columns = PROVIDERS if self.has_keys else _BARE_PROVIDERS

        def is_usable(provider_id: int) -> bool:
            line = self.providers.get(provider_id)
            if (
                line is None
                or self._names.get(name_of(line)) != provider_id
                or not rows.read(line, columns)["is_active"]
            ):
                return False
            terms, of_template = (self._terms(each, b"%d" % provider_id) for each in (scope.row, scope.template))
            return scope.row is None or tenant_of(scope.row, terms, of_template).is_allowed

        refs = (*self._refs(None, scope.feature), *self._own_refs(scope, None))
        limits = self._limits(scope, None, self._own_scoped(scope, None, b"L"))
        found = default_provider(layers_of(refs), is_usable, limits)
        return (None if found.provider_id is None else name_of(self.providers[found.provider_id])), found

    def _keep(self, key: Key, row: OrganizationRow | None, made: EffectiveSettings) -> EffectiveSettings:
        if key[1] is None and key[2] is None:
            return self.answers.setdefault(key[0], made)
        if len(self.scoped) >= MOST_ANSWERS:
            self.scoped.clear()
            self._answered = {}
        for one in () if row is None else {row.id, row.template_id}:
            if one is not None:
                self._answered.setdefault(one, []).append(key)  # first: who copies the answer then finds this too
        return self.scoped.setdefault(key, made)

    def _open_carried(self, provider: Mapping[str, Any], how: With) -> Callable[[], carried.Carried] | None:
        found = self._carried.get(b"%d" % provider["id"])
        if not found:
            return None
        lines = [self.secrets[row_id] for row_id in found]
        if not self.has_keys:
            lines = [line + b"\t" + NULL + b"\t" + NULL for line in lines]
        secrets = [rows.read(line, SECRETS) for line in lines]
        absent = None
        if not self.has_keys:
            absent = partial(_not_in_the_file, how.why)
            secrets = [row | {"value_encrypted": row["value_encrypted"] == "t"} for row in secrets]
        return carried.carried_of(secrets, how.ring, origin_of(provider["kind"], provider["api_base_url"]), absent)


_BARE_PROVIDERS: Final[Columns] = {**dict(list(PROVIDERS.items())[:-SEALED]), "has_key": is_true}
"""As PROVIDERS, of a line without what is sealed."""


def label(name: object) -> str | None:
    """Return a name as it is shown: of what is no text its type."""
    return name if isinstance(name, str | None) else f"<{type(name).__name__}>"


def name_of(line: bytes) -> str | None:
    """Return the name in a line, its second column."""
    name = rows.second(line)
    return None if name == NULL else rows.text(name)


def _operators_first(row: Mapping[str, Any]) -> tuple[bool, int]:
    return row["origin"] != "operator", row["id"]


def _is_active(line: bytes) -> bool:
    return bool(rows.read(line, FEATURES)["is_active"])


def _not_in_the_file(why: str | None) -> Any:
    raise StoreUnavailable(
        "the database has not answered since this process began. Settings come from LLM_SNAPSHOT_FILE, which holds no keys. "
        f"{why or 'Check DATABASE_URL and that the server runs.'}"
    )
