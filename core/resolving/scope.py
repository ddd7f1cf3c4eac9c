"""What of an organisation's lines counts for a feature and a provider. Pure functions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from . import organizations, rows
from .columns import LIMITS, OVERRIDES, PERSONAL_DATA, SEALED, SETTINGS, TERMS
from .explanation import LayerName
from .layers import Layer, Owner, layer_name
from .limits import Limit, limit_of
from .organizations import NULL, OrganizationRow
from .tenant import Tenant


class Ref(NamedTuple):
    """A line of a settings row that counts, not read yet."""

    name: LayerName
    scope: str | None
    line: bytes
    of_feature: bool = False
    """Whether it is one of ``feature_llm_overrides``."""
    null: bytes = rows.NULL
    """How the line has NULL."""


class Feature(NamedTuple):
    """The feature that was asked for, where its layers count."""

    id: bytes
    name: str


def layers_of(refs: Iterable[Ref]) -> list[Layer]:
    """Read the rows of *refs*."""
    return [_layer(*ref) for ref in refs]


def _layer(name: LayerName, scope: str | None, line: bytes, of_feature: bool, null: bytes) -> Layer:  # noqa: FBT001 - a Ref's own
    row = rows.read(line, OVERRIDES if of_feature else SETTINGS, null)
    return Layer(name, row["id"], row["version"], row, row["field_changes"], scope)


def refs_of(lines: bytes, row: OrganizationRow, provider: bytes | None, feature: Feature | None) -> Iterator[Ref]:
    """Yield what counts of an organisation's or a template's lines.

    Args:
        lines: All of it.
        row: Its own row.
        provider: The provider's id; None: what names no provider.
        feature: None: what names no feature.
    """
    owner: Owner = "template" if row.is_template else "organization"
    fits = {NULL, provider}
    for line in lines.split(b"\n"):
        if line.startswith(b"S\t"):
            _, _, of, _ = line.split(b"\t", 3)
            if of in fits:
                yield Ref(layer_name(owner, feature=False, provider=of != NULL), row.slug, line[2:], null=NULL)
        elif feature is not None and line.startswith(b"F\t"):
            _, _, which, of, _ = line.split(b"\t", 4)
            if which == feature.id and of in fits:
                name = layer_name(owner, feature=True, provider=of != NULL)
                yield Ref(name, f"{row.slug} · {feature.name}", line[2:], of_feature=True, null=NULL)


class ScopedRef(NamedTuple):
    """A line of limits, or of personal data, that counts, not read yet."""

    layer: LayerName
    scope: str | None
    line: bytes
    null: bytes = rows.NULL


def limits_of(refs: Iterable[ScopedRef]) -> tuple[Limit, ...]:
    """Read the rows of *refs*; one without any rule that makes sense is left out."""
    found = (limit_of(rows.read(each.line, LIMITS, each.null), each.layer, each.scope) for each in refs)
    return tuple(limit for limit in found if limit is not None)


def personal_layers(refs: Iterable[ScopedRef]) -> list[Layer]:
    """Read the rows of personal data of *refs*."""
    found = []
    for each in refs:
        row = rows.read(each.line, PERSONAL_DATA, each.null)
        found.append(Layer(each.layer, row["id"], row["version"], row, row["field_changes"], each.scope))
    return found


def scoped_refs(
    lines: Iterable[bytes], row: OrganizationRow | None, provider: bytes | None, feature: Feature | None, null: bytes
) -> Iterator[ScopedRef]:
    """Yield which limits, or rows of personal data, count.

    Args:
        lines: Of ``llm_limits`` or ``llm_pii_settings``, of one organisation or template, or of nobody.
        row: The organisation's own row; None: nobody's.
        provider: The provider's id; None: what names no provider.
        feature: None: what names no feature.
        null: How the lines have NULL.
    """
    owner: Owner = "nobody" if row is None else "template" if row.is_template else "organization"
    slug = None if row is None else row.slug
    for line in lines:
        _, which, of, _ = line.split(b"\t", 3)
        if of not in {null, provider}:
            continue
        if which == null:
            yield ScopedRef(layer_name(owner, feature=False, provider=of != null), slug, line, null)
        elif feature is not None and which == feature.id:
            scope = feature.name if slug is None else f"{slug} · {feature.name}"
            yield ScopedRef(layer_name(owner, feature=True, provider=of != null), scope, line, null)


def terms_of(lines: bytes, provider: bytes, *, has_keys: bool) -> dict[str, Any] | None:
    """Return what an organisation, or a template, has of a provider; None: nothing.

    Without keys ``api_key_encrypted`` says ``t`` where there was one, and ``f``.
    """
    for line in organizations.of_kind(lines, b"K"):
        if rows.second(line) == provider:
            if not has_keys:
                line += b"\t" * (SEALED - 1)  # noqa: PLW2901 - what a file does not have
            return rows.read(line, TERMS, NULL)
    return None


_NOTHING: Final[Mapping[str, Any]] = dict.fromkeys(TERMS)


def tenant_of(
    row: OrganizationRow,
    own: Mapping[str, Any] | None,
    template: Mapping[str, Any] | None,
    open_own: Callable[[], Any] | None = None,
) -> Tenant:
    """Return an organisation with what it may use of a provider: what it has no word on, its template says.

    A template has no keys and no models of its own; what it asks for a key of the organisation's own, it asks of all.

    Args:
        row: The organisation's own row.
        own: What it has of the provider; None: nothing.
        template: The same of its template.
        open_own: See :attr:`Tenant.open_own`.
    """
    own, template = own or _NOTHING, template or _NOTHING
    is_allowed, allowed = (_first(own[name], template[name]) for name in ("is_allowed", "allowed_models"))
    return Tenant(
        id=row.id,
        name=row.slug,
        is_active=row.is_active,
        shares_keys=row.shares_keys,
        is_allowed=is_allowed is not False,
        requires_own_key=bool(own["requires_own_key"] or template["requires_own_key"]),
        allowed_models=None if allowed is None else _models(allowed),
        own_models=_models(own["own_models"]),
        open_own=open_own,
    )


def _first(own: Any, template: Any) -> Any:
    return template if own is None else own


def _models(found: Any) -> frozenset[str]:
    """Return the names in a list; what is no list, as raw SQL may leave it, has none."""
    return frozenset(one for one in found if isinstance(one, str)) if isinstance(found, list) else frozenset()
