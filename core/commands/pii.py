"""Personal data: what would be found in a text."""

import sys
from typing import Annotated

import typer

from ..errors import Invalid
from ..privacy.looking import Looking, find, not_looked_for
from ..privacy.national import COUNTRIES
from ..privacy.placeholders import Placeholders

app = typer.Typer(no_args_is_help=True, help="Personal data in texts.")

_SIZE = 1_000_000


@app.callback()
def _group() -> None:
    """Keep the name of the one command."""


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
