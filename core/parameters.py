"""The parameters of a settings row: names, built-in defaults, ranges. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a settings row: its built-in default, its range and how people call it."""

    name: str
    label: str
    default: float | bool | str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    group: Literal["Model", "Retries and timeout", "Logging"] = "Model"

    @property
    def sendable(self) -> bool:
        """Whether it is sent to the model, and hence can be omitted."""
        return self.group == "Model"

    def fits(self, value: object) -> bool:
        """Tell whether a stored value is one that this parameter may have; raw SQL may have stored others."""
        if isinstance(self.default, bool) or isinstance(value, bool):
            return isinstance(self.default, bool) and isinstance(value, bool)
        if isinstance(value, int | float) and self.minimum is not None and self.maximum is not None:
            return self.minimum <= value <= self.maximum
        return value in self.choices


PARAMETERS: Final[Mapping[str, Parameter]] = {
    p.name: p
    for p in (
        Parameter("temperature", "Temperature", 0.7, "0 is the most predictable, 2 the most varied.", 0.0, 2.0, 0.05),
        Parameter("max_tokens", "Max tokens", 2000, "Longest answer, in tokens.", 1, 100_000, 100),
        Parameter("top_p", "Top P", 1.0, "Share of the probability that is sampled from.", 0.0, 1.0, 0.05),
        Parameter(
            "frequency_penalty", "Frequency penalty", 0.0, "Above 0: repeats itself less, word by word.", -2.0, 2.0, 0.1
        ),
        Parameter("presence_penalty", "Presence penalty", 0.0, "Above 0: moves to new topics sooner.", -2.0, 2.0, 0.1),
        Parameter(
            "max_retries",
            "Max retries",
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
            60_000,
            "Longest wait for one answer.",
            1000,
            300_000,
            1000,
            group="Retries and timeout",
        ),
        Parameter("enable_logging", "Log requests", default=True, help="Off: nothing is logged.", group="Logging"),
        Parameter(
            "log_level",
            "Log level",
            "full",
            "full: content and tokens. minimal: tokens and cost. errors_only: failed calls.",
            choices=("full", "minimal", "errors_only"),
            group="Logging",
        ),
        Parameter("log_request_data", "Log prompts", default=True, help="At level full.", group="Logging"),
        Parameter("log_response_data", "Log answers", default=True, help="At level full.", group="Logging"),
    )
}
SENDABLE: Final = tuple(p.name for p in PARAMETERS.values() if p.sendable)
