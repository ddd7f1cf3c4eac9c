"""Models in use: which of them their vendors take away."""

from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..govern import lifecycle
from ..govern.lifecycle import Retiring
from ..models.facts import Price
from ..store import db
from ..wording import counted
from .opening import store

app = typer.Typer(no_args_is_help=True, help="Models in use: which of them their vendors take away.")

Days = Annotated[int, typer.Option("--days", min=0, help="How far ahead to look.")]


@app.command("retiring")
def retiring(*, days: Days = lifecycle.QUIET_DAYS) -> None:
    """List models in use that end soon, or have ended: the day, who uses them, what comes after. Exit 1 if one has ended."""
    with store(), db.transaction() as session:
        found = lifecycle.retiring(session, COMMAND_LINE, days)
    for line in found:
        typer.echo(_line(line))
    if not found:
        typer.echo(f"No model in use ends within {counted(days, 'day')}, as far as the catalogue knows.")
    if any(line.days < 0 for line in found):
        raise typer.Exit(1)


def _line(line: Retiring) -> str:
    left = f"in {counted(line.days, 'day')}" if line.days >= 0 else f"{counted(-line.days, 'day')} ago"
    then = "calls are answered by another model" if line.rerouted else "calls are refused"
    users = f"{counted(len(line.providers), 'provider')} ({', '.join(line.providers)})"
    lead = f"{line.model} at {line.api}: ends {line.retires}, {left}; then {then}. Used by {users}"
    use = f"{lead}, {counted(line.defaults, 'default')}, {counted(line.calls, 'call')} in 30 days."
    return f"{use} Successor: {line.successor or 'none named'}{_prices(line.price, line.successor_price)}."


def _prices(before: Price | None, after: Price | None) -> str:
    """Say what changes of the price, where both are known: US dollars a million tokens, input and output."""
    if before is None or after is None or None in (before.input, before.output, after.input, after.output):
        return ""
    return f", price {before.input}/{before.output} -> {after.input}/{after.output}"
