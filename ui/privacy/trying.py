"""Try a text by the rules of a scope: what of it would be found, and what would stand in its place. Nothing of it is stored."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from core.actors import Actor
from core.errors import Invalid
from core.manage import personal_data, personal_trying
from core.manage.personal_data import PersonalDataOfScope
from core.manage.personal_trying import LARGEST_TEXT, FoundPlace
from core.privacy.looking import Looking, not_looked_for
from core.privacy.national import COUNTRIES
from core.resolving.explanation import LAYERS, Explained
from core.resolving.limit_words import limit_text
from core.resolving.personal_merge import PREFIX
from core.resolving.words import value_text
from core.store import db
from core.wording import counted, listed
from ui.feedback import field_error, plain, plain_cell
from ui.privacy.choice import PrivacyChoice
from ui.privacy.words import KINDS
from ui.widgets import figure, isolated

MOST_PLACES: Final = 200
"""So many are listed."""
_LONGEST: Final = 80
"""Characters of what was found that are shown."""
_LONGEST_RULE: Final = 300
_TEXT: Final = "privacy_text"
_COUNTRIES: Final = "privacy_countries"
_SHOWN: Final = {
    "types": "Kinds",
    "countries": "Countries",
    "patterns": "Own patterns",
    "allow": "Let be",
    "engine": "Engine",
}


def draw(actor: Actor, chosen: PrivacyChoice) -> None:
    """Draw the rules of the scope, the form, and what was found in what stands there."""
    st.header("Try a text", anchor=False)
    with db.transaction() as session:
        of = personal_data.of_scope(session, actor, chosen.scope)
    st.caption(
        "What has a form is found: e-mail addresses, cards, bank accounts, public IP addresses, secrets, phone numbers and national numbers. "
        "Names, addresses of streets and dates of birth are not. It is no guarantee."
    )
    if missing := not_looked_for(Looking(countries=("DE",))):
        kinds = listed([KINDS[kind].lower() for kind in missing])
        st.info(
            f"The app does not look for {kinds} here: install llm-settings[pii] where it runs, and restart it. "
            "A service looks for them where that is installed beside it.",
            icon=":material/extension_off:",
        )
    st.markdown(f"By the rules of **{plain(isolated(chosen.words))}**")
    _draw_rules(of.explained)
    with st.form("privacy_try", enter_to_submit=False):
        st.text_area(
            "Text",
            key=_TEXT,
            height=140,
            placeholder="As: mail anna@example.com, or ring +49 30 901820",
            help=f"Up to {LARGEST_TEXT:,} bytes. It is not stored, logged or sent anywhere. It stands here as long as the page is open.",
        )
        slot = st.empty()
        st.multiselect(
            "Other countries than those in force",
            sorted(COUNTRIES),
            key=_COUNTRIES,
            placeholder="Those in force",
            help="Whose national numbers are looked for, and phone numbers as people write them there. For this text alone.",
        )
        st.form_submit_button("Look", type="primary", icon=":material/search:", key="privacy_look")
    text = st.session_state.get(_TEXT) or ""
    if text.strip():
        try:
            _draw_found(text, of, tuple(st.session_state.get(_COUNTRIES) or ()))
        except Invalid as error:
            field_error(slot, error.fields, "text")


def _draw_rules(explained: Sequence[Explained]) -> None:
    """Draw what is looked for in the scope, and who says so."""
    by_name = {item.name.removeprefix(PREFIX): item for item in explained}
    rows = [
        {
            "What": label,
            "In force": plain_cell(_value(by_name[name])),
            "From": plain_cell(_whose(by_name[name])),
        }
        for name, label in _SHOWN.items()
        if name in by_name
    ]
    st.table(
        rows, border="horizontal", hide_index=True, alt="What is looked for in this scope, and which layer says so"
    )


def _value(item: Explained) -> str:
    if item.name == f"{PREFIX}types":
        kinds = item.value
        return (
            "All"
            if kinds is None
            else listed([KINDS.get(kind, kind) for kind in kinds]) or "None of the built-in kinds"
        )
    said = value_text(item.name, item.value)
    return said if len(said) <= _LONGEST_RULE else f"{said[: _LONGEST_RULE - 1]}…"


def _whose(item: Explained) -> str:
    whose = LAYERS[item.source.layer] + (f" ({isolated(item.source.scope)})" if item.source.scope else "")
    return whose if item.limited_by is None else f"{whose}; {limit_text(item.name, item.limited_by)}"


def _draw_found(text: str, of: PersonalDataOfScope, countries: tuple[str, ...]) -> None:
    rules = of.rules._replace(countries=countries) if countries else of.rules
    tried = personal_trying.try_text(text, rules)
    if not tried.places:
        st.info("Nothing is found in it. That does not mean that nobody is named in it.", icon=":material/search_off:")
        return
    with st.container(horizontal=True, key="privacy_found"):
        for kind, number in tried.counts.items():
            figure(KINDS.get(kind, kind), number)
    number = len(tried.places)
    st.markdown(plain(f"{counted(number, 'place')} in the text. Masked, it is:"))
    st.code(tried.masked, language=None, wrap_lines=True)
    st.table(
        [_row(place) for place in tried.places[:MOST_PLACES]],
        border="horizontal",
        hide_index=True,
        alt="What was found, by place",
    )
    if number > MOST_PLACES:
        st.caption(f"The first {MOST_PLACES} of {number:,} places.")


def _row(place: FoundPlace) -> dict[str, str]:
    value = " ".join(place.value.split())
    return {
        "Kind": plain_cell(KINDS.get(place.kind, place.kind)),
        "Found": plain_cell(isolated(value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…")),
        "Characters": f"{place.start + 1:,} to {place.end:,}",
        "Placeholder": plain_cell(place.placeholder),
    }
