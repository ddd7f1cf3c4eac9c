"""Headers in the snapshot and in its file: what is plain is served from there, what is sealed only from the database."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.crypto import KeyRing
from core.resolving import snapshot_file
from core.resolving.carried import TABLE, Opened, place_of_secret
from core.resolving.columns import PROVIDERS, SECRETS
from core.resolving.snapshot import Snapshot
from tests.conftest import ENCRYPTION_KEY

RING = KeyRing(ENCRYPTION_KEY)
SECRET = "gw-canary-fedcba9876543210"
ORIGIN = "http://gate.example:80"


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


def _line(columns: Any, **values: str) -> bytes:
    return "\t".join(values.get(name, r"\N") for name in columns).encode()


def _sealed(row_id: int, name: str) -> bytes:
    blob, key_id, binding = RING.seal(SECRET, place_of_secret(row_id, 1, "header", name, ORIGIN))
    return _line(
        SECRETS,
        id=str(row_id),
        provider_id="1",
        use="header",
        name=name,
        value_encrypted=blob,
        value_key_id=key_id,
        value_binding=binding,
    )


def _plain(row_id: int, name: str, value: str, use: str = "header") -> bytes:
    return _line(SECRETS, id=str(row_id), provider_id="1", use=use, name=name, plain_value=value)


GATE = _line(
    PROVIDERS,
    id="1",
    name="gate",
    display_name="Gate",
    kind="openai_compatible",
    api_base_url="http://gate.example/v1",
    default_model="m1",
    is_active="t",
    version="1",
    needs_key="f",
)


def _snapshot(*secrets: bytes) -> Snapshot:
    return Snapshot(7, "here", {1: GATE}, {}, {int(line.partition(b"\t")[0]): line for line in secrets})


def test_they_are_part_of_the_answer() -> None:
    """In the order in which they were added, and under the SDK's own names."""
    found = _snapshot(_plain(5, "v", "1", "query"), _sealed(3, "X-Pass"), _plain(4, "X-Team", "b\\tc"))
    answer = found.answer("gate", RING)

    assert answer.carried() == Opened((("X-Pass", SECRET), ("X-Team", "b\tc")), (("v", "1"),), (SECRET,))
    options = answer.client_options()
    assert options["default_headers"] == {"X-Pass": SECRET, "X-Team": "b\tc"}
    assert options["default_query"] == {"v": "1"}
    assert SECRET not in f"{answer!r}{answer.as_dict()}{answer.explain()}"


def test_a_change_is_taken_over_row_by_row() -> None:
    """Added, changed, removed, and gone to another provider; what did not change stays."""
    found = _snapshot(_plain(3, "A", "1"), _plain(4, "B", "1"))
    found = found.after(8, {TABLE: {3: None, 4: _plain(4, "B", "2"), 5: _plain(5, "C", "1")}})
    assert found.answer("gate", RING).carried().headers == (("B", "2"), ("C", "1"))
    found = found.after(9, {TABLE: {4: _plain(4, "B", "2").replace(b"\t1\t", b"\t2\t", 1)}})
    assert found.answer("gate", RING).carried().headers == (("C", "1"),)
    assert not found.is_like(found.after(9, {TABLE: {5: None}}))


@pytest.mark.parametrize(
    "odd",
    [
        _line(SECRETS, id="9", provider_id="1"),
        _line(SECRETS, id="9", provider_id="1", use="header", name="X"),
        _line(SECRETS, id="9", provider_id="1", use="header", plain_value="x"),
        _line(SECRETS, id="9", provider_id="1", use="next_key", name="next", plain_value="x"),
        _line(SECRETS, id="9", use="header", name="X", plain_value="x"),
        _line(SECRETS, id="9", provider_id="77", use="header", name="X", plain_value="x"),
    ],
)
def test_rows_that_no_rule_allows_are_not_sent(odd: bytes) -> None:
    """As raw SQL may leave them, without the checks: the others are served."""
    assert _snapshot(odd, _plain(4, "A", "1")).answer("gate", RING).carried() == Opened((("A", "1"),))


@pytest.mark.parametrize("column", ["value_encrypted", "value_key_id", "value_binding", "name", "use"])
def test_one_that_cannot_be_opened_is_told(column: str) -> None:
    """The status is that of a key that cannot be opened, and the cure names the header."""
    parts = dict(zip(SECRETS, _sealed(3, "X-Pass").decode().split("\t"), strict=True))
    parts[column] = {"name": "X-Echo", "use": "query"}.get(column, "00")
    answer = _snapshot(_line(SECRETS, **parts)).answer("gate", RING)

    assert answer.status == "key_unreadable"
    assert parts["name"] in str(answer.cure)
    assert "et it again" in str(answer.cure)


def test_the_file_has_what_is_plain_and_no_more(tmp_path: Path) -> None:
    """From the file a provider without sealed headers is served whole; one with them waits for the database."""
    path = tmp_path / "snapshot"
    snapshot_file.write(path, _snapshot(_plain(4, "X-Team", "blue")), time.time())
    saved = snapshot_file.read(path)
    assert saved is not None
    assert saved.snapshot.answer("gate", RING).carried() == Opened((("X-Team", "blue"),))

    snapshot_file.write(path, _snapshot(_sealed(3, "X-Pass"), _plain(4, "X-Team", "blue")), time.time())
    saved = snapshot_file.read(path)
    assert saved is not None
    answer = saved.snapshot.answer("gate", RING)
    assert (answer.status, answer.carried()) == ("store_unavailable", Opened())
    assert re.search(rb"[0-9a-f]{32}:", path.read_bytes()) is None


def test_place_of_a_header_minds_no_case() -> None:
    """As HTTP does; a query parameter of another case, use, row or provider is another place."""
    place = place_of_secret(1, 7, "header", "X-Key", "https://h:443")
    query = place_of_secret(1, 7, "query", "Sig", "https://h:443")

    assert place == place_of_secret(1, 7, "header", "x-kEY", "https://h:443")
    others = [
        place_of_secret(1, 7, "query", "sig", "https://h:443"),
        place_of_secret(2, 7, "query", "Sig", "https://h:443"),
        place_of_secret(1, 8, "query", "Sig", "https://h:443"),
        place_of_secret(1, 7, "header", "Sig", "https://h:443"),
        place_of_secret(1, 7, "query", "Sig", "https://i:443"),
    ]
    assert query not in others
