"""What of a call is kept in the request log: by the level, the switches, and how the call ended."""

import itertools
import json

import psycopg
import pytest

from core.calling import log_rows
from core.calling.log_rows import entry
from core.errors import StoreUnavailable
from tests.calling.test_log_writer import CALL, settings

CALLS = {
    "ok": CALL,
    "error": CALL._replace(status="error", response=None, token_usage=None, cost=None, error="it failed"),
    "half": CALL._replace(status="error", response="half an ans", cost=None, error="it broke off"),
    "cancelled": CALL._replace(status="cancelled", response="half an ans", cost=None),
}
ALWAYS = {
    *("at", "user_id", "provider_id", "provider", "model", "status", "attempts", "latency_ms", "generation", "error"),
    *("operation", "tags", "correlation_id", "adjusted", "cost_centre"),
}
TOKENS = {"token_usage", "input_tokens", "output_tokens", "cost"}
REQUEST, RESPONSE = {"prompt", "parameters"}, {"response"}


def kept(level: str, flags: tuple[bool, bool, bool], outcome: str) -> set[str] | None:
    """Which fields of a call are kept, by level and switches; None: no row at all."""
    enabled, request, response = flags
    failed = outcome in {"error", "half"}
    table = {
        ("full", True, True): TOKENS | REQUEST | RESPONSE,
        ("full", True, False): TOKENS | REQUEST,
        ("full", False, True): TOKENS | RESPONSE,
        ("full", False, False): TOKENS,
        **dict.fromkeys(itertools.product(["minimal"], [True, False], [True, False]), TOKENS),
        **{key: set[str]() for key in itertools.product(["errors_only"], [True, False], [True, False])},
    }
    if not enabled or (level == "errors_only" and not failed):
        return None
    return ALWAYS | table[level, request, response]


@pytest.mark.parametrize("outcome", CALLS)
@pytest.mark.parametrize("flags", list(itertools.product([True, False], repeat=3)), ids=str)
@pytest.mark.parametrize("level", ["full", "minimal", "errors_only"])
def test_what_is_kept(level: str, flags: tuple[bool, bool, bool], outcome: str) -> None:
    """Every combination of level, the three switches, and how the call ended."""
    enabled, request, response = flags
    in_force = settings(enable_logging=enabled, log_level=level, log_request_data=request, log_response_data=response)
    call = CALLS[outcome]

    row = entry(in_force, call)

    fields = kept(level, flags, outcome)
    assert (row is None) == (fields is None)
    if row is not None and fields is not None:
        usage = call.token_usage or {}
        whole = {
            **call._asdict(),
            "tags": list(call.tags),
            "provider": "acme",
            "provider_id": 7,
            "generation": 9,
            "input_tokens": usage.get("input"),
            "output_tokens": usage.get("output"),
            "pii": None,
        }
        assert row == {name: whole[name] if name in fields else None for name in log_rows.COLUMNS}


@pytest.mark.parametrize(
    ("prompt", "characters"),
    [
        ("four", 4),
        (b"four", 4),
        ("", 0),
        (None, 0),
        (7, 0),
        ([], 0),
        ([{"role": "user", "content": [{"type": "text", "text": "four"}, {"image_url": {"url": "x" * 1000}}]}], 1012),
        (["one", ("two", {"a": "three"})], 11),
    ],
)
def test_a_prompt_counts_by_its_texts(prompt: object, characters: int) -> None:
    """At any depth; names of fields and what is no text are nothing."""
    assert log_rows.size(prompt) == characters


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("name", ["prompt", "response", "error"])
def test_a_text_is_cut_behind_the_last_that_fits(name: str, more: int) -> None:
    """And how much there was is said."""
    text = "é " * (log_rows.LONGEST // 2) + "é" * more
    (cell,) = _cells_of(name, CALL._replace(status="error", **{name: text}))

    assert cell == text[: log_rows.LONGEST] + (f"… (cut: {len(text)} characters in all)" if more else "")


@pytest.mark.parametrize("more", [0, 1])
def test_parameters_are_whole_or_not_there(more: int) -> None:
    """Half of a JSON is none."""
    value = ("a b " * log_rows.LONGEST)[: log_rows.LONGEST - len('{"x": ""}') + more]
    whole = json.dumps({"x": value})
    assert len(whole) == log_rows.LONGEST + more

    cut = json.dumps({"cut": f"{len(whole)} characters in all"})
    assert _cells_of("parameters", CALL._replace(parameters={"x": value})) == [cut if more else whole]


def _cells_of(name: str, call: log_rows.CallToLog) -> list[object]:
    """The cell of a column, as it is written."""
    in_force = settings(enable_logging=True, log_level="full", log_request_data=True, log_response_data=True)
    cells, lost = log_rows.cells_of([(in_force, call, 0)])
    assert lost == 0
    return [row[log_rows.COLUMNS.index(name)] for row in cells]


@pytest.mark.parametrize(
    ("error", "of_a_row"),
    [
        (psycopg.errors.CheckViolation(), True),
        (psycopg.errors.NumericValueOutOfRange(), True),
        (psycopg.errors.DatatypeMismatch(), True),
        (psycopg.errors.ProgramLimitExceeded(), True),
        (psycopg.errors.RaiseException(), True),
        (psycopg.errors.InsufficientPrivilege(), False),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.ReadOnlySqlTransaction(), False),
        (psycopg.errors.AdminShutdown(), False),
        (psycopg.errors.SerializationFailure(), False),
        (psycopg.OperationalError("the connection is lost"), False),
        (psycopg.InterfaceError("the connection is closed"), False),
        (psycopg.DataError("cannot be adapted"), True),
        (ValueError("cannot be adapted"), True),
        (StoreUnavailable("The database is away."), False),
        (ConnectionResetError(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_a_rows_own_content_causes(error: Exception, *, of_a_row: bool) -> None:
    """That row alone is lost; for all else the batch waits, or is refused as a whole."""
    assert log_rows._is_of_a_row(error) is of_a_row
