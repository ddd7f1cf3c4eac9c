"""What becomes of personal data, merged of layers: random rows in real tables against a slow reference, and what raw SQL leaves.

How many random states are tried is for `LLM_TEST_STATES` to say: a tenth of them.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from core.crypto import KeyRing
from core.resolving import reading, snapshot_file
from core.resolving.layers import Layer
from core.resolving.merge import build
from core.resolving.personal_data import UNLESS_SET, OwnPattern, PersonalDataRules
from core.resolving.personal_merge import fitting
from core.resolving.snapshot import Snapshot
from tests.conftest import ENCRYPTION_KEY
from tests.processes import python
from tests.resolving.facts import provider
from tests.resolving.test_reading import SOME

RING = KeyRing(ENCRYPTION_KEY)
STATES = int(os.environ.get("LLM_TEST_STATES", "400")) // 10
Connection = psycopg.Connection[Any]
ORDER = [
    *((owner, False, of) for owner in (None, "template", "organization") for of in (False, True)),
    *((owner, True, of) for owner in (None, "template", "organization") for of in (False, True)),
]
"""Owner, whether it names the feature, and the provider: the lowest first."""
OWN = {"name": "STAFF", "pattern": "E-[0-9]{6}", "matches": "E-123456", "spares": "E-1"}
VALUES: dict[str, list[Any]] = {
    "logs": ["off", "mask"],
    "prompts": ["off", "mask", "refuse"],
    "answers": ["off", "mask"],
    "restore": [True, False],
    "types": [[], ["EMAIL"], ["IBAN", "EMAIL"]],
    "countries": [[], ["DE"], ["FR", "DE"]],
    "engine": ["built-in", "presidio"],
    "patterns": [[], [OWN]],
    "allow": [[], ["info@acme.example"]],
    "on_failure": ["refuse", "send"],
}
RULES: list[dict[str, Any]] = [
    {"personal_data.logs": {"in": ["mask"]}},
    {"personal_data.logs": {"in": ["off"]}, "personal_data.restore": {"in": [False]}},
    {"personal_data.prompts": {"in": ["refuse", "mask"]}},
    {"personal_data": {"lock": True}},
    {"personal_data.types": {"lock": True}, "personal_data.prompts": {"lock": True}},
]


@pytest.fixture
def owner(committed: str) -> Iterator[Connection]:
    """Whom the tables belong to; two providers, two organisations with a template, and a feature are there."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(SOME)  # type: ignore[arg-type]  # statements of ours
        yield connection


def _rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # type: ignore[arg-type]  # a name of ours


def _place(row: dict[str, Any], asked: tuple[int, int | None, int | None]) -> int | None:
    """Return which place in the order a row has for who asks; None: it does not count."""
    of, organization, feature = asked
    template = {1: 3}.get(organization or 0)
    owners = {template: "template", organization: "organization"} | {None: None}
    fits = (
        row["provider_id"] in {None, of} and row["feature_id"] in {None, feature} and row["organization_id"] in owners
    )
    if not fits or row.get("is_active") is False:
        return None
    names = (owners[row["organization_id"]], row["feature_id"] is not None, row["provider_id"] is not None)
    return ORDER.index(names)


def _expected(
    stored: list[dict[str, Any]], limiting: list[dict[str, Any]], asked: tuple[int, int | None, int | None]
) -> dict[str, Any]:
    rows = [(p, row) for row in stored if (p := _place(row, asked)) is not None]
    limits = [(p, row) for row in limiting if (p := _place(row, asked)) is not None]
    limits.sort(key=lambda each: (each[1]["owner"] != "installation", each[0], each[1]["id"]))
    found = {}
    for name, unless in UNLESS_SET._asdict().items():
        default = list(unless) if isinstance(unless, tuple) else unless
        locks = [
            (row["owner"] != "installation", p)
            for p, row in limits
            if row["limits"].get("personal_data") or "lock" in row["limits"].get(f"personal_data.{name}", {})
        ]
        highest = min(locks)[1] if locks else 99
        said = [
            row[name] for p, row in sorted(rows, key=lambda each: -each[0]) if p <= highest and row[name] is not None
        ]
        said.append(default)
        among: list[Any] | None = None
        for _, row in limits:
            this = row["limits"].get(f"personal_data.{name}", {}).get("in")
            both = this if among is None else [one for one in among if one in (this or among)]
            among = both or among
        if among is not None:
            said = [one for one in said if one in among] or among
        found[name] = said[0]
    return found


def _plain(rules: PersonalDataRules) -> dict[str, Any]:
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in rules._asdict().items()}
    return plain | {"patterns": [OWN for each in plain["patterns"] if each == OwnPattern(OWN["name"], OWN["pattern"])]}


