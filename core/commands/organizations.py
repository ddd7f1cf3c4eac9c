"""Organisations: tenants of the services that resolve."""

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..errors import Invalid
from ..manage import (
    organization_deletion,
    organization_import,
    organization_keys,
    organization_members,
    organizations,
    overriding,
    providers,
)
from ..store import db
from ..store.organization_schemas import MOST_AT_ONCE
from ..store.table import id_of
from ..wording import counted
from .opening import DryRun, store, writes, writing
from .typed import FromEnv, secret

app = typer.Typer(no_args_is_help=True, help="Organisations: tenants of the services that resolve.")
keys = typer.Typer(no_args_is_help=True, help="Own keys of organisations.")
members = typer.Typer(no_args_is_help=True, help="Who belongs to an organisation.")
app.add_typer(keys, name="keys")
app.add_typer(members, name="members")
TakeFormer = Annotated[bool, typer.Option("--take-former", help="Take a slug that another organisation had before.")]


@app.command("add")
@writes
def add(
    slug: str,
    name: Annotated[str, typer.Option(help="What people call it; else the slug.")] = "",
    template: Annotated[str, typer.Option(help="The template that it builds on.")] = "",
    external: Annotated[
        list[str] | None, typer.Option(help="A name that services have for it; may be repeated.")
    ] = None,
    *,
    is_template: Annotated[
        bool, typer.Option("--is-template", help="Others build on it, and nobody resolves it.")
    ] = False,
    take_former: TakeFormer = False,
) -> None:
    """Make an organisation, or a template."""
    with store(), writing() as session:
        entry: dict[str, Any] = {"slug": slug, "name": name or slug, "external_names": external or []}
        if is_template:
            entry["kind"] = "template"
        if template:
            entry["template_id"] = organizations.get_by_name(session, COMMAND_LINE, template).id
        organizations.create_one(session, COMMAND_LINE, entry, take_former=take_former)
    typer.echo(f"Added {slug}.")


@app.command("list")
def list_organizations(
    search: Annotated[str, typer.Option(help="A part of what it is called, or the beginning of a name.")] = "",
    *,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted.")] = False,
) -> None:
    """List organisations by slug."""
    with store(), db.transaction() as session:
        after = None
        while page := organizations.search(session, COMMAND_LINE, search, deleted=deleted, after=after):
            held = overriding.of_organizations(session, [id_of(row) for row in page])
            for row in page:
                what = [
                    *(["template"] if row.kind == "template" else []),
                    *([] if row.is_active else ["disabled"]),
                    *([counted(n, "own key")] if (n := held[id_of(row)].own_keys) else []),
                    *([counted(n, "settings row")] if (n := held[id_of(row)].settings) else []),
                    *([counted(n, "override")] if (n := held[id_of(row)].overrides) else []),
                ]
                typer.echo(f"{row.slug:<40} {row.name}" + (f"  ({', '.join(what)})" if what else ""))
            after = page[-1].slug


@app.command("rename")
@writes
def rename(name: str, slug: str, *, take_former: TakeFormer = False) -> None:
    """Give an organisation another slug; it still answers to the one it had."""
    with store(), writing() as session:
        row = organizations.get_by_name(session, COMMAND_LINE, name)
        organizations.update(session, COMMAND_LINE, id_of(row), {"slug": slug}, take_former=take_former)
    typer.echo(f"Renamed to {slug}.")


@app.command("keep")
@writes
def keep(
    name: str, *, calls_days: Annotated[int, typer.Option(help="Days; 0: as the installation says.", min=0)]
) -> None:
    """Say how long calls of an organisation stay in the request log, where that is shorter than the installation says."""
    _set(name, keep_calls_days=calls_days or None)
    kept = f"for {counted(calls_days, 'day')} at most" if calls_days else "as long as the installation says"
    typer.echo(f"Calls of {name} are kept {kept}.")


@app.command("disable")
@writes
def disable(name: str) -> None:
    """Give an organisation's services no key until it is enabled."""
    _set(name, is_active=False)
    typer.echo(f"Disabled {name}.")


@app.command("enable")
@writes
def enable(name: str) -> None:
    """Enable an organisation again."""
    _set(name, is_active=True)
    typer.echo(f"Enabled {name}.")


@app.command("delete")
@writes
def delete(name: str) -> None:
    """Delete an organisation: services do not find it; it can be restored until it is purged."""
    with store(), writing() as session:
        row = organizations.get_by_name(session, COMMAND_LINE, name)
        organization_deletion.delete(session, COMMAND_LINE, id_of(row))
        typer.echo(f"Deleted {row.slug}. To take it back: python -m core organizations restore {row.id}")


