"""What calls have cost."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..errors import Invalid
from ..govern import spend
from ..manage import organizations
from ..store import db
from ..store.table import id_of
from .opening import store

app = typer.Typer(no_args_is_help=True, help="What calls have cost.")


@app.callback()
def _group() -> None:
    """Keep ``export`` a command of its own name, though it is the only one."""


@app.command("export")
def export(
    month: Annotated[str, typer.Option(help="As 2026-11. Default: the month before this one, in UTC.")] = "",
    *,
    zone: Annotated[str, typer.Option(help="Whose month it is, as Europe/Berlin.")] = "UTC",
    by: Annotated[str, typer.Option(help="What it is added up by, with commas between.")] = ",".join(spend.CHARGED),
    organization: Annotated[str | None, typer.Option(help="Of one organisation, by any of its names.")] = None,
) -> None:
    """Write a month's spend as CSV: a line for each organisation, feature and cost centre."""
    with store(), db.transaction() as session:
        of = None if organization is None else id_of(organizations.get_by_name(session, COMMAND_LINE, organization))
        names = [name.strip().replace("-", "_") for name in by.split(",") if name.strip()]
        if not names:
            raise Invalid({"by": f"must be of {', '.join(spend.DIMENSIONS)}"})
        for line in spend.month_as_csv(session, COMMAND_LINE, _month(month), zone=zone, by=names, organization_id=of):
            typer.echo(line, nl=False)


def _month(given: str) -> date:
    if not given:
        return (datetime.now(UTC).date().replace(day=1) - timedelta(days=1)).replace(day=1)
    try:
        return date.fromisoformat(f"{given}-01")
    except ValueError:
        raise Invalid({"month": "must be a month, as 2026-11"}) from None
