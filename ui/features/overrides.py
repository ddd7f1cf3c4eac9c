"""What is set for one feature: for all providers, or for one, whoever asks."""

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.errors import NotFound
from core.manage import features, overriding
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.table import id_of
from core.wording import counted
from ui import address
from ui.features.listing import FEATURE
from ui.feedback import plain
from ui.overrides import editor
from ui.overrides.editor import Shown
from ui.overrides.provider import pick_provider
from ui.scopes.editors import Names
from ui.scopes.links import link_to
from ui.widgets import isolated


def draw(actor: Actor, name: str) -> bool:
    """Draw the editor of the feature *name*; returns whether there is one."""
    try:
        with db.transaction() as session:
            row = features.get_by_name(session, name)
            seen = authority.visible(session, actor, "feature.list")
            has = overriding.of_features(session, seen, [id_of(row)]).get(id_of(row))
    except NotFound:
        address.refuse(FEATURE, "and there is no such feature")
        return False
    st.button("All features", key="all_features", type="tertiary", icon=":material/arrow_back:", on_click=_leave)
    st.header(plain(isolated(row.display_name)), anchor=False)
    said = [plain(f"Services ask for it as {row.name}.")]
    if has and has.organizations:
        said.append(
            f"Of what is set here {counted(has.organizations, 'organisation')} may say otherwise for themselves."
        )
    st.caption(" ".join(said))
    st.markdown(f"What it spends: {link_to('costs', Names(None, None, None, row.name))}")
    if not row.is_active:
        st.warning("This feature is not active: what is said for it does not count.", icon=":material/pause_circle:")
    provider_id, words = pick_provider()
    scope = SettingsScope(provider_id, None, id_of(row))
    editor.draw(Shown(scope, f"{row.name}{f' · {words}' if words else ''}"))
    return True


def _leave() -> None:
    st.query_params.clear()
