"""A newer catalogue from a file: what it changes is said first, it is taken whole or not at all, and services decide by it."""

import itertools
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select, text

from core.actors import Actor
from core.errors import Forbidden, Invalid
from core.manage import bundles, knowledge, model_facts, settings
from core.models import vendored
from core.models.facts import Price
from core.store.records import AuditEvent
from tests.pages.test_providers import add
from tests.processes import core


def _bundle(as_of: str = "2099-01-01", models: Any = None, **more: Any) -> bytes:
    rows = (
        {"openai": {"gpt-99": {"reasoning": "always", "context": 9, "retires": "2100-01-01"}}}
        if models is None
        else models
    )
    return json.dumps({"format": vendored.FORMAT, "as_of": as_of, "versions": {}, "models": rows, **more}).encode()


def test_it_is_previewed_and_taken_over(session: Session, admin: Actor, analyst: Actor) -> None:
    """For models in use: facts and what becomes of parameters. An admin's word still counts more; the same again is refused."""
    add(session, admin, available_models=["gpt-99", "gpt-4o"], default_model="gpt-99")
    bundle = bundles.read(_bundle())
    assumed = knowledge.of(session).facts("openai", "gpt-99")
    assert assumed is None or assumed.assumed_from

    found = {(each.model, each.what): (each.before, each.after) for each in bundles.preview(session, bundle)}
    assert found["gpt-99", "context"][1] == 9
    assert found["gpt-99", "temperature"][1] == "refuse"
    assert not any(model == "gpt-4o" for model, _ in found)
    with pytest.raises(Forbidden):
        bundles.take_over(session, analyst, bundle)
    assert bundles.take_over(session, admin, bundle) == 1
    assert bundles.preview(session, bundle) == []
    assert "temperature" not in settings.effective(session, "acme").request_options()

    model_facts.set_facts(session, admin, "gpt-99", {"temperature": {"ok": True}}, why="tried")
    assert settings.effective(session, "acme").request_options()["temperature"] == 0.7
    for again in (_bundle(), _bundle("2098-01-01")):
        with pytest.raises(Invalid) as raised:
            bundles.take_over(session, admin, bundles.read(again))
        assert "--force" in raised.value.fields["bundle"]
    older = bundles.read(_bundle("2098-01-01", {"openai": {"gpt-98": {"context": 1}, "gpt-97": {"context": 1}}}))
    assert bundles.take_over(session, admin, older, force=True) == 2
    assert session.execute(text("SELECT count(*) FROM llm_model_facts WHERE origin = 'imported'")).scalar() == 2
    events = session.exec(select(AuditEvent.changes).where(AuditEvent.action == "catalogue.import")).all()
    assert {"before": 1, "after": 2} in [each["models"] for each in events]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (128_000, "128,000"),
        ("default", "default"),
        (date(2027, 1, 2), "2027-01-02"),
        (("low", "high"), "low, high"),
        (
            (Price(input=Decimal(5), output=Decimal("2.5"), since=date(2026, 9, 1)),),
            "$5 in, $2.50 out since 2026-09-01",
        ),
        (
            (Price(input=Decimal(1)), Price(input=Decimal(2), output=Decimal(3), hours=(990, 30))),
            "another unit; $2 in, $3 out from 16:30 to 00:30 UTC",
        ),
    ],
)
def test_a_difference_is_said_in_words(value: object, text: str) -> None:
    """As people write it, and not as Python does."""
    assert bundles.value_text(value) == text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        _bundle(format=99),
        _bundle("soon"),
        _bundle(models={}),
        _bundle(models={"nobody": {"x": {"context": 1}}}),
        _bundle(models={"openai": {"x": {"context": -1}}}),
        _bundle(models={"openai": {"x": {"context": 1}, "y": {"nobody": 1}}}),
        _bundle(models={"openai": {"x": 5}}),
        _bundle(models={"openai": {"x": {"priced_as": "y"}}}),
        _bundle(models={"openai": {"x": {"efforts": ["e" * 300] * 60}}}),
        _bundle(models={"openai": {f"m{n}": {"context": 1} for n in range(10_001)}}),
        b'"' + b"x" * (4 * 1024 * 1024) + b'"',
    ],
    ids=itertools.count(),
)
def test_rubbish_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        bundles.read(raw)
    assert set(raised.value.fields) == {"bundle"}
    assert len(raised.value.fields["bundle"]) < 4000


def test_one_of_this_version_or_before_never_counts(session: Session, admin: Actor) -> None:
    """Not with force either: the catalogue of the version is newer, and no empty promise is stored."""
    with pytest.raises(Invalid):
        bundles.take_over(session, admin, bundles.read(_bundle(vendored.read().as_of.isoformat())), force=True)
    assert bundles.imported_as_of(session) is None


@pytest.mark.long
def test_by_the_command_line(committed: str, tmp_path: Path) -> None:
    """Our own catalogue, a year later: a dry run stores nothing, then all its models are there, and `models facts` has it."""
    content = json.loads(vendored.PATH.read_text(encoding="utf-8"))
    content["as_of"] = "2099-01-01"
    content["models"]["openai"]["gpt-4o"]["context"] = 77
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    dry = core("catalogue", "import", str(path), "--dry-run", DATABASE_URL=committed)
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout == "0 differences for models in use.\nNothing was imported.\n"
    done = core("catalogue", "import", str(path), DATABASE_URL=committed)
    assert done.returncode == 0, done.stderr
    count = sum(map(len, content["models"].values()))
    assert done.stdout.endswith(f"Imported: {count:,} models, as of 2099-01-01.\n")
    told = core("models", "facts", "gpt-4o", "--api", "openai", DATABASE_URL=committed).stdout
    assert "context: 77 (catalogue, 2099-01-01)" in told
