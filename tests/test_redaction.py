"""Secrets stay out of logs, and out of every object's repr, copy, pickle and dump."""

import base64
import copy
import dataclasses
import importlib
import json
import logging
import pickle
import pkgutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlmodel import SQLModel

import core
from core import config, crypto, redaction
from core.actors import Actor
from core.errors import Invalid
from core.redaction import MASK, Secret, remember, scrub
from core.schemas import ApiKeyInput, PasswordInput, validate
from core.tables import AuthSession, EncryptionCanary, LlmProvider, User
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.processes import App, environment

CANARY = "sk-canary\u00e9 /+=&\"'0123456789abcdef"
PLAIN = "sk-canary-0123456789abcdefghij"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test remembers is forgotten after it."""
    monkeypatch.setattr(redaction, "_pinned", ())
    monkeypatch.setattr(redaction, "_passing", ())


def spellings(secret: str) -> Iterator[str]:
    """How a secret may come to stand in a text."""
    raw = secret.encode()
    yield from (
        secret,
        repr(secret),
        ascii(secret),
        json.dumps(secret),
        json.dumps({"k": [secret]}, ensure_ascii=False),
    )
    for quote in (urllib.parse.quote, urllib.parse.quote_plus, lambda s: urllib.parse.quote(s, safe="")):
        quoted = quote(secret)
        yield from (
            quoted,
            "".join(c.lower() if quoted[max(0, i - 2) : i].count("%") else c for i, c in enumerate(quoted)),
        )
    yield raw.hex()
    for before in range(4):
        for after in range(4):
            text = b"x" * before + raw + b"y" * after
            yield from (base64.b64encode(text).decode(), base64.urlsafe_b64encode(text).decode().rstrip("="))


def core_of(secret: str) -> set[str]:
    """Parts of a secret, and of its base64, that must not be left over."""
    middle = secret[4:-4]
    coded = base64.b64encode(secret.encode()).decode()[6:-6]
    return {middle, coded}


def test_known_secret_is_found_however_it_is_written() -> None:
    """CHECKS 31: raw, quoted, percent-encoded, in hex, in base64 at every alignment."""
    remember(CANARY)
    for text in spellings(CANARY):
        clean = scrub(f"before {text} after")
        assert MASK in clean, text
        assert not any(part in clean for part in core_of(CANARY)), text
        assert clean.startswith("before ")
        assert clean.endswith(" after")


@given(secret=st.text(min_size=8, max_size=60).filter(lambda s: len(s.strip()) >= 8 and "*" not in s))
@settings(max_examples=200, deadline=None)
def test_any_known_secret_is_found(secret: str) -> None:
    """Whatever characters it has, no spelling of a remembered secret gets through whole."""
    before = redaction._passing
    try:
        remember(secret)
        for text in (
            secret,
            json.dumps(secret),
            urllib.parse.quote(secret, errors="replace") if secret.isascii() else "",
        ):
            assert secret not in scrub(f"<{text}>")
            if len(text) >= 8:
                assert scrub(f"<{text}>") != f"<{text}>"
    finally:
        redaction._passing = before


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("key sk-proj-abcdefghijklmnop1234", "sk-proj-"),
        ("key sk-ant-api03-abcdefghijklmnop", "sk-ant-"),
        ("key AIzaSyA12345678901234567890123456789012", "AIza"),
        ("key gsk_abcdefghijklmnopqrstuvwx", "gsk_"),
        ("Authorization: Bearer abcdefghijklmnop", "Bearer"),
        ("x-api-key: abcdefghijklmnop", "x-api-key"),
        ("[(b'authorization', b'Bearer abcdefghijklmnop')]", "authorization"),
        ("{'Authorization': 'Basic abcdefghijklmnop'}", "Authorization"),
        ("Cookie: llm_settings_session=abcdefghijklmnop", "Cookie"),
        ('{"api_key": "abcdefghijklmnop"}', "api_key"),
        ("postgresql://ada:hunter2hunter2@db:5432/x", "postgresql://ada:"),
        ("password=hunter2hunter2", "password"),
        (f"key {ENCRYPTION_KEY} end", "end"),
        (f"blob {'ab' * 16}:{'cd' * 16}:{'ef' * 20} end", "end"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", "eyJ"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_"),
        ("$2b$12$abcdefghijklmnopqrstuvabcdefghijklmnopqrstuvabcdefghijk", "$2b$12$"),
    ],
)
def test_usual_patterns_are_found(text: str, kept: str) -> None:
    """What looks like a secret goes without being known; what says what it was stays."""
    clean = scrub(text)

    assert MASK in clean
    assert kept in clean
    for word in ("abcdefghijklmnop", "hunter2", "SyA1234567", ENCRYPTION_KEY, "cdcdcdcd", "c2lnbmF0dXJl"):
        assert word not in clean


@pytest.mark.parametrize(
    "text",
    [
        "Uvicorn running on http://127.0.0.1:8501 (Press CTRL+C to quit)",
        "provider openai was changed by ada at 2026-11-23T10:00:00+00:00",
        "model claude-sonnet-4-5-20250929 of https://api.anthropic.com/v1",
        "GET /api/llm/settings?provider=openai 200",
        "epoch 6f1ed002-ab55-4a4f-8a5c-3f0c5d1f2a77, generation 12345",
    ],
)
def test_ordinary_lines_stay(text: str) -> None:
    """A log that hides everything is of no use."""
    assert scrub(text) == text


def test_scrubbing_is_linear() -> None:
    """A megabyte of what almost matches does not hang the log."""
    for part in ("a", "sk-", "://", "eyJ", "password=", "0", "a:", "bearer ", "x-api-key", "://a:", "$2b$12$", '\\"'):
        text = (part * 1_000_000)[:1_000_000]
        started = time.process_time()
        scrub(text)
        assert time.process_time() - started < 20, part  # quadratic would take hours


def test_old_secrets_are_crowded_out_and_those_of_the_configuration_are_not() -> None:
    """Memory stays bounded: the newest 512 are known, and what the process was started with."""
    remember("of the configuration", for_good=True)
    for number in range(redaction.MOST + 10):
        remember(f"secret number {number:06d}")

    assert len(redaction._passing) == redaction.MOST
    assert scrub("of the configuration") == MASK
    assert scrub(f"secret number {redaction.MOST:06d}") == MASK
    assert scrub("short") == "short"


# ---- objects ----


def shown(thing: Any) -> str:
    """All that can be made to show what a thing holds; a refusal is fine."""
    ways: list[Callable[[Any], object]] = [
        repr,
        str,
        "{}".format,
        lambda t: vars(t) if not isinstance(t, BaseModel | SQLModel) else "",
        pickle.dumps,
        lambda t: repr(copy.copy(t)),
        lambda t: repr(copy.deepcopy(t)),
        lambda t: json.dumps(t, default=repr),
        dataclasses.asdict,
        lambda t: t.model_dump(),
        lambda t: t.model_dump_json(),
        lambda t: t.dict() if not isinstance(t, BaseModel) else "",
    ]
    found = []
    for way in ways:
        try:
            found.append(str(way(thing)))
        except (TypeError, AttributeError, ValueError) as error:
            found.append(str(error))
    return " ".join(found)


def ring() -> crypto.KeyRing:
    return crypto.KeyRing(ENCRYPTION_KEY)


def place() -> crypto.Place:
    return crypto.Place("llm_providers", 1, "api_key", "https://api.openai.com:443")


def read_config() -> config.Config:
    return config.Config.read(
        {
            "DATABASE_URL": f"postgresql://ada:{PLAIN}@db/x",
            "LLM_ENCRYPTION_KEY": PLAIN,
            "LLM_ENCRYPTION_KEYS_EXTRA": f"{PLAIN},{PLAIN}",
            "LLM_ADMIN_PASSWORD": PLAIN,
        }
    )


HOLDERS: dict[str, Callable[[], Any]] = {
    "core.redaction.Secret": lambda: Secret(PLAIN),
    "core.config.Config": read_config,
    "core.crypto.Box": lambda: ring().box(*ring().seal(PLAIN, place()), place()),
    "core.crypto.KeyRing": lambda: crypto.KeyRing(ENCRYPTION_KEY.replace("0123", "ca7a")),
    "core.crypto._Key": lambda: crypto._Key(b"sk-canary-0123456789abcdefghij!!"),
    "core.crypto.SealedKey": lambda: crypto.SealedKey(PLAIN, "id", PLAIN),
    "core.schemas.ApiKeyInput": lambda: validate(ApiKeyInput, {"api_key": PLAIN}),
    "core.schemas.PasswordInput": lambda: validate(PasswordInput, {"password": PLAIN}),
    "core.tables.LlmProvider": lambda: LlmProvider(
        name="x",
        display_name="x",
        kind="openai",
        available_models=["m"],
        api_key_encrypted=PLAIN,
        api_key_binding=PLAIN,
    ),
    "core.tables.User": lambda: User(username="ada", password_hash=PLAIN, role="admin"),
    "core.tables.AuthSession": lambda: AuthSession(
        user_id=1, auth_epoch=1, sid_hash=PLAIN, ticket_hash=PLAIN, expires_at=datetime(2026, 1, 1, tzinfo=UTC)
    ),
    "core.tables.EncryptionCanary": lambda: EncryptionCanary(key_id="x", blob=PLAIN, binding=PLAIN),
}
TELLING = ("api_key_encrypted", "password", "secret", "token", "binding", "blob", "_hash", "encryption_key")
HARMLESS = {
    "core.parameters.Parameter": "names of parameters (max_tokens)",
    "core.tables.LlmSettings": "max_tokens is a number",
    "core.schemas.SettingsInput": "max_tokens is a number",
    "core.schemas._SettingsBase": "max_tokens is a number",
    "core.effective.EffectiveSettings": "max_tokens is a number; the key is in a Box",
    "core.sealed.SealedColumn": "names of columns",
    "core.schemas._SecretInput": "has no field of its own",
}


@pytest.mark.parametrize("name", list(HOLDERS))
def test_object_shows_no_secret(name: str) -> None:
    """CHECKS 35: repr, str, pickle, copy, deepcopy, json, asdict and model_dump: masked, or a TypeError."""
    if name == "core.crypto.SealedKey":
        assert PLAIN not in repr(HOLDERS[name]())  # a tuple of what is stored; it is sealed
        return
    said = shown(HOLDERS[name]())

    assert PLAIN not in said
    assert PLAIN.encode().hex() not in said


def test_every_class_with_a_secret_is_known_here() -> None:
    """A new class of core with a field that sounds like a secret has to be put into the table above, or said harmless."""
    unknown = []
    for module in pkgutil.iter_modules(core.__path__, "core."):
        if module.name == "core.__main__":
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            if not isinstance(thing, type) or thing.__module__ != module.name or issubclass(thing, BaseException):
                continue
            fields = {
                *getattr(thing, "model_fields", ()),
                *getattr(thing, "_fields", ()),
                *getattr(thing, "__annotations__", ()),
            }
            fields |= {f.name for f in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
            name = f"{module.name}.{thing.__qualname__}"
            if any(word in field for field in fields for word in TELLING) and name not in {*HOLDERS, *HARMLESS}:
                unknown.append((name, sorted(f for f in fields if any(word in f for word in TELLING))))

    assert unknown == []


def test_refused_key_is_not_in_the_error_nor_in_its_cause() -> None:
    """CHECKS 32: a sibling field is missing, or the key has half a character: nothing of it in the error, its cause or its context."""
    for work in (
        lambda: validate(ApiKeyInput, {"api_key": PLAIN, "more": 1}),
        lambda: validate(ApiKeyInput, {"api_key": f"{PLAIN}\ud800"}),
        lambda: validate(PasswordInput, {"password": f"{PLAIN}" * 9}),
        lambda: ring().seal(f"{PLAIN}\ud800", place()),
    ):
        with pytest.raises(Invalid) as caught:
            work()
        error: BaseException | None = caught.value
        while error is not None:
            assert PLAIN not in f"{error!r} {vars(error)}"
            assert PLAIN not in str(getattr(error, "object", ""))
            error = error.__cause__ or error.__context__


def test_actor_holds_no_secret() -> None:
    """What the session state of a page keeps of a sign-in: names and numbers."""
    assert {f.name for f in dataclasses.fields(Actor)} >= {"name", "user_id", "auth_epoch", "session_id", "address"}
    assert not any("secret" in f.name or "hash" in f.name for f in dataclasses.fields(Actor))


# ---- the log of a process ----

PROGRAM = """
import logging, sys, threading, warnings
from core import redaction
redaction.set_up_logging()
import streamlit, uvicorn.config
from streamlit.logger import get_logger
secret = sys.argv[1]
redaction.remember(secret)
late = logging.StreamHandler(sys.stderr)
logging.getLogger("late").addHandler(late)
logging.getLogger("late").warning("late %s", secret)
logging.getLogger("a").error("split %s%s", secret[:9], secret[9:])
logging.getLogger("a").error("bad %s %s", secret)
logging.getLogger("uvicorn.error").error("uvicorn %s", secret)
get_logger("streamlit.x").error("streamlit %s", secret)
warnings.warn(f"warned {secret}")
try:
    raise ValueError(secret)
