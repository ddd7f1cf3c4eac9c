"""What stands above the table of Hierarchy: whether a service gets what it needs and with whose key, and the layers."""

from collections.abc import Mapping
from typing import Final

import streamlit as st

from core.kinds import facts_of
from core.manage.hierarchy import InForce
from core.manage.scope_rows import StoredLayer
from core.resolving.effective import CURES
from core.resolving.explanation import LAYERS, LayerName
from core.resolving.limit_words import who_text
from core.resolving.matrix import said_by
from core.wording import counted
from ui.feedback import plain, plain_cell
from ui.preview.table import state_words
from ui.scopes.editors import Names, address_of, owner_of, words_of
from ui.widgets import ago, exact, isolated

_KEYS: Final[Mapping[str | None, str]] = {
    "organization": "with a key of the organisation's own",
    "installation": "with the installation's key",
}


def names_of(found: InForce) -> Names:
    """Return what the scope names."""
    return Names(
        found.settings.provider or None,
        found.organization.slug if found.organization is not None else None,
        found.template.slug if found.template is not None else None,
        found.feature.name if found.feature is not None else None,
    )


def draw_status(found: InForce) -> None:
    """Draw whether a service gets everything it needs, whose key it is, and the cure if not."""
    settings = found.settings
    word, icon, colour = state_words(settings)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="hierarchy_status"):
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]  # the colours are data
        st.markdown(plain(_sentence(found)), width="content")
    if settings.cure:
        st.warning(plain(f"Not ready: {cure_of(found)}"), icon=":material/build:")
    if found.feature is not None and not found.feature.is_active:
        st.info(
            plain(f"The feature {found.feature.name} is not active: its layers do not count."),
            icon=":material/pause_circle:",
        )
    if found.template is not None and not found.template.is_active:
        st.info(
            plain(
                f"The template {found.template.slug} is not active: its layers do not count. What it says of providers does."
            ),
            icon=":material/pause_circle:",
        )


def cure_of(found: InForce) -> str:
    """Return the cure; to who may not read why a key cannot be used, without that."""
    if found.sees_cures:
        return found.settings.cure or ""
    return f"{CURES.get(found.settings.status, '').partition(';')[0].rstrip('.')}. Ask an admin."


def _sentence(found: InForce) -> str:
    settings = found.settings
    if settings.provider_id is None:
        return "No provider is named, and none is the default of this scope."
    who = f"{isolated(settings.display_name)} ({facts_of(settings.kind).label}), {settings.model or 'no model'}"
    parts = [who]
    if settings.status in {"ok", "key_unreadable"}:
        parts.append(_KEYS.get(settings.key_owner, "it needs no key"))
    if settings.default_by is not None:
        by = f" by {settings.default_by.changed_by}" if settings.default_by.changed_by else ""
        layer = words_of(settings.default_by.layer, names_of(found))
        parts.append(f"the default provider, chosen for {layer}{by}")
    if settings.default_limited_by is not None:
        parts.append(f"by limit {settings.default_limited_by.limit_id}, {who_text(settings.default_limited_by)}")
    return ", ".join(parts)


def draw_layers(found: InForce) -> None:
    """Draw the layers that this scope can have, the strongest first, and where one edits those that the actor may.

    Each link opens a tab: on its way within this one Streamlit leaves out of an address what a widget here is bound to. See
    web/leaving.py, which lets them.
    """
    names = names_of(found)
    stored: dict[LayerName, StoredLayer] = {each.layer.name: each for each in reversed(found.rows)}
    with st.container(key="layers"):
        st.table(
            [
                {
                    "Layer, the strongest first": _layer(name, names),
                    "Says": _says(stored.get(name)),
                    "Last change": _changed(name, stored.get(name), found, names),
                }
                for name in found.possible()
            ],
            border="horizontal",
            alt="The layers of this scope, the strongest first",
        )


def _layer(name: LayerName, names: Names) -> str:
    words = plain_cell(isolated(words_of(name, names)))
    return words if name == "all_providers" else f"{words} :gray[:small[({plain(LAYERS[name])})]]"


def _says(stored: StoredLayer | None) -> str:
    if stored is None:
        return ":gray[nothing]"
    values, omitted = said_by(stored.layer)
    parts = [counted(values, "value")] * bool(values) + [f"{omitted:,} not sent"] * bool(omitted)
    if stored.layer.values.get("default_provider_id") is not None:
        parts.append("the default provider")
    return plain(", ".join(parts)) or ":gray[nothing]"


def _changed(name: LayerName, stored: StoredLayer | None, found: InForce, names: Names) -> str:
    parts = []
    if stored is not None and stored.changed_at is not None:
        parts.append(plain(f"{stored.changed_by or 'somebody'}, {ago(stored.changed_at)}"))
    to = address_of(name, names)
    if to is not None and owner_of(name) in found.may_edit:
        word = "Edit" if stored is not None else "Set"
        about = f' "{exact(stored.changed_at)}"' if stored is not None and stored.changed_at else ""
        parts.append(f"[{word} {plain(words_of(name, names))}]({to}{about})")  # a link's name is its own
    return " · ".join(parts)


def draw_next_step(found: InForce, *, has_scopes: bool) -> None:
    """Draw what to do where there is no provider to explain, or no organisation and no feature yet."""
    is_admin = "nobody" in found.may_edit
    if found.settings.provider_id is None:
        st.info("Choose a provider above to see each parameter.", icon=":material/hub:")
        if is_admin:
            st.page_link("pages/defaults.py", label="Set values of all providers", icon=":material/tune:")
    elif not has_scopes and is_admin:
        st.caption(
            "There is no organisation and no feature yet, so there are only the layers of a provider. "
            "Services name them once they are registered: `resolve(provider, organization=…, feature=…)`."
        )
