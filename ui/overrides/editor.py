"""The editor of what one scope overrides: a part of the page that runs alone, so that a click costs no more than it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError
from core.manage import inherited, organization_members, providers, settings
from core.manage.scopes import SettingsRow, SettingsScope
from core.models.apis import api_of, host_of
from core.models.ranges import ranges
from core.resolving.explanation import Explained
from core.store import db
from core.store.preset_tables import SettingsPreset
from core.wording import counted
from ui import colors, reason
from ui.defaults import form, presets_dialogs, presets_menu
from ui.defaults.draft import INHERIT, OBJECTS, VALUE, Edit, choices, chosen, described, patch, problem, rebase
from ui.feedback import attempt, field_error, other_errors, plain, show_fault, show_toast, warn
from ui.guard import guard_part
from ui.overrides import edits
from ui.overrides.edits import DEFAULT, NAMES, Stored
from ui.pressed import Press, Presses
from ui.scopes import bounds, hidden
from ui.widgets import ago, changed, coming_and_going, isolated, two_names

PRESSES: Final = Presses("override_pressed")
_ASKED: Final = "override_reset_asked"
_WHY_RESET: Final = "reason_reset"
_EXPLAINED = (
    "**Inherit** takes the value from the layer below and follows it. **Value** sets one here."
    " **Don't send** leaves the parameter out of each request."
)


class Shown(NamedTuple):
    """A scope, and what is called so."""

    scope: SettingsScope
    title: str
    is_template: bool = False


class Work(NamedTuple):
    """The scope as it is stored and as it is being edited."""

    actor: Actor
    shown: Shown
    stored: Stored
    edit: Edit
    inherits: Mapping[str, Explained]
    models: list[str] | None
    ranges: Mapping[str, tuple[float, float]]
    default_providers: Mapping[int, str]
    """Id -> words, of those that may be the default of a scope that names none."""
    by: str
    """Who changed it last, as the actor may know."""
    presets: tuple[list[SettingsPreset], bool]
    """Those there are, and whether the actor may change them."""


def draw(shown: Shown) -> None:
    """Draw the editor of a scope."""
    _draw_part(shown)
    presets_dialogs.draw()


@st.fragment
def _draw_part(shown: Shown) -> None:
    actor = guard_part("manager")
    try:
        _draw(actor, shown)
    except CoreError as error:
        show_fault(error)


def _load(actor: Actor, shown: Shown) -> Work:
    with db.transaction() as session:
        found = inherited.editable(session, actor, shown.scope)
        active = providers.list_all(session, active=True) if shown.scope.provider_id is None else []
        by = organization_members.known_as(session, actor, found.row)
        presets = presets_menu.known(session, actor)
    stored = edits.stored_of(found.row)
    inherits = {item.name: item for item in found.inherits.explain()}
    edit = edits.current(shown.scope, stored, inherits)
    named = {each.id or 0: two_names(each.display_name, each.name) for each in active}
    of = found.inherits
    within: Mapping[str, tuple[float, float]] = {}
    if found.of.provider is not None:
        model = chosen(edit, "preferred_model").value or of.model
        within = ranges(api_of(of.kind, of.base_url), of.kind, model, of.knowledge, host_of(of.kind, of.base_url))
    return Work(actor, shown, stored, edit, inherits, found.models, within, named, by, presets)


def _draw(actor: Actor, shown: Shown) -> None:
    work, above = _load(actor, shown), coming_and_going()
    if PRESSES.are_there():
        with above:
            PRESSES.do_all(actor, lambda press: _do(work, press))
        work = _load(actor, shown)
        show_toast()
    found = edits.problems(work.edit, work.models)
    with above:
        _draw_head(work)
        _draw_conflict(work)
    with db.transaction() as session:
        said = _said(work.edit, NAMES)
        by = hidden.find(session, actor, shown.scope, said, is_template=shown.is_template)
        bound = bounds.find(session, actor, shown.scope)
    refused = bounds.refused(shown.scope, work.edit.changed)
    st.caption(_EXPLAINED)
    if shown.scope.provider_id is None:
        _draw_default(work, by.get(DEFAULT, ""))
        field_error(st, refused, DEFAULT)
        bounds.draw(DEFAULT, bound)
    clicks = form.Clicks(_nothing, form.slid, form.typed, _undone(shown))
    for group, names in form.groups().items():
        with st.container(border=True, gap="xsmall", key=f"group_{group or 'custom'}"):
            if group:
                st.header(group, anchor=False)
            for name in names:
                item = work.inherits[form.parameter_of(name)]
                form.draw_row(name, work.edit, item, work.models, clicks, within=work.ranges.get(name))
                if name in found:
                    field_error(st, {name: found[name] if name in OBJECTS else problem(name, found[name])}, name)
                elif name in by:
                    _draw_note(name, by[name])
                if name not in found and name in refused:
                    field_error(st, {name: refused[name] if name in OBJECTS else problem(name, refused[name])}, name)
                bounds.draw(name, bound)
    _draw_bar(work, found)


def _nothing(name: str) -> None:
    """Do nothing: the part runs anyway, and reads what its widgets hold."""


def _said(edit: Edit, names: Iterable[str]) -> dict[str, bool]:
    """Return those that say something -> whether it is a value."""
    chosen_of = {name: chosen(edit, name).mode for name in names}
    return {name: mode == VALUE for name, mode in chosen_of.items() if mode != INHERIT}


def _undone(shown: Shown) -> Callable[[str], None]:
    return lambda name: PRESSES.note("undo", (shown.scope, [name]))


def _taken(scope: SettingsScope) -> Callable[[str, Mapping[str, Any]], None]:
    return lambda name, fields: PRESSES.note("preset", (scope, (name, dict(fields))))


def _draw_head(work: Work) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        if work.stored.version:
            changed(work.stored.changed_at, work.by)
        else:
            st.caption("Nothing is set here: everything inherits.")
        presets_menu.draw(work.presets, _taken(work.shown.scope), lambda: work.edit)
        st.button(
            "Reset all",
            key="override_reset",
            type="tertiary",
            icon=":material/restart_alt:",
            disabled=not work.stored.version,
            on_click=PRESSES.note,
            args=("ask_reset", (work.shown.scope, None)),
        )
    if st.session_state.get(_ASKED) == (work.shown.scope, work.stored.version) and work.stored.version:
        set_here = [name for name, choice in choices(work.stored.fields).items() if choice.mode != INHERIT]
        set_here += [DEFAULT] * bool(work.stored.fields[DEFAULT])
        st.warning(
            plain(
                f"Everything in {work.shown.title} inherits again. What goes: "
                f"{', '.join(NAMES[name] for name in set_here) or 'an empty row'}."
            ),
            icon=":material/restart_alt:",
        )
        with (
            st.container(horizontal=True, horizontal_alignment="right"),
            reason.beside_save(_WHY_RESET),
        ):
            st.button(
                "Keep it", key="override_reset_cancel", on_click=PRESSES.note, args=("keep", (work.shown.scope, None))
            )
            st.button(
                ":red[Reset all of it]",
                key="override_reset_confirm",
                icon=":material/restart_alt:",
                on_click=PRESSES.note,
                args=("reset", (work.shown.scope, work.stored.version)),
            )


def _draw_conflict(work: Work) -> None:
    """Draw, where somebody else saved meanwhile, what was there, what is there now, and what is typed here."""
    edit, stored = work.edit, work.stored
    if not edit.changed or edit.version == stored.version:
        return
    who = f"{work.by} saved {work.shown.title} {ago(stored.changed_at)}" if stored.version else "Somebody has reset it"
    st.warning(
        plain(f"{who}, while you were editing. Nothing of yours is lost: choose what holds."),
        icon=":material/group:",
    )
    before, theirs = _all(edit.base), _all(stored.fields)
    rows = [
        {
            "Field": NAMES[name],
            "When you began": before[name],
            "Saved now": theirs[name],
            "Yours": f"**{_cell(work, name)}**" if name in edit.changed else ":gray[not changed]",
        }
        for name in NAMES
        if name in edit.changed or theirs[name] != before[name]
    ]
    st.table(rows, border="horizontal", alt="Each field that you or they changed")
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            "Keep what is saved",
            key="override_keep",
            icon=":material/undo:",
            on_click=PRESSES.note,
            args=("theirs", (work.shown.scope, None)),
        )
        st.button(
            "Write mine",
            key="override_write",
            icon=":material/save:",
            on_click=PRESSES.note,
            args=("mine", (work.shown.scope, stored.version)),
        )


def _all(fields: Mapping[str, Any]) -> dict[str, str]:
    named = {name: plain(described(name, choice)) for name, choice in choices(fields).items()}
    return {DEFAULT: f"number {fields[DEFAULT]}" if fields[DEFAULT] else "Inherit", **named}


def _cell(work: Work, name: str) -> str:
    choice = work.edit.changed[name]
    if name == DEFAULT:
        return plain(work.default_providers.get(choice.value, "Inherit"))
    return plain(described(name, choice))


def _draw_default(work: Work, hidden_by: str) -> None:
    kept = chosen(work.edit, DEFAULT).value
    options = [0, *work.default_providers, *([kept] if kept and kept not in work.default_providers else [])]
    st.selectbox(
        NAMES[DEFAULT],
        options,
        format_func=lambda number: (
            work.default_providers.get(number, f"number {number}, which is not active") if number else "Inherit"
        ),
        key=edits.DEFAULT_KEY,
        filter_mode="contains",
        help="What services get that name no provider.",
        width=400,
    )
    if hidden_by:
        _draw_note(DEFAULT, hidden_by)


def _draw_note(name: str, becomes: str) -> None:
    with st.container(key=f"note_hidden_{name}"):  # as what is said of a field on Defaults
        st.caption(f":material/layers: {plain(becomes[:1].upper() + becomes[1:])}")


def _draw_bar(work: Work, found: Mapping[str, str]) -> None:
    with st.container(key="override_bar", gap="small"):
        if not work.edit.changed:
            return
        _color_bar()
        names = ", ".join(label for name, label in NAMES.items() if name in work.edit.changed)
        what = plain(f"{isolated(work.shown.title)}: {names}")
        lines = [f":orange[:material/edit: **{counted(len(work.edit.changed), 'change')}, unsaved**] {what}"]
        lines += [f":red[:material/error: {plain(problem(name, rule))}]" for name, rule in list(found.items())[:2]]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("  \n".join(lines), width="stretch")
            with reason.beside_save():
                st.button(
                    "Discard",
                    key="override_discard",
                    icon=":material/undo:",
                    on_click=PRESSES.note,
                    args=("undo", (work.shown.scope, list(work.edit.changed))),
                )
                st.button(
                    "Save",
                    key="override_save",
                    type="primary",
                    icon=":material/save:",
                    on_click=PRESSES.note,
                    args=("save", (work.shown.scope, None)),
                )


def _color_bar() -> None:
    """Give the bar the theme's background: ui/frame.css keeps it in view."""
    color = colors.background()
    st.html(f"<style>.st-key-override_bar{{background:{color};box-shadow:0 3rem {color}}}</style>")


