"""What admins say here of models: the list, and what is odd about it. It counts more than the vendor's list and the catalogue."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import streamlit as st

from core.actors import Actor
from core.manage import model_facts, suggestions
from core.manage.suggestions import Suggestion
from core.models.apis import APIS
from core.parameters import PARAMETERS
from core.store import db
from core.store.table import id_of
from core.store.tables import LlmModelFacts
from core.wording import counted
from ui import listing
from ui.feedback import attempt, other_errors, plain, plain_cell
from ui.models import correct
from ui.widgets import ago, cut, exact, for_row, isolated

_LONGEST: Final = 80
_SHOWN: Final = 10
_WORDS: Final = 300
_LABELS: Final[Mapping[str, str]] = {
    "acts_as": "the model behind it",
    "custom": "a model of one's own",
    "max_input": "longest input",
    "max_output": "longest answer",
    "temperature_max": "highest temperature",
    "retires": "retires on",
    "efforts": "efforts of reasoning",
    **{name: parameter.label for name, parameter in PARAMETERS.items()},
}


def draw(actor: Actor, *, for_admin: bool) -> None:
    """Draw the list, and for an admin what vendors' refusals suggest.

    Args:
        actor: An admin or an analyst.
        for_admin: Whether it may be changed from here.
    """
    correct.start_afresh()
    with db.transaction() as session:
        rows = model_facts.list_all(session)
        gone = model_facts.list_all(session, withdrawn=True)
        clashes = [str(clash) for clash in model_facts.contradictions(session)] if rows else []
        needless = [sentence for _, sentence in model_facts.agreeing(session)] if rows else []
        problems = model_facts.knowledge(session).problems
    st.caption(
        "What an admin says here of a model counts more than the vendor's own list and the catalogue, fact by fact."
    )
    if for_admin:
        st.button(
            "Correct something", key="add_correction", type="primary", icon=":material/add:", on_click=correct.show
        )
        _draw_suggestions(actor)
    for sentence in [*problems, *clashes][:_SHOWN]:
        st.warning(plain(sentence), icon=":material/warning:")
    for sentence in needless[:_SHOWN]:
        st.info(plain(sentence), icon=":material/lightbulb:")
    if not rows:
        st.info("Nothing is corrected: models are taken as the catalogue has them.", icon=":material/fact_check:")
    else:
        _draw_rows(rows, for_admin=for_admin)
    if gone:
        with st.expander(f"Withdrawn or dismissed ({len(gone):,})", key="withdrawn_corrections"):
            newest = sorted(gone, key=lambda row: row.updated_at, reverse=True)[:_SHOWN]
            st.markdown("  \n".join(_lines(row, small=True) for row in newest))
            if len(gone) > _SHOWN:
                st.caption(f"The newest {_SHOWN} are shown. The audit has them all.")
    if for_admin:
        correct.draw_dialog()


def _draw_suggestions(actor: Actor) -> None:
    """Draw what failed calls say of models, in the vendors' words: for admins, as words may be of what was asked."""
    with db.transaction() as session:
        found = suggestions.list_all(session)
    if not found:
        return
    st.markdown(f"**Refused by vendors in {suggestions.DAYS} days**")
    with st.container(gap="xsmall", key="suggestions"):
        for suggestion in found[:_SHOWN]:
            _draw_suggestion(actor, suggestion)
    if len(found) > _SHOWN:
        st.caption(f"The newest {_SHOWN} of {len(found):,} are shown.")


