"""What the Providers page asks: a provider's fields, whether to forget a key, whether to delete; and what it tests."""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError, Invalid
from core.manage import model_facts, provider_figures, provider_secrets, providers, settings
from core.store import db
from core.store.table import id_of
from core.wording import counted
from ui import colors, drafts, reason
from ui.dialogs import confirm_by_name
from ui.feedback import attempt, field_error, other_errors, plain, show_fault
from ui.guard import guard
from ui.providers import carried, conflict, connection_test, env_paste, first_key, form, key_exchange, own_keys, several
from ui.widgets import ago

Asked = Literal["add", "env", "edit", "set_key", "test", "keys", "delete", "remove_key", "change"]
"""A dialog."""
ADDED: Final = "provider_added"
"""Where the session keeps the name of a provider that was added just now, for the list to show it."""
_OPEN, _CONFLICT, _SEEN = "provider_dialog", "provider_conflict", "provider_seen"


def ask(name: Asked, provider_id: int | None = None) -> None:
    """Have :func:`draw_dialog` open the dialog *name* in this run."""
    st.session_state[_OPEN] = (name, provider_id)
    connection_test.forget()
    st.session_state.pop(_CONFLICT, None)
    st.session_state.pop(_SEEN, None)
    if name == "add":
        form.fill_new()
    elif name == "env":
        env_paste.begin()
    elif name == "change":
        several.begin()
    elif name == "edit" and provider_id is not None:
        _load(provider_id)


def _load(provider_id: int) -> None:
    with db.transaction() as session:
        form.fill_from(providers.get(session, provider_id), provider_secrets.list_of(session, provider_id))


@drafts.collects("providers")
def _unsaved() -> drafts.Draft | None:
    name, provider_id = st.session_state.get(_OPEN, (None, None))
    if name not in {"add", "edit"} or not form.is_filled():
        return None
    content, is_changed, secret = form.unsaved()
    if not is_changed:
        return None
    of = content["base"]["display_name"]
    return drafts.Draft(
        f"Edit {of}" if of else "Add a provider",
        {**content, "dialog": name, "provider_id": provider_id},
        "API keys and other secrets are not kept: type them again." if secret else "",
    )


def offer_unsaved(actor: Actor) -> None:
    """Draw what *actor* could not save when the sign-in ended; once it is taken up, its dialog opens in this run."""
    content = drafts.offer("providers", actor)
    if content is None:
        return
    try:
        ask(content["dialog"], content["provider_id"])
    except CoreError as error:
        _close()
        show_fault(error)
    else:
        form.take_up(content)


def draw_dialog() -> None:
    """Draw the dialog that is open, if any; one that was left by going to another page is not."""
    name, provider_id = st.session_state.get(_OPEN, (None, None))
    if (name in {"add", "edit"} and not form.is_filled()) or (name == "env" and not env_paste.is_begun()):
        _close()
    elif name == "add":
        _add()
    elif name == "env":
        _env()
    elif name == "change":
        _change()
    elif name is not None:
        try:
            with db.transaction() as session:
                display_name = providers.get(session, provider_id).display_name
        except CoreError as error:
            _close()
            show_fault(error)
        else:
            {
                "edit": _edit,
                "set_key": _set_key,
                "test": _test,
                "keys": _keys,
                "delete": _delete,
                "remove_key": _remove_key,
            }[name](provider_id, display_name)


def _close() -> None:
    guard("admin")
    st.session_state.pop(_OPEN, None)
    form.forget_key()
    own_keys.forget()
    connection_test.forget()
    key_exchange.forget()
    env_paste.forget()
    first_key.forget()
    several.begin()


def _done() -> None:
    _close()
    st.rerun()


@st.dialog("Add a provider", width="large", icon=":material/add:", dismissible=False)
def _add() -> None:
    actor = guard("admin")

    def create(session: Session) -> None:
        provider = providers.create(session, actor, form.patch())
        carried.write(session, actor, id_of(provider))
        _omit(session, actor, provider.id)

    name = str(form.patch().get("display_name") or "").strip()
    _save((), create, f"{name} is added.", "Add provider", None)


@st.dialog("Paste a .env file", width="large", icon=":material/content_paste_go:", dismissible=False)
def _env() -> None:
    env_paste.draw(guard("admin"), _done)


@st.dialog("Change several providers", width="large", icon=":material/checklist:", dismissible=False)
def _change() -> None:
    several.draw(guard("admin"), _done)


