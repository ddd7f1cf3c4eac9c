"""The row of figures on the Costs page, and what stands there before anything was spent."""

from collections.abc import Sequence
from html import escape
from typing import Final

import streamlit as st

from core.govern.spend_course import ThisMonth
from core.manage.budget_listing import NEAR, BudgetCounts
from core.manage.services import Untelling
from core.wording import counted
from ui.costs import words
from ui.feedback import plain
from ui.health.untelling import untelling_lines
from ui.widgets import dollars, figure

_FIRST_CALL: Final = (
    'from core.ai import complete\n\nprint(complete("Say hello.", provider="openai", feature="greetings").cost)'
)


def draw_figures(month: ThisMonth, budgets: BudgetCounts, zone: str) -> None:
    """Draw the figures of the month that is now."""
    sums, outlook = month.sums, month.outlook
    of = f"{month.first:%B %Y}, {zone}"
    with st.container(horizontal=True, gap="small", key="costs_figures"):
        figure(
            "This month",
            words.short(sums.cost, sums.unpriced),
            help=f"Since the first of {of}: {counted(sums.calls, 'attempt')} to call a model.",
        )
        if outlook is None:
            figure("Forecast", ":small[after a day]", help="From the first whole day on there is a forecast.")
        else:
            figure(
                "Forecast",
                words.short(outlook.mean, sums.unpriced),
                help=f"Of all of {of}: each day that is left as the last seven of its weekday, {dollars(outlook.low)} as the "
                f"cheapest of them, {dollars(outlook.high)} as the dearest.",
            )
        figure(
            "Budgets near limit",
            budgets.near,
            help=f"Of {counted(budgets.active, 'budget')}; {NEAR:.0%} or more is spent, of {budgets.spent:,} all.",
        )
        figure(
            "Unpriced calls",
            sums.unpriced,
            help="Of this month; nobody knows what they cost. Enter their models' prices on Models.",
        )
    if below := words.of_these(sums):
        st.caption(f":orange[:material/help:] {plain(f'This month: {below}.')}")


def draw_untold(found: Sequence[Untelling]) -> None:
    """Draw which programs do not tell what their calls cost: it is in no figure here. Those that may never call are on Health alone."""
    for line in untelling_lines(found):
        if line.state != "note":
            st.warning(f"{plain(line.detail)} {line.cure}", icon=":material/money_off:")


def draw_nothing_yet(*, is_own: bool) -> None:
    """Draw what stands here before the first call."""
    if is_own:
        st.info("Nothing was spent for this organisation in this time.", icon=":material/payments:")
        return
    st.info(
        "Here is what calls of models cost: by day, provider, model, feature, organisation and cost centre, and how far your budgets are "
        "spent. Nothing was in this time. Have a program make a call:",
        icon=":material/payments:",
    )
    # Not st.code: 1.5 MB of JavaScript for the colours of two lines
    st.html(f'<pre class="sample">{escape(_FIRST_CALL)}</pre>')
