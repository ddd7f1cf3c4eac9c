"""The catalogue of models: what it is made of, as a file, and against another one; and taking over a newer one, from a file or the operator's address."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..config import get_config
from ..errors import Invalid
from ..manage import bundle_source, bundles, model_facts
from ..models import vendored
from ..models.compare import FactChange, changes
from ..models.facts import catalogue_health, known
from ..models.vendored import Catalogue
from ..store import db
from ..wording import counted
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="The catalogue of models: how old, as a file, and against another one.")

OLD_DAYS = 45
"""So old a catalogue is worth a word: vendors announce an end two months ahead, at the shortest."""


@app.command("status")
def status(
    *,
    corrections: Annotated[
        bool,
        typer.Option("--corrections", help="Ask the store too: which corrections say what holds without them now."),
    ] = False,
) -> None:
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
    if corrections:
        _say_corrections()
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
    *,
    in_use: Annotated[
        bool, typer.Option("--in-use", help="Ask the store: only what becomes otherwise for models in use.")
    ] = False,
) -> None:
    """Say what the catalogue in a file says otherwise than this version's: a line a row or field."""
    if in_use:
        bundle = bundles.read(_content(path))
        with store(), db.transaction() as session:
            _say_differences(session, bundle)
        return
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


@app.command("import")
@writes
def import_bundle(
    path: Annotated[
        Path | None, typer.Argument(help="A file that `catalogue export` wrote, of a newer version.")
    ] = None,
    *,
    from_url: Annotated[
        bool, typer.Option("--from-url", help="Get it from LLM_CATALOGUE_URL; its digest or its signature is checked.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Take one that is older than the imported one.")] = False,
) -> None:
    """Take over a newer catalogue, all or nothing; first it says what becomes otherwise for models in use. Services follow."""
    if from_url == (path is not None):
        raise Invalid({"path": "or --from-url: one of them says where the catalogue is"})
    bundle = bundles.read(bundle_source.fetch(get_config()) if path is None else _content(path))
    with store(), writing() as session:
        _say_differences(session, bundle)
        if dry_run:
            typer.echo("Nothing was imported.")
            return
        taken = bundles.take_over(session, COMMAND_LINE, bundle, force=force)
    typer.echo(f"Imported: {counted(taken, 'model')}, as of {bundle.as_of}.")


def _say_corrections() -> None:
    with store(), db.transaction() as session:
        imported = bundles.imported_as_of(session)
        needless = [sentence for _, sentence in model_facts.agreeing(session)]
    if imported is not None:
        typer.echo(f"A catalogue of {imported:%Y-%m-%d} is imported.")
    for sentence in needless:
        typer.echo(f"  {sentence}")
    typer.echo(f"{counted(len(needless), 'correction')} that could go.")


def _say_differences(session: Session, bundle: Catalogue) -> None:
    differences = bundles.preview(session, bundle)
    for each in differences:
        typer.echo(f"  {each}")
    typer.echo(f"{counted(len(differences), 'difference')} for models in use.")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(vendored.MOST_BYTES + 1)
    except OSError as error:
        raise Invalid({"path": f"cannot be read: {error.strerror}"}) from None


def _line(change: FactChange) -> str:
    if change.field is None:
        return f"{'-' if change.after is None else '+'} {change.api} {change.model}"
    before, after = (json.dumps(value) for value in (change.before, change.after))
    return f"  {change.api} {change.model}: {change.field} {before} -> {after}"
