"""Models: which of those in use their vendors take away, and what an admin says of them."""

import json
from typing import Annotated

import typer

from ..actors import COMMAND_LINE
from ..errors import NotFound
from ..govern import lifecycle
from ..govern.lifecycle import Retiring
from ..manage import model_facts
from ..models.facts import Price
from ..store import db
from ..store.schemas import parse_json_object
from ..store.table import id_of
from ..store.tables import LlmModelFacts
from ..wording import counted
from .opening import store, writes, writing

app = typer.Typer(no_args_is_help=True, help="Models in use that end, and what is known of models.")

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


ApiOption = Annotated[
    str | None,
    typer.Option("--api", help="Where it holds: openai, azure, … perhaps with @ and a host. Without it: everywhere."),
]


@app.command("facts")
def facts(
    model: Annotated[str | None, typer.Argument(help="A model's name. Without one: all that admins say.")] = None,
    api: ApiOption = None,
) -> None:
    """List what admins say of models; of one model each fact, who says so, why, and what becomes of its parameters."""
    with store(), db.transaction() as session:
        if model is None:
            rows = model_facts.list_all(session)
            lines = [_row(row) for row in rows] or [
                "Nothing is said of any model: the catalogue and the vendors' lists count."
            ]
            lines += [f"Note: {clash}" for clash in model_facts.contradictions(session)]
            lines += [f"Note: {words}" for _, words in model_facts.agreeing(session)]
        else:
            name, _, host = (api or "compatible").partition("@")
            lines = _explained(model_facts.explain(session, name, model, host=host))
    for line in lines:
        typer.echo(line)


@app.command("set")
@writes
def set_facts(
    pattern: Annotated[str, typer.Argument(help="A model's name; * and ? stand for characters.")],
    facts_json: Annotated[str, typer.Argument(metavar="FACTS", help='JSON, as {"temperature": {"ok": true}}.')],
    why: Annotated[str, typer.Option("--why", help="For who comes later.")],
    api: ApiOption = None,
) -> None:
    """Say what holds of the models whose names match, in place of what was said before; it counts more than all else."""
    with store(), writing() as session:
        row = model_facts.set_facts(
            session, COMMAND_LINE, pattern, parse_json_object(facts_json, "facts") or {}, why=why, api=api
        )
        lines = [_row(row), *(f"Note: {warning}" for warning in model_facts.warnings(session, row))]
    for line in lines:
        typer.echo(line)


@app.command("drop")
@writes
def drop(
    pattern: Annotated[str, typer.Argument(help="As it was set.")],
    api: ApiOption = None,
    why: Annotated[str, typer.Option("--why", help="For the audit.")] = "",
) -> None:
    """Take back what was said of a model or pattern: the next source counts again."""
    with store(), writing() as session:
        row = model_facts.find(session, pattern, api)
        if row is None:
            raise NotFound("facts of a model", pattern)
        model_facts.withdraw(session, COMMAND_LINE, id_of(row), why=why)
    typer.echo(f"Nothing is said of {row.pattern} any more.")


def _row(row: LlmModelFacts) -> str:
    where = "everywhere" if row.api is None else f"at {row.api}"
    return f"{row.pattern} {where}: {json.dumps(row.facts)} ({row.updated_by}, {row.as_of:%Y-%m-%d}: {row.why})"


def _explained(found: model_facts.Explanation) -> list[str]:
    if not found.sourced and not found.verdicts:
        return [f"Nothing is known of {found.model} at {found.api}: all is sent as it is."]
    lines = [] if found.acts_as is None else [f"acts as {found.acts_as}"]
    for fact in found.sourced:
        why = "" if fact.why is None else f": {fact.why}"
        hidden = "".join(f"; hides {value!s} ({basis})" for basis, value in fact.hides)
        lines.append(f"{fact.name}: {fact.value!s} ({fact.source}, {fact.as_of}{why}{hidden})")
    for name, verdicts in found.verdicts.items():
        lines += [
            f"{name}: {one.does} {one.to}".rstrip() + f" ({one.basis}, {one.as_of}: {one.why})" for one in verdicts
        ]
    return lines


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
