"""The Health page's lines about periodic work: how it went last, when it is due, and the cure where it failed."""

from collections.abc import Iterable
from datetime import UTC, datetime

from core.govern.jobs import JobState
from core.wording import counted
from ui.health.line import Line
from ui.widgets import ago, exact


def job_lines(states: Iterable[JobState]) -> list[Line]:
    """Return a line for each piece of periodic work."""
    return [_line(state) for state in states]


def _line(state: JobState) -> Line:
    job = state.job
    what = f"{job.does[0].upper()}{job.does[1:]}."
    if state.off:
        return Line(_name(job.name), "note", "Off", what, f"{state.off}.")
    if state.running:
        return Line(_name(job.name), "ok", "Running", what)
    if state.outcome == "failed":
        cure = f"Tried again {due(state.next)}. `python -m core jobs run {job.name}` does it at once, and says what is wrong."
        detail = f"{what} Failed {ago(state.last)}, {counted(state.failures, 'time')} in a row: {state.error}."
        return Line(_name(job.name), "soon", "Failed", detail, cure, exact(state.last))
    if state.overdue:
        cure = "It is done by the app's processes: see their log."
        return Line(_name(job.name), "soon", "Overdue", f"{what} Last {ago(state.last)}, due {due(state.next)}.", cure)
    if state.last is None:
        return Line(_name(job.name), "note", "Not run yet", what)
    rest = ", with more left for the next run" if state.outcome == "unfinished" else ""
    took = "" if state.seconds is None else f" in {state.seconds:,.1f} s"
    detail = f"{what} Last {ago(state.last)}: {counted(state.done or 0, 'row')}{took}{rest}; due {due(state.next)}."
    return _done(state, detail)


def _done(state: JobState, detail: str) -> Line:
    if not state.error:
        return Line(_name(state.job.name), "ok", "OK", detail, hover=exact(state.last))
    cure = f"`python -m core jobs run {state.job.name}` tries it again at once."
    return Line(_name(state.job.name), "soon", "In part", f"{detail} {state.error}.", cure, exact(state.last))


def _name(job: str) -> str:
    """Return what people call the job, whose name is for the command line: ``Log purge``."""
    return job.replace("-", " ").capitalize()


def due(moment: datetime | None) -> str:
    """Return when something is due, in words: ``in 3 min``."""
    if moment is None:
        return "at once"
    left = (moment - datetime.now(UTC)).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if left >= size:
            return f"in {int(left // size)} {unit}"
    return "now"
