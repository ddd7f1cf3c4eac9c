"""Periodic work: what there is, how it went, and one run of it now."""

import typer

from ..govern import jobs
from ..govern.jobs import JobState
from ..store import db
from ..wording import counted
from .opening import store

app = typer.Typer(no_args_is_help=True, help="Periodic work: how it went last, and one run of it now.")


@app.command("list")
def list_() -> None:
    """Print each piece of periodic work: what it does, how often, how it went last, when it is due."""
    with store(), db.transaction() as session:
        for state in jobs.states(session):
            typer.echo(f"{state.job.name}: {state.job.does}, every {state.job.every}.")
            typer.echo(f"    {_last(state)} {_next(state)}")


@app.command("run")
def run(name: str) -> None:
    """Do one of them now, to its end, due or not; the app need not run."""
    with store():
        rows = jobs.run(name)
        with db.transaction() as session:
            missed = next(state.error for state in jobs.states(session) if state.job.name == name)
    typer.echo(f"Done: {counted(rows, 'row')}.{f' {missed}.' if missed else ''}")


def _last(state: JobState) -> str:
    if state.running:
        return "Running now."
    if state.last is None:
        return "Never run."
    at = f"{state.last:%Y-%m-%d %H:%M:%S} UTC"
    if state.outcome == "failed":
        return f"Failed {at}, {counted(state.failures, 'time')} in a row: {state.error}."
    rest = ", with more left for the next run" if state.outcome == "unfinished" else ""
    return f"Done {at}: {counted(state.done or 0, 'row')}{rest}.{f' {state.error}.' if state.error else ''}"


def _next(state: JobState) -> str:
    if state.off:
        return f"Off: {state.off}."
    return f"Due {state.next:%Y-%m-%d %H:%M:%S} UTC." if state.next else "Due at once." if not state.running else ""
