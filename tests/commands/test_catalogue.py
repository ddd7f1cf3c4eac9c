"""`python -m core catalogue` needs neither network nor store."""

import json
from pathlib import Path

from core.models import vendored
from tests.processes import core

NO_STORE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"}


def test_status() -> None:
    """It says the day, the packages, and how many models there are."""
    done = core("catalogue", "status", **NO_STORE)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Known as of {vendored.read().as_of}, ")
    assert "litellm " in done.stdout


def test_what_is_exported_differs_in_nothing_but_what_was_changed(tmp_path: Path) -> None:
    path, changed = tmp_path / "ours.json", tmp_path / "theirs.json"
    assert core("catalogue", "export", str(path), **NO_STORE).returncode == 0
    content = json.loads(path.read_text(encoding="utf-8"))
    assert core("catalogue", "export", **NO_STORE).stdout == path.read_text(encoding="utf-8")

    same = core("catalogue", "diff", str(path), **NO_STORE).stdout
    assert same.startswith("0 differences. ")

    del content["models"]["openai"]["gpt-5"]
    content["models"]["openai"]["gpt-99"] = {"context": 1}
    content["models"]["openai"]["gpt-5.4"]["context"] = 7
    content["as_of"] = "2099-01-01"
    changed.write_text(json.dumps(content), encoding="utf-8")
    lines = core("catalogue", "diff", str(changed), **NO_STORE).stdout.splitlines()

    assert lines[:3] == ["- openai gpt-5", "  openai gpt-5.4: context 1050000 -> 7", "+ openai gpt-99"]
    assert lines[3].startswith(f"3 differences. {changed} is of 2099-01-01, ")


def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{", encoding="utf-8")
    done = core("catalogue", "diff", str(path), **NO_STORE)

    assert done.returncode == 1
    assert "broken.json is unread: it is not JSON" in done.stderr
    assert "Traceback" not in done.stderr
