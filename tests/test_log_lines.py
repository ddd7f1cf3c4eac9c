"""`LLM_LOG_FORMAT=json`: every line of the app and of the command line is one JSON object, without secrets."""

import json
import logging
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core import config, log_lines, redaction, request_ids
from core.errors import BadConfig
from tests.processes import App, core, python
from tests.test_redaction import PLAIN, PROGRAM

JSON = 'from core import log_lines; log_lines.choose("json")\n'


def objects(text: str) -> list[dict[str, Any]]:
    """The lines of a log; each is one object."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(autouse=True)
def _text_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_form", "text")


def test_every_line_is_one_object() -> None:
    """Our loggers, uvicorn's, Streamlit's, warnings, threads, `__del__` and an exception that nobody catches; no secret in any."""
    done = python(JSON + PROGRAM, PLAIN)
    lines = objects(done.stderr)

    assert done.returncode == 1
    loggers = {line["logger"] for line in lines}
    assert {"late", "a", "uvicorn.error", "streamlit.early", "streamlit.new", "py.warnings", "core"} <= loggers
    for line in lines:
        assert datetime.fromisoformat(line["time"]).tzinfo == UTC, "RFC 3339, in UTC"
        assert line["time"].endswith("Z")
        assert line["level"] in {"WARNING", "ERROR", "CRITICAL"}
        assert line["message"] or line.get("exception")
    raised = [line["exception"] for line in lines if "exception" in line]
    assert any(text.startswith("Traceback") and "ValueError: ****" in text and "\n" in text for text in raised)
    assert any("RuntimeError: uncaught ****" in text for text in raised)
    for part in (PLAIN, PLAIN[3:20]):
        assert part not in done.stderr
    assert sum("has no form" in line["message"] for line in lines) == 1


def test_object_has_what_the_text_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, level, logger, message, the request's id, the traceback; secrets out of each; one line, whatever is in it."""
    redaction.remember(PLAIN)
    record = logging.LogRecord("core.x", logging.ERROR, "f", 1, "a\u2028b\n%s \x1b[0m", (PLAIN,), None)
    record.created = 1_790_000_000.25
    record.exc_info = (ValueError, ValueError(PLAIN), None)

    def shown() -> str:
        request_ids.begin("id-1")
        return redaction._format(logging.StreamHandler(), record)

    text = copy_context().run(shown)
    monkeypatch.setattr(log_lines, "_form", "json")
    line = copy_context().run(shown)

    found = json.loads(line)
    assert line.isascii()
    assert "\n" not in line
    assert found.pop("exception").endswith("ValueError: ****")
    assert found == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "ERROR",
        "logger": "core.x",
        "message": "a\u2028b\n**** \ufffd[0m",
        "request_id": "id-1",
    }
    assert "ERROR core.x [id-1]: a" in text
    assert text.endswith("ValueError: ****")
    assert PLAIN not in text + line


@pytest.mark.parametrize("value", ["xml", "JSON ", "text,json", "# json", "1"])
def test_bad_value_is_told(value: str) -> None:
    """It names the variable and what it takes, not what was typed."""
    with pytest.raises(BadConfig) as caught:
        config.choose_log_format({"LLM_LOG_FORMAT": value})

    assert "LLM_LOG_FORMAT" in str(caught.value)
    assert value.startswith("#") or "text or json" in str(caught.value)
    assert "xml" not in str(caught.value)


@pytest.mark.parametrize(("value", "form"), [(None, "text"), ("", "text"), ("text", "text"), ("json", "json")])
def test_good_value(value: str | None, form: str) -> None:
    """Unset and empty are text."""
    config.choose_log_format({} if value is None else {"LLM_LOG_FORMAT": value})

    assert log_lines._form == form


def test_command_line_tells_its_error_as_an_object(tmp_path: Path) -> None:
    """Also where only the `.env` file says json; a bad value ends the command in one sentence, before anything else."""
    url = {"DATABASE_URL": "postgresql://nobody:x@127.0.0.1:9/none"}
    (tmp_path / ".env").write_text("LLM_LOG_FORMAT=json\n", encoding="utf-8")
    as_text = core("keys", "status", **url)
    for done in (core("keys", "status", LLM_LOG_FORMAT="json", **url), core("keys", "status", cwd=tmp_path, **url)):
        assert done.returncode == 1
        lines = objects(done.stderr)
        assert lines[-1]["level"] == "ERROR"
        assert lines[-1]["message"] == as_text.stderr.splitlines()[-1]

    refused = core("generate-key", LLM_LOG_FORMAT="yaml")
    assert (refused.returncode, refused.stderr) == (1, "Error: LLM_LOG_FORMAT must be text or json.\n")


@pytest.mark.long
def test_bad_value_ends_the_start_of_the_app(tmp_path: Path) -> None:
    """In one sentence."""
    app = App(tmp_path / "log", LLM_LOG_FORMAT="logfmt", DATABASE_URL="postgresql://nobody:x@127.0.0.1:9/none")

    assert app.process.wait(60) == 1
    assert "Not started: LLM_LOG_FORMAT must be text or json." in app.output()


@pytest.mark.kill
def test_app_says_everything_as_objects(tmp_path: Path) -> None:
    """From the start to the end: uvicorn's lines, our log, and the sentences for the terminal; here of a database that is away."""
    app = App(tmp_path / "log", DATABASE_URL="postgresql://nobody:x@127.0.0.1:9/none", LLM_LOG_FORMAT="json")
    try:
        app.wait_until_served()
    finally:
        app.stop()

    lines = {(line["logger"], line["message"].partition(":")[0]) for line in objects(app.output())}
    assert ("uvicorn.error", "Uvicorn running on http") in lines
    assert ("core", "The database cannot be reached") in lines
    assert ("core.store.outages", "A request was refused for want of the database") in lines
