"""Which settings a service on this machine gets, and why."""

import json
from typing import Annotated

import typer

from ..resolve import resolve, resolver
from ..resolving.effective import LAYERS, EffectiveSettings, Explained, Source
from ..resolving.words import becomes, state_of, value_text
from .opening import leave


def explain(
    provider: Annotated[str, typer.Argument(help="Name of the provider.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say which settings a service on this machine gets, and why. Exit 1 if there is no such provider, or no store."""
    resolver.start().wait()
    try:
        settings, names = resolve(provider), resolver.names()
        items = settings.explain()
        if as_json:
            parts = {name: getattr(settings, name) for name in ("provider", "status", "cure", "generation")}
            parts |= {"stale": resolver.stale, "settings": [item.as_dict() for item in items]}
            typer.echo(json.dumps(parts, indent=2, ensure_ascii=False))
        else:
            _explain(settings, items, stale=resolver.stale)
            if settings.status == "unknown_provider" and names:
                typer.echo(f"There are: {', '.join(names[:50])}{', …' if len(names) > 50 else ''}")  # noqa: PLR2004 - a screen
    finally:
        resolver.close()
        leave()
    if settings.status in {"unknown_provider", "store_unavailable"}:
        raise typer.Exit(1)


def _explain(settings: EffectiveSettings, items: list[Explained], *, stale: bool) -> None:
    typer.echo(f"{settings.provider}: {settings.status}, generation {settings.generation}{', stale' if stale else ''}")
    if settings.cure:
        typer.echo(f"Cure: {settings.cure}")
    width = max(len(item.name) for item in items)
    for item in items:
        value = value_text(item.name, item.value)
        typer.echo(f"{item.name:<{width}}  {value:<14}  {state_of(item):<11}  {_source_text(item.source)}")
        if item.omitted_by:
            typer.echo(f"{'':<{width}}  not sent, says {_source_text(item.omitted_by)}")
        if item.adjusted:
            typer.echo(f"{'':<{width}}  {becomes(item.adjusted)}")
        for source, hidden in item.shadows:
            typer.echo(f"{'':<{width}}  hides {value_text(item.name, hidden)}: {_source_text(source)}")


def _source_text(source: Source) -> str:
    parts = [LAYERS[source.layer]]
    if source.row_id is not None:
        parts.append(f"row {source.row_id}, version {source.version}")
    if source.changed_by:
        parts.append(f"by {source.changed_by}")
    if source.changed_at:
        parts.append(f"{source.changed_at:%Y-%m-%d %H:%M} UTC")
    return ", ".join(parts)
