"""Headers and query parameters of a provider: what is stored, what is refused, and that a sealed one stays where it belongs."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core.actors import COMMAND_LINE, Actor
from core.crypto import KeyRing, get_ring
from core.errors import Conflict, Forbidden, Invalid, KeyUnreadable, NotFound
from core.kinds import KINDS
from core.manage import keys, next_keys, provider_secrets, providers
from core.resolving.carried import Carried, Opened
from core.store import carried_values, db, sealed
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmProvider, LlmProviderSecret
from tests.conftest import ENCRYPTION_KEY

KEY = "sk-canary-0123456789abcdef"
SECRET = "gw-canary-fedcba9876543210"
OTHER_KEY = "fedcba9876543210" * 4


@pytest.fixture
def gate(session: Session, admin: Actor) -> LlmProvider:
    return _provider(session, admin, "gate")


def _provider(session: Session, admin: Actor, name: str, **more: Any) -> LlmProvider:
    data = {
        "name": name,
        "display_name": name.title(),
        "kind": "openai_compatible",
        "api_base_url": "https://gate.example/v1",
        "available_models": ["m1"],
        "default_model": "m1",
        "api_key": KEY,
    }
    return providers.create(session, admin, data | more)


def _set(
    session: Session, actor: Actor, provider: LlmProvider, name: str, value: str, **more: Any
) -> LlmProviderSecret:
    options = {"use": "header", "sealed": False} | more
    use = options.pop("use")
    return provider_secrets.set_value(session, actor, id_of(provider), use, name, value=value, **options)


def _raw(session: Session, statement: str, **values: object) -> None:
    session.execute(text(statement), values)
    session.expire_all()


def _events(session: Session) -> list[tuple[str, dict[str, Any]]]:
    found = select(AuditEvent).where(col(AuditEvent.action).startswith("provider.")).order_by(col(AuditEvent.id))
    return [(event.action, event.changes) for event in session.exec(found)]


def test_plain_and_sealed_values_come_back_as_they_were_given(
    session: Session, admin: Actor, gate: LlmProvider
) -> None:
    """Both uses, plain and sealed: stored, opened in the order of their names, the sealed ones known as secrets."""
    _set(session, admin, gate, "X-Team", "blue")
    _set(session, admin, gate, "Ocp-Apim-Subscription-Key", f" {SECRET}\t", sealed=True)
    _set(session, admin, gate, "api-version", "2024-06-01", use="query")
    _set(session, admin, gate, "sig", SECRET, use="query", sealed=True)

    assert provider_secrets.open_all(session, gate) == Opened(
        (("Ocp-Apim-Subscription-Key", SECRET), ("X-Team", "blue")),
        (("api-version", "2024-06-01"), ("sig", SECRET)),
        (SECRET, SECRET),
    )
    rows = provider_secrets.list_of(session, id_of(gate))
    assert [(row.use, row.name, row.plain_value, row.value_masked) for row in rows] == [
        ("header", "Ocp-Apim-Subscription-Key", None, "gw-cana...****"),
        ("header", "X-Team", "blue", None),
        ("query", "api-version", "2024-06-01", None),
        ("query", "sig", None, "gw-cana...****"),
    ]
    assert all(SECRET not in f"{row!r}{row.model_dump()}" for row in rows)
    assert provider_secrets.list_all(session) == {gate.id: rows}


def test_a_header_has_one_value_whatever_its_case(session: Session, admin: Actor, gate: LlmProvider) -> None:
    """Setting it again exchanges the value, and plain and sealed; nothing is written twice, and no change is no event."""
    first = _set(session, admin, gate, "X-Team", "blue")
    again = _set(session, admin, gate, "X-Team", "blue")
    assert (first.version, again.version, len(_events(session))) == (1, 1, 2)

    row = _set(session, admin, gate, "x-team", SECRET, sealed=True)
    assert (row.id, row.name, row.plain_value, row.version, row.updated_by) == (first.id, "x-team", None, 2, admin.name)
    row = _set(session, admin, gate, "X-TEAM", "red")
    sealed_columns = (row.value_encrypted, row.value_masked, row.value_key_id, row.value_binding, row.value_fingerprint)
    assert (row.plain_value, sealed_columns, row.version) == ("red", (None,) * 5, 3)
    assert len(provider_secrets.list_of(session, id_of(gate))) == 1

    _set(session, admin, gate, "v", "1", use="query")  # of query parameters case counts
    _set(session, admin, gate, "V", "2", use="query")
    assert provider_secrets.open_all(session, gate).query == (("v", "1"), ("V", "2"))


def test_the_audit_has_plain_values_and_of_sealed_ones_the_mask(
    session: Session, admin: Actor, gate: LlmProvider
) -> None:
    """Who reads the audit sees which value it was, and never a sealed one."""
    _set(session, admin, gate, "X-Team", "blue")
    row = _set(session, admin, gate, "X-Team", SECRET, sealed=True)
    provider_secrets.remove_value(session, admin, id_of(gate), "header", "x-TEAM")
    masked = f"gw-cana...**** {provider_secrets.value_fingerprint(row)}"

    assert _events(session)[1:] == [
        ("provider.set_header", {"header X-Team": {"before": None, "after": "blue"}}),
        ("provider.set_header", {"header X-Team": {"before": "blue", "after": masked}}),
        ("provider.remove_header", {"header X-Team": {"before": masked, "after": None}}),
    ]


BAD_NAMES = [
    ("header", name, "written by the HTTP client")
    for name in ("Host", "content-length", "Transfer-Encoding", "CONNECTION", "TE", "Upgrade", "Content-Type", "Expect")
] + [
    ("header", "Authorization", "carries the API key already"),
    ("header", "aUTHORIZATION", "carries the API key already"),
    ("header", "", "1 to 100"),
    ("header", "x" * 101, "1 to 100"),
    ("header", "x" * 20_000, "1 to 100"),
    ("header", "X Team", "no blank"),
    ("header", "X-Team:", "no colon"),
    ("header", "X-Team\r\nHost", "letters"),
    ("header", "X-T\u00e9am", "letters"),
    ("header", "X-\x00", "letters"),
    ("header", "X-\ud800", "half a character"),
    ("query", "a&b", "letters"),
    ("query", "a=b", "letters"),
    ("query", "a b", "letters"),
    ("query", "", "1 to 100"),
]
BAD_VALUES = [
    ("a\r\nHost: evil", "line break"),
    ("a\nb", "line break"),
    ("a\x00b", "control character"),
    ("caf\u00e9", "no ASCII"),
    ("\u65e5\u672c", "no ASCII"),
    ("a\ud800", "half a character"),
    ("", "1 to 8,192"),
    ("   ", "1 to 8,192"),
    ("x" * 10_240, "1 to 8,192"),
    ("x" * 8_193, "1 to 8,192"),
    ("gw-cana...****", "mask"),
    ("****", "mask"),
]


@pytest.mark.parametrize(("use", "name", "rule"), BAD_NAMES)
def test_no_name_that_cannot_be_sent(
    session: Session, admin: Actor, gate: LlmProvider, use: str, name: str, rule: str
) -> None:
    """Each is refused with its rule, under the field that it is about."""
    with pytest.raises(Invalid) as refused:
        _set(session, admin, gate, name, "v", use=use)

    assert rule in refused.value.fields["name"]


@pytest.mark.parametrize(("value", "rule"), BAD_VALUES, ids=range(len(BAD_VALUES)))
@pytest.mark.parametrize("sealed", [False, True])
def test_no_value_that_cannot_be_sent(
    session: Session, admin: Actor, gate: LlmProvider, value: str, rule: str, *, sealed: bool
) -> None:
    """Each is refused with its rule, which does not repeat it."""
    with pytest.raises(Invalid) as refused:
        _set(session, admin, gate, "X-Team", value, sealed=sealed)

    assert rule in refused.value.fields["value"]
    assert not value.strip() or value == "****" or value not in str(refused.value)


def test_the_key_header_of_each_kind_is_its_keys(session: Session, admin: Actor) -> None:
    """Each kind refuses the header that its own SDK sends the key in; another kind's is an ordinary one."""
    names = {facts.key_header for facts in KINDS.values()}
    for kind, facts in KINDS.items():
        provider = _provider(session, admin, kind, kind=kind, api_base_url="https://gate.example")
        assert facts.key_header, f"{kind} has to say in which header its key is sent"
        for name in names:
            if name == facts.key_header:
                with pytest.raises(Invalid, match="carries the API key"):
                    _set(session, admin, provider, name.swapcase(), "v")
            else:
                _set(session, admin, provider, name, "v", sealed=True)
        if not facts.takes_query:
            with pytest.raises(Invalid, match="no place for query"):
                _set(session, admin, provider, "v", "1", use="query")


