"""The parameters of a settings row: names, built-in defaults, ranges. Data only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from .wording import plain_number

Value = float | bool | str | list[str]
"""What a parameter may have: an int is a float to a type checker."""

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""What some vendor takes as effort of reasoning, from the least to the most: for forms. Others may be typed."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a settings row: its type, its built-in default, its range and how people call it.

    What follows from it, and what is held to it by a test, is in CONTRIBUTING.md, "A new parameter".
    """

    name: str
    label: str
    value_type: type[float | bool | str | list[str]]
    """int, float, bool, str with :attr:`choices` or :attr:`pattern`, or a list of texts with :attr:`most`."""
    default: Value | None
    """None: there is none, and it is not sent to the model unless somebody sets it."""
    help: str
    minimum: float | None = None
    """Of a number, and included, as :attr:`maximum`; a whole number's are ints."""
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """Of a text without choices: what it looks like, for Python and PostgreSQL alike."""
    shape: str = ""
    """The same in words."""
    most: int = 0
    """Of a list: its longest, in entries of up to :attr:`longest` characters. The shortest has one."""
    longest: int = 0
    example: str = ""
    group: Literal["Model", "What a model does not take", "Retries and timeout", "Logging"] = "Model"
    widened: tuple[str, float] | None = None
    """The version that raised :attr:`maximum`, and what it was: services of versions before take more for not set."""
    is_amount: bool = True
    """Whether people read a whole number in thousands, as 60,000; a seed is no amount."""

    @property
    def sendable(self) -> bool:
        """Whether it is sent to the model, and hence can be omitted."""
        return self.group == "Model"

    @property
    def first(self) -> Value:
        """What a form shows to somebody who wants a value and inherits none."""
        if self.default is not None:
            return self.default
        if self.minimum is not None:
            return self.minimum
        if self.example:
            return [self.example] if self.value_type is list else self.example
        return self.choices[0] if self.choices else False

    @property
    def rule(self) -> str:
        """What a value must be, as errors and forms say it: ``a whole number from 0 to 10``."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.pattern:
            return self.shape
        if self.value_type is list:
            return f"a list of 1 to {self.most} texts of 1 to {self.longest} characters"
        if self.minimum is None or self.maximum is None:
            return "true or false"
        what = "a whole number" if self.value_type is int else "a number"
        return f"{what} from {plain_number(self.minimum)} to {plain_number(self.maximum)}"

    def fits(self, value: object) -> bool:
        """Return whether a stored value is one that this parameter may have; raw SQL may have stored others."""
        if self.value_type is str:
            return isinstance(value, str) and (value in self.choices or self._looks_right(value))
        if self.value_type is list:
            return isinstance(value, list | tuple) and 0 < len(value) <= self.most and all(map(self._is_entry, value))
        if self.value_type is bool or isinstance(value, bool):
            return self.value_type is bool and isinstance(value, bool)
        if not isinstance(value, int if self.value_type is int else int | float):
            return False
        return self.minimum is not None and self.maximum is not None and self.minimum <= value <= self.maximum

    def _looks_right(self, value: str) -> bool:
        return bool(self.pattern) and re.fullmatch(self.pattern, value) is not None

    def _is_entry(self, value: object) -> bool:
        if not isinstance(value, str) or not 0 < len(value) <= self.longest:
            return False
        return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value)


PARAMETERS: Final[Mapping[str, Parameter]] = {
    p.name: p
    for p in (
        Parameter(
            "temperature", "Temperature", float, 0.7, "0 is the most predictable, 2 the most varied.", 0.0, 2.0, 0.05
        ),
        Parameter(
            "max_tokens",
            "Max tokens",
            int,
            2000,
            "Longest answer, in tokens.",
            1,
            1_000_000,
            100,
            widened=("0.2.0", 100_000),
        ),
        Parameter("top_p", "Top P", float, 1.0, "Share of the probability that is sampled from.", 0.0, 1.0, 0.05),
        Parameter(
            "frequency_penalty",
            "Frequency penalty",
            float,
            0.0,
            "Above 0: repeats itself less, word by word.",
            -2.0,
            2.0,
            0.1,
        ),
        Parameter(
            "presence_penalty", "Presence penalty", float, 0.0, "Above 0: moves to new topics sooner.", -2.0, 2.0, 0.1
        ),
        Parameter(
            "reasoning_effort",
            "Reasoning effort",
            str,
            None,
            "How much it thinks before it answers; which levels there are differs between models.",
            pattern="[a-z][a-z-]{0,19}",
            shape="a word of 1 to 20 small letters, as low, medium or high",
            example="medium",
        ),
        Parameter(
            "stop",
            "Stop",
            list,
            None,
            "Texts at which the answer ends; they are not part of it.",
            most=16,
            longest=100,
            example="END",
        ),
        Parameter(
            "unfit_parameters",
            "Unfit parameters",
            str,
            "leave_out",
            "leave_out: a value that the model does not take is left out, or brought into its range. send: it is sent as it is.",
            choices=("leave_out", "send"),
            group="What a model does not take",
        ),
        Parameter(
            "max_retries",
            "Max retries",
            int,
            3,
            "Attempts after the first one has failed.",
            0,
            10,
            1,
            group="Retries and timeout",
        ),
        Parameter(
            "retry_backoff_ms",
            "Retry backoff (ms)",
            int,
            1000,
            "Base of the exponential wait between attempts.",
            100,
            10_000,
            100,
            group="Retries and timeout",
        ),
        Parameter(
            "request_timeout_ms",
            "Request timeout (ms)",
            int,
            60_000,
            "Longest wait for one answer; of a stream: for its next part.",
            1000,
            3_600_000,
            1000,
            group="Retries and timeout",
            widened=("0.2.0", 300_000),
        ),
        Parameter(
            "enable_logging", "Log requests", bool, default=True, help="Off: nothing is logged.", group="Logging"
        ),
        Parameter(
            "log_level",
            "Log level",
            str,
            "full",
            "full: content and tokens. minimal: tokens and cost. errors_only: failed calls.",
            choices=("full", "minimal", "errors_only"),
            group="Logging",
        ),
        Parameter("log_request_data", "Log prompts", bool, default=True, help="At level full.", group="Logging"),
        Parameter("log_response_data", "Log answers", bool, default=True, help="At level full.", group="Logging"),
    )
}
SENDABLE: Final = tuple(p.name for p in PARAMETERS.values() if p.sendable)
