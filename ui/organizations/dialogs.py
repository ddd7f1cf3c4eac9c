"""What the Organisations page asks: a new organisation, its fields and names, whether to disable or delete, how to restore."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError
from core.manage import organization_deletion, organization_names, organizations
from core.store import db
from core.store.organization_schemas import LONGEST_NAME
from core.store.organization_tables import Organization
from ui.dialogs import confirm_by_name
from ui.feedback import attempt, plain, show_fault
from ui.guard import guard
from ui.organizations import csv_import
from ui.organizations.clicks import DIALOGS, TYPED
from ui.widgets import ago

_SLUG, _NAME, _KIND, _TEMPLATE, _SHARES, _EXTERNALS, _BEFORE, _FORMER, _RESTORED, _CSV, _FILE = TYPED
_KEPT: Final = "page"
_FORMER_SLUG: Final = "former slug"
_MOST_TEMPLATES: Final = 200
_SLUG_RULE: Final = "By which services ask for it: a to z, 0 to 9, hyphen and underscore"


def draw() -> None:
    """Draw the dialog that is open, if any."""
    name, organization_id = DIALOGS.opened()
    if name == "add":
        _add()
    elif name == "csv":
        _csv()
    elif name is not None:
        actor = guard("admin")
        try:
            with db.transaction() as session:
                row = organizations.get(session, actor, organization_id)
                names = organization_names.list_of(session, [organization_id])[organization_id]
        except CoreError as error:
            DIALOGS.leave()
            show_fault(error)
        else:
            external = [each.name for each in names if each.kind == "external"]
            if name == "edit":
                _edit(row)
            elif name == "names":
                _names(row, external)
            else:
                {"disable": _disable, "delete": _delete, "restore": _restore}[name](row)


@st.dialog("Add an organisation", icon=":material/apartment:", dismissible=False)
def _add() -> None:
    actor = guard("admin")
    kind = st.segmented_control(
        "Kind",
        ["organization", "template"],
        default="organization",
        required=True,
        key=_KIND,
        format_func={"organization": "Organisation", "template": "Template"}.__getitem__,
    )
    st.caption(
        "Nobody resolves a template: organisations build on it, as a plan or a tier."
        if kind == "template"
        else "A tenant of your services, with settings, keys and admins of its own."
    )
    slots = _fields(actor, None, is_template=kind == "template")
    if kind != "template":
        st.text_area(
            "External ids",
            key=_EXTERNALS,
            persist_state=_KEPT,
            height=80,
            placeholder="one a line",
            help="What your services call it, letter by letter, if not by its slug.",
        )
        slots["external_names"] = st.empty()

    def create(session: Session) -> None:
        entry = {**_typed(is_template=kind == "template"), "kind": kind or "organization"}
        entry["external_names"] = _lines() if kind != "template" else []
        organizations.create_one(session, actor, entry, take_former=_take_former())

    _save(slots, create, f"{_text(_NAME) or _text(_SLUG)} is added.", "Add")


@st.dialog("Edit the organisation", icon=":material/edit:", dismissible=False)
def _edit(row: Organization) -> None:
    actor = guard("admin")
    slots = _fields(actor, row, is_template=row.kind == "template")
    if _text(_SLUG) not in {"", row.slug}:
        st.caption(plain(f"Services that ask for {row.slug} still find it: that stays a former slug."))

    version = DIALOGS.based_on(row)

    def update(session: Session) -> None:
        patch = _typed(is_template=row.kind == "template")
        organizations.update(session, actor, row.id or 0, patch, version=version, take_former=_take_former())

    _save(slots, update, f"{_text(_NAME) or row.name} is saved.", "Save")


@st.dialog("External ids", icon=":material/label:", dismissible=False)
def _names(row: Organization, external: list[str]) -> None:
    actor = guard("admin")
    st.markdown(f"What your services call **{plain(row.name)}**, letter by letter, beside its slug {plain(row.slug)}.")
    if _EXTERNALS not in st.session_state:
        st.session_state[_EXTERNALS] = "\n".join(external)
        st.session_state[_BEFORE] = external
    st.text_area("One a line", key=_EXTERNALS, persist_state=_KEPT, height=160)
    slots: dict[str, Any] = {"external_names": st.empty(), "slug": st.empty()}
    was: list[str] = st.session_state.get(_BEFORE, external)
    if was != external:
        st.warning(
            plain(f"Somebody changed them meanwhile, to: {', '.join(external) or 'none'}. Saving writes yours."),
            icon=":material/group:",
        )
        st.session_state[_BEFORE] = external  # the next press writes; one in this run was made before this was said
    _former_box()

    def write(session: Session) -> None:
        organization_names.set_external(
            session,
            actor,
            row.id or 0,
            _lines(),
            was=was,
            take_former=_take_former(),
        )

    _save(slots, write, f"The external ids of {row.name} are saved.", "Save")


@st.dialog("Disable the organisation?", icon=":material/block:", on_dismiss=DIALOGS.close)
def _disable(row: Organization) -> None:
    actor = guard("admin")
    st.markdown(
        f"Services that ask for **{plain(row.name)}** get no key, from the next second on, until it is enabled again."
        if row.kind == "organization"
        else f"What the template **{plain(row.name)}** says does not count any more, until it is enabled again."
    )
    version = DIALOGS.based_on(row, "Disable it if you still want to.")
    DIALOGS.save(
        "organization",
        {},
        lambda session: organizations.update(session, actor, row.id or 0, {"is_active": False}, version=version),
        f"{row.name} is disabled.",
        "Disable",
    )


@st.dialog("Delete the organisation?", icon=":material/delete:", on_dismiss=DIALOGS.close)
def _delete(row: Organization) -> None:
    actor = guard("admin")
    version = DIALOGS.based_on(row, "Look again, and delete if you still want to.")
    with db.transaction() as session:
        has = organization_deletion.deletion(session, row.id or 0)
    st.markdown(
        f"Services do not find **{plain(row.name)}** any more, its names are free, and its members see nothing of it. "
        f"It can be restored for {organization_deletion.KEPT_DAYS} days at least. With it go out of force:"
    )
    st.markdown("\n".join(f"- {plain(line)}" for line in has or ["nothing of its own"]))
    st.caption(plain(f"Last changed {ago(row.updated_at)} by {row.updated_by or 'somebody'}."))
    if not confirm_by_name(row.slug, thing="organisation", verb="Delete", icon="delete", cancel=DIALOGS.done):
        return
    outcome = attempt(
        lambda session: organization_deletion.delete(session, actor, row.id or 0, version=version),
        f"{row.name} is deleted.",
    )
    if outcome.ok:
        DIALOGS.done()
    if outcome.conflict:
        st.warning(
            plain(f"{outcome.conflict.changed_by} changed it meanwhile. Look again, and delete if you still want to."),
            icon=":material/group:",
        )
    for rule in outcome.errors.values():
        st.error(plain(f"It {rule}."), icon=":material/error:")


@st.dialog("Restore the organisation", icon=":material/restore_from_trash:", dismissible=False)
def _restore(row: Organization) -> None:
    actor = guard("admin")
    st.markdown(f"All that **{plain(row.name)}** had is in force again, and those of its names that nobody has taken.")
    if _RESTORED not in st.session_state:
        st.session_state[_RESTORED] = row.slug
    st.text_input("Slug", key=_RESTORED, persist_state=_KEPT, max_chars=63, autocomplete="off")
    slots: dict[str, Any] = {"slug": st.empty()}
    _former_box()

    def write(session: Session) -> None:
        organization_deletion.restore(
            session, actor, row.id or 0, slug=_text(_RESTORED) or None, take_former=_take_former()
        )

    _save(slots, write, f"{row.name} is restored.", "Restore")


@st.dialog("Import organisations", width="large", icon=":material/upload_file:", dismissible=False)
def _csv() -> None:
    csv_import.draw(guard("admin"), _CSV, _FILE, DIALOGS.done)


def _fields(actor: Actor, row: Organization | None, *, is_template: bool) -> dict[str, Any]:
    """Draw the fields of an organisation; returns the slots of their errors."""
    if row is not None and _SLUG not in st.session_state:
        st.session_state.update(
            {_SLUG: row.slug, _NAME: row.name, _TEMPLATE: row.template_id, _SHARES: row.shares_keys}
        )
    slots: dict[str, Any] = {}
    st.text_input("Name", key=_NAME, persist_state=_KEPT, max_chars=LONGEST_NAME, autocomplete="off")
    slots["name"] = st.empty()
    st.text_input("Slug", key=_SLUG, persist_state=_KEPT, max_chars=63, autocomplete="off", help=_SLUG_RULE)
    slots["slug"] = st.empty()
    if not is_template:
        with db.transaction() as session:
            there = organizations.search(session, actor, kind="template", limit=_MOST_TEMPLATES)
        templates = {each.id: f"{each.name} ({each.slug})" for each in there if each.id is not None}
        kept = st.session_state.get(_TEMPLATE)
        st.selectbox(
            "Builds on",
            [*templates, *([kept] if kept is not None and kept not in templates else [])],
            index=None,
            key=_TEMPLATE,
            persist_state=_KEPT,
            format_func=lambda number: templates.get(number, f"template {number}"),
            placeholder="No template",
            help="What the organisation does not say itself, its template says.",
        )
        slots["template_id"] = st.empty()
        if _SHARES not in st.session_state:
            st.session_state[_SHARES] = True
        st.toggle(
            "May use the installation's API keys",
            key=_SHARES,
            persist_state=_KEPT,
            help="Where it has no key of its own. Off: its services get a key only where it has one.",
        )
        slots["shares_keys"] = st.empty()
    _former_box()
    return slots


def _former_box() -> None:
    if st.session_state.get(_FORMER) is not None:
        st.checkbox(
            "Take the former slug from that organisation: services that still ask for it get this one", key=_FORMER
        )


def _take_former() -> bool:
    return bool(st.session_state.get(_FORMER))


def _typed(*, is_template: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"slug": _text(_SLUG), "name": _text(_NAME) or _text(_SLUG)}
    if not is_template:
        found |= {
            "template_id": st.session_state.get(_TEMPLATE),
            "shares_keys": bool(st.session_state.get(_SHARES, True)),
        }
    return found


def _text(key: str) -> str:
    return str(st.session_state.get(key) or "").strip()


def _lines() -> list[str]:
    """Return the external ids that are typed, each as it is: spaces around one may be a part of it, an empty line is none."""
    return [line for line in str(st.session_state.get(_EXTERNALS) or "").splitlines() if line.strip()]


def _save(slots: Mapping[str, Any], work: Callable[[Session], object], done: str, label: str) -> None:
    """Save, and offer to take a former slug, where that is what stands against it."""
    outcome = DIALOGS.save("organization", slots, work, done, label)
    taken = outcome is not None and any(_FORMER_SLUG in rule for rule in outcome.errors.values())
    if taken and _FORMER not in st.session_state:
        st.session_state[_FORMER] = False
        _former_box()
