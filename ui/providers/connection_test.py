"""What a connection test found out, as the Providers page shows it."""

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.errors import CoreError
from core.manage import connection, observed, providers, suggestions
from core.manage.connection import Report, Stage, Tested
from core.manage.provider_secrets import Draft
from core.manage.suggestions import Called, Suggestion
from core.store import db
from core.wording import counted
from ui.feedback import Outcome, attempt, other_errors, plain
from ui.guard import guard
from ui.models.corrections import texts_of, where_text

REPORT = "connection_report"
"""Where the report of the dialog that is open is kept."""
_TYPED = "connection_typed"
_SUGGESTED = "connection_suggested"
"""What the last test's refusal says of the model."""
_LOOKS = {
    "verified": ("check_circle", "green", "Verified"),
    "refused": ("cancel", "red", "Refused"),
    "not_checked": ("help", "gray", "Not checked"),
}
_REFUSED: Final = {
    "name": "Host not found",
    "address": "Address not allowed",
    "connected": "Not reached",
    "tls": "No secure connection",
    "key": "Key refused",
    "model": "Model refused",
    "call": "Call refused",
}
"""Stage -> what its refusal is called."""
_REASON = 300
"""Characters of a reason in the headline; the stages have it whole."""


class _Typed(NamedTuple):
    """The report of a test of what was typed, until the dialog closes."""

    report: Report
    of: int
    """Which typing it is of."""


def run(
    actor: Actor,
    provider_id: int | None,
    draft: Mapping[str, Any] | None = None,
    *,
    omitted: Collection[str] | None = None,
    carried: Sequence[Draft] | None = None,
    next_key: bool = False,
) -> tuple[Outcome, Report | None]:
    """Test a provider as it is stored, or as it was typed; it counts on the pages' limit, and is on record."""
    targets: list[Tested] = []
    outcome = attempt(
        lambda session: targets.append(
            connection.prepare(session, actor, provider_id, draft, omitted=omitted, carried=carried, next_key=next_key)
        ),
        None,
    )
    if not outcome.ok:
        return outcome, None
    with st.spinner("Testing: at most ten seconds", show_time=True):
        report = connection.run(targets[-1])
    if any(report.facts.values()):
        with (
            contextlib.suppress(CoreError),
            db.transaction() as session,
        ):  # the report counts, also if nothing can be kept
            observed.keep(session, actor, targets[-1].kind, targets[-1].base_url, report.facts)
    st.session_state[_SUGGESTED] = _suggested(targets[-1], report)
    return outcome, report


def _suggested(target: Tested, report: Report) -> Suggestion | None:
    call = report.stages[-1]
    if call.state != "refused" or target.model is None:
        return None
    called = Called(target.kind, target.base_url, target.model)
    with contextlib.suppress(CoreError), db.transaction() as session:  # the report counts, also without a suggestion
        return suggestions.of_test(session, called, call.words, datetime.now(UTC))
    return None


def keep(report: Report | None, of: int) -> None:
    """Keep the report of a test of the typing *of*, in place of the one before; None: the test was not made."""
    if report is None:
        st.session_state.pop(_TYPED, None)
    else:
        st.session_state[_TYPED] = _Typed(report, of)


def kept() -> Report | None:
    """Return the report of what was typed in the dialog that is open."""
    typed: _Typed | None = st.session_state.get(_TYPED)
    return typed.report if typed else None


def is_past(now: int) -> bool:
    """Return whether the kept report is of something else than the typing *now*."""
    typed: _Typed | None = st.session_state.get(_TYPED)
    return typed is not None and typed.of != now


def forget() -> None:
    """Drop the reports: the dialog has closed, or another one opens."""
    for key in (REPORT, _TYPED, _SUGGESTED):
        st.session_state.pop(key, None)


def headline(report: Report) -> str:
    """Return the verdict with its reason, in one line: ``Key refused: 401 Incorrect API key provided``."""
    refused = next((stage for stage in report.stages if stage.state == "refused"), None)
    if refused is not None:
        return f"{_REFUSED[refused.name]}: {_reason(refused.words)}".rstrip(": ")
    if report.state == "verified":
        return "It works: the model has answered."
    open_ = next((stage for stage in reversed(report.stages) if stage.state == "not_checked" and stage.words), None)
    why = _reason(open_.words) if open_ else ""
    if any(stage.name == "key" and stage.state == "verified" for stage in report.stages):
        return f"The key is accepted; whether a call works is not known: {why}".rstrip(": ")
    return f"Whether it works is not known: {why}".rstrip(": ")


