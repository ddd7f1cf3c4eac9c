"""Providers and their keys: what is stored, what is refused, and whom a change belongs to."""

import inspect
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core import config, crypto
from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.crypto import KeyRing
from core.errors import (
    AlreadyExists,
    Conflict,
    CoreError,
    Forbidden,
    Invalid,
    KeyUnreadable,
    NotFound,
    Sealed,
    WrongEncryptionKey,
)
from core.kinds import KINDS
from core.manage import provider_figures, provider_keys, providers, settings
from core.store import db
from core.store.records import LlmUsage
from core.store.tables import LlmProvider
from tests.conftest import ENCRYPTION_KEY, make_user

CANARY = "sk-canary-0123456789abcdef"
OTHER_KEY = "fedcba9876543210" * 4
NOWHERE = 999_999
SQL = "'; DROP TABLE llm_providers; --"


def _data(name: str = "openai", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "display_name": name.title(),
        "kind": "openai",
        "available_models": ["m1", "m2"],
        "default_model": "m1",
        **more,
    }


@pytest.fixture
def provider(session: Session, admin: Actor) -> LlmProvider:
    return providers.create(session, admin, _data(api_key=CANARY))


def _id(provider: LlmProvider) -> int:
    assert provider.id is not None
    return provider.id


def _last_change(session: Session) -> tuple[str, dict[str, Any]]:
    """Return what was put on record last: the action, and the fields before and after."""
    # By id: those of a transaction that is still open have no seq yet
    query = text("SELECT action, changes FROM audit_events ORDER BY id DESC LIMIT 1")
    action, changes = session.execute(query).one()
    return action, changes


def _raw(session: Session, statement: str, **values: object) -> None:
    """Change the database behind our back."""
    session.execute(text(statement), values)
    session.expire_all()


def _use(monkeypatch: pytest.MonkeyPatch, key: str, extra: str = "") -> None:
    """Restart, as it were, with other encryption keys."""
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", key)
    monkeypatch.setenv("LLM_ENCRYPTION_KEYS_EXTRA", extra)
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()


def test_created_provider_is_complete(session: Session, admin: Actor) -> None:
    """What create returns is what is stored: stamped, the key sealed and masked."""
    before = datetime.now(UTC) - timedelta(seconds=5)
    made = providers.create(session, admin, _data(description=" two \n lines ", api_key=f" {CANARY}\n"))

    session.expire_all()
    stored = providers.get(session, _id(made))
    assert (stored.name, stored.description, stored.updated_by) == ("openai", "two\nlines", "ada")
    assert stored.version == made.version
    assert stored.is_active
    assert stored.created_at > before
    assert stored.api_key_set_at is not None
    assert stored.api_key_masked == "sk-cana...****"
    assert re.fullmatch(r"[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{52}", stored.api_key_encrypted or "")
    assert CANARY not in repr(stored.model_dump())
    assert providers.open_api_key(session, _id(stored)) == CANARY


def test_provider_may_have_no_key(session: Session, admin: Actor) -> None:
    """A key is not needed; blank text is no key; there is nothing to open then."""
    for name, data in (("a", {}), ("b", {"api_key": None}), ("c", {"api_key": ""}), ("d", {"api_key": "  "})):
        made = providers.create(session, admin, _data(name, **data))
        assert (made.api_key_encrypted, made.api_key_masked, made.api_key_set_at) == (None, None, None)
        assert made.version == 1
        assert provider_keys.key_state(made) == ("none", "")
        with pytest.raises(NotFound, match="API key of provider"):
            providers.open_api_key(session, _id(made))


OWN = {"kind": "openai_compatible", "api_base_url": "http://127.0.0.1:11434/v1"}


def test_a_provider_that_needs_no_key(session: Session, admin: Actor) -> None:
    """It is stored so, is active, counts as no provider without a key, and the switch is on record."""
    made = providers.create(session, admin, _data("own", **OWN, needs_key=False))
    assert (made.needs_key, made.is_active, made.api_key_encrypted) == (False, True, None)
    assert provider_keys.key_state(made) == ("not_needed", "")
    assert provider_figures.figures(session)[:4] == (1, 1, 0, 0)
    assert settings.effective(session, "own").status == "ok"
    assert settings.effective(session, "own").api_key() == "not-needed"

    providers.update(session, admin, _id(made), {"needs_key": True})
    assert provider_figures.figures(session)[:4] == (1, 1, 1, 0)
    changes = session.scalars(text("SELECT changes->'needs_key' FROM audit_events WHERE action = 'provider.update'"))
    assert list(changes) == [{"before": False, "after": True}]