def test_a_parameter_of_the_base_url_is_not_given_twice(session: Session, admin: Actor, gate: LlmProvider) -> None:
    """No base URL is saved with a query; one that SQL has put there keeps its parameter."""
    _raw(session, "UPDATE llm_providers SET api_base_url = 'https://gate.example/v1?api-version=1'")

    with pytest.raises(Invalid, match="api-version is in the base URL already"):
        _set(session, admin, gate, "api-version", "2", use="query")
    _set(session, admin, gate, "other", "2", use="query")


def test_at_most_so_many(session: Session, admin: Actor, gate: LlmProvider) -> None:
    """One more is refused, each use by itself; what is there can still be exchanged."""
    for number in range(carried_values.MOST):
        _set(session, admin, gate, f"X-{number}", "v")
    with pytest.raises(Invalid, match="at most 20"):
        _set(session, admin, gate, "X-more", "v")
    _set(session, admin, gate, "x-0", "w")
    _set(session, admin, gate, "v", "1", use="query")


@pytest.mark.parametrize(
    ("name", "value", "is_warned"),
    [
        ("X-Team", "blue", False),
        ("anthropic-beta", "prompt-caching-2024-07-31", False),
        ("OpenAI-Organization", "org-acme", False),
        ("HTTP-Referer", "https://app.example/some/long/path/2024", False),
        ("User-Agent", "Acme Assistant 4.2 (production)", False),
        ("api-version", "2024-10-21-preview", False),
        ("Ocp-Apim-Subscription-Key", "blue", True),
        ("api-key", "x", True),
        ("CF-Access-Client-Secret", "x", True),
        ("Cookie", "a=b", True),
        ("X-Pass", "sk-proj-0123456789abcdef", True),
        ("X-Pass", "Bearer abcdefgh12345678", True),
        ("X-Pass", "eyJhbGciOi.eyJzdWIiOi.c2ln", True),
        ("X-Pass", "9f86d081884c7d659a2feaa0c55ad015", True),
    ],
)
def test_a_plain_value_that_looks_like_a_secret_is_warned_of(name: str, value: str, *, is_warned: bool) -> None:
    """By its name or by itself; names, versions and addresses are not."""
    assert bool(provider_secrets.warning(name, value)) is is_warned
    assert value not in provider_secrets.warning(name, value) or value in {"x", "blue"}


