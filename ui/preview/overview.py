"""All providers at once in Effective Preview: a row for each, and what differs from the installation's own values marked."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import streamlit as st

from core.manage.settings import Stored
from core.parameters import PARAMETERS
from core.resolving.effective import LAYERS, EffectiveSettings, Explained
from core.resolving.words import CUSTOM, EXTRA, label_of, value_text
from core.wording import counted
from ui import listing
from ui.feedback import plain, plain_cell
from ui.preview.table import state_words
from ui.widgets import ago, exact, isolated

_LONGEST: Final = 48
"""Characters of a name or a value that a cell shows; of what is marked the rest shows where one points at it."""


class Row(NamedTuple):
    """One provider."""

    settings: EffectiveSettings
    differs: frozenset[str]
    """The parameters whose outcome is another than the installation's own."""
    changed_at: datetime | None
    changed_by: str | None


def rows_of(stored: Stored) -> tuple[EffectiveSettings, list[Row]]:
    """Return what the installation itself chooses, and a row for each provider, all of one moment."""
    base = stored.own()
    theirs = _outcomes(base)
    rows = []
    for name, provider in stored.providers.items():
        settings = stored.effective(name)
        layer = stored.layers.get(provider["id"])
        changes = [(row["updated_at"], row["updated_by"]) for row in (provider, layer and layer.values) if row]
        changed_at, changed_by = max(changes, key=lambda change: change[0] or _NEVER)
        ours = _outcomes(settings)
        differs = frozenset(n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n))
        rows.append(Row(settings, differs, changed_at, changed_by))
    return base, rows


def _outcomes(settings: EffectiveSettings) -> dict[str, Any]:
    """Return parameter -> what becomes of it; what is not sent has no value."""
    omitted = set(settings.omitted)
    values = {name: _NOT_SENT if name in omitted else getattr(settings, name) for name in PARAMETERS}
    values |= {f"{EXTRA}{key}": value for key, value in settings.extra_parameters.items()}
    return values | {f"{CUSTOM}{key}": value for key, value in settings.custom_settings.items()}


def draw(stored: Stored, *, for_admin: bool) -> None:
    """Draw the overview.

    Args:
        stored: What is stored.
        for_admin: Whether what differs leads to Defaults, where it is changed; else to its reason.
    """
    own, rows = rows_of(stored)
    wanted = listing.pick("Provider, model or state")
    everything = st.toggle("All parameters", key="all_parameters", bind="query-params")
    found = [row for row in rows if wanted.fits(_searched(row.settings), row.changed_at)]
    if not found:
        listing.draw_none("provider")
        return
    base = _items(own)
    beside = {
        name for name in {*base, *(name for row in found for name in row.differs)} if name.startswith((CUSTOM, EXTRA))
    }
    names = [*PARAMETERS, *sorted(beside)]
    shown = [name for name in names if everything or any(name in row.differs for row in found)]
    st.caption(
        f"{counted(len(found), 'provider')}, {sum(bool(row.differs) for row in found):,} of them with values of their own."
        " These are marked; their source shows when you point at one."
    )
    place = st.container(key="overview")
    on_page = listing.shown(found)
    with place:
        st.table(
            [_head_row(base, shown), *(_row(row, shown, for_admin=for_admin) for row in on_page)],
            border="horizontal",
            alt="Each provider with its effective values",
        )
    if len(shown) < len(names):
        same = ", ".join(
            f"{label_of(name).removeprefix(CUSTOM)} {_text(base[name])}"
            for name in names
            if name not in shown and name in base
        )
        st.caption(plain(f"The same for all that are listed: {same}."))


def _searched(settings: EffectiveSettings) -> str:
    return f"{settings.display_name} {settings.provider} {settings.model} {state_words(settings)[0]}"


def _head_row(base: Mapping[str, Explained], names: Iterable[str]) -> dict[str, str]:
    return {
        "Provider": "**All providers**  \n:gray[:small[the installation's default]]",
        "State": "",
        "Model": "",
        **{_title(name): f"{_named(name)}:gray[{plain_cell(_text(base.get(name)))}]" for name in names},
        "Changed": "",
    }


def _row(row: Row, names: Iterable[str], *, for_admin: bool) -> dict[str, str]:
    settings, items = row.settings, _items(row.settings)
    here = f"?provider={quote(settings.provider, safe='')}"
    word, icon, colour = state_words(settings)
    reasons = f"effective_preview{here}"
    return {
        "Provider": _link(isolated(_cut(settings.display_name)), reasons, f"{settings.display_name}: why each value")
        + f"  \n:gray[:small[{plain_cell(settings.provider)}]]",
        "State": f":{colour}[{icon} {plain(word)}]",
        "Model": plain_cell(settings.model or "none chosen"),
        **{
            _title(name): _cell(
                items.get(name), f"defaults{here}" if for_admin else reasons, differs=name in row.differs
            )
            for name in names
        },
        "Changed": f":gray[:small[{plain(ago(row.changed_at)).replace(' ', _NBSP)}]]",
    }


def _cell(item: Explained | None, address: str, *, differs: bool) -> str:
    if not differs:
        return f":gray[{plain_cell(_text(item))}]"
    if item is None:
        return ""
    return f"{_named(item.name)}:orange[:material/difference:]{_NBSP}{_link(_text(item), address, _why(item))}"


def _named(name: str) -> str:
    """Return what names a value in its own cell: on a phone, where a provider is a card and the head is not there."""
    return f"*{_title(name)}* "


def _why(item: Explained) -> str:
    source = item.omitted_by or item.source
    text = LAYERS[source.layer]
    if source.changed_at is not None:
        text += f" · {source.changed_by or 'somebody'}, {ago(source.changed_at)} ({exact(source.changed_at)})"
    hidden = "; ".join(f"{LAYERS[s.layer]}: {value_text(item.name, value)}" for s, value in item.shadows)
    return f"{text}; hides {hidden}" if hidden else text


def _text(item: Explained | None) -> str:
    if item is None:
        return f"not{_NBSP}set"
    if item.omitted_by:
        return f"not{_NBSP}sent"
    return _cut(value_text(item.name, item.value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _items(settings: EffectiveSettings) -> dict[str, Explained]:
    return {item.name: item for item in settings.explain()}


def _title(name: str) -> str:
    return plain_cell(label_of(name).removeprefix(CUSTOM).removeprefix(EXTRA))


def _link(text: str, address: str, hover: str) -> str:
    """Return a link of a table's cell, to a page of ours: see web/leaving.py."""
    safe = " ".join(hover.replace("\\", "").replace('"', "'").split())
    return f'[{plain_cell(text)}]({address} "{safe}")'


_NBSP: Final = "\u00a0"
_NOT_SENT = object()
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
