"""Fingerprints of keys: which keys they tell apart, which rows have none, and how those get theirs."""

import hashlib

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core.actors import Actor
from core.crypto import KeyRing, get_ring
from core.errors import Forbidden, Sealed
from core.manage import keys, provider_keys, providers
from core.store.records import AuditEvent
from core.store.sealed import fingerprint_of
from core.store.table import id_of
from core.store.tables import LlmProvider
from tests.conftest import ENCRYPTION_KEY

KEY = "sk-canary-0123456789abcdef-0123456789abcdef"
SAME_MASK = "sk-canary-0123456789abcdef-fedcba9876543210"
OTHER = "fedcba9876543210" * 4


def _add(session: Session, admin: Actor, name: str, key: str) -> LlmProvider:
    data = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m"], "api_key": key}
    return providers.create(session, admin, data)


def test_they_tell_keys_with_one_mask_apart(session: Session, admin: Actor) -> None:
    """Two keys with one mask differ; one key at two providers has one fingerprint, in eight hex digits."""
    one, two, three = (_add(session, admin, name, key) for name, key in (("a", KEY), ("b", SAME_MASK), ("c", KEY)))

    assert one.api_key_masked == two.api_key_masked
    assert (
        provider_keys.key_fingerprint(one) == provider_keys.key_fingerprint(three) != provider_keys.key_fingerprint(two)
    )
    assert provider_keys.shown_key(one) == f"sk-cana...**** {provider_keys.key_fingerprint(one)}"
    assert len(provider_keys.key_fingerprint(one)) == len("#3f9a07c2")
    assert "fingerprint" not in str(one.model_dump())


def test_they_need_the_encryption_key() -> None:
    """They are another's under another encryption key, and no plain hash of the key; without an encryption key there is none."""
    found = KeyRing(ENCRYPTION_KEY).fingerprint(KEY)
    ring = KeyRing(OTHER, [ENCRYPTION_KEY])

    assert ring.fingerprint(KEY) != found
    assert ring.fingerprint(KEY, KeyRing(ENCRYPTION_KEY).primary_id) == found
    assert found not in {hashlib.new(name, KEY.encode()).hexdigest()[:8] for name in ("md5", "sha1", "sha256")}
    with pytest.raises(Sealed):
        KeyRing(None, [ENCRYPTION_KEY]).fingerprint(KEY)


def test_one_of_another_blob_is_not_shown(session: Session, admin: Actor) -> None:
    """A program that knows only the blob puts another key in: nothing is shown, rather than the former key's."""
    provider = _add(session, admin, "a", KEY)
    stored = get_ring().seal(SAME_MASK, provider_keys.place_of(provider))
    session.execute(
        text(
            "UPDATE llm_providers SET api_key_encrypted = :blob, api_key_key_id = :key_id, api_key_binding = :binding"
        ),
        stored._asdict(),
    )
    session.refresh(provider)

    assert providers.open_api_key(session, id_of(provider)) == SAME_MASK
    assert (provider_keys.key_fingerprint(provider), provider_keys.shown_key(provider)) == ("", "sk-cana...****")
    assert fingerprint_of("3f9a07c2@12345678", "12345678ff:00:00") == "#3f9a07c2"
    assert fingerprint_of("3f9a07c2@12345678", None) == fingerprint_of(None, "12345678") == ""


def test_older_rows_get_theirs_by_command(session: Session, admin: Actor, analyst: Actor) -> None:
    """Those without, and those of another blob; a second run has nothing to do, and neither is an edit."""
    rows = [_add(session, admin, name, KEY) for name in ("a", "b", "c")]
    right = [provider_keys.key_fingerprint(row) for row in rows]
    versions = [row.version for row in rows]
    session.execute(text("UPDATE llm_providers SET api_key_fingerprint = NULL WHERE name = 'a'"))
    session.execute(text("UPDATE llm_providers SET api_key_fingerprint = '00000000@00000000' WHERE name = 'b'"))
    with pytest.raises(Forbidden):
        list(keys.write_fingerprints(lambda work: work(session), analyst, get_ring()))

    written = list(keys.write_fingerprints(lambda work: work(session), admin, get_ring(), batch=1))
    again = list(keys.write_fingerprints(lambda work: work(session), admin, get_ring()))
    for row in rows:
        session.refresh(row)

    assert (sum(written), sum(again)) == (2, 0)
    assert ([provider_keys.key_fingerprint(row) for row in rows], [row.version for row in rows]) == (right, versions)
    events = session.exec(select(AuditEvent).where(col(AuditEvent.action) == "keys.fingerprint")).all()
    assert [event.changes for event in events] == [{"fingerprints": {"before": None, "after": 1}}] * 2


def test_rotation_writes_all_of_them(session: Session, admin: Actor) -> None:
    """Of what it moves, and of what is sealed with the primary key already and has none."""
    rows = [_add(session, admin, name, KEY) for name in ("a", "b")]
    session.execute(text("UPDATE llm_providers SET api_key_fingerprint = NULL"))
    list(keys.rotate(lambda work: work(session), admin, get_ring(), force=True))
    for row in rows:
        session.refresh(row)
    assert {provider_keys.key_fingerprint(row) for row in rows} == {f"#{get_ring().fingerprint(KEY)}"}

    ring = KeyRing(OTHER, [ENCRYPTION_KEY])
    list(keys.rotate(lambda work: work(session), admin, ring, force=True))
    for row in rows:
        session.refresh(row)
    assert {provider_keys.key_fingerprint(row) for row in rows} == {f"#{ring.fingerprint(KEY)}"}
