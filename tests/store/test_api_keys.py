"""One rule set says what may be a key, at every door, and never repeats it."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Invalid
from core.kinds import KINDS, KeyFormat
from core.manage import connection, providers
from core.store import api_keys
from core.store.schemas import ApiKeyInput, validate

OPENAI = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"


def _like(known: KeyFormat | None) -> str:
    """A key as the kind's row describes it."""
    return f"{known.prefixes[0] if known and known.prefixes else ''}{'Ab3_-' * 24}"[
        : max(40, known.min_length if known else 0)
    ]


REAL = {kind.name: _like(kind.key_format) for kind in KINDS.values()} | {
    "openai": OPENAI,
    "anthropic": "sk-ant-api03-" + "Ab3_-" * 19 + "AA",
    "google": "AIzaSyCanary0123456789abcdefghijklmnopqr",
    "openai_compatible": "gsk_0123456789abcdefghij",
}
ACME = {"name": "acme", "display_name": "Acme", "available_models": ["m"]}

REFUSED = [
    ("sk-proj...****", "mask", ""),
    ("****", "mask", ""),
    ("••••••••••", "mask", ""),
    ("sk-...AbC1xyz", "shortened", ""),
    ("# get it from the portal", "comment", ""),
    ("${OPENAI_API_KEY}", "reference", ""),
    ("$OPENAI_API_KEY", "reference", ""),
    ("%OPENAI_API_KEY%", "reference", ""),
    ("{{ .Values.key }}", "reference", ""),
    ("os.environ/OPENAI_API_KEY", "reference", ""),
    ("op://vault/item/field", "reference", ""),
    ("vault:secret/data/llm#key", "reference", ""),
    ("ref+awsssm://llm/key", "reference", ""),
    ("arn:aws:secretsmanager:eu-west-1:1:secret:llm", "reference", ""),
    ("projects/p/secrets/llm/versions/1", "reference", ""),
    ("@Microsoft.KeyVault(SecretUri=https://v.example/llm)", "reference", ""),
    ("/run/secrets/openai_key", "reference", ""),  # immich-stack PR#74, Cleanuparr#107: a secret's file
    ("C:\\keys\\openai.txt", "reference", ""),
    ("https://litellm.corp.example/v1", "URL", ""),
    ('{"type": "service_account", "private_key": "x"}', "JSON", ""),
    (f"Bearer {OPENAI}", "header", OPENAI),
    (f"Authorization: Bearer {OPENAI}", "header", OPENAI),
    (f"OPENAI_API_KEY={OPENAI}", "NAME=key", OPENAI),
    (f"export OPENAI_API_KEY = '{OPENAI}'", "NAME=key", OPENAI),
    (f'"api_key": "{OPENAI}",', "NAME=key", OPENAI),
    (f"OPENROUTER : {OPENAI}", "NAME=key", OPENAI),
    (f"x-api-key: {OPENAI}", "NAME=key", OPENAI),
    (f"- OPENAI_API_KEY={OPENAI}", "NAME=key", OPENAI),
    (f"setx OPENAI_API_KEY {OPENAI}", "command", OPENAI),
    (f'"{OPENAI}"', "quote", OPENAI),
    (f"'{OPENAI}", "quote", OPENAI),
    (f"{OPENAI}',", "quote", OPENAI),
    (f"\u2018{OPENAI}\u2019", "quote", OPENAI),
    ("OPENAI_API_KEY=${OPENAI_API_KEY}", "NAME=key", ""),
    (f"{OPENAI[:5]}—{OPENAI[6:]}", "number 6", f"{OPENAI[:5]}-{OPENAI[6:]}"),
    (f"{OPENAI[:9]}\u00a0{OPENAI[9:]}", "number 10", OPENAI),
    (f"{OPENAI[:9]}\u028b{OPENAI[9:]}", "number 10", ""),
    (f"{OPENAI},{OPENAI}", "several", ""),
    (f"{OPENAI};{OPENAI}", "several", ""),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("typed", "words", "correction"), REFUSED)
def test_what_is_no_key_is_refused(kind: str, typed: str, words: str, correction: str) -> None:
    """Whatever the kind: the rule says why, what was meant is offered, and the sentence repeats nothing of it."""
    found = api_keys.look(kind, f" {typed}\n")

    assert words in found.refused
    assert found.correction == correction
    assert OPENAI[8:] not in found.refused
    assert not found.correction or not api_keys.look(kind, found.correction).refused


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("typed", [form for form, _, _ in REFUSED if form.isascii()])
def test_every_door_refuses_alike(session: Session, admin: Actor, kind: str, typed: str) -> None:
    """Create, update, set the key, test the connection: each refuses what is no key, and stores nothing."""
    url = {} if KINDS[kind].base_url else {"api_base_url": "https://h.example/api"}
    rule = {"api_key": api_keys.look(kind, typed).refused}

    def fields(work: Any) -> dict[str, str]:
        with pytest.raises(Invalid) as told:
            work()
        assert OPENAI[8:] not in str(told.value)
        return told.value.fields

    nested = session.begin_nested()
    assert fields(lambda: providers.create(session, admin, {**ACME, **url, "kind": kind, "api_key": typed})) == rule
    nested.rollback()
    row = providers.create(session, admin, {**ACME, **url, "kind": kind})
    assert fields(lambda: providers.update(session, admin, row.id or 0, {"api_key": typed})) == rule
    assert fields(lambda: providers.set_api_key(session, COMMAND_LINE, row.id or 0, typed)) == rule
    assert fields(lambda: connection.prepare(session, admin, row.id, {"api_key": typed})) == rule
    assert fields(lambda: validate(ApiKeyInput, {"api_key": typed, "kind": kind})) == rule
    assert row.api_key_encrypted is None


