"""Which settings a service on this machine gets, and why."""

import json
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from ..resolve import resolve, resolver
from ..resolving.effective import EffectiveSettings
from ..resolving.explanation import LAYERS, Explained, Source
from ..resolving.limit_words import limit_text, who_text
from ..resolving.limited import LimitedBy
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
    at: Annotated[
        str | None,
        typer.Option(
            help="As it was: a time in ISO 8601, or a generation. Asks the database, as the application's role."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say which settings a service on this machine gets, and why. Exit 1 if there is no such name, or no store."""
    if at is not None:
        from .history import explain_at  # noqa: PLC0415 - a service's machine may lack what it takes

        settings, as_of = explain_at(provider, organization, feature, at)
        if not as_json:
            typer.echo(as_of)
        _say(settings, settings.explain(), as_json=as_json, stale=False)
        return
    resolver.start().wait()
    try:
        settings, names = resolve(provider, organization, feature), resolver.names()
        _say(settings, settings.explain(), as_json=as_json, stale=resolver.stale)
        if not as_json and settings.status == "unknown_provider" and names:
            typer.echo(f"There are: {', '.join(names[:50])}{', …' if len(names) > 50 else ''}")  # noqa: PLR2004 - a screen
    finally:
        resolver.close()
        leave()
    if settings.status in _NOT_THERE or not settings.feature_known:
        raise typer.Exit(1)


def _say(settings: EffectiveSettings, items: list[Explained], *, as_json: bool, stale: bool) -> None:
    if not as_json:
        _explain(settings, items, stale=stale)
        return
    parts = {name: getattr(settings, name) for name in ("provider", "status", "cure", "generation")}
    scope = ("organization", "organization_id", "organization_known", "feature", "feature_known", "key_owner")
    parts |= {name: getattr(settings, name) for name in scope}
    parts["default_by"] = settings.default_by.as_dict() if settings.default_by else None
    by = settings.default_limited_by
    parts["default_limited_by"] = by.as_dict() if by else None
    parts |= {"stale": stale, "settings": [item.as_dict() for item in items]}
    typer.echo(json.dumps(parts, indent=2, ensure_ascii=False))


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
    if settings.default_limited_by is not None:
        typer.echo(f"The default provider is limited: {who_text(settings.default_limited_by)}")
    if settings.key_owner == "organization":
        typer.echo("The key is the organisation's own.")
    width = max(len(item.name) for item in items)
    for item in items:
        value = value_text(item.name, item.value)
        typer.echo(f"{item.name:<{width}}  {value:<14}  {state_of(item):<11}  {_source_text(item.source)}")
        for line in _why(item):
            typer.echo(f"{'':<{width}}  {line}")


def _why(item: Explained) -> Iterator[str]:
    if item.omitted_by:
        yield f"not sent, says {_source_text(item.omitted_by)}"
    if item.adjusted:
        yield becomes(item.adjusted)
    if item.limited_by:
        yield f"wanted {value_text(item.name, item.wanted)}: {_limit_text(item.name, item.limited_by)}"
    if item.omission_limited_by:
        sent = "sent" if item.sent else "not sent"
        yield f"{sent}: {_limit_text(item.name, item.omission_limited_by)}"
    for source, put_out in item.put_out:
        yield f"put out of force {value_text(item.name, put_out)}: {_source_text(source)}"
    for source, passed in item.passed_over:
        yield f"passed over, not allowed: {passed}: {_source_text(source)}"
    for source, hidden in item.shadows:
        yield f"hides {value_text(item.name, hidden)}: {_source_text(source)}"


def _limit_text(name: str, by: LimitedBy) -> str:
    return f"{limit_text(name, by)} (limits {by.limit_id}, {LAYERS[by.layer]}{f', {by.scope}' if by.scope else ''})"


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