@st.dialog("Edit provider", width="large", icon=":material/edit:", dismissible=False)
def _edit(provider_id: int, display_name: str) -> None:
    actor = guard("admin")
    with db.transaction() as session:
        name = providers.get(session, provider_id).name
        omitted = settings.effective(session, name).omitted

    def update(session: Session, version: int | None = None) -> None:
        removed = carried.remove(session, actor, provider_id, moves=form.moves())
        providers.update(session, actor, provider_id, form.patch(), version=version or form.version())
        carried.write(session, actor, provider_id, removed)
        _omit(session, actor, provider_id)

    if st.session_state.get(_CONFLICT):
        _draw_conflict(provider_id, update)
    else:
        _save(omitted, update, f"{display_name} saved.", "Save", provider_id)


def _omit(session: Session, actor: Actor, provider_id: int | None) -> None:
    if (names := form.omitted()) is not None:
        settings.upsert_global(session, actor, provider_id, {"omitted_parameters": names})
    if (typed := form.behind()) is not None:
        model, place, behind = typed
        why = "Typed in the provider's form: which model is behind it."
        row = model_facts.find(session, model, place)
        before = row.facts if row is not None else {}
        model_facts.set_facts(session, actor, model, {**before, "acts_as": behind}, why=why, api=place)


def _save(
    omissions: tuple[str, ...], work: Callable[[Session], None], done: str, label: str, provider_id: int | None
) -> None:
    """Draw the form with its buttons, and do what was pressed; *omissions* is what is not sent today."""
    drawn = form.draw()
    own_keys.draw(provider_id, drawn.moved, drawn.slots)
    _color_actions()
    with st.container(key="provider_actions", gap="small"):
        verdict = st.container()
        with reason.buttons():
            if st.button("Cancel", key="provider_cancel"):
                _done()
            tested = st.button(
                "Test connection",
                key="provider_test",
                icon=":material/network_check:",
                help="Asks the vendor with what is typed here, up to one minimal call. Nothing is saved.",
            )
            pressed = st.button(label, key="provider_save", type="primary", icon=":material/save:")
    errors: Mapping[str, str] = {}
    if tested:
        with verdict:
            errors = _test_typed(provider_id)
    report = connection_test.kept()
    form.draw_models(drawn, omissions, report.models if report else None)
    if report:
        past = connection_test.is_past(form.tested())
        with verdict:
            connection_test.draw_verdict(report, past=past)
            if not past:
                connection_test.draw_suggestion()
        with drawn.report:
            connection_test.draw_stages(report, past=past)
    if pressed:
        errors = _write(work, done, own_keys.unconfirmed(provider_id))
    for field, slot in drawn.slots.items():
        field_error(slot, errors, field)
    with verdict:
        other_errors(errors, set(drawn.slots))
        if errors:
            what = "Not saved" if pressed else "Not tested"
            st.caption(f":red[:material/error: {what}: see the fields above. What you typed is still there.]")


def _color_actions() -> None:
    """Give the bar of buttons the theme's background: ui/frame.css keeps the bar in view."""
    color = colors.background()
    st.html(f"<style>.st-key-provider_actions{{background:{color};box-shadow:0 3rem {color}}}</style>")


def _write(work: Callable[[Session], None], done: str, asked: Mapping[str, str]) -> Mapping[str, str]:
    """Save what is typed, and close the dialog; returns what was refused, by field. *asked* is what was to be confirmed and is not."""
    doubtful = {**form.unconfirmed(), **asked}
    if asked:
        return doubtful  # before anything else: a conflict would be solved without it

    def whole(session: Session) -> None:
        work(session)
        if doubtful:
            raise Invalid(doubtful)  # after the other rules, so that all errors are told at once; nothing is kept

    if form.version() is not None and not form.is_changed():
        outcome = attempt(lambda _: None, "Nothing was changed.")
    else:
        outcome = attempt(whole, done)
    if outcome.ok:
        _saved()
    if outcome.conflict:
        st.session_state[_CONFLICT] = True
        st.rerun()
    return {**doubtful, **outcome.errors}


def _saved() -> None:
    if form.version() is None:
        st.session_state[ADDED] = str(form.patch()["name"]).strip()
    _done()


def _test_typed(provider_id: int | None) -> Mapping[str, str]:
    """Test what is typed, and keep the report; returns what was refused before anything was dialled, by field."""
    actor = guard("admin")
    outcome, report = connection_test.run(
        actor, provider_id, form.patch(), omitted=form.omitted(), carried=carried.drafts()
    )
    connection_test.keep(report, form.tested())
    return carried.in_slots(outcome.errors)


