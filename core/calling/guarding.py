"""What becomes of personal data in one call, as its settings say: in what is sent, and in what comes back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ..errors import PersonalData
from ..privacy.placeholders import Placeholders, Restoring, Unsearchable
from ..privacy.streaming import Masking
from ..resolving.effective import EffectiveSettings
from .answers import Completion
from .request import Request
from .searching import engine_of

FORMATS: Final = ("response_format", "response_json_schema", "response_schema", "output_config", "output_format")
"""Options that say which form an answer has: no words of anybody. With one of them it is JSON."""


class Guard:
    """Masks what is sent, and puts the caller's own values back into what comes.

    Args:
        settings: Of the call.
    """

    __slots__ = (
        "_in_json",
        "_masking",
        "_placeholders",
        "_provider",
        "_restoring",
        "_rules",
        "_shown",
        "is_unsearched",
    )

    def __init__(self, settings: EffectiveSettings) -> None:
        self._rules, self._provider = settings.personal_data, settings.provider
        self._placeholders = Placeholders(engine_of(self._rules))
        self._in_json = False
        self._restoring: Restoring | None = None
        self._masking: Masking | None = None
        self._shown: list[str] = []
        self.is_unsearched = False
        """Whether what is sent could not be searched."""

    @property
    def counts(self) -> Mapping[str, int] | None:
        """How many values of each type have a placeholder in what is sent; None: nothing was looked for."""
        return dict(self._placeholders.counts) if self._rules.prompts == "mask" else None

    def searched(self, request: Request) -> Request | PersonalData:
        """Return what is sent in the place of *request*, or why nothing is."""
        self._in_json = request.response_format is not None or any(name in (request.options or {}) for name in FORMATS)
        if self._rules.prompts == "off":
            return request
        options = dict(request.options or {})
        words = {
            "messages": request.messages,
            "texts": None if request.messages else request.prompt,
            "options": {name: value for name, value in options.items() if name not in FORMATS},
            "given": dict(request.given),
        }
        try:
            masked = self._placeholders.mask(words, numbers=("messages",))
        except Unsearchable as error:
            self.is_unsearched = True
            return (
                request if self._rules.on_failure == "send" else PersonalData(self._provider, {}, "prompt", str(error))
            )
        if self._rules.prompts == "refuse":
            counts = self._placeholders.counts
            return PersonalData(self._provider, counts) if counts else request
        self._placeholders.only_these()
        messages = masked["messages"]
        of_text = isinstance(request.prompt, str)
        return replace(
            request,
            prompt=masked["texts"] if not messages else messages[0]["content"] if of_text else messages,
            messages=messages,
            options=None if request.options is None else options | masked["options"],
            given=masked["given"],
        )

    # What comes

    @property
    def _restores(self) -> bool:
        return self._rules.restore and self._rules.prompts == "mask"

    def part(self, text: str) -> str:
        """Return what of a stream's next part can be given on.

        Raises:
            PersonalData: If it cannot be searched.
        """
        if self._restoring is None:
            self._restoring = Restoring(self._placeholders, in_json=self._in_json)
            self._masking = Masking(self._placeholders) if self._rules.answers == "mask" else None
        try:
            masked = text if self._masking is None else self._masking.feed(text)
        except Unsearchable as error:
            masked = self._unsearchable(error, text)
        return self._given(self._restoring.feed(masked) if self._restores else masked)

    def rest(self) -> str:
        """Return what of a stream was held back, as it has come to its end; raises as :meth:`part`."""
        if self._restoring is None:
            return ""
        try:
            masked = "" if self._masking is None else self._masking.end()
        except Unsearchable as error:
            masked = self._unsearchable(error, "")
        return self._given(self._restoring.feed(masked) + self._restoring.end() if self._restores else masked)

    def _given(self, text: str) -> str:
        self._shown.append(text)
        return text

    def _unsearchable(self, error: Unsearchable, text: str) -> str:
        if self._rules.on_failure == "send":
            return text
        raise PersonalData(self._provider, {}, "answer", str(error)) from None

    def shown(self, done: Completion) -> Completion:
        """Return an answer as the caller gets it.

        Raises:
            PersonalData: If it cannot be searched.
        """
        text = "".join(self._shown) if self._restoring is not None else self._back(done.text, in_json=self._in_json)
        return replace(
            done,
            text=text,
            texts=tuple(self._back(one, in_json=self._in_json) for one in done.texts),
            reasoning=None if done.reasoning is None else self._back(done.reasoning),
            refusal=None if done.refusal is None else self._back(done.refusal),
            tool_calls=tuple(
                call._replace(arguments=self._back(call.arguments, in_json=True)) for call in done.tool_calls
            ),
            raw=None if self._rules.answers == "mask" else done.raw,
        )

    def _back(self, text: str, *, in_json: bool = False) -> str:
        masked: Any = text
        if self._rules.answers == "mask":
            try:
                masked = self._placeholders.mask(text)
            except Unsearchable as error:
                masked = self._unsearchable(error, text)
        return self._placeholders.restore(masked, in_json=in_json) if self._restores else masked