MOVES = {
    "value to another row of the provider": "UPDATE llm_provider_secrets t SET value_encrypted = s.value_encrypted,"
    " value_key_id = s.value_key_id, value_binding = s.value_binding, plain_value = NULL"
    " FROM llm_provider_secrets s WHERE s.name = 'X-Pass' AND t.name = 'X-Other'",
    "value to the same name at another provider": "UPDATE llm_provider_secrets t SET value_encrypted = s.value_encrypted,"
    " value_key_id = s.value_key_id, value_binding = s.value_binding"
    " FROM llm_provider_secrets s WHERE s.provider_id < t.provider_id AND s.name = 'X-Pass' AND t.name = 'X-Pass'",
    "row to another provider": "UPDATE llm_provider_secrets SET provider_id = (SELECT max(id) FROM llm_providers)"
    " WHERE name = 'X-Pass' AND provider_id = (SELECT min(id) FROM llm_providers)",
    "another name": "UPDATE llm_provider_secrets SET name = 'X-Echo' WHERE name = 'X-Pass'",
    "another use": "UPDATE llm_provider_secrets SET use = 'query' WHERE name = 'X-Pass'",
    "another host": "UPDATE llm_providers SET api_base_url = 'https://evil.example/v1'",
    "half a record": "UPDATE llm_provider_secrets SET value_key_id = NULL WHERE name = 'X-Pass'",
}