@app.command("restore")
@writes
def restore(
    organization_id: int,
    slug: Annotated[str, typer.Option(help="Another slug than it had.")] = "",
    *,
    take_former: TakeFormer = False,
) -> None:
    """Take back a deletion, by the id that `delete` and `purge --dry-run` print."""
    with store(), writing() as session:
        row = organization_deletion.restore(
            session, COMMAND_LINE, organization_id, slug=slug or None, take_former=take_former
        )
        typer.echo(f"Restored {row.slug}.")


@app.command("purge")
@writes
def purge(
    days: Annotated[
        int, typer.Option(min=0, help="Those that were deleted more than so many days ago.")
    ] = organization_deletion.KEPT_DAYS,
    *,
    with_history: Annotated[
        bool, typer.Option("--with-history", help="Their history too: as if they had never been there.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Take away deleted organisations for good, with their rows, keys, members and tokens."""
    with store(), writing() as session:
        for row in organization_deletion.to_purge(session, days):
            number, slug = id_of(row), row.slug
            goes = organization_deletion.deletion(session, number)
            if not dry_run:
                goes = organization_deletion.purge(session, COMMAND_LINE, number, with_history=with_history)
            typer.echo(f"{number:>10} {slug:<40} {', '.join(goes) or 'nothing of its own'}")


@app.command("import")
@writes
def import_csv(file: Path, *, take_former: TakeFormer = False, dry_run: DryRun = False) -> None:
    """Make organisations of a CSV file: a header of slug, name and perhaps external, then a line each. Lines of one slug are one.

    An organisation that is there gets the external names that it does not have; nothing is taken from it.
    """
    entries = _read(file)
    with store():
        failed = 0
        for at in range(0, len(entries), MOST_AT_ONCE):
            with writing(dry=dry_run) as session:
                failed += _import(session, entries[at : at + MOST_AT_ONCE], take_former=take_former)
                if dry_run:
                    session.rollback()
    if failed:
        raise typer.Exit(1)


@members.command("set")
@writes
def set_member(
    name: str, username: str, role: Annotated[str, typer.Option(help="admin or analyst")] = "analyst"
) -> None:
    """Make a user a member of an organisation; ends their sign-ins."""
    with store(), writing() as session:
        number = id_of(organizations.get_by_name(session, COMMAND_LINE, name))
        user = organization_members.find_user(session, COMMAND_LINE, number, username)
        organization_members.set_member(session, COMMAND_LINE, number, user, role)
    typer.echo(f"{username} is {role} of {name}.")


@members.command("remove")
@writes
def remove_member(name: str, username: str) -> None:
    """Take a user out of an organisation; ends their sign-ins."""
    with store(), writing() as session:
        number = id_of(organizations.get_by_name(session, COMMAND_LINE, name))
        user = organization_members.find_user(session, COMMAND_LINE, number, username)
        organization_members.remove_member(session, COMMAND_LINE, number, user)
    typer.echo(f"{username} is out of {name}.")


@members.command("list")
def list_members(name: str) -> None:
    """List the members of an organisation."""
    with store(), db.transaction() as session:
        number = id_of(organizations.get_by_name(session, COMMAND_LINE, name))
        for one in organization_members.list_of(session, COMMAND_LINE, number):
            typer.echo(f"{one.username:<30} {one.role:<8} {'active' if one.is_active else 'disabled'}")


@keys.command("set")
@writes
def set_key(name: str, provider: str, from_env: FromEnv = None) -> None:
    """Store an organisation's own key, read from standard input or a variable."""
    key = secret("API key", from_env)
    with store(), writing() as session:
        number = id_of(organizations.get_by_name(session, COMMAND_LINE, name))
        of = id_of(providers.get_by_name(session, provider))
        row = organization_keys.set_api_key(session, COMMAND_LINE, number, of, key)
        typer.echo(f"Stored {organization_keys.shown_key(row)}.")


@keys.command("remove")
@writes
def remove_key(name: str, provider: str) -> None:
    """Forget an organisation's own key; the installation's does not take its place by itself."""
    with store(), writing() as session:
        number = id_of(organizations.get_by_name(session, COMMAND_LINE, name))
        organization_keys.remove_api_key(session, COMMAND_LINE, number, id_of(providers.get_by_name(session, provider)))
    typer.echo(f"{name} has no key of its own for {provider} any more.")


def _set(name: str, **patch: object) -> None:
    with store(), writing() as session:
        row = organizations.get_by_name(session, COMMAND_LINE, name)
        organizations.update(session, COMMAND_LINE, id_of(row), patch)


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return organization_import.read(lines)
    except UnicodeDecodeError:
        raise Invalid({"file": "must be UTF-8"}) from None


def _import(session: Session, entries: list[dict[str, Any]], *, take_former: bool) -> int:
    lines = organization_import.put(session, COMMAND_LINE, entries, take_former=take_former)
    for line in lines:
        typer.echo(f"{line.slug:<40} {line.outcome}")
    return sum(line.is_refused for line in lines)
