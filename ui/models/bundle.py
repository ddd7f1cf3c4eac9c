"""A newer catalogue on the page: pasted, held against the models in use first, and imported by a second press."""

import hashlib
from typing import Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Invalid
from core.manage import bundles
from core.manage.bundles import ModelDifference
from core.models import vendored
from core.store import db
from core.wording import counted
from ui.feedback import attempt, field_error, other_errors, plain, plain_cell

_TEXT, _SEEN, _FORCE, _ROUND = (f"bundle_{name}" for name in ("text", "seen", "force", "round"))
_SHOWN: Final = 200
_LONGEST: Final = 300


def draw(actor: Actor, *, for_admin: bool) -> None:
    """Draw which catalogue is imported, and for an admin the field for a newer one.

    Args:
        actor: An admin or an analyst.
        for_admin: Whether one may be imported from here.
    """
    with db.transaction() as session:
        imported = bundles.imported_as_of(session)
    if imported is None:
        st.info("No catalogue is imported: this version's own counts.", icon=":material/library_books:")
    else:
        st.info(
            f"A catalogue of {imported:%Y-%m-%d} is imported. It counts where it is newer than this version's own.",
            icon=":material/library_books:",
        )
    if not for_admin:
        st.caption("An admin imports a newer one here.")
        return
    text = st.text_area(
        "A newer catalogue",
        key=f"{_TEXT}_{st.session_state.get(_ROUND, 0)}",  # a new field once it is imported
        max_chars=vendored.MOST_BYTES,
        height=200,
        placeholder='{"format": 1, "as_of": …',
        help="What `python -m core catalogue export` of a newer version writes, or `make catalogue`: all of it, at most 4 MB.",
    )
    slot = st.empty()
    looked = st.button("See what it changes", key="bundle_look", icon=":material/difference:")
    digest = hashlib.sha256((text or "").encode("utf-8", "surrogatepass")).hexdigest()
    if looked:
        st.session_state[_SEEN] = digest
    if st.session_state.get(_SEEN) != digest:  # nothing is imported that nobody has looked at
        return
    try:
        bundle = bundles.read((text or "").encode("utf-8", "surrogatepass"))
    except Invalid as error:
        field_error(slot, error.fields, "bundle")
        return
    with db.transaction() as session:
        found = bundles.preview(session, bundle)
    rows = sum(map(len, bundle.rows.values()))
    st.markdown(
        f"**{counted(rows, 'model')}, as of {bundle.as_of}: {counted(len(found), 'difference')} for models in use.**"
    )
    _draw_differences(found)
    is_older = imported is not None and bundle.as_of <= imported.date()
    force = is_older and st.checkbox("Take it, though it is not newer than the imported one", key=_FORCE)
    if not st.button("Import", key="bundle_import", type="primary", icon=":material/library_add:"):
        return

    def write(session: Session) -> None:
        bundles.take_over(session, actor, bundle, force=force)

    outcome = attempt(
        write,
        done=f"Imported: {counted(rows, 'model')}, as of {bundle.as_of}.",
        then=lambda: st.session_state.update({_ROUND: st.session_state.get(_ROUND, 0) + 1}),
    )
    field_error(slot, {name: _for_page(rule) for name, rule in outcome.errors.items()}, "bundle")
    other_errors(outcome.errors, {"bundle"})
    if outcome.ok:
        st.rerun()


def _draw_differences(found: list[ModelDifference]) -> None:
    if not found:
        return
    lines = ["| At | Model | What | Now | Then |", "|---|---|---|---|---|"]
    for each in found[:_SHOWN]:
        cells = (each.api, each.model, each.what.replace("_", " "), _line(each.before), _line(each.after))
        lines.append(f"| {' | '.join(plain_cell(cell[:_LONGEST]) for cell in cells)} |")
    st.markdown("\n".join(lines))
    if len(found) > _SHOWN:
        st.caption(plain(f"The first {_SHOWN} are shown; `catalogue import PATH --dry-run` says all of them."))


def _line(value: object) -> str:
    return " ".join(bundles.value_text(value).split())


def _for_page(rule: str) -> str:
    return rule.replace("; --force takes it", "; tick the box below to take it")