def _draw_suggestion(actor: Actor, suggestion: Suggestion) -> None:
    shown = "; ".join(texts_of(suggestion.facts))
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        head = f"**{cut(suggestion.model, _LONGEST)}** {plain(where_text(suggestion.place))}"
        words = plain(f"{ago(suggestion.seen)}: {isolated(' '.join(suggestion.words.split())[:_WORDS])}")
        st.markdown(
            f"{head}  \n{plain_cell(shown)}?  \n:gray[:small[{words}]]", width="stretch", help=exact(suggestion.seen)
        )
        which = f"{suggestion.place}_{suggestion.model}_{'_'.join(suggestion.facts)}"  # not its place in the list
        pressed = st.button(
            for_row("Note it", f"{suggestion.model} {where_text(suggestion.place)}"),
            key=f"accept_suggestion_{which}",
            icon=":material/fact_check:",
            width=110,
        )
        dismissed = st.button(
            for_row("Dismiss", f"{suggestion.model} {where_text(suggestion.place)}"),
            key=f"dismiss_suggestion_{which}",
            icon=":material/cancel:",
            width=110,
            help=f"Nothing changes by it; it is not suggested again for {suggestions.DISMISSED_DAYS} days.",
        )
    if pressed or dismissed:
        outcome = attempt(
            lambda session: (suggestions.accept if pressed else suggestions.dismiss)(session, actor, suggestion),
            done=f"{'Noted' if pressed else 'Dismissed'} of {suggestion.model}: {shown}.",
        )
        other_errors(outcome.errors, set())
        if outcome.ok:
            st.rerun()


def _draw_rows(rows: list[LlmModelFacts], *, for_admin: bool) -> None:
    wanted = listing.pick_search("Model, host or reason")
    found = [row for row in rows if wanted in f"{row.pattern} {row.api or ''} {row.why} {row.updated_by}".casefold()]
    if not found:
        st.info("No correction fits this search.", icon=":material/search_off:")
    place = st.container(gap="xsmall")
    shown = listing.shown(found)
    with place:
        for row in shown:
            _draw_row(row, for_admin=for_admin)
    st.caption(f"{counted(len(found), 'correction')}.")


def _draw_row(row: LlmModelFacts, *, for_admin: bool) -> None:
    with st.container(border=True, key=f"correction_{id_of(row)}", horizontal=True, vertical_alignment="center"):
        st.markdown(_lines(row), width="stretch", help=exact(row.updated_at))
        if for_admin:
            st.button(
                for_row("Change", f"{row.pattern} {where_text(row.api)}"),
                key=f"edit_correction_{id_of(row)}",
                icon=":material/edit:",
                width=110,
                on_click=partial(correct.show, id_of(row)),
            )
            st.button(
                for_row("Withdraw", f"{row.pattern} {where_text(row.api)}"),
                key=f"withdraw_{id_of(row)}",
                icon=":material/undo:",
                width=120,
                on_click=partial(correct.ask_withdraw, id_of(row)),
            )


def _lines(row: LlmModelFacts, *, small: bool = False) -> str:
    where = where_text(row.api)
    shown = "; ".join(texts_of(row.facts))
    who = f"{row.updated_by or 'somebody'}, {ago(row.updated_at)}: {isolated(row.why or '')}"
    head = f"**{cut(row.pattern, _LONGEST)}** {plain(where)}"
    text = f"{plain_cell(shown)}  \n:gray[:small[{plain(' '.join(who.split()))}]]"
    return f":gray[:small[{head}: {plain_cell(shown)}, {plain(who)}]]" if small else f"{head}  \n{text}"


def where_text(api: str | None) -> str:
    """Return where a correction holds: ``at Azure OpenAI, host x.openai.azure.com``, or everywhere."""
    if not api:
        return "everywhere"
    name, _, host = api.partition("@")
    label = APIS[name].label if name in APIS else name
    return f"at {label}, host {host}" if host else f"at {label}"


def texts_of(facts: Any) -> list[str]:
    """Return what a row says, a text for each fact; of what raw SQL may have stored its JSON."""
    if not isinstance(facts, Mapping):
        return [json.dumps(facts, ensure_ascii=False)]
    return [f"{_LABELS.get(key, key.replace('_', ' '))}: {_value_text(value)}" for key, value in facts.items()]


_DOES: Final = {"ok": "taken", "refuse": "not taken", "ignore": "has no effect", "require": "required"}


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) == 1:
        (does, what), *_ = value.items()
        if (words := _verdict(str(does), what)) is not None:
            return words
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _verdict(does: str, what: Any) -> str | None:
    if what is True:
        return _DOES.get(does, does)
    if does in {"range", "only"} and isinstance(what, list):
        numbers = list(map(str, what))
        return " to ".join(numbers) if does == "range" else f"only {' or '.join(numbers)}"
    if does == "exclusive" and isinstance(what, str) and what in PARAMETERS:
        return f"not beside {PARAMETERS[what].label}"
    return f"sent as {what}" if does == "rename" else None
