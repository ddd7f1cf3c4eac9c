"""The one document: written, compared and applied. References to secrets are resolved here, on this machine, and nowhere else."""

import os
import stat
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from .. import redaction
from ..actors import COMMAND_LINE
from ..errors import Conflict, Invalid
from ..govern.documents import applying, json_schema, schema, wording, writing
from ..govern.documents.parsing import FILES
from ..store import db
from .opening import here, store, writes
from .opening import writing as transaction

OfOrganization = Annotated[
    str | None, typer.Option(help="Of one organisation, by any of its names. Default: of the whole installation.")
]
OWN: Final = frozenset({"DATABASE_URL", "LLM_ENCRYPTION_KEY", "LLM_ENCRYPTION_KEYS_EXTRA", "LLM_ADMIN_PASSWORD"})
"""Variables whose values are this program's own secrets, and no vendor's key."""
_LONGEST: Final = 32_768
"""Bytes of a file with a secret."""


def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it there. Default: to standard output.")
    ] = None,
    organization: OfOrganization = None,
    *,
    as_schema: Annotated[
        bool, typer.Option("--schema", help="Write the JSON Schema of the document instead, for editors.")
    ] = False,
) -> None:
    """Write everything that people set as one document in YAML, without secrets, to be kept in a repository."""
    if as_schema:
        text = json_schema.text()
    else:
        with store(), db.transaction() as session:
            text = writing.write(session, COMMAND_LINE, organization)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8", newline="\n")
    if len(text.encode()) > FILES.size:
        typer.echo(
            f"This is larger than the {FILES.size // 1024**2} MB that apply reads: export organisations one by one.",
            err=True,
        )


@writes
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The document, YAML or JSON; - is standard input.")],
    organization: OfOrganization = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and do nothing; exit 2 if something would.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove rows of its sections that the document does not name.")
    ] = False,
    take: Annotated[bool, typer.Option("--take", help="Change back what others changed since the last apply.")] = False,
) -> None:
    """Make the settings what a document says, in one transaction. Exit 0: done, or nothing to do; 1: refused."""
    document = schema.read(_text(file), FILES)
    secrets = resolved(document, missing=dry_run)
    with store():
        with transaction(dry=dry_run) as session:
            try:
                found = applying.put(
                    session,
                    COMMAND_LINE,
                    document,
                    organization=organization,
                    prune=prune,
                    take=take,
                    dry_run=dry_run,
                    secrets=secrets,
                    missing=dry_run,
                )
            except Conflict as conflict:
                if conflict.kind != applying.DOCUMENT:
                    raise
                raise _in_dispute(conflict) from None
        typer.echo(wording.diff(found))
        if dry_run and found.changes:
            typer.echo(f"Nothing was changed in {here()}.", err=True)
            raise typer.Exit(2)


def resolved(document: schema.Document, *, missing: bool) -> dict[str, str]:
    """Return the secrets that *document* refers to, by their paths, from this machine's environment and files.

    Args:
        document: It.
        missing: Whether those that are not there are left out.

    Raises:
        Invalid: Each path whose reference is not there, or is none that may be used, and why.
    """
    found, problems = {}, {}
    for path, part in document.secrets():
        if not part.reference:
            continue
        plain, problem = _variable(part.env) if part.env is not None else _file(part.file or "")
        if plain:
            redaction.remember(plain)
            found[path] = plain
        elif not (missing and plain is None):
            problems[path] = problem
    if problems:
        raise Invalid(problems)
    return found


def _variable(name: str) -> tuple[str | None, str]:
    """Return the value of a variable, None if there is none and empty if it must not be used; and why."""
    if name in OWN:
        return "", f"{name} is this program's own secret, and no key of a provider"
    return os.environ.get(name) or None, f"the variable {name} is not set on this machine"


def _file(name: str) -> tuple[str | None, str]:
    """Return what stands in a file, as :func:`_variable`; a line break at its end is no part of it."""
    path = Path(name).expanduser()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "", f"{name} is no file"
        raw = path.read_bytes()[: _LONGEST + 1]
        plain = raw.decode("utf-8-sig").rstrip("\r\n")
    except FileNotFoundError:
        return None, f"the file {name} is not there on this machine"
    except UnicodeDecodeError:
        return "", f"the file {name} is not in UTF-8"
    except OSError as error:
        return "", f"the file {name} cannot be read: {error.strerror}"
    if len(raw) > _LONGEST:
        return "", f"the file {name} is too long for a key"
    return plain, f"the file {name} is empty"


def _text(file: Path) -> str:
    if str(file) == "-":
        raw = sys.stdin.buffer.read(FILES.size + 1)
    else:
        with file.open("rb") as opened:
            raw = opened.read(FILES.size + 1)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        if len(raw) > FILES.size:
            return "x" * len(raw)  # cut in the middle of a character; refused for its size
        raise Invalid({"document": "must be UTF-8"}) from None


def _in_dispute(conflict: Conflict) -> Invalid:
    """Say what is in dispute, field by field, and return the error that ends it."""
    for path, (stored, wanted) in conflict.changes.items():
        typer.echo(f"! {path}: {stored} -> {wanted}")
    return Invalid(
        {
            "document": f"{conflict.changed_by} changed what is listed after the last apply, at {conflict.changed_at}. Nothing "
            "was applied. Take the values over into the document, or change them back with --take"
        }
    )