@pytest.mark.parametrize("move", MOVES)
def test_a_sealed_value_moved_by_sql_is_not_opened(session: Session, admin: Actor, move: str) -> None:
    """Whatever of it was moved, it is unreadable and says so; the page's list, the check and the opening agree."""
    one = _provider(session, admin, "one")
    two = _provider(session, admin, "two")
    _set(session, admin, one, "X-Pass", SECRET, sealed=True)
    _set(session, admin, one, "X-Other", "plain")
    if "same name" in move:
        _set(session, admin, two, "X-Pass", SECRET[::-1], sealed=True)
    _raw(session, MOVES[move])

    moved = [
        (provider, row)
        for provider in (one, two)
        for row in provider_secrets.list_of(session, id_of(provider))
        if provider_secrets.state(provider, row).state == "moved"
    ]
    assert moved
    for provider, row in moved:
        with pytest.raises(KeyUnreadable, match=row.name) as refused:
            provider_secrets.open_all(session, provider)
        assert refused.value.reason == "moved"
    found = {(tried.name, tried.state) for tried in sealed.open_all(session, get_ring())}
    assert {
        (f"{p.name}: {'header' if r.use == 'header' else 'query parameter'} {r.name}", "moved") for p, r in moved
    } <= found


def test_a_new_host_needs_what_is_sealed_entered_again(session: Session, admin: Actor, gate: LlmProvider) -> None:
    """As with the key: nobody leads a sealed value to a host of theirs. Plain ones go along."""
    _set(session, admin, gate, "X-Team", "blue")
    patch = {"api_base_url": "https://other.example/v1", "api_key": KEY}
    providers.update(session, admin, id_of(gate), patch)
    _set(session, admin, gate, "X-Pass", SECRET, sealed=True)
    providers.update(session, admin, id_of(gate), {"api_base_url": "https://other.example/v2", "name": "renamed"})
    assert provider_secrets.open_all(session, gate).headers == (("X-Pass", SECRET), ("X-Team", "blue"))

    for patch in (
        {"api_base_url": "https://evil.example/v1", "api_key": KEY},
        {"kind": "openai", "api_base_url": None, "api_key": KEY * 3},
    ):
        with pytest.raises(Invalid, match="the header X-Pass is sealed for"):
            providers.update(session, admin, id_of(gate), patch)
    provider_secrets.remove_value(session, admin, id_of(gate), "header", "X-Pass")
    providers.update(session, admin, id_of(gate), {"api_base_url": "https://evil.example/v1", "api_key": KEY})


def test_deleting_the_provider_takes_them_along(session: Session, admin: Actor, gate: LlmProvider) -> None:
    """It is said before, the rows are gone after, and the audit has their names."""
    _set(session, admin, gate, "X-Team", "blue")
    _set(session, admin, gate, "X-Pass", SECRET, sealed=True)
    _set(session, admin, gate, "v", "1", use="query")
    next_keys.add(session, admin, id_of(gate), SECRET)

    goes = providers.delete(session, admin, id_of(gate))

    assert {"its 2 headers", "its 1 query parameter", "its 1 next key"} <= set(goes)
    assert not session.exec(select(LlmProviderSecret)).all()
    carried = _events(session)[-1][1]["carried"]["before"]
    assert carried == ["the header X-Pass", "the header X-Team", "the next key", "the query parameter v"]


def test_only_admins_write(session: Session, admin: Actor, analyst: Actor, gate: LlmProvider) -> None:
    """An analyst changes nothing, and the row is as it was."""
    row = _set(session, admin, gate, "X-Team", "blue")
    number = id_of(gate)

    tries = (
        lambda: _set(session, analyst, gate, "X-Team", "red"),
        lambda: provider_secrets.remove_value(session, analyst, number, "header", "X-Team"),
        lambda: next_keys.add(session, analyst, number, SECRET),
        lambda: next_keys.promote(session, analyst, number),
        lambda: next_keys.retire(session, analyst, number),
    )
    for attempt in tries:
        with pytest.raises(Forbidden):
            attempt()
    session.refresh(row)
    assert row.plain_value == "blue"


