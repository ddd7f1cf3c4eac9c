"""What of a call is kept in the request log: by the level, the switches, and how the call ended."""

import itertools

import pytest

from core.calling import log_rows
from core.calling.log_rows import entry
from tests.calling.test_log_writer import CALL, settings

CALLS = {
    "ok": CALL,
    "error": CALL._replace(status="error", response=None, token_usage=None, cost=None, error="it failed"),
    "half": CALL._replace(status="error", response="half an ans", cost=None, error="it broke off"),
    "cancelled": CALL._replace(status="cancelled", response="half an ans", cost=None),
}
ALWAYS = {
    *("at", "user_id", "provider_id", "provider", "model", "status", "attempts", "latency_ms", "generation", "error"),
    *("operation", "tags", "correlation_id"),
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
        }
        assert row == {name: whole[name] if name in fields else None for name in log_rows.COLUMNS}
