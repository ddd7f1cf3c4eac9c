"""Secrets stay out of logs, and out of every object's repr, copy, pickle and dump."""

import base64
import copy
import dataclasses
import importlib
import json
import logging
import pickle
import pkgutil
import re
import sys
import tempfile
import time
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel
from streamlit.config import get_option

import core
from core import config, crypto, redaction
from core.actors import Actor
from core.errors import Invalid
from core.mail_address import smtp_server
from core.redaction import MASK, Secret, remember, scrub
from core.store.schemas import ApiKeyInput, PasswordInput, validate
from core.store.tables import ApiToken, AuthSession, EncryptionCanary, LlmProvider, User
from tests.conftest import ENCRYPTION_KEY
from tests.processes import App, python

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


@given(
    secret=st.text(min_size=8, max_size=60).filter(lambda s: "*" not in s),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_any_known_secret_is_found(secret: str, before: bytes, after: bytes) -> None:
    """CHECKS 31: whatever characters it has and whatever stands around it, no spelling of a known secret gets through."""
    raw = secret.encode()
    coded = base64.b64encode(before + raw + after).decode()
    known = redaction._passing
    try:
        remember(secret)
        for text in (
            *(secret, repr(secret)[1:-1], ascii(secret)[1:-1], repr(raw)[2:-1]),
            *(json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]),
            *(raw.hex(), raw.hex().upper()),
            *_percent(secret),
            *(coded, coded.rstrip("="), coded.replace("+", "-").replace("/", "_"), urllib.parse.quote(coded)),
        ):
            clean = scrub(f"<{text}>")
            assert MASK in clean, text
            assert text.rstrip("=")[4 * (text[:4] == coded[:4]) :] not in clean, (
                text
            )  # a base64 may keep its outer digits
    finally:
        redaction._passing = known


def _percent(secret: str) -> Iterator[str]:
    for quoted in (
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote(secret, safe="!'()*"),  # encodeURIComponent of a browser
        urllib.parse.quote_plus(secret),
    ):
        yield quoted
        yield re.sub("%..", lambda hexed: hexed[0].lower(), quoted)


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


@pytest.mark.long
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
            "LLM_OIDC_CLIENT_SECRET": PLAIN,
        }
    )