def test_a_mask_that_comes_back_leaves_the_key(session: Session, admin: Actor) -> None:
    """A program that writes back what it read is refused, and the stored key stays."""
    row = providers.create(session, admin, {**ACME, "kind": "openai", "api_key": OPENAI})

    with pytest.raises(Invalid, match="mask of a stored key"):
        providers.update(session, admin, row.id or 0, {"api_key": row.api_key_masked})

    assert providers.open_api_key(session, row.id or 0) == OPENAI


@pytest.mark.parametrize("kind", KINDS)
def test_real_keys_pass(kind: str) -> None:
    """A key in the vendor's form passes without a word, as does one made of the kind's row."""
    for key in (REAL[kind], _like(KINDS[kind].key_format)):
        assert api_keys.look(kind, f"  {key}\n") == api_keys.KeyVerdict()


@pytest.mark.parametrize(
    "key",
    [
        "eyJ" + "Ab3_-" * 100 + ".eyJ" + "x9" * 300 + "." + "Zz-_" * 50,
        "bedrock-api-key-" + "QUJD" * 270 + "=&Version=1",
        "0123456789abcdef" * 2,
        "dGVzdA+/" * 8 + "==",
        "key-user:pass-0123456789",
        "a" * 8192,
    ],
)
@pytest.mark.parametrize("kind", ["openai", "openai_compatible"])
def test_long_and_odd_keys_pass(session: Session, admin: Actor, key: str, kind: str) -> None:
    """Tokens of a sign-in, of Bedrock, hex, base64 and user:password are kept as typed; a warning at most."""
    url = {"api_base_url": "https://h.example/v1"} if kind == "openai_compatible" else {}
    row = providers.create(session, admin, {**ACME, **url, "kind": kind, "api_key": key})

    assert providers.open_api_key(session, row.id or 0) == key


@pytest.mark.parametrize("key", ["EMPTY", "ollama", "lm-studio", "dummy", "sk-1234", "fake-key", "not-needed", "x"])
def test_a_server_of_ones_own_takes_any_key(session: Session, admin: Actor, key: str) -> None:
    """What the servers' documentation names is a key of the kind OpenAI-compatible; with a vendor it is too short or doubtful."""
    fields = {**ACME, "kind": "openai_compatible", "api_base_url": "http://vllm:8000/v1", "api_key": key}
    row = providers.create(session, admin, fields)

    assert providers.open_api_key(session, row.id or 0) == key
    assert api_keys.look("openai_compatible", key).note.startswith("Shorter than 8" if len(key) < 8 else "")
    vendor = api_keys.look("openai", key)
    assert "10 to 8,192" in vendor.refused or "placeholder" in vendor.warning


@pytest.mark.parametrize(
    "typed",
    [
        "user_provided", "your_openai_api_key_here", "sk-" + "x" * 48, "<your-gemini-api-key>", "CHANGE_ME_PLEASE",
        "YOUR-API-KEY-HERE", "sk-your-key-goes-here", "paste_key_here", "replace-me-with-a-key", "0000000000000",
        "sk-ant-xxxxxxxxxxxxx", "my-secret-key", "[insert key]", "example-key-123",
    ],
)  # fmt: skip
def test_placeholders_are_warned_of(typed: str) -> None:
    """What samples write in place of a key is told as that."""
    assert api_keys.placeholder(typed)
    found = api_keys.look("openai", typed)
    assert found.refused or "placeholder" in found.warning


@given(st.sampled_from(list(KINDS)), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_has_a_verdict_without_itself(kind: str, typed: str) -> None:
    """For any text: a verdict, whose words do not hold a key within it, and a correction that is a key."""
    found = api_keys.look(kind, f"{typed}{OPENAI}")

    assert OPENAI not in f"{found.refused}{found.warning}{found.note}"
    assert not found.correction or not api_keys.look(kind, found.correction).refused


@given(
    st.text(
        st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), min_size=30, max_size=200
    )
)
@settings(max_examples=500, deadline=None)
def test_random_keys_are_never_refused(tail: str) -> None:
    """No key of letters, digits, - and _ is taken for something else."""
    for kind, head in (("openai", "sk-"), ("anthropic", "sk-ant-"), ("google", "AIza"), ("openai_compatible", "")):
        assert not api_keys.look(kind, head + tail).refused


@pytest.mark.parametrize(
    "sign", ["a", " ", "a ", ",", "=", ":", "-", "${", '"', "A_", ".", "*", "key", "sk-a,", "x" * 5 + "0"]
)
def test_a_hostile_text_takes_no_time(sign: str) -> None:
    """8,192 characters of anything are judged in well under a second."""
    begun = time.monotonic()
    for kind in ("openai", "openai_compatible"):
        api_keys.look(kind, (f"a{sign * 8192}")[:8191] + "!")
    assert time.monotonic() - begun < 3
