"""How Effective Preview shows effective settings: each value with its reason, alone or beside another provider's."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlsplit

import streamlit as st

from core.kinds import Sdk, facts_of
from core.resolving import options
from core.resolving.effective import CURES, EffectiveSettings
from core.resolving.explanation import LAYERS, Explained, Source
from core.resolving.personal_merge import PREFIX
from core.resolving.words import EXTRA, label_of, state_of, value_text, warnings_of
from ui.feedback import plain, plain_cell
from ui.samples import draw_sample
from ui.scopes.editors import Names, address_of, owner_of, words_of
from ui.scopes.held import as_markdown, held_by
from ui.widgets import ago, exact, parameter_cell

_STATES = {
    "ok": ("Ready", ":material/check_circle:", "green"),
    "disabled": ("Not active", ":material/pause_circle:", "gray"),
    "no_model": ("No model", ":material/warning:", "orange"),
    "no_key": ("No key", ":material/key_off:", "orange"),
    "key_unreadable": ("Key unreadable", ":material/error:", "red"),
    "unknown_provider": ("No such provider", ":material/help:", "red"),
    "no_provider": ("No provider", ":material/help:", "orange"),
    "organization_disabled": ("Organisation not active", ":material/pause_circle:", "gray"),
    "not_allowed": ("Not allowed", ":material/block:", "orange"),
}


_CHANGED: Final = ("Ready, with changes", ":material/published_with_changes:", "orange")


def state_words(settings: EffectiveSettings) -> tuple[str, str, str]:
    """Return how the status is called, its icon and its colour; a ready one may send otherwise what somebody chose."""
    if settings.status == "ok" and is_changed(settings):
        return _CHANGED
    return _STATES.get(settings.status, (settings.status, ":material/error:", "red"))


def is_changed(settings: EffectiveSettings) -> bool:
    """Return whether something that somebody chose is not sent as it is; another name is no change."""
    return any(each.what == "added" or (each.asked_for and each.what != "renamed") for each in settings.adjustments)


def draw_status(settings: EffectiveSettings, *, for_admin: bool) -> None:
    """Draw whether a service gets everything it needs, and the cure if not.

    An analyst is not told why a key cannot be opened: the reason may speak of the key or of the base URL.
    """
    word, icon, colour = state_words(settings)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]  # the colours are data
        of = " · the organisation's own key" if settings.key_owner == "organization" else ""
        st.caption(plain(f"{facts_of(settings.kind).label} · {settings.model or 'no model'}{of}"), width="content")
        if for_admin:
            st.page_link(
                "pages/defaults.py",
                label="Change in Defaults",
                icon=":material/tune:",
                query_params={"provider": settings.provider},
                width="content",
            )
    if settings.cure:
        cure = (
            settings.cure
            if for_admin
            else f"{CURES.get(settings.status, '').partition(';')[0].rstrip('.')}. Ask an admin."
        )
        st.warning(plain(f"Not ready: {cure}"), icon=":material/build:")
        if for_admin:
            st.page_link("pages/providers.py", label="Open Providers", icon=":material/hub:")
    for sentence in warnings_of(settings):
        st.warning(plain(sentence), icon=":material/warning:")


def draw_reasons(settings: EffectiveSettings, *, for_admin: bool) -> None:
    """Draw every value with where it comes from, who set it and when, what it hides, and whether it is sent.

    For an admin each layer that decides leads to where it is changed.
    """
    items = settings.explain()
    _draw_times(items)
    names = _names(settings) if for_admin else None
    with st.container(key="reasons"):
        st.table(
            [
                {
                    "Parameter": parameter_cell(item.name),
                    "Value": _bare(item),
                    "Sent as": _sent_as(item),
                    "Why": _why(item, names),
                }
                for item in items
                if not item.name.startswith(PREFIX)
            ],
            border="horizontal",
            alt="Each parameter with its value and the reason for it",
        )
    st.header("Personal data", anchor=False)
    with st.container(key="personal_reasons"):
        st.table(
            [
                {
                    "What": plain_cell(label_of(item.name).partition(": ")[2].capitalize()),
                    "Value": _bare(item),
                    "Why": _why(item, None),
                }
                for item in items
                if item.name.startswith(PREFIX)
            ],
            border="horizontal",
            alt="What becomes of personal data, with the reason for it",
        )


def draw_comparison(left: EffectiveSettings, right: EffectiveSettings, *, only_differences: bool) -> None:
    """Draw two scopes side by side; what differs is marked in words too."""
    ours, theirs = ({item.name: item for item in settings.explain()} for settings in (left, right))
    rows = [("Status", _state(left), _state(right), left.status != right.status)]
    for name in ours | theirs:
        pair = ours.get(name), theirs.get(name)
        rows.append((parameter_cell(name), _side(pair[0]), _side(pair[1]), _outcome(pair[0]) != _outcome(pair[1])))
    number = sum(differs for *_, differs in rows)
    if not number:
        st.success("The two resolve to the same values.", icon=":material/check:")
    else:
        st.caption(f"{number} of {len(rows)} differ.")
    table = [
        {
            "Parameter": f"{label}  \n:orange[:small[:material/difference: differs]]" if differs else label,
            _title(left): one,
            _title(right): two,
        }
        for label, one, two, differs in rows
        if differs or not only_differences
    ]
    if table:
        st.table(table, border="horizontal", alt="Two scopes, parameter by parameter")


def draw_use(settings: EffectiveSettings) -> None:
    """Draw what a call would send and how a program gets it, ready to be copied."""
    sent, exactly, python, http = st.tabs(["What is sent", "Request body", "Python", "HTTP"], key="use")
    with sent:
        st.caption("The arguments of every call: request_options() returns the same.")
        draw_sample(json.dumps(settings.request_options(), indent=2, ensure_ascii=False))
    with exactly:
        where, body = options.body(settings.kind, settings.request_options())
        st.caption(plain(f"POST …{where}, as core.ai and the vendor's SDK send it; the question is yours."))
        draw_sample(json.dumps(body, indent=2, ensure_ascii=False))
    with python:
        draw_sample(python_snippet(settings.provider, settings.kind, _asked(settings)))
    with http:
        st.caption("For programs that are not Python. An admin makes the token, on API tokens or by the command line.")
        draw_sample(curl_snippet(settings.provider, st.context.url, _asked(settings)))


def as_json(settings: EffectiveSettings) -> str:
    """Return the settings and the reasons as JSON; no key, not even sealed."""
    reasons = [
        {
            "parameter": item.name,
            "value": item.value,
            **_source(item.source),
            "shadows": [{"value": value, **_source(source)} for source, value in item.shadows],
            "omitted_by": _source(item.omitted_by) if item.omitted_by else None,
            **{name: value for name, value in item.as_dict().items() if name in _OF_LIMITS},
        }
        for item in settings.explain()
    ]
    return json.dumps({**settings.as_dict(), "explain": reasons}, indent=2, ensure_ascii=False)


_OF_LIMITS: Final = ("limited_by", "wanted", "omission_limited_by", "omission_wanted")


def python_snippet(name: str, kind: str | None, of: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the lines with which a program calls a provider of this kind by its vendor's SDK.

    Args:
        name: The provider's.
        kind: Its kind.
        of: ``organization`` and ``feature`` -> the name that is asked for.
    """
    facts = facts_of(kind)
    importing, client, call = _BY_SDK[facts.sdk]
    asked = ", ".join([json.dumps(name), *(f"{word}={json.dumps(value)}" for word, value in of.items())])
    settings = f"from core.resolve import resolve\n\nsettings = resolve({asked})\n"
    return f"{importing}{settings}{client.format(facts.client)}{call}"


