"""Each page that lists shows a part of a thousand rows, finds names of 100 letters in six scripts, and what changed lately."""

from typing import Any, NamedTuple

import pytest
from sqlmodel import Session, text
from streamlit.testing.v1 import AppTest

from core import crypto
from core.actors import Actor
from tests.govern.test_usage import log
from tests.screens import everything
from tests.ui.test_address import at_once

SCRIPTS = {
    "Latin": "Ünïcödé çà ",
    "Cyrillic": "Провайдер ",
    "Greek": "Πάροχος ",
    "Arabic": "مزود النماذج ",
    "Han": "模型提供者",
    "Devanagari": "मॉडल प्रदाता ",
}
NAMES = [(letters * 100)[:99].strip() + "ẞ" for letters in SCRIPTS.values()]
TURNING = NAMES[3]


class Listing(NamedTuple):
    """A page that lists."""

    page: str
    rows: str
    """SQL that makes a thousand old ones; ``:name`` are those that are new."""
    new: str
    moment: str
    """The table's columns that are long ago for the old ones."""
    shows: int
    """Rows at most."""
    query: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    recent: dict[str, str] = {"since": "24 hours"}  # noqa: RUF012 - as above
    search: str | None = "search"
    has_names: bool = True


_PROVIDERS = (
    "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
    " SELECT 'zzq' || n, 'Zzq ' || n, 'openai', '[\"m1\"]', 'm1' FROM generate_series(1, 1000) n"
)
_PROVIDER = (
    "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
    " VALUES ('new' || :n, :name, 'openai', '[\"m1\"]', 'm1')"
)
_USER = "INSERT INTO users (username, password_hash, role) "
_TOKEN = "INSERT INTO api_tokens (name, token_hash, hint, role, created_by) "
_EVENT = "INSERT INTO audit_events (actor, action, target_type, target, changes) "
LISTS = [
    Listing("providers", _PROVIDERS, _PROVIDER, "llm_providers.updated_at", 20),
    Listing("effective_preview", _PROVIDERS, _PROVIDER, "llm_providers.updated_at", 26, {"view": "all"}),
    Listing(
        "users",
        f"{_USER} SELECT 'zzq' || n, 'x', 'analyst' FROM generate_series(1, 1000) n",
        f"{_USER} VALUES ('new' || :n || left(md5(:name), 1), 'x', 'analyst')",
        "users.updated_at",
        25,
        has_names=False,
    ),
    Listing(
        "tokens",
        f"{_TOKEN} SELECT 'zzq ' || n, md5(n::text), 'h', 'analyst', 'ada' FROM generate_series(1, 1000) n",
        f"{_TOKEN} VALUES (:name, md5('new' || :n), 'h', 'analyst', 'ada')",
        "api_tokens.created_at",
        25,
    ),
    Listing(
        "audit",
        f"{_EVENT} SELECT 'ada', 'test', 'provider', 'zzq' || n, '{{}}' FROM generate_series(1, 1000) n",
        f"{_EVENT} VALUES ('ada', 'test', 'provider', :name, '{{}}')",
        "audit_events.at",
        25,
        search="target",
    ),
]


def fill(session: Session, listing: Listing) -> None:
    """Make a thousand rows of 90 days ago, and six of now."""
    table, _, column = listing.moment.partition(".")
    session.execute(text(listing.rows))
    session.execute(
        text("SET LOCAL session_replication_role = replica")
    )  # no trigger, which would write the time of now
    session.execute(text(f"UPDATE {table} SET {column} = now() - interval '90 days' WHERE {column} IS NOT NULL"))
    session.execute(text("SET LOCAL session_replication_role = DEFAULT"))
    for n, name in enumerate(NAMES):
        values: dict[str, Any] = {"n": str(n), "name": name}
        session.execute(text(listing.new), {key: value for key, value in values.items() if f":{key}" in listing.new})
    session.expire_all()


def shown(at: AppTest) -> int:
    """How many rows are drawn."""
    lines = {button.key for button in at.button if (button.key or "").startswith(("edit_", "role_", "revoke_"))}
    return max(len(lines), len(at.expander), sum(len(table.value) for table in at.table))


def said(at: AppTest) -> str:
    tables = "\n".join(table.value.to_string() for table in at.table)
    return "".join(f"{everything(at)}\n{tables}".replace("\\", "").replace("\u200b", "").split())


@pytest.mark.parametrize("listing", LISTS, ids=lambda listing: listing.page)
def test_a_thousand_rows_and_names_in_six_scripts(session: Session, admin: Actor, listing: Listing) -> None:
    """A page at a time; what is new is told from what is old; each name is found, and one from right to left turns nothing else."""
    fill(session, listing)
    at = at_once(listing.page, admin, **listing.query)
    assert 10 <= shown(at) <= listing.shows
    if listing.page != "audit":
        assert "1,006" in everything(at) or "1006" in everything(at) or "1,007" in everything(at)

    at = at_once(listing.page, admin, **listing.query, **listing.recent)
    listed = said(at).casefold().replace('resolve("zzq1")', "")  # the first steps of a newcomer name a provider
    assert "zzq" not in listed
    if not listing.has_names:
        assert "new5" in said(at)
        return
    for name in NAMES:
        beginning = "".join(name[:40].split())
        assert beginning in said(at), name
    at = at_once(listing.page, admin, **listing.query, **{str(listing.search): TURNING[:30]})
    assert "".join(TURNING[:30].split()) in said(at)
    assert "".join(NAMES[0][:30].split()) not in said(at)
    raw = "\n".join(
        [everything(at), *(str(one.value) for one in at.html), *(one.value.to_string() for one in at.table)]
    )
    assert "\u2068" in raw or "<bdi>" in raw


def test_a_thousand_calls(session: Session, admin: Actor) -> None:
    """Usage: of a thousand calls a page is drawn; a provider and a user in another script are shown whole and isolated."""
    log(session, *({"user_id": f"u{n}"} for n in range(1000)), {"user_id": TURNING, "provider": "acme"})
    at = at_once("usage", admin)
    assert 10 <= len(at.expander) <= 25
    at = at_once("usage", admin, user=TURNING)
    assert len(at.expander) == 1
    assert "\u2068" in at.expander[0].label


def test_a_thousand_keys_that_are_refused(session: Session, admin: Actor) -> None:
    """Health names ten and counts the rest, of keys that cannot be opened too; a name from right to left turns nothing else."""
    session.execute(
        text(
            "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model, api_key_encrypted,"
            " api_key_key_id, api_key_binding, is_active)"
            " SELECT 'p' || n, :name || n, 'openai', '[\"m1\"]', 'm1', 'aa:bb:cc', :key, 'x', true FROM generate_series(1, 1000) n"
        ),
        {"name": TURNING[:90], "key": crypto.get_ring().primary_id},
    )
    session.execute(
        text(
            "INSERT INTO llm_logs (provider_id, provider, model, status, attempts, latency_ms, generation, error)"
            " SELECT id, name, 'm1', 'error', 1, 9, 1, 'openai.call failed (key, 1 attempt): 401: no' FROM llm_providers"
        )
    )
    session.expire_all()
    at = at_once("health", admin)
    said_ = said(at)
    assert said_.count("Unreadable") + said_.count("Damaged") <= 12
    assert "990moreAPIkeyscannotbeopened" in said_
    assert "990moreAPIkeysarerefused" in said_
    assert said_.count("\u2068") >= 10