@st.dialog("Test connection", width="large", icon=":material/network_check:", on_dismiss=_close)
def _test(provider_id: int, display_name: str) -> None:
    actor = guard("admin")
    st.caption(plain(f"{display_name}, as it is saved. The call is made with the effective parameters."))
    report = st.session_state.get(connection_test.REPORT)
    if report is None:
        outcome, report = connection_test.run(actor, provider_id)
        other_errors(outcome.errors, set())
        st.session_state[connection_test.REPORT] = report
    if report is not None:
        connection_test.draw(report)
        if connection_test.draw_models(actor, provider_id, report):
            _done()
    with reason.buttons():
        again = st.button("Test again", key="test_again", icon=":material/refresh:")
        if st.button("Close", key="test_close"):
            _done()
    if again:
        st.session_state.pop(connection_test.REPORT, None)
        st.rerun(scope="fragment")


def _draw_conflict(provider_id: int, work: Callable[[Session, int], None]) -> None:
    """Draw what was changed by whom since the edit began, and do what is chosen; core refuses anything newer."""
    with db.transaction() as session:
        now = providers.get(session, provider_id)
    began, mine = form.began(), form.patch()
    conflict.draw(conflict.crossing(began.fields, began.mask, now, mine), now, typed_key="api_key" in mine)
    with reason.buttons():
        keep = st.button("Keep what is saved", key="provider_keep", icon=":material/undo:")
        write = st.button("Write mine", key="provider_write", type="primary", icon=":material/save:")
    if keep:
        _load(provider_id)
        st.session_state.pop(_CONFLICT)
        st.rerun()
    if write:
        outcome = attempt(lambda session: work(session, now.version), "Your values are saved.")
        if outcome.ok:
            st.session_state.pop(_CONFLICT)
            _done()
        if outcome.conflict:
            st.rerun()  # somebody saved once more: it is drawn again with what is there now
        other_errors({conflict.LABELS.get(name, name): rule for name, rule in outcome.errors.items()}, set())


@st.dialog("Set the API key", icon=":material/key:", dismissible=False)
def _set_key(provider_id: int, display_name: str) -> None:
    actor = guard("admin")
    tested = first_key.draw(actor, provider_id, display_name, _done)
    if tested is not None:
        ask("test", provider_id) if tested else _close()
        st.rerun()


@st.dialog("Exchange the API key", width="large", icon=":material/key:", dismissible=False)
def _keys(provider_id: int, display_name: str) -> None:
    actor = guard("admin")
    st.caption(plain(f"{display_name}: another key in place of the current one, without an outage."))
    key_exchange.draw(actor, provider_id, _done)


@st.dialog("Remove the API key?", icon=":material/key_off:", on_dismiss=_close)
def _remove_key(provider_id: int, display_name: str) -> None:
    actor = guard("admin")
    st.markdown(f"Services that use **{plain(display_name)}** will have no key, from the next second on.")
    with reason.buttons():
        if st.button("Cancel", key="remove_key_cancel"):
            _done()
        confirmed = st.button(":red[Remove key]", key="remove_key_confirm", icon=":material/key_off:")
    if not confirmed:
        return
    outcome = attempt(
        lambda session: providers.remove_api_key(session, actor, provider_id), f"The key of {display_name} is removed."
    )
    if outcome.ok:
        _done()
    for rule in outcome.errors.values():
        st.error(plain(f"The API key {rule}."), icon=":material/error:")


@st.dialog("Delete provider?", icon=":material/delete:", on_dismiss=_close)
def _delete(provider_id: int, display_name: str) -> None:
    actor = guard("admin")
    with db.transaction() as session:
        provider = providers.get(session, provider_id)
        goes = providers.deletion(session, provider_id)
        lately = provider_figures.recent_calls(session, provider.name)
    seen = st.session_state.setdefault(_SEEN, provider.version)
    st.markdown(f"This cannot be undone. With **{plain(display_name)}** go:")
    st.markdown("\n".join(f"- {plain(line)}" for line in goes))
    if lately:
        st.warning(
            f"Programs use it: {counted(lately[0], 'logged call')} in the last 30 days, the newest {ago(lately[1])}. "
            "Once it is deleted, such calls fail.",
            icon=":material/bolt:",
        )
    st.caption(plain(f"Last changed {ago(provider.updated_at)} by {provider.updated_by or 'somebody'}."))
    if not confirm_by_name(provider.name, thing="provider", verb="Delete", icon="delete", cancel=_done):
        return
    outcome = attempt(
        lambda session: providers.delete(session, actor, provider_id, version=seen),
        f"{display_name} is deleted.",
    )
    if outcome.ok:
        _done()
    if outcome.conflict:
        st.session_state[_SEEN] = outcome.conflict.version
        st.warning(
            plain(f"{outcome.conflict.changed_by} changed it meanwhile. Look again, and delete if you still want to."),
            icon=":material/group:",
        )
