"""What the Health page says of models: which of those in use end soon, or have ended, and what is left out for nothing."""

from collections.abc import Iterable, Sequence
from typing import Final

import streamlit as st

from core.actors import Actor
from core.govern.lifecycle import NOTICES, Retiring
from core.manage import omissions
from core.manage.omissions import Omission
from core.parameters import PARAMETERS
from core.wording import counted, listed
from ui.feedback import attempt, other_errors, plain
from ui.health.line import Line, State
from ui.widgets import isolated

SHOWN: Final = 10


def model_lines(ending: Iterable[Retiring]) -> list[Line]:
    """Return a line for each model that ends within 90 days, or has ended, the nearest end first."""
    found = [line for line in ending if line.days <= NOTICES[0] and line.tier != "retired"]
    lines = [_line(line) for line in found[:SHOWN]]
    if len(found) > SHOWN:
        more = f"{counted(len(found) - SHOWN, 'more model')} in use end within {NOTICES[0]} days, or ended."
        lines.append(Line("And more", "note", "Ends", more, "The Models page has them all."))
    return lines


def _line(line: Retiring) -> Line:
    state, word = _notice(line)
    what = "another model answers" if line.rerouted else "calls are refused"
    when = f"Ended {line.retires}: {what} since" if line.days < 0 else f"Ends {line.retires}: then {what}"
    chosen = f" by default at {listed(list(line.chosen_by[:3]))}" if line.chosen_by else ""
    used = f"Used{chosen}, {counted(line.calls, 'call')} in 30 days" if chosen or line.calls else "Offered, not called"
    after = (
        f"Change to {line.successor} on the Models page." if line.successor else "Choose another on the Models page."
    )
    return Line(line.model, state, word, f"At {line.api}. {when}. {used}.", after)


def _notice(line: Retiring) -> tuple[State, str]:
    if line.days < 0:
        return ("soon", "Ended") if line.rerouted else ("wrong", "Ended")
    _, month, week = NOTICES
    if line.days <= week:
        return "soon", "Within a week"
    return ("soon", "Within 30 days") if line.days <= month else ("note", "Within 90 days")


def draw_omissions(actor: Actor, found: Sequence[Omission]) -> None:
    """Draw what is left out by hand for nothing, with the button that has it sent again; nothing if there is nothing."""
    if not found:
        return
    number = sum(len(each.names) for each in found)
    be, verb = ("is", "it") if number == 1 else ("are", "them")
    with st.container(border=True, key="needless"):
        st.markdown(f"**{counted(number, 'parameter')} {be} left out by hand that would now be sent right**")
        named = [
            f"{isolated(each.display_name)} ({each.model}): {listed([PARAMETERS[name].label for name in each.names])}"
            for each in found[:SHOWN]
        ]
        more = [f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
        st.caption(plain("\n".join([*named, *more])))
        if st.button(f"Send {verb} again", key="send_again", icon=":material/undo:", help="On record, all at once."):
            outcome = attempt(
                lambda session: omissions.send_again(session, actor),
                done=f"{counted(number, 'parameter')} will be sent again.",
            )
            if outcome.ok:
                st.rerun()
            other_errors(outcome.errors, set())
