"""What calls have cost."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated

import typer
from sqlmodel import Session

from ..actors import COMMAND_LINE
from ..errors import Invalid
from ..govern import bills, closing, repricing, spend
from ..govern.bills import ComparedBill
from ..manage import organizations
from ..store import db
from ..store.spend_tables import LlmVendorBill
from ..store.table import id_of
from ..wording import counted
from .opening import DryRun, retrying, store, writes, writing

app = typer.Typer(no_args_is_help=True, help="What calls have cost.")


@app.command("export")
def export(
    month: Annotated[str, typer.Option(help="As 2026-11. Default: the month before this one, in UTC.")] = "",
    *,
    zone: Annotated[
        str, typer.Option(help="Whose month it is, as Europe/Berlin. Default: as it was closed, or UTC.")
    ] = "",
    by: Annotated[str, typer.Option(help="What it is added up by, with commas between.")] = ",".join(spend.CHARGED),
    organization: Annotated[str | None, typer.Option(help="Of one organisation, by any of its names.")] = None,
) -> None:
    """Write a month's spend as CSV: a line for each organisation, feature and cost centre."""
    with store(), db.transaction() as session:
        of = None if organization is None else id_of(organizations.get_by_name(session, COMMAND_LINE, organization))
        names = [name.strip().replace("-", "_") for name in by.split(",") if name.strip()]
        if not names:
            raise Invalid({"by": f"must be of {', '.join(spend.DIMENSIONS)}"})
        if tuple(names) == spend.CHARGED:
            lines = closing.as_csv(closing.charged(session, COMMAND_LINE, _month(month), zone=zone, organization_id=of))
        else:
            whole = zone or "UTC"
            lines = spend.month_as_csv(session, COMMAND_LINE, _month(month), zone=whole, by=names, organization_id=of)
        for line in lines:
            typer.echo(line, nl=False)


@app.command("close")
@writes
def close_month(
    month: Annotated[str, typer.Argument(help="As 2026-10; it has to be over.")],
    zone: Annotated[str, typer.Option(help="Whose month it is, as Europe/Berlin.")] = "UTC",
) -> None:
    """Close a month: what is counted of it by now stands, and what is told later stands apart."""
    with store(), writing() as session:
        made = closing.close(session, COMMAND_LINE, _month(month), zone=zone)
        typer.echo(f"Closed {made.month:%Y-%m} in {made.zone}: {_money(made.whole.cost)}.")


@app.command("reopen")
@writes
def reopen_month(month: Annotated[str, typer.Argument(help="As 2026-10.")]) -> None:
    """Take a closing back: what was kept of it goes, and what is counted now counts again."""
    with store(), writing() as session:
        row = closing.reopen(session, COMMAND_LINE, _month(month))
        typer.echo(f"Opened {row.month:%Y-%m} again.")


