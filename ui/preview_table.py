"""How Effective Preview shows effective settings: each value with its reason, alone or beside another provider's."""

import json
from typing import Any

import streamlit as st

from core import catalogue
from core.effective import LAYERS, EffectiveSettings, Explained, Source
from core.parameters import KINDS, PARAMETERS
from ui.defaults_draft import shown
from ui.feedback import plain
from ui.widgets import ago

_STATES = {
    "ok": ("Ready", ":material/check_circle:", "green"),
    "disabled": ("Not active", ":material/pause_circle:", "gray"),
    "no_model": ("No model", ":material/warning:", "orange"),
    "no_key": ("No key", ":material/key_off:", "orange"),
    "key_unreadable": ("Key unreadable", ":material/error:", "red"),
}


def draw_status(settings: EffectiveSettings) -> None:
    """Draw whether a service gets everything it needs, and the cure if not."""
    word, icon, colour = _STATES.get(settings.status, (settings.status, ":material/error:", "red"))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]  # the colours are data
        st.caption(
            plain(f"{KINDS.get(settings.kind or '', '')} · {settings.model or 'no model'} · status {settings.status}")
        )
    if settings.cure:
        st.warning(plain(f"api_key() raises: {settings.cure}"), icon=":material/build:")
    for sentence in catalogue.omission_warnings(settings.kind or "", settings.model, settings.omitted):
        st.warning(plain(sentence), icon=":material/warning:")


def draw_reasons(settings: EffectiveSettings) -> None:
    """Draw every value with where it comes from, who set it and when, what it hides, and whether it is sent."""
    st.table(
        [{"Parameter": _label(item.name), "Value": _value(item), "Why": _why(item)} for item in settings.explain()],
        border="horizontal",
        alt="Each parameter with its value and the reason for it",
    )


def draw_comparison(left: EffectiveSettings, right: EffectiveSettings, *, only_differences: bool) -> None:
    """Draw two providers side by side; what differs is marked in words too."""
    ours, theirs = ({item.name: item for item in settings.explain()} for settings in (left, right))
    rows = []
    for name in ours | theirs:
        values = [_value(side[name]) if name in side else "not set" for side in (ours, theirs)]
        differs = values[0] != values[1]
        if differs or not only_differences:
            cells = [
                f"{v}  \n:gray[:small[{_layer(s.get(name))}]]" for v, s in zip(values, (ours, theirs), strict=True)
            ]
            rows.append(
                {
                    "Parameter": _label(name),
                    plain(left.display_name): cells[0],
                    f"{plain(right.display_name)} ": cells[1],  # a space: two providers may have one display name
                    "Differs": ":orange[:material/difference: differs]" if differs else "same",
                }
            )
    if rows:
        st.table(rows, border="horizontal", alt="Two providers, parameter by parameter")
    else:
        st.info("The two resolve to the same values.", icon=":material/check:")


def as_json(settings: EffectiveSettings) -> str:
    """Return the settings and the reasons as JSON; no key, not even sealed."""
    reasons = [
        {
            "parameter": item.name,
            "value": item.value,
            **_source(item.source),
            "shadows": [{"value": value, **_source(source)} for source, value in item.shadows],
            "omittedBy": _source(item.omitted_by) if item.omitted_by else None,
        }
        for item in settings.explain()
    ]
    return json.dumps({**settings.as_dict(), "explain": reasons}, indent=2, ensure_ascii=False)


def python_snippet(name: str) -> str:
    """Return the lines with which a service gets these settings."""
    return (
        "from core.resolve import resolve\n\n"
        f"settings = resolve({name!r})\n"
        "client = openai.OpenAI(**settings.client_options())\n"
        "client.chat.completions.create(messages=messages, **settings.request_options())\n"
    )


def _label(name: str) -> str:
    return PARAMETERS[name].label if name in PARAMETERS else plain("Model" if name == "model" else name)


def _value(item: Explained) -> str:
    if item.name.startswith("custom_settings."):
        return plain(json.dumps(item.value, ensure_ascii=False))
    value = plain("none chosen" if item.value is None else shown(item.name, item.value))
    return f"{value}  \n:orange[:small[:material/block: not sent]]" if item.omitted_by else value


def _why(item: Explained) -> str:
    lines = [plain(_reason(item.source))]
    lines += [f":gray[:small[hides {plain(_shadow(item.name, value, source))}]]" for source, value in item.shadows]
    if item.omitted_by:
        who = f" · {item.omitted_by.changed_by}" if item.omitted_by.changed_by else ""
        lines.append(f":orange[:small[not sent: {plain(LAYERS[item.omitted_by.layer] + who)}]]")
    return "  \n".join(lines)


def _shadow(name: str, value: Any, source: Source) -> str:
    text = json.dumps(value, ensure_ascii=False) if name.startswith("custom_settings.") else shown(name, value)
    return f"{'none' if value is None else text}, {LAYERS[source.layer]}"


def _reason(source: Source) -> str:
    text = LAYERS[source.layer]
    if source.version is not None:
        text += f", version {source.version}"
    if source.changed_at is not None:
        text += (
            f" · {source.changed_by or 'somebody'}, {ago(source.changed_at)} ({source.changed_at:%Y-%m-%d %H:%M} UTC)"
        )
    return text


def _layer(item: Explained | None) -> str:
    return plain(LAYERS[item.source.layer]) if item else ""


def _source(source: Source) -> dict[str, Any]:
    return {
        "layer": source.layer,
        "rowId": source.row_id,
        "version": source.version,
        "changedAt": source.changed_at.isoformat() if source.changed_at else None,
        "changedBy": source.changed_by,
    }
