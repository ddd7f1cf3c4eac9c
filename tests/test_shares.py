"""Shares of cases that are many and alike: nothing is in no run's share."""

import pytest

from tests.shares import share


def test_numbers_in_a_row_leave_no_case_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number takes other cases, three of them take all, in order; few cases are never none, and `all` is all."""
    cases, taken = list(range(20)), []
    for number in range(7, 10):
        monkeypatch.setenv("LLM_TEST_SHARE", str(number))
        taken.append(share("cases", cases))
        assert taken[-1] == sorted(taken[-1])
        assert 6 <= len(taken[-1]) <= 7
        assert share("one", ["x"]) == ["x"]
    assert sorted(case for part in taken for case in part) == cases
    monkeypatch.setenv("LLM_TEST_SHARE", "all")
    assert share("cases", cases) == cases
