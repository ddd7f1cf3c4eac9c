"""A document that somebody uploads or pastes: compared with what is stored, section by section, and applied by one button."""

import hashlib
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.govern.documents import applying, schema, wording
from core.govern.documents.parsing import MOST_BYTES
from core.govern.documents.planning import ChangePlan
from core.wording import counted
from ui import reason
from ui.document.scope import DocumentOf
from ui.feedback import attempt, plain

_TYPED: Final = "document_text"
_FOUND: Final = "document_compared"
_MOST: Final = 50
"""So many rows of a section are shown, and so many problems."""


class Compared(NamedTuple):
    """What came of comparing: texts alone."""

    of: str
    """What was compared, so that another text is not applied by its button."""
    generation: int
    summary: str
    sections: dict[str, list[list[str]]]
    """Section -> the lines of each row."""
    disputed: int
    to_enter: tuple[str, ...]
    changes: int


def draw(actor: Actor, of: DocumentOf) -> None:
    """Draw the form, and what came of comparing.

    Args:
        actor: An admin; of one organisation also an admin of it.
        of: What the document is of.
    """
    uploaded = st.file_uploader("File", type=["yaml", "yml", "json"], key="document_file", max_upload_size=4)
    pasted = st.text_area(
        "Or paste it",
        key=_TYPED,
        persist_state="page",
        height=240,
        placeholder="version: 1\nproviders:\n  openai:\n    …",
    )
    prune = st.checkbox(
        "Remove what it does not name",
        key="document_prune",
        help="Rows of the sections that it has. Sections that it does not have are left alone; keys of rows that stay are kept.",
    )
    text = _text(uploaded, pasted)
    asked = _asked(text, of, prune=prune)
    if st.button("Compare", key="document_compare", icon=":material/difference:"):
        _compare(actor, of, text, asked, prune=prune)
    found: Compared | None = st.session_state.get(_FOUND)
    if found is not None and found.of == asked:
        _draw(actor, of, text, found, prune=prune)
    elif not text:
        st.info(
            "Upload or paste a document, as **What is stored** has it, and compare it: nothing is changed before you apply it.",
            icon=":material/description:",
        )


def is_typed() -> bool:
    """Whether there is text in the form, be it drawn or not."""
    return bool(str(st.session_state.get(_TYPED) or "").strip())


def take_over(text: str) -> None:
    """Put *text* into the form, which is not drawn in this run."""
    st.session_state[_TYPED] = text
    st.session_state.pop(_FOUND, None)


def _text(uploaded: Any, pasted: str | None) -> str:
    if uploaded is None:
        return pasted or ""
    raw: bytes = uploaded.getvalue()
    return raw[: MOST_BYTES + 1].decode("utf-8-sig", "replace")


def _asked(text: str, of: DocumentOf, *, prune: bool) -> str:
    return hashlib.sha256(f"{of.organization}\n{prune}\n{text}".encode("utf-8", "replace")).hexdigest()


def _compare(actor: Actor, of: DocumentOf, text: str, asked: str, *, prune: bool) -> None:
    st.session_state.pop(_FOUND, None)
    plans: list[ChangePlan] = []

    def work(session: Session) -> None:
        document = schema.read(text)
        plans[:] = [applying.put(session, actor, document, organization=of.organization, prune=prune, dry_run=True)]

    outcome = attempt(work, None)
    _draw_problems(outcome.errors)
    if outcome.ok:
        st.session_state[_FOUND] = _compared(plans[0], asked)


def _compared(plan: ChangePlan, asked: str) -> Compared:
    sections: dict[str, list[list[str]]] = {}
    for change in plan.changes:
        sections.setdefault(change.path.partition(".")[0], []).append(list(wording.lines_of(change)))
    return Compared(
        asked, plan.generation, wording.summary(plan), sections, len(plan.disputed), plan.to_enter, len(plan.changes)
    )


def _draw(actor: Actor, of: DocumentOf, text: str, found: Compared, *, prune: bool) -> None:
    if found.to_enter:
        st.warning(
            plain(
                f"To be entered, as a document has no keys: {', '.join(found.to_enter[:_MOST])}. Enter them on their pages; all else "
                "can be applied."
            ),
            icon=":material/key:",
        )
    if not found.changes:
        st.success("Nothing to change: what is stored is what the document says.", icon=":material/check_circle:")
        return
    st.markdown(f"**{plain(found.summary)}**")
    for section, rows in found.sections.items():
        with st.expander(f"{plain(section)} · {counted(len(rows), 'row')}", expanded=True):
            st.code("\n".join(line for row in rows[:_MOST] for line in row), language="diff", wrap_lines=True)
            if len(rows) > _MOST:
                st.caption(f"{_MOST} of {len(rows):,} are shown.")
    take = False
    if found.disputed:
        st.warning(
            f"{counted(found.disputed, 'field')} changed by somebody since a document was applied last; each says who and when.",
            icon=":material/call_merge:",
        )
        take = st.checkbox("Change them back to what the document says", key="document_take")
    with reason.beside_save():
        pressed = st.button(
            "Apply",
            key="document_apply",
            type="primary",
            icon=":material/publish:",
            disabled=bool(found.disputed) and not take,
        )
    if pressed:
        _apply(actor, of, text, found, prune=prune, take=take)


def _apply(actor: Actor, of: DocumentOf, text: str, found: Compared, *, prune: bool, take: bool) -> None:
    def work(session: Session) -> None:
        applying.put(
            session,
            actor,
            schema.read(text),
            organization=of.organization,
            prune=prune,
            take=take,
            generation=found.generation,
        )

    outcome = attempt(work, f"Applied: {found.summary}", why=reason.BAR)
    if outcome.conflict is not None:
        st.session_state.pop(_FOUND, None)
        st.warning(
            "Settings were changed since you compared. Nothing was applied, and your document is still here: compare it again.",
            icon=":material/sync_problem:",
        )
    _draw_problems(outcome.errors)
    if outcome.ok:
        st.session_state.pop(_FOUND, None)
        st.rerun()


def _draw_problems(errors: Any) -> None:
    if not errors:
        return
    lines = [f"- {plain(f'{path}: {rule}')}" for path, rule in list(errors.items())[:_MOST]]
    more = f"\n- and {len(errors) - _MOST} more" if len(errors) > _MOST else ""
    st.error("It cannot be applied as it is. Nothing was changed.\n" + "\n".join(lines) + more, icon=":material/error:")
