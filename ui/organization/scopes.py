"""Which of an organisation's scopes is edited: of one provider or all, and on the section of features of which feature."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.manage import features, overriding
from core.manage.overriding import OfFeature
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.organization_tables import LlmFeature
from core.wording import counted
from ui import address
from ui.feedback import plain
from ui.organization.choice import Chosen
from ui.overrides import editor
from ui.overrides.editor import Shown
from ui.overrides.provider import pick_provider
from ui.widgets import ago, coming_and_going

FEATURE: Final = "feature"
_LISTED: Final = 20
_MOST_FEATURES: Final = 1_000


def draw_settings(of: Chosen) -> None:
    """Draw the settings of an organisation: for all its providers, or for one."""
    provider_id, words = pick_provider()
    scope = SettingsScope(provider_id, of.id)
    editor.draw(Shown(scope, f"{of.slug}{f' · {words}' if words else ''}", of.is_template))


def draw_features(actor: Actor, of: Chosen) -> None:
    """Draw which features an organisation overrides, and the editor of one."""
    with db.transaction() as session:
        known = {row.name: row for row in features.search(session, actor, limit=_MOST_FEATURES)}
        mine = overriding.features_of(session, of.id, limit=_LISTED + 1)
    if not known:
        st.info(
            "No feature is registered yet. An admin registers them on the Features page: what your programs use models for.",
            icon=":material/category:",
        )
        return
    feature = _pick_feature(known)
    with coming_and_going():
        _draw_overridden(mine, is_chosen=feature is not None)
    if feature is None:
        return
    provider_id, words = pick_provider()
    title = " · ".join(filter(None, (of.slug, feature.name, words)))
    if not feature.is_active:
        st.warning("This feature is not active: what is said for it does not count.", icon=":material/pause_circle:")
    editor.draw(Shown(SettingsScope(provider_id, of.id, feature.id), title, of.is_template))


def _draw_overridden(mine: list[OfFeature], *, is_chosen: bool) -> None:
    if mine:
        st.table(
            [
                {"Feature": plain(each.name), "Rows": counted(each.rows, "row"), "Last change": ago(each.changed_at)}
                for each in mine[:_LISTED]
            ],
            border="horizontal",
            alt="The features that this organisation overrides",
        )
        if len(mine) > _LISTED:
            st.caption(f"The first {_LISTED} are shown; choose any other above.")
    elif not is_chosen:
        st.caption("This organisation overrides no feature yet. Choose one above to begin.")


def _pick_feature(known: dict[str, LlmFeature]) -> LlmFeature | None:
    with coming_and_going():
        address.one_of(FEATURE, known, "a feature")
    name = st.selectbox(
        "Feature",
        list(known),
        index=None,
        key=FEATURE,
        bind="query-params",
        placeholder="Choose a feature",
        filter_mode="contains",
        width=420,
    )
    return known.get(name or "")
