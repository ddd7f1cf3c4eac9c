"""What is known of any model: verdicts on its parameters, limits, price, end, each with who says so."""

from datetime import UTC, datetime
from typing import Final

import streamlit as st

from core.manage import knowledge
from core.models.adapt import KIND_OF
from core.models.apis import APIS
from core.models.differences import ComparedLine, known_lines
from core.models.knowledge import Knowledge
from core.models.words import standing_text
from core.store import db
from core.wording import counted
from ui import address
from ui.feedback import plain, plain_cell
from ui.widgets import FILTERS_PLACE, cut

MODEL: Final = "model"
API: Final = "api"
_SHOWN: Final = 12
_LONGEST: Final = 200


def draw() -> None:
    """Draw the search, and what is known of the model that it names."""
    address.one_of(API, [api.label for api in APIS.values()], "a host")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        model = st.text_input(
            "Model",
            key=MODEL,
            bind="query-params",
            placeholder="gpt-5, or a part of a name",
            icon=":material/search:",
            max_chars=_LONGEST,
            live="400ms",
            width=320,
        ).strip()
        api = st.selectbox(
            "At",
            list(APIS),
            format_func=lambda name: APIS[name].label,
            key=API,
            bind="query-params",
            filter_mode="contains",
            width=220,
        )
    if not model:
        st.info("Type a model's name to see what it takes, costs, and when it ends.", icon=":material/search:")
        return
    with db.transaction() as session:
        known = knowledge.of(session)
    found = known.facts(api, model)
    names = _names(known, api, model)
    st.markdown(f"**{cut(model, _LONGEST)}** {plain(f'at {APIS[api].label}: {standing_text(found)}.')}")
    if found is None or found.assumed_from:
        _draw_names(names, model)
    lines = known_lines(api, KIND_OF.get(api, "openai_compatible"), model, datetime.now(UTC), knowledge=known)
    st.table(
        [{"What": plain(line.what), "What is so, and who says it": _text(line)} for line in lines],
        border="horizontal",
        alt="What is known of the model",
    )
    if found is not None and not found.assumed_from:
        _draw_names(names, model)


def _names(known: Knowledge, api: str, part: str) -> list[str]:
    rows = known.catalogue.catalogue.rows.get(api, {})
    return sorted(name for name in rows if part.casefold() in name.casefold())


def _draw_names(names: list[str], model: str) -> None:
    others = [name for name in names if name != model]
    if others:
        more = len(others) - _SHOWN
        text = ", ".join(others[:_SHOWN]) + (f", and {more:,} more" if more > 0 else "")
        st.caption(plain(f"{counted(len(others), 'other name')} with it: {text}"))


def _text(line: ComparedLine) -> str:
    sources = [f":gray[:small[{plain_cell(source)}]]" for source in line.sources]
    return "  \n".join([plain_cell(line.text), *sources])
