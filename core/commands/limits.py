"""Limits: what settings may say at all."""

from typing import Annotated, Any

import typer
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..manage import features, limit_checks, limits, organizations, providers
from ..manage.scopes import SettingsScope
from ..resolving.limit_words import rule_text
from ..resolving.limits import DEFAULT_PROVIDER, parse
from ..store import db
from ..store.organization_tables import LlmLimits
from ..store.schemas import parse_json_object
from ..store.table import id_of
from ..wording import counted
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Limits: what settings may say at all.")
_Organization = Annotated[
    str | None, typer.Option(help="Of an organisation, by any of its names. Default: of everybody.")
]
_Feature = Annotated[str | None, typer.Option(help="Of a feature, by its name. Default: whatever the feature.")]
_Provider = Annotated[str | None, typer.Option(help="Of a provider, by its name. Default: whatever the provider.")]


@app.command("list")
def list_limits(organization: _Organization = None) -> None:
    """List limits, with whose they are and what they say."""
    with store(), db.transaction() as session:
        of = None if organization is None else id_of(organizations.get_by_name(session, COMMAND_LINE, organization))
        after = 0
        while page := limits.list_of(session, COMMAND_LINE, organization_id=of, after=after):
            for row in page:
                typer.echo(f"{row.id:<6} {_scope_text(session, row)}")
                for line in _rules(session, row):
                    typer.echo(f"       {line}")
                if row.note:
                    typer.echo(f"       \u201c{row.note}\u201d")
            after = id_of(page[-1])


@app.command("set")
@writes
def set_limits(
    rules: Annotated[str, typer.Argument(help='JSON: {"max_tokens": {"max": 4000}}; of default_provider names.')],
    *,
    organization: _Organization = None,
    feature: _Feature = None,
    provider: _Provider = None,
    own: Annotated[bool, typer.Option("--own", help="The organisation's own limits, not the installation's.")] = False,
    note: Annotated[str, typer.Option(help="Why, for whoever meets them.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what they would put out of force.")] = False,
) -> None:
    """Set the limits of a scope, in place of those that are there. What they put out of force stays stored."""
    fields = parse_json_object(rules, "rules") or {}
    with store(), writing() as session:
        scope = SettingsScope(
            id_of(providers.get_by_name(session, provider)) if provider is not None else None,
            id_of(organizations.get_by_name(session, COMMAND_LINE, organization)) if organization is not None else None,
            id_of(features.get_by_name(session, feature)) if feature is not None else None,
        )
        data = {"owner": "organization" if own else "installation", "note": note or None, **scope._asdict()}
        data["limits"] = _with_ids(session, fields)
        if dry_run:
            found = limits.preview(session, COMMAND_LINE, data, own=limits.stored_id(session, data))
        else:
            row = limits.save(session, COMMAND_LINE, data)
            found = limits.outcome(session, COMMAND_LINE, row)
            typer.echo(f"Set limits {row.id}: {_scope_text(session, row)}. {found.holds}")
        _say(found)


@app.command("remove")
@writes
def remove(number: Annotated[int, typer.Argument(help="As `limits list` has it.")]) -> None:
    """Lift limits: what they put out of force counts again."""
    with store(), writing() as session:
        limits.delete(session, COMMAND_LINE, number)
        typer.echo(f"Lifted limits {number}.")


@app.command("clear")
@writes
def clear(number: Annotated[int, typer.Argument(help="As `limits list` has it.")]) -> None:
    """Take what limits put out of force out of the rows that have it, each an edit of its own in the audit."""
    with store():
        cleared = 0
        while True:
            with writing() as session:
                found = limits.clear(session, COMMAND_LINE, number)
            cleared += found
            if found < limits.CLEARED_AT_ONCE:
                break
        typer.echo(f"Cleared {counted(cleared, 'row')}.")


def _with_ids(session: Session, fields: dict[str, Any]) -> dict[str, Any]:
    rule = fields.get(DEFAULT_PROVIDER)
    named = rule.get("in") if isinstance(rule, dict) else None
    if not isinstance(named, list):
        return fields
    found = [id_of(providers.get_by_name(session, one)) if isinstance(one, str) else one for one in named]
    return {**fields, DEFAULT_PROVIDER: {**(rule or {}), "in": found}}


def _say(found: limits.Preview) -> None:
    effects = found.effects
    if effects.rows:
        of = f" of {counted(effects.organizations, 'organisation')}" if effects.organizations else ""
        typer.echo(f"Out of force: {counted(effects.rows, 'row')}{of}.")
        for each in effects.listed:
            typer.echo(f"  {each.words}: {', '.join(each.fields)}")
        if len(effects.listed) < effects.rows:
            typer.echo("  …")
    for field, note in found.notes.items():
        typer.echo(f"{field}: {note}.")


def _scope_text(session: Session, row: LlmLimits) -> str:
    of = limit_checks.scope_words(session, limits.scope_of(row))
    return f"{of}, {'its own' if row.owner == 'organization' else 'of the installation'}"


def _rules(session: Session, row: LlmLimits) -> list[str]:
    found = parse(row.limits, names_provider=row.provider_id is not None)
    names = limit_checks.provider_names(session, found.get(DEFAULT_PROVIDER, {}).get("in", ()))
    return [
        f"{field}: {rule_text(field, rule, bound, names)}"
        for field, rules in found.items()
        for rule, bound in rules.items()
    ]
