"""Which settings a service on this machine gets, and why."""

import json
from typing import Annotated, Final

import typer

from ..resolve import resolve, resolver
from ..resolving.effective import LAYERS, EffectiveSettings, Explained, Source
from ..resolving.words import becomes, state_of, value_text
from .opening import leave


def explain(
    provider: Annotated[
        str | None, typer.Argument(help="Name of the provider. Default: the default provider of the rest.")
    ] = None,
    *,
    organization: Annotated[
        str | None, typer.Option(help="Of an organisation, by any of its names. Default: of nobody.")
    ] = None,
    feature: Annotated[str | None, typer.Option(help="For a feature, by its name. Default: for none.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say which settings a service on this machine gets, and why. Exit 1 if there is no such name, or no store."""
    resolver.start().wait()
    try:
        settings, names = resolve(provider, organization, feature), resolver.names()
        items = settings.explain()
        if as_json:
            parts = {name: getattr(settings, name) for name in ("provider", "status", "cure", "generation")}
            scope = ("organization", "organization_id", "organization_known", "feature", "feature_known", "key_owner")
            parts |= {name: getattr(settings, name) for name in scope}
            parts["default_by"] = settings.default_by.as_dict() if settings.default_by else None
            parts |= {"stale": resolver.stale, "settings": [item.as_dict() for item in items]}
            typer.echo(json.dumps(parts, indent=2, ensure_ascii=False))
        else:
            _explain(settings, items, stale=resolver.stale)
            if settings.status == "unknown_provider" and names:
                typer.echo(f"There are: {', '.join(names[:50])}{', …' if len(names) > 50 else ''}")  # noqa: PLR2004 - a screen
    finally:
        resolver.close()
        leave()
    if settings.status in _NOT_THERE or not settings.feature_known:
        raise typer.Exit(1)


_NOT_THERE: Final = frozenset({"unknown_provider", "no_provider", "unknown_organization", "store_unavailable"})


def _explain(settings: EffectiveSettings, items: list[Explained], *, stale: bool) -> None:
    typer.echo(
        f"{_scope_text(settings)}: {settings.status}, generation {settings.generation}{', stale' if stale else ''}"
    )
    if settings.cure:
        typer.echo(f"Cure: {settings.cure}")
    if not settings.feature_known:
        typer.echo(f"There is no feature {settings.feature}: these are the settings without it.")
    if settings.default_by is not None:
        typer.echo(f"The default provider, chosen by: {_source_text(settings.default_by)}")
    if settings.key_owner == "organization":
        typer.echo("The key is the organisation's own.")
    width = max(len(item.name) for item in items)
    for item in items:
        value = value_text(item.name, item.value)
        typer.echo(f"{item.name:<{width}}  {value:<14}  {state_of(item):<11}  {_source_text(item.source)}")
        if item.omitted_by:
            typer.echo(f"{'':<{width}}  not sent, says {_source_text(item.omitted_by)}")
        if item.adjusted:
            typer.echo(f"{'':<{width}}  {becomes(item.adjusted)}")
        for source, passed in item.passed_over:
            typer.echo(f"{'':<{width}}  passed over, not allowed: {passed}: {_source_text(source)}")
        for source, hidden in item.shadows:
            typer.echo(f"{'':<{width}}  hides {value_text(item.name, hidden)}: {_source_text(source)}")


def _scope_text(settings: EffectiveSettings) -> str:
    named = [settings.provider or "no provider", *(name for name in (settings.organization, settings.feature) if name)]
    return " · ".join(named)


def _source_text(source: Source) -> str:
    parts = [LAYERS[source.layer] + (f" ({source.scope})" if source.scope else "")]
    if source.row_id is not None:
        parts.append(f"row {source.row_id}, version {source.version}")
    if source.changed_by:
        parts.append(f"by {source.changed_by}")
    if source.changed_at:
        parts.append(f"{source.changed_at:%Y-%m-%d %H:%M} UTC")
    return ", ".join(parts)
