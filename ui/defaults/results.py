"""What results of the choices on the Defaults page: the preview beside the form, and the bar with Discard and Save."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.manage import providers, settings
from core.manage.scopes import SettingsScope
from core.models.apis import api_of, host_of
from core.models.words import model_line
from core.parameters import PARAMETERS, SENDABLE
from core.resolving.effective import EffectiveSettings
from core.resolving.words import label_of, omitted_for_nothing, value_text
from core.store import db
from core.wording import counted
from ui import reason
from ui.defaults import form, presets_menu, scope
from ui.defaults.draft import INHERIT, LABELS, OMIT, VALUE, chosen, patch, problem
from ui.defaults.effective_table import preview, refused, warnings
from ui.defaults.work import Results, Work, load, results
from ui.feedback import attempt, plain, warn
from ui.scopes import bounds, hidden
from ui.widgets import isolated

PREVIEWED = "defaults_provider"
"""Where the session has the provider whose settings are previewed while all providers are edited."""
_PRESSED = "defaults_save_pressed"
_ASKED = "defaults_saved_unsent"
"""Where the session has what of the next save is not sent, if somebody wants it saved all the same."""
NOTED: Final = ("preferred_model", *SENDABLE)
"""Fields with a line below: what is known of the model, and what becomes of each parameter."""
_LONGEST = 120
"""Characters of what would be sent, in the bar."""


class Places(NamedTuple):
    """Where the parts draw: containers that the page has made, in its order."""

    head: Any
    preview: Any
    bar: Any
    notes: Mapping[str, Any]
    """Field -> the place below it."""


class Buttons(NamedTuple):
    """What the buttons do; all are callbacks."""

    save: Callable[[], None]
    discard: Callable[[], None]
    omit: Callable[[list[str]], None]
    send: Callable[[list[str]], None]


def press_save() -> None:
    """Note that Save was pressed: a callback runs before anybody's rights were read."""
    st.session_state[_PRESSED] = True


def save_is_pressed() -> bool:
    """Return whether Save was pressed, and what it saves is not saved yet."""
    return bool(st.session_state.get(_PRESSED))


def save_if_pressed(work: Work, ask: Callable[[str], object]) -> Work:
    """Save if that was pressed, and return what there is then; what was refused is drawn here.

    Args:
        work: The scope.
        ask: Opens the dialog of a name.
    """
    if not st.session_state.pop(_PRESSED, False) or not work.edit.changed or work.found:
        return work
    edit = work.edit
    wanted_so = st.session_state.pop(_ASKED, None)
    unsent = unsent_of(work)
    if unsent and wanted_so != unsent:
        ask("unsent")
    note_saved: list[Callable[[], object]] = []
    hidden_by: dict[str, str] = {}
    said = {name: choice.mode == VALUE for name, choice in edit.changed.items() if choice.mode != INHERIT}
    done = f"Saved {counted(len(edit.changed), 'change')} in {work.title}."

    def write(session: Session) -> None:
        changes = patch(edit.base, edit.changed)
        settings.upsert_global(
            session, work.actor, work.scope_id, changes, version=edit.version, preset=presets_menu.named(edit)
        )
        note_saved[:] = [scope.saved(session, work.scope_id)]
        hidden_by.clear()
        hidden_by.update(hidden.find(session, work.actor, SettingsScope(work.scope_id), said))

    outcome = attempt(
        write,
        done=done,
        then=lambda: note_saved[0](),  # noqa: PLW0108 - it is not there yet
        why=reason.BAR,
    )
    if outcome.ok:
        if hidden_by:
            warn(f"{done} {hidden.sentences(hidden_by, LABELS)}")
        scope.show_saved(work.scope_id, edit.changed)
        return load(work.actor, work.scope, whole=True)
    if outcome.conflict or edit.version != work.stored.version:
        ask("conflict")
    bounds.note_refused(SettingsScope(work.scope_id), edit.changed, outcome.errors)
    for name, rule in outcome.errors.items():
        st.error(plain(problem(name, rule)), icon=":material/error:")
    return work


def unsent_of(work: Work) -> dict[str, str]:
    """Return what was typed, is not saved yet and does not reach the model as it is: field -> what becomes of it."""
    with db.transaction() as session:
        names = providers.names(session)
    shown = previewed(work.scope, names)
    if not shown:
        return {}
    found = results(work, shown)
    notes = found.notes(work.edit)
    return {name: notes[name].text for name in found.unsent(work.edit) if name in notes}


