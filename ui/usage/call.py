"""One logged call, opened on the Usage page."""

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.errors import NotFound
from core.govern import usage
from core.store import db
from core.store.organization_schemas import could_be_name
from core.store.records import LlmLog
from core.wording import counted
from ui.feedback import plain
from ui.links import draw_provider_links
from ui.scopes.editors import Names
from ui.scopes.links import link_to
from ui.widgets import dollars, exact

_SCROLLS = 1_500
"""Characters above which a text has a box of its own that scrolls."""


def draw_call(actor: Actor, call_id: int) -> None:
    """Draw one call, whole: what was said, with what, and what it cost."""
    try:
        with db.transaction() as session:
            call = usage.get(session, actor, call_id)
            organization = usage.organization_of(session, call)
            is_own = not authority.visible(session, actor, "usage.view").everything
    except NotFound as error:
        st.text(str(error))
        return
    st.caption(plain(" · ".join(_facts(call, organization))))
    if not is_own:
        draw_provider_links(call.provider, ("providers", "effective_preview", "audit"))
    there = organization if organization and could_be_name(organization) else None
    scope = Names(call.provider, there, None, call.feature)
    page = "hierarchy" if is_own else "effective_preview"
    st.markdown(f"What was in force for it: {link_to(page, scope, at=call.generation)}")
    if call.error:
        st.error(plain(call.error), icon=":material/error:")
    _draw_text("Prompt", call.prompt)
    _draw_text("Answer", call.response)
    for title, value in (("Parameters", call.parameters), ("Tokens", call.token_usage)):
        if value:
            rows = [{"Name": plain(str(name)), "Value": plain(str(one))} for name, one in value.items()]
            st.caption(title)
            st.table(rows, border="horizontal", hide_index=True, alt=title)
    if missing := _missing(call):
        st.caption(f"Not kept, as the settings said then, or as there was none: {missing}.")


def _draw_text(title: str, value: str | None) -> None:
    if value is None:
        return
    st.caption(title)
    # The height is the container's: a code block of its own height scrolls by the mouse only
    with st.container(height=300 if len(value) > _SCROLLS else "content", border=False):
        st.code(value, language=None, wrap_lines=True)


def _missing(call: LlmLog) -> str:
    parts = {"prompt": call.prompt, "parameters": call.parameters, "answer": call.response, "tokens": call.token_usage}
    return ", ".join(name for name, value in parts.items() if value is None)


def _facts(call: LlmLog, organization: str | None) -> list[str]:
    facts = [f"Call {call.id}", exact(call.at), f"settings of generation {call.generation}"]
    facts.append(f"cost {dollars(call.cost)}")
    if call.adjusted:
        facts.append(f"{counted(call.adjusted, 'parameter')} not sent as set")
    if call.user_id:
        facts.append(f"for {call.user_id}")
    if organization:
        facts.append(f"organisation {organization}")
    if call.feature:
        facts.append(f"feature {call.feature}")
    if call.cost_centre:
        facts.append(f"cost centre {call.cost_centre}")
    return facts
