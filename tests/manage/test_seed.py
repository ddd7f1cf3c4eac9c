"""Start-up data: the well-known providers, and keys that stand in the environment today."""

import pytest
from sqlmodel import Session

from core import config, crypto
from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Sealed
from core.kinds import facts_of
from core.manage import env_import, provider_keys, providers, seed, settings
from core.models import catalogue
from core.resolving.words import warnings_of
from core.store import db
from core.store.schemas import parse_models
from tests.conftest import make_user

KEYS = {
    "OPENAI_API_KEY": "sk-proj-canary-" + "o" * 60,
    "ANTHROPIC_API_KEY": "sk-ant-canary-" + "a" * 100,
    "GOOGLE_API_KEY": "AQ.canary-" + "g" * 50,
}
GEMINI = {"GEMINI_API_KEY": "AQ.canary-gemini-" + "g" * 50}
SENT_AT_FIRST = {
    "openai": {"max_tokens"},
    "anthropic": {"max_tokens"},
    "google": {"max_tokens", "frequency_penalty", "presence_penalty"},
}
"""What the default models take of the built-in defaults; all three reason, and ignore or refuse temperature and top_p."""
NAMES = [vendor.name for vendor in catalogue.SEEDED]


def _actions(outcomes: list[seed.Outcome]) -> dict[str, str]:
    return {outcome.name: outcome.action for outcome in outcomes}


def _whys(outcomes: list[seed.Outcome]) -> dict[str, str]:
    return {outcome.name: outcome.why for outcome in outcomes}


def _states(session: Session) -> dict[str, tuple[bool, str]]:
    session.expire_all()
    return {row.name: (row.is_active, provider_keys.key_state(row).state) for row in providers.list_all(session)}