def save_all_the_same(unsent: dict[str, str]) -> None:
    """Have the next run save though what is in *unsent* reaches no model as it is; asked again once that changes."""
    st.session_state[_ASKED] = unsent
    press_save()


def draw_preview(work: Work, found: Results | None, buttons: Buttons) -> None:
    """Draw what would be in force for a provider; None: there is no provider."""
    if found is None:
        st.text("There is no provider yet. What is set here will hold for each one that is added.")
        return
    warnings(found.draft, found.saved)
    if found.unread:
        st.warning(plain(found.unread), icon=":material/history:")
    unfit = refused(found.draft) if work.scope else []
    if unfit:
        st.button(
            "Don't send what it does not take",
            key="omit_refused",
            icon=":material/block:",
            help=form.names(unfit),
            on_click=buttons.omit,
            args=(unfit,),
        )
    if work.scope and (needless := _needless(work, found)):
        st.button(
            "Send what is left out for nothing",
            key="send_needless",
            icon=":material/undo:",
            help=form.names(needless),
            on_click=buttons.send,
            args=(needless,),
        )
    preview(found.draft, found.saved)


def _needless(work: Work, found: Results) -> list[str]:
    """Return what is left out here, for a known model that takes it."""
    if found.draft.model_is != "known":
        return []
    return [name for name in omitted_for_nothing(found.draft) if chosen(work.edit, name).mode == OMIT]


def draw_notes(work: Work, found: Results | None, places: Places) -> None:
    """Draw below each field what its model makes of it."""
    notes = found.notes(work.edit) if found is not None else {}
    model = model_note(work)
    for name, place in places.notes.items():
        with place:
            if name in notes:
                note = notes[name]
                if note.asked_for:
                    st.markdown(f":orange[:small[{_UNFIT} {plain(note.text)}]]")
                else:
                    st.caption(plain(note.text))
            elif name == "preferred_model" and model:
                st.caption(plain(model))
            else:
                st.empty()  # a part may write only to containers that it wrote to when the whole page was drawn


_UNFIT: Final = ":material/warning:"


def model_note(work: Work) -> str:
    """Return what is known of the model that is called; empty for all providers, and without one."""
    if not work.model:
        return ""
    kind, url = work.inherits.kind, work.inherits.base_url
    return model_line(api_of(kind, url), work.model, knowledge=work.knowledge, host=host_of(kind, url))


def draw_bar(work: Work, found: Results | None, buttons: Buttons) -> None:
    """Draw what is unsaved, with Discard and Save."""
    changed = work.edit.changed
    if not changed:
        st.empty()  # a part may write only to containers that it wrote to when the whole page was drawn
        return
    with st.container(horizontal=True, vertical_alignment="center", key="save_bar"):
        what = plain(f"{isolated(work.title)}: {form.names(changed)}")
        lines = [f":orange[:material/edit: **{counted(len(changed), 'change')}, unsaved**] {what}"]
        lines += [f":red[:material/error: {plain(problem(name, rule))}]" for name, rule in list(work.found.items())[:2]]
        if found is not None:
            lines.append(f":small[{plain(sent_line(found.draft, changed))}]")
        if work.edit.version != work.stored.version:
            lines.append(
                f":small[{plain(work.stored.changed_by or 'Somebody')} saved in the meantime: you will be asked.]"
            )
        st.markdown("  \n".join(lines), width="stretch")
        with reason.beside_save():
            st.button("Discard", key="discard", icon=":material/undo:", on_click=buttons.discard)
            st.button("Save", key="save", type="primary", icon=":material/save:", on_click=buttons.save)


def sent_line(draft: EffectiveSettings, changed: Mapping[str, object]) -> str:
    """Return in a line what would be sent, what is changed first."""
    sent = {item.name: item.value for item in draft.explain() if item.sent and item.name in PARAMETERS}
    names = sorted(sent, key=lambda name: name not in changed)
    line = f"Sent: {', '.join(f'{label_of(name)} {value_text(name, sent[name])}' for name in names) or 'nothing'}"
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1].rpartition(',')[0]}, …"


def previewed(name: str, names: Mapping[str, str]) -> str:
    """Return the provider of the scope *name*, or the one that is previewed while all are edited; empty: there is none."""
    chosen = str(st.session_state.get(PREVIEWED, ""))
    return name or (chosen if chosen in names else next(iter(names), ""))
