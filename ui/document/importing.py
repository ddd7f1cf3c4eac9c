"""A configuration of another product, as a document to compare and apply: read here, and stored nowhere."""

import hashlib
from typing import Any, Final, NamedTuple, Never

import streamlit as st

from core import env_file
from core.errors import BadConfig, CoreError, Invalid
from core.govern.documents import emitting, schema
from core.govern.importers.losses import Imported, LossKind
from core.govern.importers.products import PRODUCTS
from core.wording import counted
from ui.document import comparing, sections
from ui.feedback import plain, plain_cell

_PRODUCT: Final = "import_product"
_TYPED: Final = "import_text"
_VARIABLES: Final = "import_variables"
_FOUND: Final = "import_found"
_MOST: Final = 100
"""So many losses are shown, and so many names of variables."""
_SHOWN: Final = 20_000
"""Characters of the document that are shown; the file has all of them."""
_WORDS: Final[dict[LossKind, str]] = {
    "lost": ":red[lost]",
    "said otherwise": ":blue[said otherwise]",
    "to do": ":orange[to do]",
}


class _Found(NamedTuple):
    """What came of reading: texts alone, without a key."""

    of: str
    """What was read, so that nothing is shown beside another text."""
    text: str
    """The document, with references: for the command line."""
    here: str
    """The same for this page, where keys are entered by hand."""
    summary: str
    losses: tuple[dict[str, str], ...]
    more: int
    """Losses that are not among them."""
    variables: tuple[str, ...]
    """Those that keys and headers are to be in."""


def draw() -> None:
    """Draw the form, and what came of reading."""
    st.caption(
        "Nothing is stored by it: it makes a document, which you compare and apply. What you paste is forgotten when you leave, "
        "and no key of it comes over."
    )
    name = st.selectbox(
        "Product", list(PRODUCTS), format_func=lambda each: PRODUCTS[each].label, key=_PRODUCT, width=420
    )
    product = PRODUCTS[str(name)]
    uploaded = st.file_uploader(f"File: {product.file}", key="import_file", max_upload_size=4)
    pasted = st.text_area("Or paste it", key=_TYPED, height=240)
    variables = ""
    if product.name != "env":
        with st.expander("Its variables"):
            variables = st.text_area(
                "Text of the .env file beside it",
                key=_VARIABLES,
                height=120,
                help="For addresses, versions and models that the file has by the name of a variable. No key is taken of it.",
            )
    asked = _asked(product.name, uploaded, pasted, variables)
    if st.button("Read", key="import_read", icon=":material/input:"):
        st.session_state.pop(_FOUND, None)
        try:
            found = product.read(
                _text(uploaded, pasted), env_file.pasted(variables).as_written() if variables else None
            )
        except Invalid as error:
            _refuse(product.label, [f"{path}: {rule}" for path, rule in error.fields.items()])
        except CoreError as error:
            _refuse(product.label, [str(error)])
        else:
            st.session_state[_FOUND] = _found(found, asked)
    shown: _Found | None = st.session_state.get(_FOUND)
    if shown is not None and shown.of == asked:
        _draw(product.name, shown)


def _text(uploaded: Any, pasted: str | None) -> str:
    """Return what is to be read; raises Invalid if it is nothing, or no text."""
    if uploaded is None:
        if not (pasted or "").strip():
            raise Invalid({"the file": "is empty: upload it, or paste what is in it"})
        return pasted or ""
    try:
        return env_file.decoded(uploaded.getvalue(), "the file")
    except BadConfig:
        rule = "is not in UTF-8, nor in UTF-16 with a mark: save it as UTF-8"
    raise Invalid({"the file": rule})


def _asked(product: str, uploaded: Any, pasted: str | None, variables: str | None) -> str:
    content = uploaded.getvalue() if uploaded is not None else (pasted or "").encode("utf-8", "replace")
    made = hashlib.sha256(f"{product}\n{variables}\n".encode("utf-8", "replace"))
    made.update(content)
    return made.hexdigest()


def _found(found: Imported, asked: str) -> _Found:
    losses = tuple(
        {
            "Where": plain_cell(f"line {loss.line}, {loss.where}" if loss.line else loss.where),
            "What becomes of it": f"{_WORDS[loss.kind]}: {plain_cell(loss.why)}",
            "What to do instead": plain_cell(loss.instead) or ":gray[nothing]",
        }
        for loss in found.losses[:_MOST]
    )
    first = ("version",)
    named = [part.env for _, part in schema.of(found.document).secrets() if part.env]
    return _Found(
        asked,
        emitting.written(found.document, first),
        emitting.written(found.without_references(), first),
        found.summary,
        losses,
        len(found.losses) - len(losses),
        tuple(dict.fromkeys(named)),
    )


def _refuse(label: str, problems: list[str]) -> None:
    lines = "\n".join(f"- {plain(each)}" for each in problems[:_MOST])
    st.error(
        f"It cannot be read as a file of {plain(label)}. Nothing was changed, and what you typed is still here.\n{lines}",
        icon=":material/error:",
    )


def _draw(product: str, found: _Found) -> None:
    st.markdown(f"**Taken over: {plain(found.summary)}.**")
    if found.losses:
        st.table(found.losses, border="horizontal", hide_index=True, alt="What does not come over as it stands there")
    if found.more:
        st.caption(f"And {found.more:,} more, which `python -m core import {product} FILE` lists.")
    if found.variables:
        names = ", ".join(found.variables[:_MOST])
        st.warning(
            plain(
                f"Keys and headers are references to {counted(len(found.variables), 'variable')} ({names}), and this server "
                "never reads its own variables for a page. So *Compare and apply* gets each as {set: true}: it lists them as to be "
                "entered, applies all else, and you enter the keys on Providers. Or download the document, and apply it where "
                "the variables are set: "
            )
            + f"`python -m core import {product} FILE | python -m core apply -f -`",
            icon=":material/key:",
        )
    st.code(found.text[:_SHOWN], language="yaml", wrap_lines=True)
    if len(found.text) > _SHOWN:
        st.caption(f"The first {_SHOWN:,} of {len(found.text):,} characters are shown; the file has all.")
    if comparing.is_typed():
        st.caption("The document that you have pasted under *Compare and apply* is replaced by this one.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.download_button(
            "Download",
            found.text,
            file_name=f"{product}.yaml",
            mime="application/yaml",
            key="import_download",
            icon=":material/download:",
        )
        if st.button("Go on to compare it", key="import_on", type="primary", icon=":material/difference:"):
            _hand_on(found.here)


def _hand_on(text: str) -> Never:
    st.session_state.pop(_FOUND, None)
    comparing.take_over(text)
    sections.go(sections.COMPARE)
