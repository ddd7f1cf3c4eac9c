"""All providers at once in Effective Preview: a row for each, and what differs from the installation's own values marked."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import streamlit as st

from core.manage.hierarchy import OfProvider
from core.manage.settings import Stored
from core.parameters import PARAMETERS
from core.resolving.effective import EffectiveSettings
from core.resolving.explanation import Explained
from core.resolving.words import CUSTOM, EXTRA, label_of, value_text
from core.wording import counted
from ui import listing
from ui.feedback import plain, plain_cell
from ui.preview.table import layer_text, state_words
from ui.scopes.editors import Names
from ui.scopes.held import held_by
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


def of_everybody(stored: Stored) -> tuple[EffectiveSettings, list[OfProvider]]:
    """Return what the installation itself chooses, and what each provider gets, all of one moment."""
    found = []
    for name, provider in stored.providers.items():
        layer = stored.layers.get(provider["id"])
        changes = [(row["updated_at"], row["updated_by"]) for row in (provider, layer and layer.values) if row]
        newest = max(changes, key=lambda change: change[0] or _NEVER)
        found.append(OfProvider(stored.effective(name), *newest))
    return stored.own(), found


def _rows_of(base: EffectiveSettings, found: Iterable[OfProvider]) -> list[Row]:
    theirs = _outcomes(base)
    rows = []
    for each in found:
        ours = _outcomes(each.settings)
        differs = frozenset(n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n))
        rows.append(Row(each.settings, differs, each.changed_at, each.changed_by))
    return rows


def _outcomes(settings: EffectiveSettings) -> dict[str, Any]:
    """Return parameter -> what becomes of it; what is not sent has no value."""
    omitted = set(settings.omitted)
    values = {name: _NOT_SENT if name in omitted else getattr(settings, name) for name in PARAMETERS}
    values |= {f"{EXTRA}{key}": value for key, value in settings.extra_parameters.items()}
    return values | {f"{CUSTOM}{key}": value for key, value in settings.custom_settings.items()}


def draw(own: EffectiveSettings, everywhere: Iterable[OfProvider], of: Names, *, for_admin: bool) -> None:
    """Draw the overview.

    Args:
        own: What a provider without anything of its own gets.
        everywhere: What each one gets.
        of: The organisation and the feature.
        for_admin: Whether what differs leads to where it is changed; else to its reason.
    """
    rows = _rows_of(own, everywhere)
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
            [_head_row(base, shown, of), *(_row(row, shown, of, for_admin=for_admin) for row in on_page)],
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


def _head_row(base: Mapping[str, Explained], names: Iterable[str], of: Names) -> dict[str, str]:
    scope = " · ".join(name for name in (of.organization, of.feature) if name)
    whose = f"what {plain_cell(scope)} gets of each" if scope else "the installation's default"
    return {
        "Provider": f"**All providers**  \n:gray[:small[{whose}]]",
        "State": "",
        "Model": "",
        **{_title(name): f"{_named(name)}:gray[{plain_cell(_text(base.get(name)))}]" for name in names},
        "Changed": "",
    }


def _row(row: Row, names: Iterable[str], of: Names, *, for_admin: bool) -> dict[str, str]:
    settings, items = row.settings, _items(row.settings)
    asked = {"provider": settings.provider, "organization": of.organization, "feature": of.feature}
    here = f"?{urlencode({name: value for name, value in asked.items() if value}, quote_via=quote)}"
    leads_to_defaults = for_admin and not (of.organization or of.feature)  # whose layers the reasons lead to
    word, icon, colour = state_words(settings)
    reasons = f"effective_preview{here}"
    return {
        "Provider": _link(isolated(_cut(settings.display_name)), reasons, f"{settings.display_name}: why each value")
        + f"  \n:gray[:small[{plain_cell(settings.provider)}]]",
        "State": f":{colour}[{icon} {plain(word)}]",
        "Model": plain_cell(settings.model or "none chosen"),
        **{
            _title(name): _cell(
                items.get(name), f"defaults{here}" if leads_to_defaults else reasons, differs=name in row.differs
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
    text = layer_text(source)
    if source.changed_at is not None:
        text += f" · {source.changed_by or 'somebody'}, {ago(source.changed_at)} ({exact(source.changed_at)})"
    text += "".join(f"; limited by {held.text}; wanted {held.wanted}" for held in held_by(item))
    hidden = "; ".join(f"{layer_text(s)}: {value_text(item.name, value)}" for s, value in item.shadows)
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
