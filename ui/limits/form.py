"""The form of a limit: whose it is, its scope, which settings it holds, by which rules, and why. What is typed stands in the session."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.manage import features, organization_members
from core.manage.scopes import SettingsScope
from core.parameters import EFFORTS, PARAMETERS
from core.resolving.limit_words import FIELD_LABELS, field_label
from core.resolving.limits import DEFAULT_PROVIDER, OBJECTS, parse, personal_choices, rules_for
from core.resolving.words import value_text
from core.store import db
from core.store.organization_schemas import LONGEST_NAME
from core.store.organization_tables import MAX_NOTE, LlmLimits
from core.store.table import id_of
from ui.limits.words import OWNERS
from ui.scopes import picker
from ui.scopes.editors import Names

OWNER, ORGANIZATION, FEATURE, PROVIDER, FIELDS, NOTE = TYPED = tuple(
    f"limit_{name}" for name in ("owner", "organization", "feature", "provider", "fields", "note")
)
_RULE: Final = "limit_rule_"
_KEPT: Final = "page"
_SENDING: Final = {"Must be sent": True, "Must not be sent": False}


class Offered(NamedTuple):
    """What there is to choose from."""

    known: picker.Known
    providers: dict[str, int]
    """Name -> id."""
    is_admin: bool
    """Whether limits of the installation may be set: by its admins."""


class Written(NamedTuple):
    """What the form says."""

    data: dict[str, Any] | None
    """As :func:`core.manage.limits.create` takes it; None: it is not clear for which organisation."""
    slots: dict[str, Any]
    """Field -> where its error stands."""
    missing: tuple[str, ...]
    """Fields that were chosen, and have no rule yet."""


def forget_rules() -> None:
    """Forget the rules that were typed, once a dialog opens."""
    for key in [key for key in st.session_state if isinstance(key, str) and key.startswith(_RULE)]:
        del st.session_state[key]


def begin(names: Names, row: LlmLimits | None, providers: Mapping[str, int]) -> None:
    """Fill the form before it is drawn: with a scope, and with what limits say that are there."""
    state = st.session_state
    state.update(
        {ORGANIZATION: names.organization or names.template or "", FEATURE: names.feature, PROVIDER: names.provider}
    )
    if row is None:
        return
    state.update({OWNER: OWNERS[row.owner], NOTE: row.note or "", FIELDS: list(row.limits)})
    known = {number: name for name, number in providers.items()}
    for field, rules in parse(row.limits, names_provider=row.provider_id is not None).items():
        for rule, bound in rules.items():
            shown = bound
            if rule == "in":
                shown = [known[one] for one in bound if one in known] if field == DEFAULT_PROVIDER else list(bound)
            elif rule == "send":
                shown = next(words for words, sent in _SENDING.items() if sent is bound)
            state[key_of(field, rule)] = shown


def key_of(field: str, rule: str) -> str:
    """Return the key of the widget of a rule."""
    return f"{_RULE}{field}_{rule}"


def draw_scope(actor: Actor, offered: Offered) -> tuple[str, SettingsScope | None, dict[str, Any]]:
    """Draw whose limit it is and for what; returns the owner, the scope, None while it is not clear, and where errors stand."""
    slots: dict[str, Any] = {}
    owner = "organization"
    if offered.is_admin:
        chosen = st.segmented_control(
            "Whose limit it is",
            list(OWNERS.values()),
            default=None if OWNER in st.session_state else OWNERS["installation"],
            required=True,
            key=OWNER,
            persist_state=_KEPT,
            help="The installation's come first; an organisation's admins change its own.",
        )
        owner = next((name for name, words in OWNERS.items() if words == chosen), "installation")
    known = offered.known
    if known.mine is not None:
        with db.transaction() as session:
            mine = [row.slug for row, role in organization_members.of_user(session, actor) if role == "admin"]
        if st.session_state.get(ORGANIZATION) not in mine:
            st.session_state[ORGANIZATION] = mine[0] if mine else None
        known = known._replace(mine=mine)
        typed = st.selectbox("Organisation or template", mine, key=ORGANIZATION, persist_state=_KEPT) or ""
    else:
        typed = st.text_input(
            "Organisation or template",
            key=ORGANIZATION,
            persist_state=_KEPT,
            placeholder="All: type to search" if owner == "installation" else "Type to search",
            icon=":material/apartment:",
            max_chars=LONGEST_NAME,
            live="400ms",
        )
    settled = picker.settle(actor, known, ORGANIZATION, typed, templates=True)
    slots["organization_id"] = st.empty()
    left, right = st.columns(2)
    with left:
        feature = _select("Feature", known.features, FEATURE, "Any feature")
    with right:
        provider = _select("Provider", list(offered.providers), PROVIDER, "All providers")
    if not settled.is_clear:
        return owner, None, slots
    of = settled.organization
    feature_id = None
    if feature is not None:
        with db.transaction() as session:
            feature_id = id_of(features.get_by_name(session, feature))
    scope = SettingsScope(offered.providers.get(provider or ""), None if of is None else id_of(of), feature_id)
    return owner, scope, slots


def _select(label: str, options: Sequence[str], key: str, placeholder: str) -> str | None:
    if st.session_state.get(key) not in options:
        st.session_state[key] = None
    return st.selectbox(
        label,
        options,
        index=None,
        key=key,
        persist_state=_KEPT,
        placeholder=placeholder,
        filter_mode="contains",
    )


def draw_rules(owner: str, scope: SettingsScope | None, slots: dict[str, Any], providers: Mapping[str, int]) -> Written:
    """Draw which settings are held, by which rules, and why; returns what the whole form says."""
    chosen = st.session_state.get(FIELDS) or []
    fields = st.multiselect(
        "What it limits",
        list(dict.fromkeys([*FIELD_LABELS, *chosen])),
        format_func=field_label,
        key=FIELDS,
        persist_state=_KEPT,
        placeholder="Choose settings",
        accept_new_options=True,
        filter_mode="contains",
        help="Of custom settings and extra parameters a single key too: type custom_settings.region.",
    )
    slots["limits"] = st.empty()
    rules: dict[str, dict[str, Any]] = {}
    fields = list(dict.fromkeys(map(_field_of, fields)))
    for number, field in enumerate(fields):
        with st.container(border=True, gap="small", key=f"limit_group_{number}"):
            rules[field] = _draw_rule(field, providers, names_provider=scope is not None and bool(scope.provider_id))
            slots[field] = st.empty()
    note = st.text_input(
        "Why",
        key=NOTE,
        persist_state=_KEPT,
        max_chars=MAX_NOTE,
        placeholder="As contract 4711: whoever meets the limit reads it",
        autocomplete="off",
    )
    slots["note"] = st.empty()
    missing = tuple(field for field in fields if not rules[field] and rules_for(field))
    data = None if scope is None else {"owner": owner, **scope._asdict(), "limits": rules, "note": note or None}
    return Written(data, slots, missing)


def _field_of(text: str) -> str:
    """Return the field that was chosen, or typed as it is or as people call it: ``Custom settings: region``."""
    head, colon, key = text.partition(": ")
    column = next((name for name in OBJECTS if FIELD_LABELS[name].lower() == head.strip().lower()), None)
    return f"{column}.{key.strip()}" if column and colon else text.strip()


def _draw_rule(field: str, providers: Mapping[str, int], *, names_provider: bool) -> dict[str, Any]:
    """Draw the rules that a field may have; returns those that were chosen."""
    allowed, label = rules_for(field, names_provider=names_provider), field_label(field)
    if allowed == ("lock",) or not allowed:
        st.markdown(f"**{label.replace('*', '')}**: locked" if allowed else f"**{label.replace('*', '')}**")
        return {"lock": True} if allowed else {}
    found: dict[str, Any] = {}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for rule in allowed:
            value = _draw_bound(field, rule, label, providers)
            if value not in (None, False, []) or value == 0:
                found[rule] = value
    if found.get("send") is not None:
        found["send"] = _SENDING[found["send"]]
    return {rule: bound for rule, bound in found.items() if not (rule == "lock" and bound is not True)}


def _draw_bound(field: str, rule: str, label: str, providers: Mapping[str, int]) -> Any:
    key = key_of(field, rule)
    if rule == "lock":
        return st.checkbox(
            f"{label}: locked",
            key=key,
            persist_state=_KEPT,
            help="What layers above this one say does not count. Where this layer has no value, what it inherits is fixed.",
        )
    if rule == "send":
        return st.selectbox(
            f"{label}: sent to the model",
            list(_SENDING),
            index=None,
            key=key,
            persist_state=_KEPT,
            placeholder="As it is set",
            width=220,
        )
    if rule == "in":
        return _draw_list(field, f"{label}: only", key, providers)
    parameter = PARAMETERS[field]
    whole = parameter.value_type is int
    return st.number_input(  # without its limits: the browser would throw away what is beyond them, and not say why
        f"{label}: {'at least' if rule == 'min' else 'at most'}",
        value=None,
        step=int(parameter.step or 1) if whole else float(parameter.step or 0.1),
        format="%d" if whole else "%g",
        key=key,
        persist_state=_KEPT,
        placeholder="No bound",
        width=220,
    )


def _draw_list(field: str, label: str, key: str, providers: Mapping[str, int]) -> list[Any]:
    if field == DEFAULT_PROVIDER:
        names = st.multiselect(label, list(providers), key=key, persist_state=_KEPT, placeholder="Any provider")
        return [providers[name] for name in names if name in providers]
    if options_here := personal_choices(field):
        return st.multiselect(
            label,
            list(options_here),
            format_func=lambda one: value_text(field, one),
            key=key,
            persist_state=_KEPT,
            placeholder="Any value",
        )
    parameter = PARAMETERS[field]
    options: list[Any] = [*parameter.choices] or ([True, False] if parameter.value_type is bool else list(EFFORTS))
    options += [one for one in st.session_state.get(key) or [] if one not in options]
    return st.multiselect(
        label,
        options,
        format_func=lambda one: value_text(field, one),
        key=key,
        persist_state=_KEPT,
        placeholder="Any value",
        accept_new_options=bool(parameter.pattern),
    )