def test_a_stored_key_stays_unused(session: Session, admin: Actor) -> None:
    """Switched off and on again the key is there as before; no other is taken meanwhile, and its host is not changed."""
    made = providers.create(session, admin, _data("own", **OWN, api_key=CANARY))
    providers.update(session, admin, _id(made), {"needs_key": False})
    assert settings.effective(session, "own").api_key() == "not-needed"
    for write in (
        lambda: providers.set_api_key(session, admin, _id(made), "sk-0123456789abcdef"),
        lambda: providers.update(session, admin, _id(made), {"api_key": "sk-0123456789abcdef"}),
        lambda: providers.create(session, admin, _data("two", **OWN, needs_key=False, api_key=CANARY)),
    ):
        with pytest.raises(Invalid, match="would not be used") as caught, session.begin_nested():
            write()
        assert list(caught.value.fields) == ["api_key"]
    with pytest.raises(Invalid, match="type the API key again, or remove it first"), session.begin_nested():
        providers.update(session, admin, _id(made), {"api_base_url": "http://127.0.0.2:11434/v1"})

    providers.update(session, admin, _id(made), {"needs_key": True})
    assert settings.effective(session, "own").api_key() == CANARY


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_vendors_answer_nobody_without_a_key(session: Session, admin: Actor, kind: str) -> None:
    """Each vendor's own address is refused, left empty or written out in whatever kind; a gateway of one's own is not."""
    own = KINDS[kind].base_url
    addresses = [*([None] if own else []), *(f.base_url for f in KINDS.values() if f.base_url)]
    for url in addresses:
        with pytest.raises(Invalid, match="answers nobody without a key") as caught, session.begin_nested():
            providers.create(session, admin, _data(kind=kind, api_base_url=url, needs_key=False))
        assert list(caught.value.fields) == ["needs_key"]
    made = providers.create(session, admin, _data(kind=kind, api_base_url="https://gw.example/llm", needs_key=False))
    with pytest.raises(Invalid, match="answers nobody"), session.begin_nested():
        providers.update(session, admin, _id(made), {"api_base_url": addresses[0] or addresses[1]})


@pytest.mark.usefixtures("provider")
def test_name_is_taken(session: Session, admin: Actor) -> None:
    """Two providers cannot share a name, neither at birth nor by renaming."""
    other = providers.create(session, admin, _data("other"))

    with pytest.raises(AlreadyExists, match="openai"), session.begin_nested():
        providers.create(session, admin, _data())
    with pytest.raises(AlreadyExists, match="openai"), session.begin_nested():
        providers.update(session, admin, _id(other), {"name": "openai"})
    with pytest.raises(AlreadyExists, match="openai"), session.begin_nested():
        providers.update(session, admin, _id(other), {"name": "openai", "api_key": "sk-0123456789"})


@pytest.mark.parametrize("wrong", [{"api_key": "short"}, {"api_key": 5}, {"name": "A"}, {"id": 5}, {"version": 5}])
def test_wrong_input_is_refused_by_field(session: Session, admin: Actor, wrong: dict[str, Any]) -> None:
    """CHECKS 25: create and update both name the field at fault, and take no column that is not an input."""
    made = providers.create(session, admin, _data("other"))
    for write in (
        lambda: providers.create(session, admin, _data() | wrong),
        lambda: providers.update(session, admin, _id(made), wrong),
    ):
        with pytest.raises(Invalid) as caught, session.begin_nested():
            write()
        assert list(caught.value.fields) == list(wrong)


def _writes(session: Session, actor: Actor, provider_id: int) -> dict[str, Callable[[], object]]:
    return {
        "create": lambda: providers.create(session, actor, _data("new")),
        "update": lambda: providers.update(session, actor, provider_id, {"display_name": "X"}),
        "delete": lambda: providers.delete(session, actor, provider_id),
        "set_api_key": lambda: providers.set_api_key(session, actor, provider_id, CANARY),
        "remove_api_key": lambda: providers.remove_api_key(session, actor, provider_id),
        "adopt_api_key": lambda: providers.adopt_api_key(session, actor, provider_id),
    }


def test_every_write_needs_an_admin(session: Session, admin: Actor, analyst: Actor, provider: LlmProvider) -> None:
    """Analysts, former admins and people who are gone can write nothing; a new write fails until it is listed here."""
    former = make_user("former", "admin")
    users.set_role(session, admin, former.user_id or 0, "analyst")
    disabled = make_user("disabled", "admin")
    users.set_active(session, admin, disabled.user_id or 0, active=False)
    listed = {
        name
        for name, function in vars(providers).items()
        if inspect.isfunction(function)
        and function.__module__ == providers.__name__
        and "actor" in inspect.signature(function).parameters
        and not name.startswith("_")
    }

    assert set(_writes(session, admin, 1)) == listed
    before = provider.version
    for actor in (analyst, former, disabled, Actor("ghost", NOWHERE, 1), Actor("ada", admin.user_id, 99)):
        for provider_id in (_id(provider), NOWHERE):
            for write in _writes(session, actor, provider_id).values():
                with pytest.raises(Forbidden):
                    write()
    session.expire_all()
    assert [(p.name, p.version) for p in providers.list_all(session)] == [("openai", before)]