def _write(connection: Connection, dice: random.Random) -> None:
    with connection.transaction():
        for table in ("llm_pii_settings", "llm_limits"):
            connection.execute(f"DELETE FROM {table}")  # type: ignore[arg-type]  # of ours
        for _ in range(dice.randrange(9)):
            scope = [dice.choice([None, 1, 2, 3]), dice.choice([None, 1]), dice.choice([None, 1, 2])]
            fields = {name: dice.choice(VALUES[name]) for name in dice.sample(list(VALUES), dice.randrange(1, 6))}
            columns = ["organization_id", "feature_id", "provider_id", "is_active", *fields]
            values = [*scope, dice.random() < 0.9]
            values += [Jsonb(value) if isinstance(value, list) else value for value in fields.values()]
            connection.execute(
                f"INSERT INTO llm_pii_settings ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # type: ignore[arg-type]  # of ours
                " ON CONFLICT DO NOTHING",
                values,
            )
        for _ in range(dice.choice([0, 0, 1, 2])):
            organization = dice.choice([None, 1, 3])
            values = [dice.choice(["installation", "organization"]) if organization else "installation", organization]
            values += [dice.choice([None, 1]), dice.choice([None, 1]), Jsonb(dice.choice(RULES))]
            connection.execute(
                "INSERT INTO llm_limits (owner, organization_id, feature_id, provider_id, limits) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                values,
            )


@pytest.mark.long
def test_any_rows_merge_as_the_reference_says(owner: Connection, tmp_path: Path) -> None:
    """Rows and limits on any scope, followed change by change: each field of each scope is the reference's, of a file too."""
    taken = reading.load(owner)
    assert all(taken.answer(name, RING).personal_data is UNLESS_SET for name in ("openai", "local"))
    names = {"openai": 1, "local": 2}, {None: None, "acme": 1, "beta": 2}, {None: None, "summarise": 1}
    seen = set()
    for number in range(STATES):
        _write(owner, random.Random(number))
        after = reading.update(owner, taken)
        assert after is not None
        taken = after
        stored = _rows(owner, "llm_pii_settings"), _rows(owner, "llm_limits")
        if number % 5 == 0:
            assert taken.is_like(reading.load(owner))
        for name, of in names[0].items():
            for organization, organization_id in names[1].items():
                for feature, feature_id in names[2].items():
                    answer = taken.answer(name, RING, organization=organization, feature=feature)
                    wanted = _expected(*stored, (of, organization_id, feature_id))
                    assert _plain(answer.personal_data) == wanted, (number, name, organization, feature)
                    explained = {each.name: each for each in answer.explain()}
                    assert explained["personal_data.logs"].value == wanted["logs"]
                    seen.add(explained["personal_data.logs"].source.layer)
    path = tmp_path / "file"
    snapshot_file.write(path, taken, 0)
    saved = snapshot_file.read(path)
    assert saved is not None
    _same(saved.snapshot, taken)
    assert seen >= {"built_in", "all_providers", "provider", "template", "organization", "organization+feature"}


def _same(one: Snapshot, other: Snapshot) -> None:
    for organization in (None, "acme", "beta"):
        found = [each.answer("openai", RING, organization=organization).personal_data for each in (one, other)]
        assert found[0] == found[1]


NONSENSE: list[tuple[str, Any, Any]] = [
    ("logs", "loud", None),
    ("logs", True, None),
    ("prompts", "", None),
    ("restore", "true", None),
    ("engine", "", None),
    ("engine", "x" * 101, None),
    ("types", "EMAIL", None),
    ("types", ["EMAIL", "SHOE SIZE", 5, None, "EMAIL"], ["EMAIL"]),
    ("types", ["SHOE SIZE"], None),
    ("types", [], []),
    ("countries", [["DE"], "DE"], ["DE"]),
    ("allow", {"a": 1}, None),
    ("patterns", [OWN, OWN, {"name": "a", "pattern": "b"}, {"name": "X", "pattern": "("}, {"name": "Y"}, 5], [OWN]),
    ("patterns", [{"name": "X", "pattern": "("}], None),
    ("patterns", [{"name": "X", "pattern": "a" * 501}], None),
    ("on_failure", "ignore", None),
]


def test_what_makes_no_sense_is_not_there() -> None:
    """A value that raw SQL left, or a part of a list, counts as not said: what stands below it holds, and nothing raises."""
    for name, value, kept in NONSENSE:
        found = fitting(name, value)
        wanted = [{each: OWN[each] for each in ("name", "pattern")}] if kept == [OWN] else kept
        assert found == wanted, (name, value)
        below = Layer("all_providers", 1, 1, {name: VALUES[name][-1]}, {})
        above = Layer("provider", 2, 1, {name: value}, {name: "x"})
        answer = build(provider(), [], personal=lambda rows=(below, above): rows)
        assert _plain(answer.personal_data)[name] == (VALUES[name][-1] if kept is None else kept), (name, value)
        json.dumps([each.as_dict() for each in answer.explain()])


def test_who_has_no_row_imports_nothing_more() -> None:
    """An answer without rows is the shared default; neither it nor the resolver loads the search for personal data."""
    assert build(provider(), []).personal_data is UNLESS_SET
    loaded = "print([name for name in sys.modules if 'privacy' in name])"
    answer = "build(None, ()).personal_data"
    found = python(
        f"import sys; from core.resolve import resolve; from core.resolving.merge import build; {answer}; {loaded}"
    )
    assert found.stdout.strip() == "[]"
