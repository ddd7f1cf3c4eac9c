"""The catalogue of models: what it is made of, as a file, and against another one. Neither network nor store."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..errors import Invalid
from ..models import vendored
from ..models.compare import Change, changes
from ..models.facts import catalogue_health, known
from ..wording import counted

app = typer.Typer(no_args_is_help=True, help="The catalogue of models: how old, as a file, and against another one.")

OLD_DAYS = 45
"""So old a catalogue is worth a word: vendors announce an end two months ahead, at the shortest."""


@app.command("status")
def status() -> None:
    """Say how old the catalogue is, what it was made of, and whether all of it is readable; exit 1 if not."""
    health = catalogue_health()
    age = (datetime.now(UTC).date() - health.as_of).days
    if health.models:
        old = f" That is more than {OLD_DAYS} days: a newer version has a newer one." if age > OLD_DAYS else ""
        typer.echo(f"Known as of {health.as_of}, {counted(age, 'day')} ago: {counted(health.models, 'model')}.{old}")
        typer.echo(
            "Made of " + ", ".join(f"{name} {number}" for name, number in known().catalogue.versions.items()) + "."
        )
    for problem in health.problems:
        typer.echo(f"Unread: {problem}")
    if not health.ok:
        raise typer.Exit(1)


@app.command("export")
def export(path: Annotated[Path | None, typer.Argument(help="Where to; without one it is printed.")] = None) -> None:
    """Write the catalogue as JSON: format, day, versions of its packages, and a line a model."""
    text = vendored.PATH.read_text(encoding="utf-8")
    if path is None:
        typer.echo(text, nl=False)
        return
    path.write_text(text, encoding="utf-8")
    typer.echo(f"Written to {path}.")


@app.command("diff")
def diff(
    path: Annotated[Path, typer.Argument(help="A file that `catalogue export` wrote, of another version.")],
) -> None:
    """Say what the catalogue in a file says otherwise than this version's: a line a row or field."""
    other = vendored.read(path)
    if not other.rows:
        raise Invalid({"path": " ".join(other.problems) or f"{path} has no models."})
    found = list(changes(known().catalogue.rows, other.rows))
    for change in found:
        typer.echo(_line(change))
    for problem in other.problems:
        typer.echo(f"Unread: {problem}")
    mine = known().catalogue.as_of
    typer.echo(f"{counted(len(found), 'difference')}. {path} is of {other.as_of}, this version's of {mine}.")


def _line(change: Change) -> str:
    if change.field is None:
        return f"{'-' if change.after is None else '+'} {change.api} {change.model}"
    before, after = (json.dumps(value) for value in (change.before, change.after))
    return f"  {change.api} {change.model}: {change.field} {before} -> {after}"
