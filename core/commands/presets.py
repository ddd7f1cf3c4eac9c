"""Presets: named sets of parameters, applied to the settings of any scope."""

from typing import Annotated

import typer
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..manage import features, organizations, providers, settings_presets
from ..manage.scopes import SettingsScope, named
from ..manage.settings_presets import OMITTED, said
from ..parameters import PARAMETERS
from ..resolving.words import label_of
from ..store import db
from ..store.table import id_of
from .opening import DryRun, store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Presets: named sets of parameters, for the settings of any scope.")


@app.command("list")
def list_presets() -> None:
    """List the presets with what is in them."""
    with store(), db.transaction() as session:
        for row in settings_presets.list_all(session, COMMAND_LINE):
            names = [*PARAMETERS, "custom_settings", "extra_parameters"]
            held = {name: said(row.fields, name) for name in names}
            words = [f"{name} {text}" for name, text in held.items() if name in row.fields or text == OMITTED]
            typer.echo(f"{row.name:<24} {', '.join(words)}\n{'':<24} {row.description or ''}".rstrip())


@app.command("apply")
@writes
def apply(
    name: Annotated[str, typer.Argument(help="Name of the preset.")],
    provider: Annotated[str, typer.Option(help="For this provider; without it for all.")] = "",
    organization: Annotated[str, typer.Option(help="In the settings of this organisation or template.")] = "",
    feature: Annotated[str, typer.Option(help="In the settings of this feature.")] = "",
    *,
    dry_run: DryRun = False,
) -> None:
    """Copy a preset into the settings of a scope, and say what changes and what becomes of it for the model there."""
    with store(), writing(dry=dry_run) as session:
        preset = settings_presets.get_by_name(session, COMMAND_LINE, name)
        scope = _scope(session, provider, organization, feature)
        found = settings_presets.preview(session, COMMAND_LINE, preset, scope)
        where = named(session, COMMAND_LINE, "settings.update", scope).words
        if not dry_run:
            settings_presets.apply(session, COMMAND_LINE, preset, scope, version=found.version or None)
    for change in found.changes:
        note = f"  ({change.note})" if change.note else ""
        typer.echo(f"{label_of(change.field)}: {change.before} -> {change.after}{note}")
    if not found.changes:
        typer.echo(f"Nothing to do: {where} has all of {name} already.")
    else:
        typer.echo("Dry run: nothing was changed." if dry_run else f"Applied {name} to {where}.")


def _scope(session: Session, provider: str, organization: str, feature: str) -> SettingsScope:
    return SettingsScope(
        id_of(providers.get_by_name(session, provider)) if provider else None,
        id_of(organizations.get_by_name(session, COMMAND_LINE, organization)) if organization else None,
        id_of(features.get_by_name(session, feature)) if feature else None,
    )
