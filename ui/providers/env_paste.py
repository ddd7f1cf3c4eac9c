"""A pasted .env file: what of it would become providers and keys, and one click that writes all of it, or nothing."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import streamlit as st
from sqlmodel import Session

from core import crypto, env_file
from core.actors import Actor
from core.env_file import EnvFile
from core.errors import BadConfig, CoreError, Invalid
from core.manage import env_import
from core.manage.seed import Outcome
from core.store import db
from core.wording import counted
from ui import reason
from ui.feedback import attempt, other_errors, plain, plain_cell

_PASTED: Final = "env_pasted"
_LAST: Final = "env_outcomes"
"""What was shown of it in the run before: what was pressed is meant for that."""
_SHOWN: Final = 100
"""Lines of the table, and names or numbers in a sentence."""
_WORDS: Final = {"created": ":green[new provider]", "updated": ":green[key is set]", "left alone": ":gray[left alone]"}


def begin() -> None:
    """Empty the field, before it is drawn."""
    st.session_state[_PASTED] = ""


def is_begun() -> bool:
    """Whether the field is there: leaving the page forgets it."""
    return _PASTED in st.session_state


def forget() -> None:
    """Drop what was pasted: it is full of secrets."""
    for key in (_PASTED, _LAST):
        st.session_state.pop(key, None)


def draw(actor: Actor, done: Callable[[], None]) -> None:
    """Draw the field, and below it what would be made of what is pasted; *done* closes the dialog."""
    st.caption(
        plain(
            "Keys that other programs keep in environment variables, as OPENAI_API_KEY and MISTRAL_API_KEY. An address beside a "
            "key, as OPENAI_BASE_URL, goes with it. What you paste is not kept; keys are stored encrypted."
        )
    )
    text = st.text_area(
        "Text of a .env file",
        key=_PASTED,
        persist_state="page",
        height=160,
        placeholder="OPENAI_API_KEY=sk-…\nMISTRAL_API_KEY=…",
    )
    found, outcomes, why = _look(actor, text)
    if why:
        st.error(plain(why), icon=":material/error:")
    elif found is not None:
        _draw_outcomes(found, outcomes)
    seen = st.session_state.get(_LAST)
    st.session_state[_LAST] = outcomes
    new = [outcome for outcome in outcomes if outcome.action != "left alone"]
    with reason.buttons():
        if st.button("Cancel", key="env_cancel"):
            done()
        pressed = st.button(
            f"Import {counted(len(new), 'variable')}" if new else "Import",
            key="env_import",
            type="primary",
            icon=":material/save:",
            disabled=not new,
        )
    if not pressed or found is None:
        return

    def write(session: Session) -> None:
        if env_import.import_env(session, actor, found.as_written()) != seen:
            raise Invalid(
                {"Nothing was written": "somebody saved something meanwhile. Look again at what would be done"}
            )

    outcome = attempt(write, f"Imported: {', '.join(each.name for each in new[:_SHOWN])}.")
    if outcome.ok:
        done()
    other_errors(outcome.errors, set())


def _look(actor: Actor, text: str) -> tuple[EnvFile | None, list[Outcome], str]:
    """Return what is in the text, what would become of it, and why that cannot be said."""
    if not text.strip():
        return None, [], ""
    try:
        found = env_file.pasted(text)
        with db.transaction() as session:
            return found, env_import.preview(session, actor, found.as_written()), ""
    except BadConfig as error:
        return None, [], str(error)
    except CoreError as error:
        return None, [], f"{error} Nothing was changed."


def _draw_outcomes(found: EnvFile, outcomes: Sequence[Outcome]) -> None:
    reported = [outcome for outcome in outcomes if outcome.name in found.values]
    reported.sort(key=lambda outcome: outcome.action == "left alone")
    if reported:
        st.table(
            [
                {
                    "Variable": f"{plain_cell(outcome.name)}  \n:gray[:small[{plain(_mask(outcome.name, found.values[outcome.name]))}]]",
                    "What becomes of it": f"{_WORDS[outcome.action]}  \n{plain_cell(outcome.why)}",
                }
                for outcome in reported[:_SHOWN]
            ],
            border="horizontal",
            alt="What would become of each variable",
        )
    if len(reported) > _SHOWN:
        st.caption(f"And {len(reported) - _SHOWN:,} more.")
    known = {outcome.name for outcome in reported}
    lines = {
        "Not read, as it is no NAME=value": [f"line {number}" for number in found.unread],
        "There more than once, and the last one counts": _names(found.twice),
        "No key by its name; an address or a model is used where its key is": _names(
            name for name in found.values if name not in known
        ),
    }
    for what, names in lines.items():
        if names:
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            st.caption(plain(f"{what}: {', '.join(names[:_SHOWN])}{more}."))
    if not reported:
        st.info("No variable here has the name of an API key that is known.", icon=":material/help:")


def _names(names: Iterable[str]) -> list[str]:
    """Return those that are names of variables: what only looks like one may be a part of a secret."""
    return [name for name in names if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,79}", name)]


def _mask(name: str, value: str) -> str:
    """Return the mask of a key; an address, of a server that needs no key, is none."""
    return crypto.mask(value) if re.search("KEY|TOKEN", name) and value else "no key"
