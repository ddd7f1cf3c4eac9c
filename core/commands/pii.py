"""Personal data: what becomes of it in each scope, and what would be found in a text."""

import sys
from typing import Annotated, Any

import typer
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..errors import Invalid
from ..manage import features, organizations, personal_data, providers
from ..manage.scopes import SettingsScope
from ..privacy.looking import Looking, find, not_looked_for
from ..privacy.national import COUNTRIES
from ..privacy.placeholders import Placeholders
from ..resolving.explanation import LAYERS
from ..resolving.limit_words import limit_text
from ..resolving.personal_merge import PERSONAL_FIELDS, PREFIX
from ..resolving.words import value_text
from ..store import db
from ..store.schemas import parse_json_object
from ..store.table import id_of
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Personal data in texts.")

_SIZE = 1_000_000


_Organization = Annotated[str, typer.Option(help="Of this organisation or template. Default: of everybody.")]
_Feature = Annotated[str, typer.Option(help="Of this feature. Default: whatever the feature.")]
_Provider = Annotated[str, typer.Option(help="Of this provider. Default: whatever the provider.")]


@app.command("list")
def list_rows(organization: _Organization = "") -> None:
    """List the scopes that say something of personal data, and what."""
    with store(), db.transaction() as session:
        of = id_of(organizations.get_by_name(session, COMMAND_LINE, organization)) if organization else None
        for found in personal_data.list_all(session, COMMAND_LINE, organization_id=of):
            row = found.row
            said = [
                f"{name} {value_text(PREFIX + name, value)}"
                for name in PERSONAL_FIELDS
                if (value := getattr(row, name)) is not None and name not in found.unread
            ]
            marks = "" if row.is_active else " (not active)"
            marks += " (of an upgrade: nobody has decided)" if row.awaits_decision else ""
            typer.echo(f"{found.scope}{marks}: {'; '.join(said) or 'nothing'}")
            if found.unread:
                typer.echo(f"  cannot be read, and counts as not said: {', '.join(found.unread)}")


@app.command("show")
def show(organization: _Organization = "", feature: _Feature = "", provider: _Provider = "") -> None:
    """Show what becomes of personal data in a scope, and who says so."""
    with store(), db.transaction() as session:
        found = personal_data.of_scope(session, COMMAND_LINE, _scope(session, organization, feature, provider))
        for item in found.explained:
            name = item.name.removeprefix(PREFIX)
            held = f"; {limit_text(item.name, item.limited_by)}" if item.limited_by is not None else ""
            whose = LAYERS[item.source.layer] + (f" ({item.source.scope})" if item.source.scope else "")
            typer.echo(f"{name:<11} {value_text(item.name, item.value):<12} {whose}{held}")


@app.command("set")
@writes
def set_fields(
    *,
    organization: _Organization = "",
    feature: _Feature = "",
    provider: _Provider = "",
    logs: Annotated[str | None, typer.Option(help="The request log: off or mask.")] = None,
    prompts: Annotated[str | None, typer.Option(help="Prompts: off, mask or refuse.")] = None,
    answers: Annotated[str | None, typer.Option(help="Answers: off or mask.")] = None,
    restore: Annotated[
        bool | None, typer.Option("--restore/--no-restore", help="Whether answers get their own values back.")
    ] = None,
    types: Annotated[str | None, typer.Option(help="What is looked for, with commas: EMAIL,IBAN.")] = None,
    countries: Annotated[str | None, typer.Option(help="Whose numbers, with commas: DE,FR.")] = None,
    engine: Annotated[str | None, typer.Option(help="built-in, or the name of one that is installed.")] = None,
    patterns: Annotated[
        str | None, typer.Option(help="Own patterns: a JSON list of name, pattern, matches and spares.")
    ] = None,
    allow: Annotated[str | None, typer.Option(help="What is no personal data: a JSON list of texts.")] = None,
    on_failure: Annotated[
        str | None, typer.Option("--on-failure", help="If a prompt cannot be searched: refuse or send.")
    ] = None,
    inherit: Annotated[str, typer.Option(help="Fields that are inherited again, with commas.")] = "",
) -> None:
    """Say what becomes of personal data in a scope; what is not named stays. With nothing named, what an upgrade wrote is confirmed."""
    words = {"logs": logs, "prompts": prompts, "answers": answers, "engine": engine, "on_failure": on_failure}
    patch: dict[str, Any] = {name: value for name, value in words.items() if value is not None}
    patch |= {} if restore is None else {"restore": restore}
    for name, listed in (("types", types), ("countries", countries)):
        if listed is not None:
            patch[name] = [part.strip().upper() for part in listed.split(",") if part.strip()]
    for name, given in (("patterns", patterns), ("allow", allow)):
        if given is not None:
            patch[name] = (parse_json_object(f'{{"{name}": {given}}}', name) or {}).get(name)
    left = [part.strip() for part in inherit.split(",") if part.strip()]
    if unknown := [name for name in left if name not in PERSONAL_FIELDS]:
        raise Invalid({"inherit": f"has fields among {', '.join(PERSONAL_FIELDS)}; {unknown[0][:30]} is none"})
    patch |= dict.fromkeys(left)
    with store(), writing() as session:
        scope = _scope(session, organization, feature, provider)
        found = personal_data.save(session, COMMAND_LINE, scope, patch)
        typer.echo(f"Saved for {found.scope}. In force within a second or two.")


@app.command("clear")
@writes
def clear(organization: _Organization = "", feature: _Feature = "", provider: _Provider = "") -> None:
    """Have a scope inherit everything again."""
    with store(), writing() as session:
        personal_data.clear(session, COMMAND_LINE, _scope(session, organization, feature, provider))
        typer.echo("Cleared: it is inherited.")


def _scope(session: Session, organization: str, feature: str, provider: str) -> SettingsScope:
    return SettingsScope(
        id_of(providers.get_by_name(session, provider)) if provider else None,
        id_of(organizations.get_by_name(session, COMMAND_LINE, organization)) if organization else None,
        id_of(features.get_by_name(session, feature)) if feature else None,
    )


@app.command("try")
def try_text(
    text: Annotated[str, typer.Argument(help="A text; - reads the standard input.")],
    *,
    countries: Annotated[
        str,
        typer.Option(
            "--countries", help="Whose national numbers, and phone numbers as people write them there: DE,FR."
        ),
    ] = "",
) -> None:
    """Say what of a text is personal data by its form, and what stands in its place. Nothing of it is stored or sent."""
    wanted = tuple(part.strip().upper() for part in countries.split(",") if part.strip())
    if unknown := sorted(set(wanted) - COUNTRIES):
        raise Invalid(
            {
                "countries": f"no numbers of {', '.join(unknown)[:100]} are known; of {', '.join(sorted(COUNTRIES))} they are"
            }
        )
    if text == "-":
        text = sys.stdin.read(_SIZE + 1)
    if len(text) > _SIZE:
        raise Invalid({"text": f"at most {_SIZE:,} characters"})
    looking = Looking(countries=wanted)
    placeholders = Placeholders(lambda piece: find(piece, looking))
    typer.echo(placeholders.mask(text))
    typer.echo(
        f"Found: {', '.join(f'{count} {kind}' for kind, count in sorted(placeholders.counts.items())) or 'nothing'}."
    )
    if missing := not_looked_for(looking):
        typer.echo(f"Not looked for: {', '.join(missing)}. Install llm-settings[pii].")
