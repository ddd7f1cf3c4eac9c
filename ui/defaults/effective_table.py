"""The preview beside the Defaults form: what would be in force, why, and what would be sent."""

import json

import streamlit as st

from core.models import catalogue
from core.resolving.effective import EffectiveSettings
from core.resolving.explanation import LAYERS, Explained, Source
from core.resolving.words import value_text
from ui.feedback import plain, plain_cell
from ui.samples import draw_sample
from ui.widgets import parameter_cell


def preview(draft: EffectiveSettings, saved: EffectiveSettings) -> None:
    """Draw *draft* as a table with sources; what differs from *saved* is marked."""
    after, before = ({item.name: item for item in settings.explain()} for settings in (draft, saved))
    rows = [
        {"Parameter": parameter_cell(name), "Value": _cell(after.get(name), before.get(name))}
        for name in after | before
    ]
    st.table(rows, border="horizontal", alt="Effective settings with the source of each value")
    st.markdown("**What would be sent**", help="Omitted parameters are left out; request_options() returns the same.")
    draw_sample(json.dumps(draft.request_options(), indent=2, ensure_ascii=False))


def warnings(draft: EffectiveSettings, saved: EffectiveSettings) -> None:
    """Say what to check after a change of model; what the model makes of each parameter stands in its row."""
    if change := catalogue.model_change_warning(saved.model, draft.model, draft.omitted):
        st.warning(plain(change), icon=":material/warning:")


def refused(draft: EffectiveSettings) -> list[str]:
    """Return the parameters that somebody set and that are not sent, as the model does not take them."""
    return [each.parameter for each in draft.adjustments if each.asked_for and each.what == "left_out"]


def inherited_text(item: Explained) -> str:
    """Return what a field that inherits gets, and from where: ``0.7 · built-in default``."""
    if item.omitted_by:
        return f"not sent · {LAYERS[item.omitted_by.layer]}"
    return f"{value_text(item.name, item.value)} · {LAYERS[item.source.layer]}"


def _cell(item: Explained | None, before: Explained | None) -> str:
    """Return the value with its source below; bold, with what it was, if that changes."""
    if item is None:
        return ":orange[:material/edit: removed]"
    value, source = plain_cell(_value(item)), _source(item)
    if before and (value, source.layer) == (plain_cell(_value(before)), _source(before).layer):
        return f"{value}  \n:gray[:small[{_from(source)}]]"
    was = f"was {plain_cell(_value(before))}, {_from(_source(before))}" if before else "new"
    return f":orange[:material/edit:] **{value}**  \n:gray[:small[{_from(source)}]]  \n:orange[:small[{was}]]"


def _value(item: Explained) -> str:
    if item.omitted_by:
        return "not sent"
    left_out = item.adjusted is not None and item.adjusted.what == "left_out"
    return f"{value_text(item.name, item.value)}{', not sent' if left_out else ''}"


def _source(item: Explained) -> Source:
    return item.omitted_by or item.source


def _from(source: Source) -> str:
    who = f" · {source.changed_by}" if source.changed_by else ""
    return plain(f"{LAYERS[source.layer]}{who}")
