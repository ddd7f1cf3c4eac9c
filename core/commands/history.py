"""What was changed, what differs between two moments, and how it is put back."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from ..actors import COMMAND_LINE
from ..govern import history, history_purge, history_restore, history_writers
from ..govern.history_moments import moment as find_moment
from ..govern.history_moments import parse_moment
from ..govern.history_queries import Filters
from ..manage import hierarchy, organizations
from ..manage.hierarchy import AskedFor
from ..resolving.effective import EffectiveSettings, otherwise
from ..store import db
from ..store.table import id_of
from ..wording import counted
from .opening import DryRun, retrying, store, writes, writing

app = typer.Typer(no_args_is_help=True, help="What was changed in the settings, by whom, and how it is put back.")
_LONGEST: Final = 60
OrganizationOption = Annotated[str | None, typer.Option(help="Only what is this organisation's, by any of its names.")]
TableArgument = Annotated[str, typer.Argument(help=f"A table: {', '.join(sorted(history_writers.WRITERS))}.")]
RowArgument = Annotated[int, typer.Argument(help="The row's id.")]


@app.command("list")
def list_changes(
    organization: OrganizationOption = None,
    *,
    table: Annotated[str | None, typer.Option(help="Only rows of one table.")] = None,
    since: Annotated[str | None, typer.Option(help="The first moment: ISO 8601, UTC.")] = None,
    until: Annotated[str | None, typer.Option(help="The first moment that is too late.")] = None,
    by: Annotated[str | None, typer.Option(help="Only what this one did.")] = None,
    field: Annotated[str | None, typer.Option(help="Only where this field was changed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many at most.")] = 50,
) -> None:
    """List what was changed, newest first: generation, when, by whom, and each field before and after."""
    filters = Filters(table=table, since=_time(since), until=_time(until), by=by, field=field)
    with store(), db.transaction() as session:
        filters = filters._replace(organization_id=_id(session, organization))
        for each in history.changes(session, COMMAND_LINE, filters, limit=limit).rows:
            typer.echo(
                f"{each.generation:>8}  {_when(each.at)}  {each.by}  {each.op} {each.table} {each.row_id} ({each.name})"
            )
            if each.comment:
                typer.echo(f"          {each.comment}")
            _say_fields(each.fields)


@app.command("show")
def show(
    table: TableArgument,
    row: RowArgument,
    generation: Annotated[int | None, typer.Option(help="As of this one. Default: all versions, newest first.")] = None,
) -> None:
    """Say what a row was at a generation, or each of its versions."""
    with store(), db.transaction() as session:
        if generation is not None:
            found = history.version(session, COMMAND_LINE, table, row, generation)
            typer.echo(
                f"{found.table} {found.row_id} ({found.name}) of generation {found.generation}, {_when(found.at)}, by {found.by}"
            )
            typer.echo("It is gone." if found.image is None else json.dumps(found.image, indent=2, ensure_ascii=False))
            return
        for each in history.changes(session, COMMAND_LINE, Filters(table=table, row_id=row), limit=500).rows:
            typer.echo(
                f"{each.generation:>8}  {_when(each.at)}  {each.by}  {each.op}{' as it was before' if each.is_first else ''}"
            )
            _say_fields(each.fields)


@app.command("diff")
def diff(
    before: Annotated[str, typer.Argument(help="A time in ISO 8601, or a generation.")],
    after: Annotated[str, typer.Argument(help="Another one.")],
    organization: OrganizationOption = None,
) -> None:
    """Say what differs between two moments, field by field. Exit 2 if something does."""
    with store(), db.transaction() as session:
        found = history.difference(
            session,
            COMMAND_LINE,
            parse_moment(before, "before"),
            parse_moment(after, "after"),
            organization_id=_id(session, organization),
        )
        for row in found.rows:
            typer.echo(f"{row.op} {row.table} {row.row_id} ({row.name})")
            _say_fields(row.fields)
        if found.is_cut:
            typer.echo(
                f"There are more than {counted(len(found.rows), 'row')}: compare moments that are nearer to each other."
            )
    if found.rows:
        raise typer.Exit(2)
    typer.echo("Nothing differs.")


@app.command("restore")
@writes
def restore(
    at: Annotated[str, typer.Argument(help="A time in ISO 8601, or a generation.")],
    *,
    table: Annotated[str | None, typer.Option(help="Of the row that is restored.")] = None,
    row: Annotated[int | None, typer.Option(help="Its id.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="Only this field; may be repeated.")] = None,
    organization: Annotated[
        str | None, typer.Option(help="All that is this organisation's, by any of its names.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a row, or all that is an organisation's, what it was: a new write, by the rules of today. Exit 1 if a row is refused.

    Keys do not come back.
    """
    if (organization is None) == (table is None or row is None):
        raise typer.BadParameter("name --table and --row, or --organization")
    with store(), writing(dry=dry_run) as session:
        moment = parse_moment(at)
        if organization is not None:
            number = id_of(organizations.get_by_name(session, COMMAND_LINE, organization))
            outcomes = history_restore.restore_organization(
                session, COMMAND_LINE, number, moment, dry_run=dry_run
            ).outcomes
        else:
            generation = find_moment(session, moment).generation
            outcomes = [
                history_restore.restore_row(
                    session, COMMAND_LINE, table or "", row or 0, generation, fields=field, dry_run=dry_run
                )
            ]
        for each in outcomes:
            typer.echo(
                f"{'would be ' * dry_run}{each.done}: {each.table} {each.row_id} ({each.name}){': ' * bool(each.problem)}{each.problem}"
            )
            _say_fields(each.fields)
            for note in each.notes:
                typer.echo(f"          {note}")
    if any(each.done == "refused" for each in outcomes):
        raise typer.Exit(1)


@app.command("purge")
@writes
def purge(
    older_than: Annotated[int, typer.Option(help="Days. What no moment since then needs goes.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Delete the oldest versions: moments before are answered no more, all later ones as ever."""
    with store():
        removed = history_purge.purge(retrying, COMMAND_LINE, older_than=older_than, dry_run=dry_run)
    if not removed:
        typer.echo("Nothing to do: no version is so old and followed by another.")
    else:
        typer.echo(f"{'Would delete' if dry_run else 'Deleted'} {counted(removed, 'version')}.")


def _id(session: Any, organization: str | None) -> int | None:
    return None if organization is None else organizations.get_by_name(session, COMMAND_LINE, organization).id


def _time(given: str | None) -> datetime | None:
    found = None if given is None else parse_moment(given, "time")
    if isinstance(found, int):
        raise typer.BadParameter("a time in ISO 8601 is needed here")
    return found


def _when(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _say_fields(fields: dict[str, tuple[Any, Any]]) -> None:
    for name, pair in fields.items():
        before, after = (_short(value) for value in pair)
        typer.echo(f"          {name}: {before} -> {after}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def explain_at(
    provider: str | None, organization: str | None, feature: str | None, at: str
) -> tuple[EffectiveSettings, str]:
    """Return what was in force, without a key, and a sentence that says when."""
    with (
        store(),
        db.transaction() as session,
        history.as_of(session, COMMAND_LINE, parse_moment(at), organization=organization) as then,
    ):
        found = hierarchy.in_force(then.session, COMMAND_LINE, AskedFor(provider, organization, feature)).settings
        when = f"{then.moment.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        said = f"As of generation {then.moment.generation}, {when}, by {then.moment.by}:"
        return otherwise(found, generation=then.moment.generation), said