def test_a_stale_edit_is_told_both_values(session: Session, admin: Actor, gate: LlmProvider) -> None:
    """A version that is not the stored one's writes nothing; a row that is gone is told."""
    row = _set(session, admin, gate, "X-Team", "blue")
    _set(session, admin, gate, "X-Team", "red", version=row.version)

    for attempt in (
        lambda: _set(session, admin, gate, "X-Team", "green", version=1),
        lambda: provider_secrets.remove_value(session, admin, id_of(gate), "header", "X-Team", version=1),
    ):
        with pytest.raises(Conflict) as crossed:
            attempt()
        assert (crossed.value.version, crossed.value.changed_by) == (2, admin.name)
    provider_secrets.remove_value(session, admin, id_of(gate), "header", "X-Team", version=2)
    for again in (
        lambda: _set(session, admin, gate, "X-Team", "green", version=2),
        lambda: provider_secrets.remove_value(session, admin, id_of(gate), "header", "X-Team"),
        lambda: provider_secrets.remove_value(session, admin, id_of(gate), "query", "\x00"),
        lambda: provider_secrets.set_value(session, admin, 999_999, "header", "X", value="v", sealed=False),
    ):
        with pytest.raises(NotFound):
            again()


def test_rotation_moves_sealed_values_and_their_fingerprints(session: Session, admin: Actor, gate: LlmProvider) -> None:
    """Headers and next keys go to the new primary key as API keys do; version and author stay."""
    _set(session, admin, gate, "X-Pass", SECRET, sealed=True)
    _set(session, admin, gate, "X-Team", "blue")
    second = next_keys.add(session, admin, id_of(gate), SECRET)
    before = provider_secrets.value_fingerprint(second)
    ring = KeyRing(OTHER_KEY, [ENCRYPTION_KEY])

    moved = [batch.moved for batch in keys.rotate(lambda work: work(session), admin, ring)]
    session.expire_all()

    assert sum(moved) == 3
    alone = KeyRing(OTHER_KEY)
    assert {tried.state for tried in sealed.open_all(session, alone)} == {"ok"}
    rows = session.exec(select(LlmProviderSecret).where(col(LlmProviderSecret.value_encrypted).is_not(None))).all()
    after = {provider_secrets.value_fingerprint(row) for row in rows}
    assert after == {f"#{alone.fingerprint(SECRET)}"}
    assert before not in after
    assert {(row.version, row.updated_by) for row in rows} == {(1, admin.name)}


def test_nothing_of_it_is_pickled_or_shown() -> None:
    """What calls carry keeps its values to itself."""
    opened = Opened((("X-Pass", SECRET),), (), (SECRET,))
    for thing in (opened, Carried([("header", "X-Pass", SECRET)])):
        assert SECRET not in repr(thing)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(thing)


@pytest.mark.usefixtures("committed")
def test_what_was_read_before_is_read_again() -> None:
    """A transaction that had looked at a header and the next key before somebody else changed them does not pass over that."""
    with db.transaction() as session:
        provider = _provider(session, COMMAND_LINE, "gate")
        provider_id = id_of(provider)
        _set(session, COMMAND_LINE, provider, "X-Team", "blue")
        next_keys.add(session, COMMAND_LINE, provider_id, "sk-next-0123456789abcdef")
    stale: list[Callable[[Session], object]] = [
        lambda s: _set(s, COMMAND_LINE, providers.get(s, provider_id), "X-Team", "red", version=1),
        lambda s: provider_secrets.remove_value(s, COMMAND_LINE, provider_id, "header", "X-Team", version=1),
        lambda s: next_keys.promote(s, COMMAND_LINE, provider_id, version=1),
        lambda s: next_keys.retire(s, COMMAND_LINE, provider_id, version=1),
    ]
    with db.transaction() as session:
        assert {row.version for rows in provider_secrets.list_all(session).values() for row in rows} == {1}
        with db.transaction() as other:
            _set(other, COMMAND_LINE, providers.get(other, provider_id), "X-Team", "green")
            next_keys.add(other, COMMAND_LINE, provider_id, "sk-other-0123456789abcdef")
        for write in stale:
            with pytest.raises(Conflict) as caught, session.begin_nested():
                write(session)
            assert caught.value.version == 2