@app.command("reprice")
@writes
def reprice(
    since: Annotated[str, typer.Option(help="The first day, in UTC, as 2026-10-01.")],
    *,
    provider: Annotated[str | None, typer.Option(help="Calls of this provider alone.")] = None,
    model: Annotated[str | None, typer.Option(help="Calls of this model alone, as it was called.")] = None,
    known: Annotated[bool, typer.Option("--known", help="Also calls whose price was known.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Price calls anew whose price nobody knew, by what is known of models today. Interrupted, it is run again."""
    try:
        first = date.fromisoformat(since)
    except ValueError:
        raise Invalid({"since": "must be a day, as 2026-10-01"}) from None
    with store():
        found = repricing.reprice(
            retrying, COMMAND_LINE, first, provider=provider, model=model, known=known, dry_run=dry_run
        )
    for each in found.models:
        was = f", {each.unpriced:,} of them without a known price" if each.unpriced else ""
        typer.echo(
            f"{each.provider} {each.model}: {counted(each.calls, 'call')}{was}: {_money(each.before)} -> {_money(each.after)}"
        )
    for left in found.left:
        typer.echo(f"{left.provider} {left.model}: {counted(left.calls, 'call')} left as counted: {left.why}")
    if dry_run:
        typer.echo(f"Would change {counted(found.sums, 'sum')}. Nothing was changed.")
    else:
        typer.echo(f"Changed {counted(found.sums, 'sum')}.")


def _month(given: str) -> date:
    if not given:
        return spend.last_month()
    try:
        return date.fromisoformat(f"{given}-01")
    except ValueError:
        raise Invalid({"month": "must be a month, as 2026-11"}) from None


bills_app = typer.Typer(no_args_is_help=True, help="What vendors charge by their own figure, against what was counted.")
app.add_typer(bills_app, name="bill")
_Provider = Annotated[str, typer.Argument(help="Name of the provider.")]
_Month = Annotated[str, typer.Argument(help="As 2026-10.")]
_BillZone = Annotated[str, typer.Option("--zone", help="Whose month the vendor's is; nearly all count in UTC.")]
_Note = Annotated[str, typer.Option(help="A line to be kept with it, as the number of the invoice.")]


@bills_app.command("list")
def list_bills(month: Annotated[str, typer.Option(help="As 2026-10. Default: the last one, in UTC.")] = "") -> None:
    """List each provider's month: what was counted, what its vendor charges, and the difference."""
    with store(), db.transaction() as session:
        for found in bills.comparison(session, COMMAND_LINE, _month(month)):
            typer.echo(_compared(found))


@bills_app.command("set")
@writes
def set_bill(
    provider: _Provider,
    month: _Month,
    amount: Annotated[str, typer.Argument(help="US dollars, as 250 or 0.50; below 0 after --.")],
    *,
    zone: _BillZone = "UTC",
    note: _Note = "",
) -> None:
    """Say what a provider's vendor charges for a month, in the place of what was said before."""
    data = {"provider": provider, "month": month, "amount": amount, "zone": zone, "note": note or None}
    with store(), writing() as session:
        row = bills.set_bill(session, COMMAND_LINE, data)
        typer.echo(_compared(_of_provider(session, row)))


@bills_app.command("remove")
@writes
def remove_bill(provider: _Provider, month: _Month) -> None:
    """Take back what a vendor was said to charge."""
    with store(), writing() as session:
        row = bills.remove(session, COMMAND_LINE, provider, _month(month))
        typer.echo(f"Removed the bill of {row.provider}, {row.month:%Y-%m}: ${row.amount.normalize():,f}.")


@bills_app.command("import")
@writes
def import_bill(
    provider: _Provider,
    file: Annotated[Path, typer.Argument(help="CSV, as the vendor's console exports it.", exists=True, dir_okay=False)],
    *,
    date_column: Annotated[str, typer.Option(help="Whose cells are days. Default: a known name.")] = "",
    amount_column: Annotated[str, typer.Option(help="Whose cells are US dollars. Default: a known name.")] = "",
    decimal: Annotated[str, typer.Option(help="The decimal mark, . or , where the numbers do not show it.")] = "",
    month: Annotated[str, typer.Option(help="This month alone; of a file without days: whose it is.")] = "",
    zone: _BillZone = "UTC",
    note: _Note = "",
    dry_run: DryRun = False,
) -> None:
    """Read a vendor's cost file, and set the bill of each of its months."""
    if decimal not in {"", ".", ","}:
        raise Invalid({"decimal": "must be . or ,"})
    with store(), writing(dry=dry_run) as session:
        found, rows = bills.take(
            session,
            COMMAND_LINE,
            provider,
            file.read_bytes(),
            zone=zone,
            note=note,
            date_column=date_column,
            amount_column=amount_column,
            decimal=decimal,
            month=_month(month) if month else None,
        )
        days = f", days from {found.date_column}" if found.date_column else ""
        typer.echo(f"Amounts from {found.amount_column}{days}.")
        for each, row in zip(found.months, rows, strict=True):
            span = f", charged from {each.first} to {each.last}" if each.first else ""
            typer.echo(f"{counted(each.lines, 'line')}{span}.")
            typer.echo(_compared(_of_provider(session, row)))
        if found.left_out:
            typer.echo(f"{counted(found.left_out, 'line')} without a day, or with a total of others: not added up.")
        if dry_run:
            typer.echo("Nothing was stored.")


def _of_provider(session: Session, row: LlmVendorBill) -> ComparedBill:
    return next(each for each in bills.comparison(session, COMMAND_LINE, row.month) if each.provider == row.provider)


def _compared(found: ComparedBill) -> str:
    sums = found.counted
    least = f", at least: {counted(sums.unpriced, 'call')} without a known price" if sums.unpriced else ""
    ours = f"{found.provider}: counted {_money(sums.cost)} (estimated {_money(sums.estimated)}{least})"
    if found.bill is None or found.difference is None:
        return f"{ours}; no bill of its vendor yet"
    share = "" if found.per_cent is None else f", {found.per_cent:+} %"
    bill = found.bill
    return (
        f"{ours}; the vendor's for {bill.month:%Y-%m} in {found.zone} {_money(bill.amount)} ({bill.source}); "
        f"difference {_money(found.difference)}{share}"
    )


def _money(amount: Decimal) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount).quantize(Decimal('0.01'), ROUND_HALF_UP):,f}"