def curl_snippet(name: str, page_url: str | None, of: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the line with which any program gets a provider's effective settings from the host of this page; *of* as above."""
    here = urlsplit(page_url or "")
    host = f"{here.scheme}://{here.netloc}" if here.netloc else "https://YOUR-HOST"
    query = "&".join(f"{word}={quote(value)}" for word, value in {"provider": name, **of}.items())
    return f'curl -H "Authorization: Bearer $LLM_SETTINGS_TOKEN" "{host}/api/llm/settings?{query}"'


def _asked(settings: EffectiveSettings) -> dict[str, str]:
    asked = {"organization": settings.organization, "feature": settings.feature}
    return {word: name for word, name in asked.items() if name}


_BY_SDK: Final[Mapping[Sdk | None, tuple[str, str, str]]] = {
    None: ("", "client_options = settings.client_options()\noptions = settings.request_options()\n", ""),
    "openai": (
        "import openai\n\n",
        "client = openai.{}(**settings.client_options())\n",
        "answer = client.chat.completions.create(messages=messages, **settings.request_options())\n",
    ),
    "anthropic": (
        "import anthropic\n\n",
        "client = anthropic.{}(**settings.client_options())\n",
        "answer = client.messages.create(messages=messages, **settings.request_options())\n",
    ),
    "google.genai": (
        "from google import genai\n\n",
        "client = genai.{}(**settings.client_options())\n",
        "answer = client.models.generate_content(contents=prompt, **settings.request_options())\n",
    ),
}
"""By SDK: the lines that import it, that make its client, and that call the model."""


def _title(settings: EffectiveSettings) -> str:
    of = [name for name in (settings.organization, settings.feature) if name]
    return plain_cell(" · ".join([settings.display_name, settings.provider, *of]))


def _state(settings: EffectiveSettings) -> str:
    word, icon, colour = state_words(settings)
    return f":{colour}[{icon} {plain(word)}]"


def _outcome(item: Explained | None) -> Any:
    """Return what two providers may differ in: the value itself, not as it is rounded when shown, and whether it is sent."""
    return item and (json.dumps(item.value, sort_keys=True), state_of(item))


def _side(item: Explained | None) -> str:
    if item is None:
        return "not set"
    mark = f"  \n{_not_sent(item)}" if state_of(item) == "not sent" else ""
    mark += "".join(f"  \n{as_markdown(held)}" for held in held_by(item))
    return f"{_bare(item)}{mark}  \n:gray[:small[{plain(layer_text(item.omitted_by or item.source))}]]"


def _bare(item: Explained) -> str:
    return plain_cell(value_text(item.name, item.value))


def _not_sent(item: Explained) -> str:
    return f":{_colour(item)}[:small[:material/block: not sent]]"


def _colour(item: Explained) -> str:
    """Return the colour of what becomes of *item*: it warns only where somebody chose a value that is not sent as it is."""
    adjusted = item.adjusted
    return "orange" if adjusted is not None and adjusted.asked_for and adjusted.what != "renamed" else "gray"


def _sent_as(item: Explained) -> str:
    """Return by which name and with which value it is sent, or why not."""
    state, each = state_of(item), item.adjusted
    if each is None:
        if state == "sent":
            return plain_cell(item.name.removeprefix(EXTRA))
        return _not_sent(item) if state == "not sent" else f":gray[:small[{state}]]"
    colour = _colour(item)
    if each.what == "left_out":
        return f":{colour}[:small[:material/block: not sent]]  \n:{colour}[:small[{plain(each.why)}]]"
    if each.what == "renamed":
        return plain_cell(str(each.to))
    sent = item.name if each.what == "added" else f"{item.name} {value_text(item.name, each.to)}"
    return f"{plain_cell(sent)}  \n:{colour}[:small[{plain(each.why)}]]"


def _names(settings: EffectiveSettings) -> Names:
    """Return what the scope names; a template's rows are changed from Hierarchy, which knows which one it is."""
    feature = settings.feature if settings.feature_known else None
    return Names(settings.provider, settings.organization, None, feature)


_CHANGE: Final = {"all_providers": "Change for all", "provider": "Change", "provider_default": "Change model"}
"""Layer -> what the link to its page is called: links of one name lead to one place."""


def _link_to(source: Source, names: Names | None) -> str:
    """Return the link to where a layer is changed, for who may; empty: there is none."""
    if names is None or owner_of(source.layer) == "template":
        return ""
    to = address_of(source.layer, names)
    word = _CHANGE.get(source.layer) or f"Change for {plain(words_of(source.layer, names))}"
    return f" · [{word}]({to})" if to else ""


def _why(item: Explained, names: Names | None) -> str:
    decides = item.source if item.omitted_by is None else item.omitted_by
    lines = [plain(_reason(item.source)) + _link_to(decides, names)]
    lines += map(as_markdown, held_by(item))
    lines += [
        f":gray[:small[not allowed: {plain_cell(_shadow(item.name, value, source))}]]"
        for source, value in item.passed_over
    ]
    lines += [f":gray[:small[hides {plain_cell(_shadow(item.name, value, source))}]]" for source, value in item.shadows]
    if item.omitted_by:
        who = f" · {item.omitted_by.changed_by}" if item.omitted_by.changed_by else ""
        lines.append(f":gray[:small[not sent: {plain(layer_text(item.omitted_by) + who)}]]")
    return "  \n".join(lines)


def layer_text(source: Source) -> str:
    """Return the layer of *source*, with whose it is."""
    return f"{LAYERS[source.layer]} ({source.scope})" if source.scope else LAYERS[source.layer]


def _shadow(name: str, value: Any, source: Source) -> str:
    return f"{value_text(name, value)}, {layer_text(source)}"


def _reason(source: Source) -> str:
    text = layer_text(source)
    if source.version is not None:
        text += f", version {source.version}"
    if source.changed_at is not None:
        text += f" · {source.changed_by or 'somebody'}, {ago(source.changed_at)}"
    return text


def _draw_times(items: list[Explained]) -> None:
    """Draw the newest change, with the exact time of each on hover: a cell of a table has no hover text."""
    dated = [(s, i.name) for i in items for s in {i.source, i.omitted_by} if s is not None and s.changed_at]
    if not dated:
        st.caption("Nobody has changed anything here: these are built-in defaults.")
        return
    newest = max((source for source, _ in dated), key=lambda source: exact(source.changed_at))
    times: dict[str, list[str]] = {}
    for source, name in dated:
        when = f"{exact(source.changed_at)}, {source.changed_by or 'somebody'}, {layer_text(source)}"
        times.setdefault(when, []).append(parameter_cell(name))
    lines = [f"{plain(when)}: {', '.join(times[when])}" for when in sorted(times, reverse=True)]
    st.caption(
        plain(f"Newest change: {newest.changed_by or 'somebody'}, {ago(newest.changed_at)}"), help="\n\n".join(lines)
    )


def _source(source: Source) -> dict[str, Any]:
    return {
        "layer": source.layer,
        "row_id": source.row_id,
        "version": source.version,
        "changed_at": source.changed_at.isoformat() if source.changed_at else None,
        "changed_by": source.changed_by,
    }