except ValueError:
    logging.getLogger("a").exception("caught")
class Broken:
    def __del__(self):
        raise ValueError(secret)
Broken()
thread = threading.Thread(target=lambda: int(secret)); thread.start(); thread.join()
print("alive")
raise RuntimeError(f"uncaught {secret}")
"""


def test_nothing_leaves_by_the_log() -> None:
    """CHECKS 31: through loggers of all kinds, handlers added late, warnings, threads, __del__, and an error that nobody catches."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, PLAIN],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    out = done.stdout + done.stderr

    assert done.returncode == 1
    assert "alive" in done.stdout
    for word in ("late", "split", "uvicorn", "streamlit", "warned", "caught", "Traceback", "RuntimeError"):
        assert word in out, word
    assert PLAIN not in out
    assert PLAIN[3:20] not in out


def test_setting_up_twice_scrubs_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The set-up may run again, as after a hot reload."""
    assert capsys is not None
    before = logging.Handler.format, logging.root.handlers, logging.root.level, logging.raiseExceptions
    hooks = sys.excepthook, sys.unraisablehook
    try:
        redaction.set_up_logging()
        redaction.set_up_logging()
        assert len(logging.root.handlers) == 1
    finally:
        logging.Handler.format, logging.root.handlers, logging.root.level, logging.raiseExceptions = before  # type: ignore[method-assign]
        sys.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(capture=False)


def test_app_lives_with_a_full_disk_under_its_log(tmp_path: Path) -> None:
    """CHECKS 79: stdout and stderr on a full device: the app starts, serves, and stops when asked."""
    folder = Path("/dev/full")
    if not folder.exists():
        pytest.skip("!!! SKIPPED: this machine has no /dev/full !!!")
    with tempfile.TemporaryDirectory(prefix="llm-") as data:  # a path short enough for a socket
        app = App(folder, LLM_DATA_DIR=data)
        app.log = tmp_path / "nothing"
        app.log.touch()
        try:
            app.wait_until_served()
        finally:
            code = app.stop()

    assert code in {0, -15}


def test_nothing_shows_its_parameters() -> None:
    """CHECKS 33: pages show no details of errors, and the engine hides parameters."""
    assert 'showErrorDetails = "none"' in (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert "hide_parameters=True" in (ROOT / "core" / "db.py").read_text(encoding="utf-8")