def draw(report: Report) -> None:
    """Draw the verdict with its reason, and below it each stage with its state, its time and the vendor's words."""
    draw_verdict(report)
    draw_suggestion()
    draw_stages(report)


def draw_suggestion() -> None:
    """Offer to note what the last test's refusal says of the model, if it says something; nothing is noted unasked."""
    suggestion: Suggestion | None = st.session_state.get(_SUGGESTED)
    if suggestion is None:
        return
    noted = "; ".join(texts_of(suggestion.facts))
    place = st.empty()
    with place.container(horizontal=True, vertical_alignment="center", key="connection_suggestion"):
        st.markdown(plain(f"Note of {suggestion.model} {where_text(suggestion.place)}: {noted}?"), width="stretch")
        pressed = st.button(
            "Note it",
            key="connection_note",
            icon=":material/fact_check:",
            help="A correction, as on the page Models: it counts for all calls of this model there at once.",
        )
    if pressed:
        actor = guard("admin")
        done = f"Noted of {suggestion.model}: {noted}. Test again."
        if attempt(lambda session: suggestions.accept(session, actor, suggestion), done).ok:
            st.session_state.pop(_SUGGESTED, None)
            place.empty()


def draw_verdict(report: Report, *, past: bool = False) -> None:
    """Draw the verdict in one line; *past*: something else stands in the fields by now."""
    if past:
        st.caption(f":material/history: Of what was typed before: {plain(headline(report))}")
        return
    icon, color, _ = _LOOKS[report.state]
    shown = {"green": st.success, "red": st.error, "gray": st.info}[color]
    shown(plain(headline(report)), icon=f":material/{icon}:")


def draw_stages(report: Report, *, past: bool = False) -> None:
    """Draw the stages: folded if all is well, or if they are *past*."""
    label = "Stages of the test of what was typed before" if past else "Stages of the test"
    with (
        st.expander(label, icon=":material/checklist:", expanded=report.state != "verified" and not past),
        st.container(gap="xxsmall", key="connection_stages"),
    ):
        for stage in report.stages:
            _draw_stage(stage)


def _reason(words: str) -> str:
    words = re.sub(r"^(\d{3}): ", r"\1 ", words)  # the number is the vendor's, no heading
    return words if len(words) <= _REASON else f"{words[: _REASON - 1]}…"


def _draw_stage(stage: Stage) -> None:
    icon, color, word = _LOOKS[stage.state]
    duration = (
        "" if stage.latency_ms is None else f" · {stage.latency_ms:,} ms" if stage.latency_ms else " · under 1 ms"
    )
    st.markdown(f":{color}[:material/{icon}: **{word}**] {connection.STAGES[stage.name]}{duration}")
    if stage.words:
        st.caption(plain(stage.words))


def draw_models(actor: Actor, provider_id: int, report: Report) -> bool:
    """Offer what the vendor lists and is not here, and what it no longer lists; returns whether something was saved."""
    if report.models is None:
        return False
    if not report.new and not report.gone:
        st.caption("The vendor's list has no model that is not here, and none is gone.")
        return False
    add = st.multiselect(
        f"New in the vendor's list ({len(report.new)})",
        report.new,
        key="connection_new",
        placeholder="Choose models to add",
        disabled=not report.new,
    )
    drop = st.multiselect(
        f"Here, and not in the vendor's list ({len(report.gone)})",
        report.gone,
        key="connection_gone",
        placeholder="Choose models to take away",
        disabled=not report.gone,
        help="A name that the vendor takes for another one (an alias) is in no list.",
    )
    if not st.button("Change the models", key="connection_models", icon=":material/sync:", disabled=not (add or drop)):
        return False

    def change(session: Any) -> None:
        row = providers.get(session, provider_id)
        models = [model for model in row.available_models if model not in drop]
        providers.update(session, actor, provider_id, {"available_models": [*models, *add]}, version=row.version)

    changes = [f"{counted(len(each), 'model')} {word}" for each, word in ((add, "added"), (drop, "taken away")) if each]
    outcome = attempt(change, f"{', '.join(changes)}.")
    other_errors(outcome.errors, set())
    return outcome.ok
