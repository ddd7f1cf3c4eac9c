"""What the Health page shows: a row for each thing, with its state in words, and the cure where there is one."""

from collections.abc import Iterable, Mapping, Sequence

import streamlit as st

from core.govern.growth import TableSize
from core.govern.jobs import JobState
from core.govern.key_ages import KeyAge
from core.govern.lifecycle import Retiring
from core.manage import keys
from core.manage.health import Health, RefusedKey
from core.manage.notifications import ListedWebhook
from core.store.sealed import Tried
from core.version import VERSION
from core.wording import counted
from ui.feedback import plain
from ui.health.growth import growth_lines
from ui.health.key_ages import old_key_lines
from ui.health.line import Line, State
from ui.health.models import model_lines
from ui.health.periodic import job_lines
from ui.health.personal_data import personal_data_lines
from ui.health.rows import draw, draw_style
from ui.health.sign_on import sign_on_lines
from ui.health.untelling import untelling_lines
from ui.health.webhooks import webhook_lines
from ui.widgets import ago, exact, isolated

SHOWN = 10
_NAMED = 3
"""Of the rows where something is wrong so many are named above all others."""
_CANARY: dict[str, tuple[State, str]] = {
    "ok": ("ok", "Right key"),
    "first_use": ("note", "Not used yet"),
    "new_primary": ("soon", "New key"),
    "sealed": ("soon", "No key"),
    "damaged": ("soon", "Canary damaged"),
    "wrong_key": ("wrong", "Wrong key"),
    "behind": ("wrong", "Older key"),
}


def sections(
    health: Health,
    sizes: Iterable[TableSize] = (),
    periodic: Iterable[JobState] = (),
    ending: Iterable[Retiring] = (),
    webhooks: Iterable[ListedWebhook] = (),
    *,
    old: Sequence[KeyAge] = (),
) -> dict[str, list[Line]]:
    """Return title -> rows; a title without a row is left out."""
    found = {
        "Database": _database(health),
        "Growth": growth_lines(sizes),
        "Periodic work": job_lines(periodic),
        "Notifications": webhook_lines(webhooks),
        "Encryption keys": _encryption_keys(health),
        "API keys": old_key_lines(old),
        "Personal data": personal_data_lines(health.processes),
        "Models": [_catalogue(health), *model_lines(ending)],
        "Sign-ins and audit": [
            Line("Signed in now", "ok", "OK", f"{counted(health.sign_ins, 'sign-in')} that may act."),
            Line(
                "Audit",
                "ok" if health.events else "note",
                "OK" if health.events else "Empty",
                f"{counted(health.events, 'event')}; the newest {ago(health.newest_event)}."
                if health.newest_event
                else "No event yet.",
                hover=exact(health.newest_event),
            ),
            *sign_on_lines(health.sign_on),
        ],
        "Request log": _log_as_it_was(health),
    }
    return {title: rows for title, rows in found.items() if rows}


def draw_health(
    health: Health,
    sizes: Iterable[TableSize],
    periodic: Iterable[JobState],
    ending: Iterable[Retiring],
    webhooks: Iterable[ListedWebhook] = (),
    *,
    old: Sequence[KeyAge] = (),
) -> None:
    """Draw everything, the verdict first."""
    drawn = sections(health, sizes, periodic, ending, webhooks, old=old)
    if wrong := _names(drawn, "wrong"):
        st.error(
            f"Something does not work: {wrong}. The red rows below say why, and the cure.", icon=":material/error:"
        )
    elif soon := _names(drawn, "soon"):
        st.warning(
            f"Everything works, and something is to be done: {soon}. See the orange rows.", icon=":material/warning:"
        )
    else:
        st.success("Everything works.", icon=":material/check_circle:")
    draw_style()
    for title, rows in drawn.items():
        st.header(title, anchor=False)
        with st.container(border=True, gap="small"):
            draw(rows)


def _names(drawn: Mapping[str, list[Line]], state: State) -> str:
    """Return the names of the rows in this *state*, the first three of them."""
    names = [row.name for rows in drawn.values() for row in rows if row.state == state]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return plain(", ".join(names[:_NAMED] + more))


def _database(health: Health) -> list[Line]:
    whose = "embedded, kept by this app" if health.embedded else f"the operator's own, database {health.database}"
    schema = Line("Schema", "ok", "Up to date", f"Revision {health.revision}.")
    if health.schema in {"newer", "newer_read_only"}:
        may = "reads and writes it" if health.schema == "newer" else "reads it, and saves nothing"
        detail = f"Revision {health.revision}, of a newer version; this version {may}."
        schema = Line("Schema", "note" if health.schema == "newer" else "soon", "Newer", detail, "Upgrade this app.")
    elif health.revision != health.head:
        detail = f"Revision {health.revision or 'none'}; this version of the app needs {health.head}."
        schema = Line("Schema", "wrong", "Other version", detail, "Run `python -m core migrate`, or upgrade the app.")
    return [
        Line("Connection", "ok", "Reachable", f"PostgreSQL {health.server}, {whose}."),
        schema,
        Line("Size", "ok", "OK", f"{health.size / 1_000_000:,.1f} MB on disk."),
        _services(health),
        *untelling_lines(health.untelling),
        *_processes(health),
        Line("Connections", "ok", "OK", f"{health.in_use} in use by this process, this page's own included."),
    ]