def test_provider_that_is_not_there(session: Session, admin: Actor) -> None:
    """Whatever asks for a provider that does not exist is told so, also for ids no column can hold."""
    for number in (NOWHERE, 0, -1, 2**31, 2**63, 10**30):
        for read in (providers.get, providers.deletion, providers.open_api_key):
            with pytest.raises(NotFound, match="provider"):
                read(session, number)
        for name, write in _writes(session, admin, number).items():
            if name != "create":
                with pytest.raises(NotFound, match="provider"):
                    write()


@pytest.mark.parametrize("name", ["nope", "", "\x00", "\ud800", "x" * 10_000, "OPENAI", "%", SQL])
@pytest.mark.usefixtures("provider")
def test_name_that_nobody_has(session: Session, name: str) -> None:
    """CHECKS 54, 57: any text may be asked for: it is not found, and no statement breaks."""
    with pytest.raises(NotFound):
        providers.get_by_name(session, name)
    assert providers.get_by_name(session, "openai").name == "openai"


def test_sql_is_stored_as_text(session: Session, admin: Actor) -> None:
    """CHECKS 57: SQL in every text field is stored literally."""
    key = "x');DELETE/**/FROM/**/llm_providers--"
    made = providers.create(
        session,
        admin,
        _data(display_name=SQL, description=SQL, available_models=[SQL], default_model=SQL, api_key=key),
    )
    session.expire_all()

    assert (made.display_name, made.description, made.available_models, made.default_model) == (SQL, SQL, [SQL], SQL)
    assert providers.open_api_key(session, _id(made)) == key
    assert providers.list_all(session, search=SQL) == [made]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["a_b", "axb", "hundred", "quoted"]),
        ("   ", ["a_b", "axb", "hundred", "quoted"]),
        ("A_B", ["a_b"]),
        ("_", ["a_b"]),
        ("%", ["hundred"]),
        ("100%", ["hundred"]),
        ("100% hundred", ["hundred"]),
        ("100% axb", []),
        ("\\", ["hundred"]),
        ("\\%", []),
        ("'", ["quoted"]),
        ('"', ["quoted"]),
        ("o'neill", ["quoted"]),
        ("google", ["axb"]),
        ("gemini", ["axb"]),
        ("GEM", ["axb"]),
        ("m1", ["a_b", "hundred", "quoted"]),
        ("\x00", ["a_b", "axb", "hundred", "quoted"]),
        ("a\x00_b", ["a_b"]),
        ("a_b\ud800", ["a_b"]),
        ("x" * 10_000, []),
        ("a_b" + " " * 97 + "what is beyond 100 characters is not searched for", ["a_b"]),
        (" " * 99 + "#", []),
        ("ä", []),
        (SQL, []),
    ],
)
def test_search(session: Session, admin: Actor, search: str, found: list[str]) -> None:
    """CHECKS 57: %, _, backslash and quotes are searched for literally; words must all be found; NUL is dropped."""
    providers.create(session, admin, _data("a_b"))
    providers.create(session, admin, _data("axb", kind="google", available_models=["gemini"], default_model=None))
    providers.create(session, admin, _data("hundred", display_name="Hundred 100% \\o/"))
    providers.create(session, admin, _data("quoted", display_name='Quoted O\'Neill "Q"'))

    assert [p.name for p in providers.list_all(session, search=search)] == found
    assert providers.count(session, search=search) == len(found)


def test_list_count_and_names(session: Session, admin: Actor) -> None:
    """Lists are by display name whatever its case, then by id, and can be paged; inactive ones can be left out."""
    for name, shown, active in (("c", "beta", True), ("b", "Beta", False), ("a", "alpha", True), ("d", "ALPHA", True)):
        providers.create(session, admin, _data(name, display_name=shown, is_active=active))

    assert [p.name for p in providers.list_all(session)] == ["a", "d", "c", "b"]
    assert [p.name for p in providers.list_all(session, active=True)] == ["a", "d", "c"]
    assert [p.name for p in providers.list_all(session, active=False)] == ["b"]
    assert [p.name for p in providers.list_all(session, offset=1, limit=2)] == ["d", "c"]
    assert providers.list_all(session, limit=0) == []
    assert providers.names(session) == {"a": "alpha", "d": "ALPHA", "c": "beta", "b": "Beta"}
    assert list(providers.names(session)) == ["a", "d", "c", "b"]
    assert list(providers.names(session, active=True)) == ["a", "d", "c"]
    assert (providers.count(session), providers.count(session, active=False)) == (4, 1)