HOLDERS: dict[str, Callable[[], Any]] = {
    "core.redaction.Secret": lambda: Secret(PLAIN),
    "core.config.Config": read_config,
    "core.mail_address.SmtpServer": lambda: smtp_server(Secret(f"smtp://ops:{PLAIN}@mail.example.com")),
    "core.crypto.Box": lambda: ring().box(*ring().seal(PLAIN, place()), place()),
    "core.crypto.KeyRing": lambda: crypto.KeyRing(ENCRYPTION_KEY.replace("0123", "ca7a")),
    "core.crypto._Key": lambda: crypto._Key(b"sk-canary-0123456789abcdefghij!!"),
    "core.crypto.SealedKey": lambda: crypto.SealedKey(PLAIN, "id", PLAIN),
    "core.store.schemas.ApiKeyInput": lambda: validate(ApiKeyInput, {"api_key": PLAIN}),
    "core.store.schemas.PasswordInput": lambda: validate(PasswordInput, {"password": PLAIN}),
    "core.store.tables.LlmProvider": lambda: LlmProvider(
        name="x",
        display_name="x",
        kind="openai",
        available_models=["m"],
        api_key_encrypted=PLAIN,
        api_key_binding=PLAIN,
    ),
    "core.store.tables.User": lambda: User(username="ada", password_hash=PLAIN, role="admin"),
    "core.store.tables.AuthSession": lambda: AuthSession(
        user_id=1, auth_epoch=1, sid_hash=PLAIN, ticket_hash=PLAIN, expires_at=datetime(2026, 1, 1, tzinfo=UTC)
    ),
    "core.store.tables.ApiToken": lambda: ApiToken(
        name="x", token_hash=PLAIN, hint="llms_", role="admin", created_by="ada"
    ),
    "core.store.tables.EncryptionCanary": lambda: EncryptionCanary(key_id="x", blob=PLAIN, binding=PLAIN),
}
TELLING = ("api_key_encrypted", "password", "secret", "token", "binding", "blob", "_hash", "encryption_key")
HARMLESS = {
    "core.actors.Actor": "the id of a token's row",
    "core.parameters.Parameter": "names of parameters (max_tokens)",
    "core.store.tables.LlmSettings": "max_tokens is a number",
    "core.store.schemas.SettingsInput": "max_tokens is a number",
    "core.store.schemas._SettingsBase": "max_tokens is a number",
    "core.resolving.effective.EffectiveSettings": "max_tokens is a number; the key is in a Box",
    "core.store.sealed.SealedColumn": "names of columns",
    "core.store.schemas._SecretInput": "has no field of its own",
    "core.logs.Call": "token_usage is numbers",
    "core.store.records.LlmLog": "numbers of tokens; what was said is scrubbed before it is written",
    "core.store.records.LlmUsage": "numbers of tokens",
    "core.govern.usage.CallFigures": "numbers of tokens",
    "core.govern.usage.Line": "numbers of tokens",
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
import uvicorn.config
uvicorn.config.Config("x")  # sets up its log, as `uvicorn asgi:app` does before it imports the app
import streamlit
from streamlit.error_util import handle_uncaught_app_exception
from streamlit.logger import get_logger
from core import redaction
redaction.set_up_logging()
redaction.set_up_logging()
get_logger("streamlit.early").error("early before the configuration")
assert streamlit.config.get_option("logger.level")  # read now, and with it Streamlit sets its loggers up again
secret = sys.argv[1]
redaction.remember(secret)
late = logging.StreamHandler(sys.stderr)
logging.getLogger("late").addHandler(late)
logging.getLogger("late").warning("late %s", secret)
logging.getLogger("a").error("split %s%s", secret[:9], secret[9:])
logging.getLogger("a").error("bad %s %s", secret)
logging.getLogger("uvicorn.error").error("from uvicorn %s", secret)
get_logger("streamlit.early").error("from streamlit %s", secret)
get_logger("streamlit.new").error("from new streamlit %s", secret)
handle_uncaught_app_exception(KeyError(f"of a page {secret}"))
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
    done = python(PROGRAM, PLAIN)
    out = done.stdout + done.stderr

    assert done.returncode == 1
    assert "alive" in done.stdout
    for word in ("late", "split", "has no form", "warned", "caught", "of a page", "RuntimeError", "Thread"):
        assert word in out, word
    for part in (PLAIN, PLAIN[3:20], base64.b64encode(PLAIN.encode()).decode()[4:-4], urllib.parse.quote(PLAIN)):
        assert part not in out


def test_log_has_one_form() -> None:
    """Streamlit's and uvicorn's lines are written once, and look like ours; also after Streamlit set its log up again."""
    lines = python(PROGRAM, PLAIN).stderr.splitlines()

    for source, words in (
        ("streamlit.early", "early before"),
        ("uvicorn.error", "from uvicorn"),
        ("streamlit.early", "from streamlit"),
        ("streamlit.new", "from new streamlit"),
    ):
        (line,) = [line for line in lines if words in line]
        assert re.match(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{{4}} ERROR {source}: {words}", line)


@pytest.mark.parametrize(
    "lose", ["sys.stderr.close()", "os.close(2)", "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)", "sys.stderr = None"]
)
def test_log_that_cannot_be_written_stops_nothing(lose: str) -> None:
    """CHECKS 79: a closed or full stderr loses lines; the program does not notice."""
    done = python(
        f"""
import logging, os, sys, warnings
from core import redaction
redaction.set_up_logging()
{lose}
logging.warning("%s", {PLAIN!r})
logging.warning("%s %s", {PLAIN!r})
warnings.warn({PLAIN!r})
print("alive")
"""
    )

    assert done.stdout == "alive\n"
    assert PLAIN not in done.stderr


@pytest.mark.program
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


@pytest.mark.program
def test_app_lives_in_a_folder_it_cannot_write(committed: str, tmp_path: Path) -> None:
    """CHECKS 79: the app starts and serves from a read-only folder; the log says once, in our form, where."""
    app = App(tmp_path / "log", cwd=Path("/proc"), DATABASE_URL=committed)  # not even root can write there
    try:
        app.wait_until_served()
    finally:
        app.stop()

    assert len(re.findall(r"(?m)^\S+ INFO uvicorn.error: Uvicorn running on http://", app.output())) == 1
    assert "Traceback" not in app.output()


def test_database_error_hides_its_parameters(session: Session) -> None:
    """CHECKS 33: the text and the traceback of a database error have no parameter in them."""
    with pytest.raises(DBAPIError) as caught, session.begin_nested():
        session.execute(sql("SELECT 1 / 0 WHERE CAST(:key AS text) <> ''"), {"key": PLAIN})

    assert PLAIN not in f"{caught.value} {caught.value!r}"
    assert PLAIN not in "".join(traceback.format_exception(caught.value))


def test_pages_show_no_details_of_errors() -> None:
    """CHECKS 31: Streamlit is told to show none, and prints no traceback past the log."""
    assert get_option("client.showErrorDetails") == "none"
    assert get_option("logger.enableRich") is False


@given(st.text(max_size=30), st.integers(1, 40), st.booleans())
@settings(max_examples=150, deadline=None)
def test_cut_is_after_the_scrub(before: str, longest: int, on_one_line: bool) -> None:
    """However a text is shortened, not four characters of a known secret stay at its end."""
    secret = "qZ7rW9pX" * 3
    remember(secret)
    cut = redaction.on_one_line if on_one_line else redaction.shortened
    short = cut(before + secret + "tail", longest)
    assert len(short) <= longest
    assert not any(secret[at : at + 4] in short for at in range(len(secret) - 3))


def test_log_line_has_no_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    """What a vendor or a stranger sends cannot lead the terminal on which somebody reads the log."""
    caplog.handler.setFormatter(None)
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "it said %s", ("\x1b]0;owned\x07\x9b\r\x00",), None)

    shown = redaction._format(logging.StreamHandler(), record)

    assert "it said" in shown
    assert [c for c in shown if not c.isprintable() and c not in "\n\t\ufffd"] == []


def test_traceback_of_a_stranger_is_written_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody sends a hundred times is a line each, after one traceback; another fault has its own; ours are whole."""
    monkeypatch.setattr(redaction, "_traced", {})
    handler = logging.StreamHandler()

    def fails(logger: str, at: float, *, elsewhere: bool = False) -> str:
        try:
            int("x") if elsewhere else {}["x"]
        except (KeyError, ValueError):
            record = logging.LogRecord(logger, logging.ERROR, "f", 1, "failed", None, sys.exc_info())
        record.created = at
        assert redaction._format(handler, record) == redaction._format(handler, record), "two handlers, one text"
        return redaction._format(handler, record)

    assert "Traceback" in fails("streamlit.x", 100)
    assert all("Traceback" not in fails("streamlit.x", 100 + n / 2) for n in range(1, 100))
    assert re.search(r"web.middleware: failed\. Again KeyError at", fails("web.middleware", 120)), "with its own words"
    assert len(fails("streamlit.x", 121)) < 250
    assert "Traceback" in fails("streamlit.x", 122, elsewhere=True)
    assert "Traceback" in fails("core.x", 123)
    assert "Traceback" in fails("streamlit.x", 161)
