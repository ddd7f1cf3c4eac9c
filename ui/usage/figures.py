"""How far back the Usage page looks, by what, and the row of figures."""

from html import escape
from typing import Final

import streamlit as st

from core.govern import usage
from core.govern.usage import CallChoices, CallFigures
from core.wording import counted
from ui import address
from ui.widgets import dollars, figure, milliseconds, short_number

SPAN, BY, PROVIDER = "span", "by", "provider"
"""Keys of the choices, and their names in the page's address."""


def draw_span() -> tuple[str, str]:
    """Draw how far back, and by what; returns the two. They stand in the page's address."""
    labels = {name: span.label for name, span in usage.SPANS.items()}
    address.one_of(SPAN, labels.values(), "a time")
    address.one_of(BY, [name.title() for name in usage.BY], "a way to split the figures")
    span = st.segmented_control(
        "Time",
        list(usage.SPANS),
        format_func=lambda name: labels[name],
        default="day",
        required=True,
        key=SPAN,
        bind="query-params",
    )
    by = st.segmented_control(
        "By",
        list(usage.BY),
        format_func=str.title,
        default=usage.BY[0],
        required=True,
        key=BY,
        bind="query-params",
    )
    return span or "day", by or usage.BY[0]


def draw_provider(choices: CallChoices) -> str | None:
    """Draw of which provider; returns its name. It stands in the page's address."""
    provider: str | None = st.selectbox(
        "Provider",
        address.with_asked(PROVIDER, choices.providers, LONGEST),
        index=None,
        key=PROVIDER,
        bind="query-params",
        placeholder="All",
        width=200,
        help="Of the figures, the charts and the calls.",
    )
    return provider


LONGEST = 200
"""Characters of a name in the log."""


def draw_figures(whole: CallFigures) -> None:
    """Draw the row of figures."""
    share = f"{whole.errors / whole.calls:.1%} of the calls" if whole.calls else ""
    with st.container(horizontal=True, gap="small"):
        figure("Calls", whole.calls, help=_cancelled(whole.cancelled))
        figure("Errors", whole.errors, help=share)
        figure(
            "Tokens",
            short_number(whole.input_tokens + whole.output_tokens),
            help=f"{whole.input_tokens:,} sent, {whole.output_tokens:,} answered",
        )
        figure(
            "Cost", ":small[not known]" if whole.cost is None else dollars(whole.cost), help=unpriced(whole.unpriced)
        )
        figure("p50 latency", milliseconds(whole.p50_ms), help="Half of the calls were as fast.")
        figure(
            "p95 latency",
            milliseconds(whole.p95_ms),
            help="All but one in twenty were as fast.",
        )
    if whole.unpriced:
        st.caption(f":orange[:material/help:] {unpriced(whole.unpriced)}")
    if whole.adjusted:
        st.caption(f":orange[:material/tune:] {adjusted(whole.adjusted)}")


_FIRST_CALL: Final = (
    'from core.ai import complete\n\nprint(complete("Say hello.", provider="openai", user_id="me").text)'
)


def draw_nothing_yet(*, is_own: bool) -> None:
    """Draw what stands here before the first call; to an organisation's own admin without what the installation sets."""
    if is_own:
        st.info("No call for this organisation is logged.", icon=":material/monitoring:")
        return
    st.info("No call is logged yet. Have a program make one:", icon=":material/monitoring:")
    # Not st.code: 1.5 MB of JavaScript for the colours of two lines
    st.html(f'<pre class="sample">{escape(_FIRST_CALL)}</pre>')
    st.caption(
        "The documentation's chapter *Calls* has the rest. Whether calls are logged, and what of them, is set on the Defaults page: Log requests, "
        "Log level, Log prompts, Log answers."
    )
    st.page_link("pages/defaults.py", label="Defaults", icon=":material/tune:")


def unpriced(number: int) -> str:
    """Return what the sum leaves out, in a sentence."""
    if not number:
        return "The price of every call that worked is known."
    return f"{counted(number, 'call')} without a known price: not in the sum."


def adjusted(number: int) -> str:
    """Return in how many calls something was not sent as somebody chose it, in a sentence."""
    return (
        f"{counted(number, 'call')} did not send something as it is set, as the model does not take it: "
        "Effective Preview says what, and why."
    )


def _cancelled(number: int) -> str:
    return f"{number:,} of them given up by their caller" if number else ""
