"""`python -m core catalogue` needs no network, and the store only where it is asked for models in use."""

import json
from pathlib import Path

from core.actors import Actor
from core.manage import model_facts
from core.models import vendored
from core.store import db
from tests.pages.test_providers import add
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


def test_of_models_in_use(committed: str, admin: Actor, tmp_path: Path) -> None:
    """`diff --in-use` says what would become otherwise for them; `status --corrections` what an admin need not say any more."""
    with db.transaction() as session:
        add(session, admin, available_models=["gpt-5.4", "gpt-4o"], default_model="gpt-4o")
        model_facts.set_facts(session, admin, "gpt-4o", {"context": 128_000}, why="the catalogue did not know it")
        model_facts.set_facts(session, admin, "gpt-5.4", {"max_output": 7}, why="tried")
    content = json.loads(vendored.PATH.read_text(encoding="utf-8"))
    del content["models"]["openai"]["gpt-5"]
    content["models"]["openai"]["gpt-5.4"]["context"] = 7
    content["as_of"] = "2099-01-01"
    changed = tmp_path / "theirs.json"
    changed.write_text(json.dumps(content), encoding="utf-8")

    diff = core("catalogue", "diff", str(changed), "--in-use", DATABASE_URL=committed)
    assert diff.stdout.splitlines() == ["  openai gpt-5.4: context 1,050,000 -> 7", "1 difference for models in use."]
    with db.transaction() as session:
        assert not model_facts.list_all(session, origin="imported")

    done = core("catalogue", "status", "--corrections", DATABASE_URL=committed)
    assert done.returncode == 0, done.stderr
    assert (
        "  What is said of gpt-4o is the same without it now (gpt-4o): withdraw it?\n1 correction that could go."
        in done.stdout
    )
    assert "gpt-5.4" not in done.stdout
