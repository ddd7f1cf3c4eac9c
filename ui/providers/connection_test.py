"""What a connection test found out, as the Providers page shows it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from core.actors import Actor
from core.manage import connection, providers
from core.manage.connection import Report, Stage, Target
from core.manage.provider_secrets import Draft
from ui.feedback import Outcome, attempt, other_errors, plain

REPORT = "connection_report"
"""Where the report of the dialog that is open is kept."""
_LOOKS = {
    "verified": ("check_circle", "green", "Verified"),
    "refused": ("cancel", "red", "Refused"),
    "not_checked": ("help", "gray", "Not checked"),
}
_SAYS = {
    "verified": "It works: the model has answered.",
    "refused": "It does not work: see the stage that was refused.",
    "not_checked": "It could not be found out whether it works: see the stages below.",
}


def run(
    actor: Actor,
    provider_id: int | None,
    draft: Mapping[str, Any] | None = None,
    *,
    name: str,
    omitted: Collection[str] | None = None,
    carried: Sequence[Draft] | None = None,
    next_key: bool = False,
) -> tuple[Outcome, Report | None]:
    """Test a provider as it is stored, or as it was typed; it counts on the pages' limit, and is on record."""
    targets: list[Target] = []
    outcome = attempt(
        lambda session: targets.append(
            connection.prepare(session, actor, provider_id, draft, omitted=omitted, carried=carried, next_key=next_key)
        ),
        f"{name} was tested.",
    )
    if not outcome.ok:
        return outcome, None
    with st.spinner("Testing: at most ten seconds", show_time=True):
        return outcome, connection.run(targets[-1])


def draw(report: Report) -> None:
    """Draw each stage with its state, its time and the vendor's words."""
    icon, color, _ = _LOOKS[report.state]
    shown = {"green": st.success, "red": st.error, "gray": st.info}[color]
    shown(_SAYS[report.state], icon=f":material/{icon}:")
    with st.container(gap="xxsmall", key="connection_stages"):
        for stage in report.stages:
            _draw_stage(stage)


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

    outcome = attempt(change, "The models are changed.")
    other_errors(outcome.errors, set())
    return outcome.ok