def _services(health: Health) -> Line:
    if not health.older_services:
        return Line("Services", "ok", "OK", "No service of an older version is connected.")
    versions = ", ".join(f"{service.number} of {service.version}" for service in health.older_services)
    number = sum(service.number for service in health.older_services)
    return Line(
        "Services",
        "soon",
        "Older version",
        f"{counted(number, 'service')} of an older version connected: {versions}. This is {VERSION}.",
        "Upgrade services before values are used that only this version knows: they take those for not set.",
    )


def _processes(health: Health) -> list[Line]:
    """Return a row for each connected process, those first that a rotation would lock out."""
    lack = health.without_the_key
    shown = [*lack, *(one for one in health.processes if one not in lack)]
    rows = []
    for process in shown[:SHOWN]:
        keys_of = (
            "it does not say which keys it has" if process.keys is None else f"keys {', '.join(process.keys) or 'none'}"
        )
        detail = f"On {process.place}, {keys_of}{' and more' if process.more else ''}."
        name = f"{process.what.capitalize()} {process.version}"
        if process not in lack:
            rows.append(Line(name, "ok", "Connected", detail))
        elif process.keys is None or process.more:
            rows.append(Line(name, "note", "Keys not known", detail, "Look at its key ring before you rotate."))
        else:
            cure = (
                f"Give it {health.keys.keys[0].key_id} in LLM_ENCRYPTION_KEYS_EXTRA and restart it, before you rotate."
            )
            rows.append(Line(name, "soon", "Lacks the key", detail, cure))
    if len(shown) > SHOWN:
        rows.append(Line("And more", "note", "Connected", f"{len(shown) - SHOWN} more; `python -m core keys status`."))
    return rows


def _log_as_it_was(health: Health) -> list[Line]:
    if not health.log_awaits_decision:
        return []
    detail = "It keeps personal data in prompts and answers as it did before the upgrade; a new store masks them."
    cure = "Decide: `python -m core pii set --logs mask`, or `--logs off` to have it stay so."
    return [Line("Personal data", "soon", "Not masked", detail, cure)]


def _catalogue(health: Health) -> Line:
    found = health.catalogue
    if found.ok:
        return Line("Catalogue", "ok", "OK", f"What {counted(found.models, 'model')} take, as of {found.as_of}.")
    return Line(
        "Catalogue",
        "soon",
        "Unread" if not found.models else "In part",
        f"{counted(found.models, 'model')} can be read. {' '.join(found.problems[:3])}",
        "Models that cannot be read are sent everything. Install this version of the app anew.",
    )


def _encryption_keys(health: Health) -> list[Line]:
    status = health.keys
    state, word = _CANARY[status.canary.state]
    if status.canary.state == "sealed" and status.canary.known:  # there is something that it should open
        state = "wrong"
    known = "No API key has been stored yet." if state == "note" else "The database knows this process's primary key."
    rows = [Line("Key of this process", state, word, status.canary.message or known)]
    rows += [_key(key, wrong=state == "wrong") for key in status.keys]
    singly = [row for row in health.unreadable if row.state not in {"unknown_key", "sealed"}]  # those are counted above
    rows += [
        Line(_of(row), "wrong", row.state.capitalize(), row.message, provider=_provider(row)) for row in singly[:SHOWN]
    ]
    if len(singly) > SHOWN:
        more = f"{len(singly) - SHOWN} more API keys cannot be opened."
        rows.append(Line("And more", "wrong", "Unreadable", more, "`python -m core keys check` lists them all."))
    rows += [_refused(each) for each in health.refused_keys[:SHOWN]]
    if len(health.refused_keys) > SHOWN:
        more = f"{counted(len(health.refused_keys) - SHOWN, 'more API key')} are refused by their vendors."
        rows.append(Line("And more", "wrong", "Refused", more, "Usage, with the status error, lists such calls."))
    if not health.unreadable and health.sealed_values:
        rows.append(Line("API keys", "ok", "Readable", f"All {health.sealed_values} can be opened."))
    return rows


def _of(row: Tried) -> str:
    return f"API key of {row.name}" if row.table == "llm_providers" else row.name


def _provider(row: Tried) -> str:
    return row.name if row.table == "llm_providers" else ""


def _refused(key: RefusedKey) -> Line:
    cure = "Add the next key: on the Providers page, More, Exchange key."
    if key.beside:
        cure = f"Its {key.beside} is stored: test it and promote it, on the Providers page, More, Exchange key."
    return Line(
        f"API key of {isolated(key.display_name)}",
        "wrong",
        "Refused",
        f"The vendor refuses {key.key} (401); the newest call that met it was {ago(key.at)}, and none has worked since.",
        cure,
        exact(key.at),
        key.provider,
    )


def _key(key: keys.HeldKeys, *, wrong: bool) -> Line:
    name = f"Key {key.key_id}"
    holds = f"{counted(key.rows, 'API key')}."
    if key.role == "primary":
        return Line(name, "note" if wrong else "ok", "Primary", holds, key.advice)
    if key.role == "unknown":
        return Line(name, "wrong", "Not in the ring", holds, key.advice)
    if key.may_go:
        return Line(name, "note", "May go", holds, key.advice)
    if key.rows or key.unbound:
        return Line(name, "soon", "Must stay", holds, key.advice)
    return Line(name, "note", "Not in use", holds, key.advice)
