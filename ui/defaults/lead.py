"""Where Defaults leads for a scope of an organisation or a feature: those are edited on pages of their own."""

import streamlit as st

from core.actors import Actor
from core.errors import NotFound
from core.manage import features, providers, settings
from core.manage.scopes import SettingsScope
from core.resolving.layers import Layer, layer_name
from core.resolving.matrix import said_by
from core.store import db
from core.store.organization_tables import Organization
from core.wording import counted
from ui.defaults import scope
from ui.feedback import plain
from ui.scopes.editors import Names, address_of, words_of
from ui.scopes.links import link_to
from ui.widgets import changed


def draw(actor: Actor, provider: str, organization: Organization | None, feature: str | None) -> None:
    """Say what is stored for the scope, and lead to where it is edited; what is typed in the form until now is kept.

    Args:
        actor: An admin.
        provider: Its name, or "" for all providers.
        organization: None: of nobody.
        feature: None: of none.
    """
    scope.keep_typed()
    with db.transaction() as session:
        scope.draw_other_edits(scope.other_edits(session, scope.NO_FORM))
    try:
        with db.transaction() as session:
            wanted = SettingsScope(
                providers.get_by_name(session, provider).id if provider else None,
                organization.id if organization is not None else None,
                features.get_by_name(session, feature).id if feature else None,
            )
            row = settings.get_of(session, actor, wanted)
    except NotFound as error:  # it went while the page was drawn
        st.warning(plain(f"{error} Choose another one above."), icon=":material/help:")
        return
    names = Names(provider or None, organization.slug if organization is not None else None, None, feature)
    owner = "organization" if organization is not None else "nobody"
    layer = layer_name(owner, feature=bool(feature), provider=bool(provider))  # type: ignore[arg-type]  # an owner
    with st.container(border=True, gap="small", key="lead"):
        st.markdown(f"**{plain(words_of(layer, names))}**")
        if row is None:
            st.caption("Nothing is set here: everything inherits.")
        else:
            values, omitted = said_by(Layer(layer, row.id or 0, row.version, row.model_dump(), {}))
            st.text(f"{counted(values, 'value')}, {omitted:,} not sent")
            changed(row.updated_at, row.updated_by)
        to = address_of(layer, names)
        edit = f"[:material/edit: {'Edit' if row is not None else 'Set values'}]({to}) \u00a0 " if to else ""
        st.markdown(f"{edit}{link_to('hierarchy', names)}")