def test_update_changes_what_it_names(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """A patch changes its fields and no others; the version grows by one; an empty or equal patch changes nothing."""
    blob, before = provider.api_key_encrypted, provider.version
    changed = providers.update(session, admin, _id(provider), {"display_name": "New", "is_active": False})

    assert (changed.display_name, changed.is_active, changed.default_model, changed.version) == (
        "New",
        False,
        "m1",
        before + 1,
    )
    assert changed.api_key_encrypted == blob
    for nothing in ({}, {"display_name": "New"}, {"api_key": ""}, {"api_key": None}):
        assert providers.update(session, admin, _id(provider), nothing, version=before + 1).version == before + 1
    assert providers.open_api_key(session, _id(provider)) == CANARY


def test_history_is_kept_by_field(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Explain never blames Bob for Ada's field: who, when and in which version stands beside each field."""
    bob, before = make_user("bob", "admin"), provider.version
    providers.update(session, bob, _id(provider), {"display_name": "B"})
    providers.set_api_key(session, admin, _id(provider), f"{CANARY}-2")
    providers.update(session, bob, _id(provider), {"default_model": "m2"})
    history = provider.field_changes

    assert {name: (change["by"], change["version"]) for name, change in history.items()} == {
        **dict.fromkeys(["name", "kind", "needs_key", "available_models", "is_active"], ("ada", 1)),
        "display_name": ("bob", before + 1),
        "api_key": ("ada", before + 2),
        "default_model": ("bob", before + 3),
    }
    assert datetime.fromisoformat(history["default_model"]["at"]) == provider.updated_at
    assert (provider.version, provider.updated_by) == (before + 3, "bob")


def test_raw_sql_is_put_down_to_its_role(session: Session, provider: LlmProvider) -> None:
    """A change past this program raises the version too, and is put down to the database role."""
    before = provider.version
    _raw(session, "SELECT set_config('llm_settings.actor', '', true)")
    _raw(session, "UPDATE llm_providers SET display_name = 'raw', version = 77, updated_by = 'forged'")

    role = session.execute(text("SELECT session_user")).scalar()
    assert (provider.version, provider.updated_by) == (before + 1, f"{role} (SQL)")
    assert provider.field_changes["display_name"]["by"] == f"{role} (SQL)"
    assert provider.field_changes["name"]["by"] == "ada"


def test_rotation_is_no_edit(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Sealing a key anew with another encryption key changes ciphertext alone: no open form becomes stale."""
    before = provider.version
    sealed = crypto.get_ring().seal(CANARY, provider_keys.place_of(provider))
    _raw(
        session,
        "UPDATE llm_providers SET api_key_encrypted = :b, api_key_key_id = :k, api_key_binding = :m",
        b=sealed.blob,
        k=sealed.key_id,
        m=sealed.binding,
    )

    assert (provider.version, provider.updated_by) == (before, "ada")
    assert providers.update(session, admin, _id(provider), {"display_name": "X"}, version=before).version == before + 1
    assert providers.open_api_key(session, _id(provider)) == CANARY


def test_stale_edit_is_told_both_values(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """CHECKS 59: whoever saves second sees who was first, and each field that differs, stored and typed."""
    bob, before = make_user("bob", "admin"), provider.version
    providers.update(session, bob, _id(provider), {"display_name": "Bob's", "description": "same"}, version=before)

    with pytest.raises(Conflict) as caught:
        providers.update(
            session,
            admin,
            _id(provider),
            {"display_name": "Ada's", "is_active": False, "description": "same", "default_model": "m1"},
            version=before,
        )
    conflict = caught.value
    assert (conflict.version, conflict.changed_by) == (before + 1, "bob")
    assert conflict.changed_at == provider.updated_at.isoformat()
    assert conflict.changes == {
        "display_name": ("Bob's", "Ada's"),
        "description": ("same", "same"),
        "is_active": (True, False),
    }
    assert "bob" in str(conflict)
    with pytest.raises(Conflict):
        providers.delete(session, admin, _id(provider), version=before)
    assert provider.display_name == "Bob's"
    assert (
        providers.update(session, admin, _id(provider), {"display_name": "Ada's"}, version=before + 1).display_name
        == "Ada's"
    )


def test_conflict_shows_no_sealed_key(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """CHECKS 31: a stale edit that names the column of the ciphertext is not told what is in it."""
    blob = str(provider.api_key_encrypted)
    secret = {"api_key_encrypted": "x", "api_key_binding": "x", "api_key": "sk-typed-0123456789", "password_hash": "x"}

    with pytest.raises(Conflict) as caught:
        providers.update(session, admin, _id(provider), {**secret, "display_name": "X"}, version=99)
    assert list(caught.value.changes) == ["display_name"]
    assert blob not in repr(caught.value.changes)


@pytest.mark.parametrize(
    ("start", "patch", "field"),
    [
        ({}, {"api_base_url": "https://evil.example/v1"}, "api_base_url"),
        ({}, {"api_base_url": "http://api.openai.com/v1"}, "api_base_url"),
        ({}, {"api_base_url": "https://api.openai.com:8443/v1"}, "api_base_url"),
        ({}, {"kind": "anthropic"}, "kind"),
        ({"api_base_url": "https://a.example"}, {"api_base_url": None}, "api_base_url"),
        ({"api_base_url": "https://a.example"}, {"api_base_url": ""}, "api_base_url"),
        ({"api_base_url": "https://a.example"}, {"api_base_url": None, "kind": "google"}, "api_base_url"),
    ],
)
def test_new_origin_needs_the_key(
    session: Session, admin: Actor, start: dict[str, Any], patch: dict[str, Any], field: str
) -> None:
    """CHECKS 41: no stored key follows a changed host, port or scheme, also where only the kind changes it."""
    made = providers.create(session, admin, _data(api_key=CANARY, **start))

    for no_key in ({}, {"api_key": ""}, {"api_key": None}):
        with pytest.raises(Invalid, match="type the API key again") as caught:
            providers.update(session, admin, _id(made), {**patch, **no_key})
        assert list(caught.value.fields) == [field]
    session.refresh(made)
    assert providers.open_api_key(session, _id(made)) == CANARY

    moved = providers.update(session, admin, _id(made), {**patch, "api_key": f"{CANARY}-2"})
    assert providers.open_api_key(session, _id(moved)) == f"{CANARY}-2"


def test_same_origin_needs_no_key(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """Another path, spelling or kind that leads to the same host leaves the key where it is."""
    for patch in (
        {"api_base_url": "https://api.openai.com/v2"},
        {"api_base_url": "https://API.OPENAI.com:443"},
        {"kind": "openai_compatible"},
        {"kind": "openai", "api_base_url": None},
    ):
        providers.update(session, admin, _id(provider), patch)
        assert providers.open_api_key(session, _id(provider)) == CANARY


def test_without_a_key_the_origin_is_free(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """With no key stored, or after removing it, the address may change."""
    providers.remove_api_key(session, admin, _id(provider))
    moved = providers.update(session, admin, _id(provider), {"api_base_url": "https://a.example"})

    assert moved.api_base_url == "https://a.example"
    assert provider_keys.key_state(moved).state == "none"


def test_key_is_replaced_and_removed(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """A new key takes the old one's place; a removed one leaves nothing; both are in the history."""
    blob, before = provider.api_key_encrypted, provider.version
    providers.set_api_key(session, admin, _id(provider), "sk-ant-another-0123456789")
    assert provider.api_key_encrypted != blob
    assert (provider.api_key_masked, provider.version) == ("sk-ant-...****", before + 1)
    with pytest.raises(Invalid) as caught:
        providers.set_api_key(session, admin, _id(provider), "short")
    assert list(caught.value.fields) == ["api_key"]

    providers.remove_api_key(session, admin, _id(provider))
    assert {getattr(provider, name) for name in LlmProvider.model_fields if name.startswith("api_key")} == {None}
    assert provider.version == before + 2
    assert providers.remove_api_key(session, admin, _id(provider)).version == before + 2


def test_model_that_is_preferred_stays(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """CHECKS 56: neither the default model nor one that a settings row prefers can be taken away."""
    row = settings.upsert_global(session, admin, provider.id, {"preferred_model": "m2"})
    with pytest.raises(Invalid, match=r"available_models: must keep m2.*Defaults page"):
        providers.update(session, admin, _id(provider), {"available_models": ["m1"]})
    with pytest.raises(Invalid, match="default_model"):
        providers.update(session, admin, _id(provider), {"available_models": ["m2"]})

    changed = providers.update(session, admin, _id(provider), {"available_models": ["m2"], "default_model": "m2"})
    assert changed.default_model == "m2"
    settings.delete(session, admin, row.id or 0)
    changed = providers.update(session, admin, _id(provider), {"available_models": ["m3"], "default_model": None})
    assert (changed.available_models, changed.default_model) == (["m3"], None)


def test_deleting_says_what_goes(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """CHECKS 60: the key and the settings rows go with the provider, after being named; other rows stay."""
    other = providers.create(session, admin, _data("other"))
    for scope in (None, provider.id, other.id):
        settings.upsert_global(session, admin, scope, {"temperature": 0.1})
    said = providers.deletion(session, _id(provider))

    assert said == [
        "the provider openai, with 2 models",
        f"its API key {provider_keys.shown_key(provider)}",
        "its 1 settings row",
    ]
    assert providers.deletion(session, _id(other)) == [
        "the provider other, with 2 models",
        "its 1 settings row",
    ]
    assert providers.delete(session, admin, _id(provider), version=provider.version) == said
    assert [row.provider_id for row in settings.list_global(session)] == [None, other.id]
    assert providers.names(session) == {"other": "Other"}


TAMPERING = {
    "moved": [
        "UPDATE llm_providers SET api_base_url = 'https://evil.example' WHERE name = 'p0'",
        "UPDATE llm_providers SET kind = 'google' WHERE name = 'p0'",
        "UPDATE llm_providers SET api_key_binding = NULL WHERE name = 'p0'",
        "UPDATE llm_providers SET api_key_key_id = NULL WHERE name = 'p0'",
        """UPDATE llm_providers p SET api_key_encrypted = o.api_key_encrypted, api_key_key_id = o.api_key_key_id,
           api_key_binding = o.api_key_binding FROM llm_providers o WHERE p.name = 'p0' AND o.name = 'p1'""",
    ],
    "unbound": ["UPDATE llm_providers SET api_key_binding = NULL, api_key_key_id = NULL WHERE name = 'p0'"],
    "unknown_key": ["UPDATE llm_providers SET api_key_key_id = '00000000' WHERE name = 'p0'"],
    "damaged": [
        "UPDATE llm_providers SET api_key_encrypted = 'garbage' WHERE name = 'p0'",
        "UPDATE llm_providers SET api_key_encrypted = left(api_key_encrypted, -2) WHERE name = 'p0'",
        "UPDATE llm_providers SET api_key_encrypted = repeat('a', 1000000) WHERE name = 'p0'",
    ],
}


@pytest.mark.parametrize(
    ("reason", "statement"), [(reason, statement) for reason, some in TAMPERING.items() for statement in some]
)
def test_tampering_costs_one_row_its_key(session: Session, admin: Actor, reason: str, statement: str) -> None:
    """CHECKS 40: a blob moved, an address changed, a part removed behind our back: refused, and no one else suffers."""
    for name in ("p0", "p1"):
        providers.create(session, admin, _data(name, api_key=f"{CANARY}-{name}"))
    _raw(session, statement)
    state = provider_keys.key_state(providers.get_by_name(session, "p0"))

    assert state.state == reason
    assert state.message.endswith((".", "adopt"))
    with pytest.raises(KeyUnreadable) as caught:
        providers.open_api_key(session, _id(providers.get_by_name(session, "p0")))
    assert caught.value.reason == reason
    assert settings.effective(session, "p0").status == "key_unreadable"
    assert settings.effective(session, "p1").api_key() == f"{CANARY}-p1"
    assert provider_figures.figures(session).unreadable == 1


def test_one_damaged_row_among_a_hundred(session: Session, admin: Actor) -> None:
    """CHECKS 43: of 100 providers with one damaged, the list is whole and 99 keys can be used."""
    for number in range(100):
        providers.create(session, admin, _data(f"p{number}", api_key=f"{CANARY}-{number}"))
    _raw(session, "UPDATE llm_providers SET api_key_encrypted = 'garbage' WHERE name = 'p42'")
    rows = providers.list_all(session)

    states = {row.name: provider_keys.key_state(row).state for row in rows}
    assert len(rows) == 100
    assert {name for name, state in states.items() if state != "ok"} == {"p42"}
    assert provider_figures.figures(session)[:4] == (100, 100, 0, 1)
    usable = [name for name in states if settings.effective(session, name).status == "ok"]
    assert len(usable) == 99


@pytest.mark.parametrize("reason", ["unknown_key", "sealed"])
def test_wrong_or_no_encryption_key(
    session: Session, admin: Actor, provider: LlmProvider, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """CHECKS 42: the list works, each row says its state and cure, no ciphertext leaves, nothing new is sealed."""
    keyless = providers.create(session, admin, _data("keyless"))
    _use(monkeypatch, "" if reason == "sealed" else OTHER_KEY)
    states = [provider_keys.key_state(row) for row in providers.list_all(session)]

    assert [state.state for state in states] == ["none", reason]
    assert "LLM_ENCRYPTION_KEY" in states[1].message
    assert provider_figures.figures(session)[:4] == (2, 2, 1, 1)
    answer = settings.effective(session, "openai")
    assert (answer.status, answer.temperature) == ("key_unreadable", 0.7)
    assert str(provider.api_key_encrypted) not in f"{answer!r}{answer.as_dict()}{answer.cure}"
    for write in (
        lambda: providers.set_api_key(session, admin, _id(keyless), CANARY),
        lambda: providers.update(session, admin, _id(keyless), {"api_key": CANARY}),
        lambda: providers.create(session, admin, _data("new", api_key=CANARY)),
    ):
        with pytest.raises(Sealed) as caught, session.begin_nested():
            write()
        assert isinstance(caught.value, WrongEncryptionKey) is (reason == "unknown_key")
    assert providers.update(session, admin, _id(provider), {"display_name": "X"}).display_name == "X"


def test_old_key_in_the_ring_still_opens(
    session: Session, provider: LlmProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the primary key changed, what the old one sealed opens as long as it is in the ring."""
    _use(monkeypatch, OTHER_KEY, ENCRYPTION_KEY)

    assert provider_keys.key_state(provider).state == "ok"
    assert providers.open_api_key(session, _id(provider)) == CANARY
    assert provider_keys.key_state(provider, KeyRing(OTHER_KEY)).state == "unknown_key"


def test_key_of_another_program_is_adopted(
    session: Session, admin: Actor, provider: LlmProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CHECKS 40: a blob without key id and binding is not served until an admin adopts it; then it is bound here."""
    _raw(
        session,
        "UPDATE llm_providers SET api_key_encrypted = upper(:blob), api_key_masked = 'theirs', api_key_key_id = NULL,"
        " api_key_binding = NULL, api_key_set_at = NULL, api_key_fingerprint = NULL",
        blob=provider.api_key_encrypted,
    )
    assert provider_keys.key_state(provider).state == "unbound"
    with pytest.raises(KeyUnreadable, match="adopt"):
        providers.open_api_key(session, _id(provider))

    _use(monkeypatch, OTHER_KEY)
    with pytest.raises(KeyUnreadable, match="No key of the key ring"):
        providers.adopt_api_key(session, admin, _id(provider))
    _use(monkeypatch, OTHER_KEY, ENCRYPTION_KEY)
    adopted = providers.adopt_api_key(session, admin, _id(provider))

    assert (adopted.api_key_masked, adopted.api_key_key_id) == ("sk-cana...****", crypto.get_ring().primary_id)
    assert providers.open_api_key(session, _id(provider)) == CANARY
    assert adopted.api_key_set_at is not None
    after = f"sk-cana...**** {provider_keys.key_fingerprint(adopted)}"
    assert _last_change(session) == ("provider.adopt_key", {"api_key": {"before": "theirs", "after": after}})
    with pytest.raises(Invalid, match="not waiting to be adopted"):
        providers.adopt_api_key(session, admin, _id(provider))


def test_adopting_is_on_record_though_the_mask_stays(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """A key is bound anew, and that is an event, also when people see the same mask before and after, or none before."""
    mark = provider_keys.key_fingerprint(provider)
    for mask in (provider.api_key_masked, None):
        _raw(
            session,
            "UPDATE llm_providers SET api_key_key_id = NULL, api_key_binding = NULL, api_key_masked = :mask",
            mask=mask,
        )
        providers.adopt_api_key(session, admin, _id(provider))
        assert _last_change(session) == (
            "provider.adopt_key",
            {"api_key": {"before": f"{mask or '****'} {mark}", "after": f"sk-cana...**** {mark}"}},
        )


def test_only_a_changed_address_is_judged(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the operator shortened the list of private hosts, a row of before is edited freely, but for its address."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    made = providers.create(session, admin, _data(api_base_url="http://127.0.0.1:9"))
    monkeypatch.delenv("LLM_PRIVATE_HOSTS")
    config.get_config.cache_clear()

    assert providers.update(session, admin, _id(made), {"description": "of before"}).description == "of before"
    with pytest.raises(Invalid, match="private"):
        providers.update(session, admin, _id(made), {"api_base_url": "http://127.0.0.1:8"})


def test_recent_calls(session: Session) -> None:
    """The calls of 30 days of one provider, and the slot of the last; None where there are none."""
    now = datetime.now(UTC)
    for name, days, calls in (("acme", 29, 3), ("acme", 1, 4), ("acme", 31, 100), ("other", 0, 50), ("old", 31, 1)):
        figures = {
            "model": "m",
            "status": "ok",
            "latency_bucket": 0,
            "priced": 0,
            "input_tokens": 0,
            "output_tokens": 0,
        }
        session.add(LlmUsage(slot=now - timedelta(days=days), provider=name, calls=calls, cost=Decimal(0), **figures))
    session.flush()

    assert provider_figures.recent_calls(session, "acme") == (7, now - timedelta(days=1))
    assert provider_figures.recent_calls(session, "old") is None
    assert provider_figures.recent_calls(session, "nobody") is None


@pytest.mark.parametrize("state", ["none", "ok", "moved"])
def test_only_an_unbound_key_is_adopted(session: Session, admin: Actor, provider: LlmProvider, state: str) -> None:
    """CHECKS 40: adopting is no way around a refusal: a moved key stays refused."""
    if state == "none":
        providers.remove_api_key(session, admin, _id(provider))
    elif state == "moved":
        _raw(session, "UPDATE llm_providers SET api_base_url = 'https://evil.example'")

    assert provider_keys.key_state(provider).state == state
    with pytest.raises(Invalid, match="not waiting to be adopted"):
        providers.adopt_api_key(session, admin, _id(provider))


def test_figures(session: Session, admin: Actor, provider: LlmProvider) -> None:
    """The row of figures counts providers, active ones, those without a key, and knows the last change."""
    assert provider_figures.figures(session, KeyRing(ENCRYPTION_KEY)) == (1, 1, 0, 0, provider.updated_at)
    other = providers.create(session, admin, _data("other", is_active=False))
    assert provider_figures.figures(session) == (2, 1, 1, 0, other.updated_at)
    for row in (provider, other):
        providers.delete(session, admin, _id(row))
    assert provider_figures.figures(session) == (0, 0, 0, 0, None)


def test_key_format_is_a_warning() -> None:
    """A key that does not look like its kind's is warned of in words that do not show it; nothing is refused."""
    good = {"openai": "sk-proj-" + "Ab3" * 20, "anthropic": "sk-ant-" + "Ab3-_" * 20, "google": "AQ." + "Ab3_" * 13}
    for kind, key in good.items():
        assert provider_keys.validate_api_key_format(kind, f" {key}\n") is None
        for wrong in ("zz" + key, key[:12]):
            warning = provider_keys.validate_api_key_format(kind, wrong)
            assert warning is not None
            assert wrong not in warning
    assert provider_keys.validate_api_key_format("openai_compatible", "anything") is None
    assert provider_keys.validate_api_key_format("nonsense", "") is None


def test_unsaved_provider_has_no_place() -> None:
    """A key can be bound only to a row that has an id."""
    with pytest.raises(NotFound):
        provider_keys.place_of(LlmProvider(**_data()))


def _together(*works: Callable[[Session], object]) -> list[object]:
    """Run each work in a thread and a transaction of its own, at once; return results and errors."""
    start = threading.Barrier(len(works))
    outcomes: list[object] = [None] * len(works)

    def run(number: int) -> None:
        try:
            with db.transaction() as session:
                session.execute(text("SELECT 1"))
                start.wait(5)
                outcomes[number] = works[number](session)
        except CoreError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.fixture
def stored(committed: str) -> int:  # noqa: ARG001 - the database it is written to
    with db.transaction() as session:
        return _id(providers.create(session, COMMAND_LINE, _data()))


def test_two_who_create_the_same_name(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """CHECKS 58: of two who add the same name at once, one adds it and the other is told that it is taken."""
    for round_ in range(5):
        outcomes = _together(*[lambda s, r=round_: providers.create(s, COMMAND_LINE, _data(f"p{r}"))] * 2)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyExists", "LlmProvider"]
    with db.transaction() as session:
        assert providers.count(session) == 5


def test_two_admins_edit_the_same_row(stored: int) -> None:
    """CHECKS 59: of two edits based on one version, one is saved and the other sees who, and both values."""
    actors = [make_user(name, "admin") for name in ("ada", "bob")]
    for version in range(1, 6):
        outcomes = _together(
            *[
                lambda s, a=actor, v=version: providers.update(
                    s, a, stored, {"display_name": f"{a.name} {v}", "description": a.name}, version=v
                )
                for actor in actors
            ]
        )
        saved = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, LlmProvider)]
        assert len(saved) == 1
        winner, loser = actors[saved[0]], actors[1 - saved[0]]
        conflict = outcomes[1 - saved[0]]
        assert isinstance(conflict, Conflict)
        assert (conflict.version, conflict.changed_by) == (version + 1, winner.name)
        assert conflict.changes["display_name"] == (f"{winner.name} {version}", f"{loser.name} {version}")
    with db.transaction() as session:
        assert providers.get(session, stored).version == 6


def test_delete_while_the_other_edits(stored: int) -> None:
    """CHECKS 60: of an edit and a delete at once, whoever comes second is told: not found, or changed meanwhile."""
    outcomes = _together(
        lambda s: providers.update(s, COMMAND_LINE, stored, {"display_name": "X"}, version=1),
        lambda s: providers.delete(s, COMMAND_LINE, stored, version=1),
    )
    assert [isinstance(o, CoreError) for o in outcomes].count(True) == 1
    assert isinstance(outcomes[0], NotFound | LlmProvider)
    assert isinstance(outcomes[1], Conflict | list)


def test_failed_write_leaves_nothing(stored: int) -> None:
    """A refused key rolls back the fields that came with it: a write is whole or not at all."""
    with pytest.raises(Invalid), db.transaction() as session:
        providers.update(session, COMMAND_LINE, stored, {"display_name": "half", "api_key": "short"})
    with pytest.raises(Invalid), db.transaction() as session:
        providers.create(session, COMMAND_LINE, _data("half", api_key="short"))
    with db.transaction() as session:
        assert providers.names(session) == {"openai": "Openai"}
        assert providers.get(session, stored).version == 1


@pytest.mark.parametrize(
    ("patch", "action"),
    [
        ({"api_key": OTHER_KEY}, "provider.set_key"),
        ({"api_key": OTHER_KEY, "display_name": "Openai", "available_models": ["m1", "m2"]}, "provider.set_key"),
        ({"api_key": OTHER_KEY, "display_name": "Other"}, "provider.update"),
        ({"api_key": " ", "display_name": "Other"}, "provider.update"),
    ],
    ids=str,
)
def test_a_key_alone_is_a_key_that_was_set(
    session: Session, admin: Actor, provider: LlmProvider, patch: dict[str, Any], action: str
) -> None:
    """A form that was saved for its key alone is on record as that: who looks for new keys finds it."""
    providers.update(session, admin, _id(provider), patch)
    assert _last_change(session)[0] == action
