"""The dialog that puts all of an organisation back as it was at a moment: what would become of each row, the reason, the write."""

from typing import Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError
from core.govern import history_names, history_restore
from core.govern.history_moments import Moment
from core.govern.history_names import KINDS
from core.govern.history_restore import Restored, RowOutcome
from core.store import db
from core.wording import counted
from ui import moments, reason
from ui.feedback import as_markdown, attempt, other_errors, plain, warn
from ui.guard import guard
from ui.history.putting_back import DIALOGS, LOOKED_AT
from ui.history.words import Names, field_words, value_words
from ui.widgets import cut

_PICKED: Final = "organization_put_back"
_MOST: Final = 50
"""So many rows are listed."""
_NAMED: Final = 6
"""So many fields of a row are told."""
_MARKS: Final = {"made": "add_circle", "changed": "edit", "deleted": "delete", "refused": "block"}
_WOULD: Final = {"made": "made again", "changed": "changed", "deleted": "deleted", "refused": "not put back"}


class PickedOrganization(NamedTuple):
    """What is put back as of when."""

    id: int
    slug: str
    then: Moment


def draw_button(organization_id: int, slug: str, then: Moment) -> None:
    """Draw the button that opens the dialog."""
    st.button(
        plain(f"Put {slug} back as it was then"),
        key="put_organization_back",
        icon=":material/settings_backup_restore:",
        on_click=_pick,
        args=(PickedOrganization(organization_id, slug, then),),
    )


def _pick(what: PickedOrganization) -> None:
    DIALOGS.show("organization")
    st.session_state[_PICKED] = what


def draw(actor: Actor) -> None:
    """Draw the dialog, if it is open."""
    name, _ = DIALOGS.opened()
    if name == "organization":
        _put_back(actor, st.session_state[_PICKED])


@st.dialog(
    "Put the organisation back", icon=":material/settings_backup_restore:", width="medium", on_dismiss=DIALOGS.close
)
def _put_back(actor: Actor, what: PickedOrganization) -> None:
    guard("member")
    st.markdown(f"**{cut(what.slug, 80)}** as of {plain(moments.words(what.then))}")
    found = None
    try:
        with db.transaction() as session:
            found = history_restore.restore_organization(session, actor, what.id, what.then.generation, dry_run=True)
            names = history_names.named(session, [each.fields for each in found.outcomes])
    except CoreError as error:
        st.warning(as_markdown(f"It cannot be put back. {error}"), icon=":material/block:")
    else:
        _draw_preview(found, names)
    place = st.container()
    with reason.buttons():
        if st.button("Cancel", key="organization_back_cancel"):
            DIALOGS.done()
        pressed = st.button(
            "Put back",
            key="organization_back_confirm",
            type="primary",
            disabled=found is None or not _written(found),
        )
    if pressed and found is not None:
        with place:
            _write(actor, what, st.session_state.get(LOOKED_AT, found.looked_at))
    if found is not None:
        st.session_state[LOOKED_AT] = found.looked_at


def _written(found: Restored) -> list[RowOutcome]:
    return [each for each in found.outcomes if each.done not in {"nothing", "refused"}]


def _draw_preview(found: Restored, names: Names) -> None:
    rows = [each for each in found.outcomes if each.done != "nothing"]
    if not rows:
        st.info("It is so already: nothing would change.", icon=":material/check_circle:")
        return
    refused = f"; {counted(len(found.refused), 'row')} cannot be put back" if found.refused else ""
    st.markdown(f"**{counted(len(_written(found)), 'row')} would change{refused}**")
    lines = [_line(each, names) for each in sorted(rows, key=lambda each: each.done != "refused")[:_MOST]]
    st.markdown("\n".join(lines))
    if len(rows) > _MOST:
        st.caption(f"{_MOST} of {len(rows):,} are shown.")
    st.caption("By the rules and limits of today, as one change. Keys do not come back.")


def _line(each: RowOutcome, names: Names) -> str:
    about = f"{KINDS.get(each.table, 'row').capitalize()} {each.name}"
    told = [
        f"{field_words(name)} {cut(value_words(name, now, names), 40)} → {cut(value_words(name, then, names), 40)}"
        for name, (now, then) in list(each.fields.items())[:_NAMED]
    ]
    more = [f"{len(each.fields) - _NAMED} more"] if len(each.fields) > _NAMED else []
    rest = each.problem or (", ".join(told + more) if each.done == "changed" else "")
    said = plain(" · ".join(filter(None, (about, _WOULD[each.done], rest))))
    notes = "".join(f" {plain(note)}" for note in each.notes)
    return f"- :material/{_MARKS[each.done]}: {said}{notes}"


def _write(actor: Actor, what: PickedOrganization, looked_at: int) -> None:
    refused: list[RowOutcome] = []

    def work(session: Session) -> None:
        done = history_restore.restore_organization(session, actor, what.id, what.then.generation, looked_at=looked_at)
        refused[:] = done.refused

    outcome = attempt(work, f"{what.slug} is put back as it was.")
    if outcome.ok:
        if refused:
            first = f"{KINDS.get(refused[0].table, 'row')} {refused[0].name}: {refused[0].problem}"
            warn(f"{what.slug} is put back, but for {counted(len(refused), 'row')}. {first}")
        DIALOGS.done()
    other_errors(outcome.errors, set())
