"""What was changed, what differs between two moments, and the store as it was: the same as it was seen then."""

import os
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import CoreError
from core.govern import history_moments
from core.manage import hierarchy
from core.manage.hierarchy import AskedFor
from core.store import db, past
from core.store.tables import METADATA
from tests.govern import history_writes

KEPT = (
    *("feature_llm_overrides", "installation", "llm_features", "llm_limits", "llm_model_facts", "llm_provider_secrets"),
    *("llm_providers", "llm_settings", "organization_names", "organization_providers", "organizations"),
    "settings_presets",
)
LONG = int(os.environ.get("LLM_TEST_HISTORY", "0"))
"""So many long runs besides, by night."""
_UNKEPT = ("created_at", "updated_at", "updated_by", "field_changes", "version")
_SEALED = ("_masked", "_key_id", "_binding", "_fingerprint")
ASKED = [
    AskedFor(provider, organization, feature)
    for provider, organization in ((None, None), ("p0", None), (None, "o0"), ("p1", "crm o1"), ("p0", "o0"))
    for feature in (None, "f0")
]


def rows(session: Session) -> dict[str, list[dict[str, Any]]]:
    """Return what stands in the tables, or what a session of the past reads there, without stamps and what is sealed."""
    found = {}
    for table in KEPT:
        images = session.scalars(text(f"SELECT to_jsonb(t) FROM (SELECT * FROM {table}) t ORDER BY id"))
        found[table] = [
            {
                name: (value is not None if name.endswith("_encrypted") else value)
                for name, value in image.items()
                if name not in _UNKEPT and not name.endswith(_SEALED)
            }
            for image in images
        ]
    return found


def answers(session: Session, actor: Actor = COMMAND_LINE) -> list[Any]:
    """Return what is in force for some scopes, with who decided each value, but not when."""
    found: list[Any] = []
    for asked in ASKED:
        try:
            settings = hierarchy.in_force(session, actor, asked).settings
        except CoreError as error:
            found.append(str(error))
            continue
        why = [
            (
                item.name,
                item.value,
                item.source.layer,
                item.source.row_id,
                item.source.scope,
                item.source.changed_by,
                item.sent,
            )
            for item in settings.explain()
        ]
        found.append((settings.status, settings.model, settings.provider, settings.key_owner, why))
    return found


def _of(found: dict[str, list[dict[str, Any]]], organizations: tuple[int, ...]) -> dict[str, list[dict[str, Any]]]:
    """Return those of the rows that are nobody's, or of these organisations."""
    of = {table: "id" if table == "organizations" else "organization_id" for table in KEPT}
    wanted = {None, *organizations}
    return {table: [row for row in images if row.get(of[table]) in wanted] for table, images in found.items()}


def _record(generations: dict[int, Any]) -> None:
    with db.transaction() as session:
        newest = history_moments.newest(session).generation
        if newest not in generations:
            generations[newest] = (rows(session), answers(session))


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(("seed", "turns"), [(7, 32), *((100 + seed, 300) for seed in range(LONG))])
def test_as_of_is_what_was_seen_then(seed: int, turns: int) -> None:
    """After a random run of every kind of write, each generation that was seen is read as it was: rows, what is in force, and who decided it.

    Of all, of some organisations, and of none: rows that went from one to another, or to nobody, too.
    """
    random, seen = Random(seed), dict[int, Any]()
    _record(seen)
    for turn in range(turns):
        with db.transaction() as session:
            history_writes.write(session, Actor(random.choice(["ada", "bob"])), random)
            if turn % 4 == 0:
                history_writes.move(session, random)
        if turn % 4 == 0:
            _record(seen)
    assert len(seen) > turns // 6
    with db.transaction() as session:
        for generation, (expected, said) in seen.items():
            with past.reading(session, past.Past(generation, None)) as then:
                assert rows(then) == expected, generation
                assert answers(then) == said, generation
            there = tuple(row["id"] for row in expected["organizations"])
            for organizations in ((), there[:1], there[1:]):
                with past.reading(session, past.Past(generation, organizations)) as then:
                    assert rows(then) == _of(expected, organizations), (generation, organizations)
    assert sum(map(len, seen[max(seen)][0].values())) > 10


@pytest.mark.usefixtures("committed")
def test_every_kept_table_is_compared_here() -> None:
    """A table with the trigger has a history, and is one of those that these tests read."""
    query = "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgfoid = 'llm_count_change'::regproc AND t.tgdeferrable"
    with db.transaction() as session:
        assert set(session.scalars(text(query))) - {"org_llm_budgets", "llm_rate_limits", "llm_pii_settings"} == set(
            KEPT
        )
    assert set(KEPT) < set(METADATA.tables)
