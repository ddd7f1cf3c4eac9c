"""`explain`, run as people run it."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import text

from core.actors import COMMAND_LINE
from core.manage import providers, settings
from core.store import db
from tests.conftest import ROOT
from tests.processes import core

OPENAI = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.long
def test_explain(committed: str, tmp_path: Path) -> None:
    """`explain` says what a service here gets, and why: the same as `s.explain()`, as text and as JSON."""
    url = {"DATABASE_URL": committed}
    with db.transaction() as session:
        openai = providers.create(
            session,
            COMMAND_LINE,
            {
                "name": "openai",
                "display_name": "OpenAI",
                "kind": "openai",
                "available_models": ["m"],
                "default_model": "m",
                "api_key": OPENAI,
            },
        )
        settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 0.1})
        settings.upsert_global(
            session, COMMAND_LINE, openai.id, {"temperature": 0.25, "custom_settings": {"a": "\u00fc"}, "top_p": 0.5}
        )
        settings.upsert_global(session, COMMAND_LINE, openai.id, {"omitted_parameters": ["top_p"]})
        session.execute(
            text(
                "INSERT INTO organizations (id, slug, name) VALUES (7, 'acme', 'Acme');"
                "INSERT INTO organization_names VALUES ('acme', 7, 'slug'), ('crm-7', 7, 'external');"
                "INSERT INTO llm_features (id, name, display_name) VALUES (1, 'classify', 'Classify');"
                f"INSERT INTO llm_settings (organization_id, default_provider_id) VALUES (7, {openai.id});"
                "INSERT INTO feature_llm_overrides (feature_id, organization_id, temperature) VALUES (1, 7, 0)"
            )
        )
    told = core("explain", "openai", **url)
    as_json = json.loads(core("explain", "openai", "--json", **url).stdout)
    scoped = core("explain", "--organization", "crm-7", "--feature", "classify", **url)
    no_feature = core("explain", "--organization", "acmee", "--feature", "clasify", "openai", **url)
    unknown = core("explain", "opnai", **url)
    away = core("explain", "openai", cwd=tmp_path, LLM_DATA_DIR=str(tmp_path), PYTHONPATH=str(ROOT))
    with db.transaction() as session:
        here = settings.effective(session, "openai")

    assert told.returncode == 0, told.stderr
    assert re.search(r"^openai: ok, generation \d+$", told.stdout, re.MULTILINE)
    assert re.search(
        r"^temperature +0\.25 +sent +this provider, row \d+, version 1, by command line, \d{4}-",
        told.stdout,
        re.MULTILINE,
    )
    assert "hides 0.1: all providers, row" in told.stdout
    assert "hides 0.7: built-in default" in told.stdout
    assert re.search(r"^top_p +0\.5 +not sent", told.stdout, re.MULTILINE)
    assert OPENAI not in told.stdout + str(as_json)
    assert (as_json["status"], as_json["stale"]) == ("ok", False)
    assert as_json["settings"] == [item.as_dict() for item in here.explain()]
    assert {item["name"]: item["sent"] for item in as_json["settings"]}["top_p"] is False
    assert (unknown.returncode, away.returncode) == (1, 1)
    assert "There are:" in unknown.stdout
    assert "openai" in unknown.stdout
    assert "store_unavailable" in away.stdout
    assert "Traceback" not in told.stderr + unknown.stderr + away.stderr
    assert re.search(r"^openai · acme · classify: ok, generation \d+$", scoped.stdout, re.MULTILINE), scoped.stderr
    assert re.search(
        r"^temperature +0 +sent +organisation, this feature \(acme · classify\), row", scoped.stdout, re.MULTILINE
    )
    assert re.search(
        r"^The default provider, chosen by: organisation \(acme\), row \d+, version 1", scoped.stdout, re.MULTILINE
    )
    assert "chosen by" not in told.stdout
    assert as_json["default_by"] is None
    assert (scoped.returncode, no_feature.returncode) == (0, 1)
    assert "openai · acmee · clasify: unknown_organization" in no_feature.stdout
    assert "There is no feature clasify" in no_feature.stdout