def _do(work: Work, press: Press) -> None:
    scope, about = press.what
    if scope != work.shown.scope:
        return  # of a form that was left before the press arrived
    if press.action == "undo":
        edits.undo(work.edit, about)
    elif press.action == "preset":
        edits.fill(work.edit, presets_menu.fill(work.edit, *about))
    elif press.action == "ask_reset":
        st.session_state[_ASKED] = (scope, work.stored.version)
    elif press.action == "keep":
        st.session_state.pop(_ASKED, None)
    elif press.action == "theirs":
        edits.drop(scope)
    elif press.action == "reset":
        _reset(work, about)
    elif press.action == "save" and work.edit.changed and not edits.problems(work.edit, work.models):
        _save(work, work.edit)
    elif press.action == "mine" and about == work.stored.version:
        _save(work, rebase(work.edit, work.stored.version, work.stored.fields))


def _save(work: Work, edit: Edit) -> None:
    scope = work.shown.scope
    note_saved: list[Callable[[], object]] = []
    notes: dict[str, str] = {}

    def write(session: Session) -> None:
        changes = patch(edit.base, edit.changed)
        note_saved[:] = [edits.saved(scope, _written(session, work, changes, edit))]
        says = _said(edit, edit.changed)
        found = hidden.find(session, work.actor, scope, says, is_template=work.shown.is_template)
        notes.clear()
        notes.update(found)

    done = f"Saved {counted(len(edit.changed), 'change')} in {work.shown.title}."
    outcome = attempt(write, done, then=lambda: note_saved[0](), why=reason.BAR)  # noqa: PLW0108 - it is not there yet
    if outcome.ok:
        edits.show(scope)
        if notes:
            warn(f"{done} {hidden.sentences(notes, NAMES)}")
    if outcome.conflict:
        st.caption("Not saved: it was changed just now.")
    bounds.note_refused(scope, edit.changed, outcome.errors)
    other_errors({NAMES.get(name, name): rule for name, rule in outcome.errors.items()}, set())


def _written(session: Session, work: Work, changes: Mapping[str, Any], edit: Edit) -> SettingsRow:
    """Store *changes*; the event names the preset that they are of, if any."""
    scope = work.shown.scope
    return settings.upsert(session, work.actor, scope, changes, version=edit.version, preset=presets_menu.named(edit))


def _reset(work: Work, version: int) -> None:
    scope, row_id = work.shown.scope, work.stored.row_id
    st.session_state.pop(_ASKED, None)
    if row_id is None:
        return
    take = settings.delete if scope.feature_id is None else settings.delete_override
    outcome = attempt(
        lambda session: take(session, work.actor, row_id, version=version),
        f"{work.shown.title} inherits everything again.",
        why=_WHY_RESET,
    )
    if outcome.ok:
        edits.drop(scope)
    elif outcome.conflict:
        st.warning("It was changed just now. Look again, and reset if you still want to.", icon=":material/group:")
    other_errors(outcome.errors, set())