def _use(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", key)
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()


def test_seed_adds_the_catalogue(session: Session, admin: Actor) -> None:
    """Every vendor of the catalogue is there with its models, inactive until it has a key."""
    outcomes = seed.seed(session, admin)

    assert _actions(outcomes) == dict.fromkeys(NAMES, "created")
    assert _states(session) == dict.fromkeys(NAMES, (False, "none"))
    for vendor in catalogue.SEEDED:
        row = providers.get_by_name(session, vendor.name)
        assert row.available_models == list(vendor.models)
        assert (row.default_model, row.kind, row.updated_by) == (vendor.default_model, vendor.kind, "ada")


def test_seed_omits_nothing_by_hand(session: Session, admin: Actor) -> None:
    """The first call after seeding sends nothing that the default model refuses, and limits its answer all the same."""
    seed.seed(session, admin)
    assert settings.list_global(session) == []
    for vendor in catalogue.SEEDED:
        answer = settings.effective(session, vendor.name)
        sent = answer.request_options()
        sent |= {**sent.pop("config", {}), **sent.pop("extra_body", {})}
        assert sent[facts_of(vendor.kind).names["max_tokens"] or ""] == answer.max_tokens
        assert set(sent) <= {"model", *(facts_of(vendor.kind).names[name] for name in SENT_AT_FIRST[vendor.name])}
        assert not sent.get("frequency_penalty")  # Gemini takes a penalty of 0, and none else
        assert (answer.omitted, warnings_of(answer)) == ((), [])


def test_seed_twice_changes_nothing(session: Session, admin: Actor) -> None:
    """What is there already, edited or not, is left alone, with all it has."""
    seed.seed(session, admin)
    row = providers.get_by_name(session, "openai")
    providers.update(session, admin, row.id or 0, {"available_models": ["mine"], "default_model": None})
    before = [(p.name, p.version, p.available_models) for p in providers.list_all(session)]
    rows = [(row.id, row.version) for row in settings.list_global(session)]

    outcomes = seed.seed(session, make_user("bob", "admin"))
    assert _actions(outcomes) == dict.fromkeys(NAMES, "left alone")
    assert set(_whys(outcomes).values()) == {"is there already"}
    assert [(p.name, p.version, p.available_models) for p in providers.list_all(session)] == before
    assert [(row.id, row.version) for row in settings.list_global(session)] == rows


def test_seed_fills_the_gap(session: Session, admin: Actor) -> None:
    """A vendor that somebody deleted comes back, the others stay."""
    seed.seed(session, admin)
    providers.delete(session, admin, providers.get_by_name(session, "google").id or 0)

    assert _actions(seed.seed(session, admin)) == {
        name: "created" if name == "google" else "left alone" for name in NAMES
    }


def test_only_an_admin_seeds(session: Session, analyst: Actor) -> None:
    """Both functions ask for an admin, and write nothing before."""
    for write in (lambda: seed.seed(session, analyst), lambda: env_import.import_env(session, analyst, KEYS)):
        with pytest.raises(Forbidden):
            write()
    assert providers.count(session) == 0


def test_import_creates_and_activates(session: Session, admin: Actor) -> None:
    """Into an empty store: each provider whose key is set is created whole, has its key and is active."""
    outcomes = env_import.import_env(session, admin, KEYS)

    assert _actions(outcomes) == {**dict.fromkeys(KEYS, "created"), "GEMINI_API_KEY": "left alone"}
    assert _states(session) == dict.fromkeys(NAMES, (True, "ok"))
    for variable, name in zip(KEYS, NAMES, strict=True):
        answer = settings.effective(session, name)
        assert answer.api_key() == KEYS[variable]
        assert not answer.omitted


def test_import_updates_what_was_seeded(session: Session, admin: Actor) -> None:
    """A seeded provider gets its key and becomes active; one without a variable stays as it is."""
    seed.seed(session, admin)
    outcomes = env_import.import_env(session, admin, {"OPENAI_API_KEY": f"  {KEYS['OPENAI_API_KEY']}\n", "OTHER": "x"})

    assert _actions(outcomes) == {
        "OPENAI_API_KEY": "updated",
        **dict.fromkeys(["ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"], "left alone"),
    }
    assert _whys(outcomes)["ANTHROPIC_API_KEY"] == "is not set"
    assert _states(session) == {"openai": (True, "ok"), "anthropic": (False, "none"), "google": (False, "none")}


def test_import_twice_changes_nothing(session: Session, admin: Actor) -> None:
    """The second time the same keys are there already; another key never replaces the one stored."""
    env_import.import_env(session, admin, KEYS)
    blobs = {row.name: row.api_key_encrypted for row in providers.list_all(session)}
    again = env_import.import_env(session, admin, KEYS)
    assert set(_actions(again).values()) == {"left alone"}
    assert _whys(again)["OPENAI_API_KEY"] == "provider openai has this key already"

    other = env_import.import_env(session, admin, {"OPENAI_API_KEY": KEYS["OPENAI_API_KEY"] + "x"})
    assert _whys(other)["OPENAI_API_KEY"] == "provider openai has another key; replace it on the Providers page"
    session.expire_all()
    assert {row.name: row.api_key_encrypted for row in providers.list_all(session)} == blobs


def test_import_leaves_a_deactivated_provider_alone(session: Session, admin: Actor) -> None:
    """A provider that has its key and was switched off by somebody is not switched on again."""
    env_import.import_env(session, admin, KEYS)
    providers.update(session, admin, providers.get_by_name(session, "openai").id or 0, {"is_active": False})
    env_import.import_env(session, admin, KEYS)

    assert _states(session)["openai"] == (False, "ok")


@pytest.mark.parametrize(
    ("env", "used"),
    [
        ({**GEMINI, "GOOGLE_API_KEY": KEYS["GOOGLE_API_KEY"]}, "GOOGLE_API_KEY"),
        (GEMINI, "GEMINI_API_KEY"),
        ({**GEMINI, "GOOGLE_API_KEY": "  "}, "GEMINI_API_KEY"),
        ({"GEMINI_API_KEY": "", "GOOGLE_API_KEY": KEYS["GOOGLE_API_KEY"]}, "GOOGLE_API_KEY"),
    ],
)
def test_two_names_for_googles_key(session: Session, admin: Actor, env: dict[str, str], used: str) -> None:
    """GOOGLE_API_KEY wins over GEMINI_API_KEY as in Google's SDK; alone or beside a blank one either is used."""
    outcomes = env_import.import_env(session, admin, env)

    assert _actions(outcomes)[used] == "created"
    assert settings.effective(session, "google").api_key() == env[used]
    if len([value for value in env.values() if value.strip()]) == 2:
        assert _whys(outcomes)["GEMINI_API_KEY"] == "GOOGLE_API_KEY is used for provider google"


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("bad", ["short", "line\nbreak-inside-it", "Ab3_" * 2049, "zero\u200bwidth-canary-key"])
def test_key_that_is_refused_leaves_nothing(session: Session, admin: Actor, bad: str, *, seeded: bool) -> None:
    """A key that cannot be stored is left alone with the reason; its provider is neither made nor activated."""
    if seeded:
        seed.seed(session, admin)
    before = _states(session)
    outcomes = env_import.import_env(session, admin, {**KEYS, "OPENAI_API_KEY": bad})

    assert _actions(outcomes)["OPENAI_API_KEY"] == "left alone"
    assert _whys(outcomes)["OPENAI_API_KEY"].startswith("api_key: ")
    assert _actions(outcomes)["ANTHROPIC_API_KEY"] == ("updated" if seeded else "created")
    session.flush()
    assert _states(session).get("openai") == before.get("openai")


@pytest.mark.parametrize("key", ["fedcba9876543210" * 4, ""])
def test_stored_key_that_cannot_be_opened_stays(
    session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """With another encryption key, or none, a stored key is left alone, and it is not claimed to be another one."""
    env_import.import_env(session, admin, KEYS)
    blobs = {row.name: row.api_key_encrypted for row in providers.list_all(session)}
    _use(monkeypatch, key)
    outcomes = env_import.import_env(session, admin, KEYS)

    assert set(_actions(outcomes).values()) == {"left alone"}
    assert "cannot be opened" in _whys(outcomes)["OPENAI_API_KEY"]
    assert "already" not in _whys(outcomes)["OPENAI_API_KEY"]
    session.expire_all()
    assert {row.name: row.api_key_encrypted for row in providers.list_all(session)} == blobs


def test_import_without_an_encryption_key(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - where it happens
    """Without LLM_ENCRYPTION_KEY the import stops as a whole, and nothing of it stays."""
    _use(monkeypatch, "")
    with pytest.raises(Sealed), db.transaction() as session:
        env_import.import_env(session, COMMAND_LINE, KEYS)
    with db.transaction() as session:
        assert providers.count(session) == 0


def test_odd_key_is_stored_with_a_note(session: Session, admin: Actor) -> None:
    """A key that does not look like its vendor's is stored all the same: vendors change their formats."""
    outcomes = env_import.import_env(session, admin, {"OPENAI_API_KEY": "canary-of-another-shape"})

    assert _actions(outcomes)["OPENAI_API_KEY"] == "created"
    assert "Note: Keys of this kind usually begin with sk-" in _whys(outcomes)["OPENAI_API_KEY"]


@pytest.mark.parametrize("seeded", [True, False])
def test_dry_run_rolls_back(session: Session, admin: Actor, *, seeded: bool) -> None:
    """A dry run says what would be done; rolled back to its savepoint, nothing of it is left."""
    if seeded:
        seed.seed(session, admin)
    before = _states(session)
    attempt = session.begin_nested()
    dry = env_import.import_env(session, admin, {**KEYS, "GOOGLE_API_KEY": "short"})
    attempt.rollback()

    assert _states(session) == before
    assert env_import.import_env(session, admin, {**KEYS, "GOOGLE_API_KEY": "short"}) == dry


def test_no_outcome_holds_a_key(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 31: whatever becomes of a key, no outcome has it in its text."""
    bad = {"OPENAI_API_KEY": "canary 😀\nx" * 3, "ANTHROPIC_API_KEY": "canary" * 100, "GOOGLE_API_KEY": "canary"}
    outcomes = [
        *env_import.import_env(session, admin, bad),
        *env_import.import_env(session, admin, {**KEYS, **GEMINI}),
        *env_import.import_env(session, admin, {**KEYS, **GEMINI}),
        *env_import.import_env(session, admin, bad),
    ]
    _use(monkeypatch, "")
    outcomes += env_import.import_env(session, admin, {**KEYS, **GEMINI})

    assert {outcome.action for outcome in outcomes} == {"created", "left alone"}
    assert "canary" not in repr(outcomes)


def test_provider_of_that_name_keeps_its_own_models(session: Session, admin: Actor) -> None:
    """An operator's own provider of a vendor's name gets the key and nothing else."""
    made = providers.create(
        session,
        admin,
        {
            "name": "openai",
            "display_name": "Mine",
            "kind": "openai",
            "available_models": parse_models("a, b"),
            "default_model": "b",
        },
    )
    assert _actions(env_import.import_env(session, admin, KEYS))["OPENAI_API_KEY"] == "updated"
    session.refresh(made)

    assert (made.display_name, made.available_models, made.default_model) == ("Mine", ["a", "b"], "b")
    assert settings.effective(session, "openai").omitted == ()
