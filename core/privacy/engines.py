"""What looks for personal data in calls: ours, an organisation's own patterns, and an engine that somebody has installed.

An engine of somebody else's is a function ``find(text) -> [(start, end, type)]`` under an entry point of the group
``llm_settings.pii``. It is loaded when it is first needed, and has a time in which it is to answer.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from itertools import islice
from typing import Any, Final

from .looking import Looking, find, same
from .own_patterns import own
from .placeholders import Engine, Unsearchable, sound
from .spans import TYPES, PersonalSpan, PersonalType, plain, settled

GROUP: Final = "llm_settings.pii"
BUILT_IN: Final = "built-in"
ANSWERS_WITHIN: Final = 5.0
"""Seconds that an engine has for a text."""
LOADED_WITHIN: Final = 60.0
"""Seconds that it has for the first one: models take long to load."""
ALL_WITHIN: Final = 60.0
"""Seconds that it has for all texts of a call, or of a row of the log."""
MOST_STUCK: Final = 4
"""Texts that an engine may be stuck with; then nothing more is given to it until it has answered one of them."""

_log = logging.getLogger(__name__)


@lru_cache(maxsize=64)
def engine_for(
    name: str,
    kinds: tuple[PersonalType, ...] | None,
    countries: tuple[str, ...],
    patterns: tuple[tuple[str, str], ...],
    allow: tuple[str, ...],
) -> Engine:
    """Return what finds personal data by these rules; see :class:`core.resolving.personal_data.PersonalDataRules`.

    What an engine finds counts beside what ours finds. Of two that overlap own patterns come first, then ours, then the engine's.
    """
    allowed = frozenset(map(same, allow))
    looking = Looking(frozenset(TYPES if kinds is None else kinds), countries, allowed)
    names = tuple(dict.fromkeys(one for one, _ in patterns))
    if name == BUILT_IN and not patterns:
        return lambda text: find(text, looking)
    other = None if name == BUILT_IN else Installed.of(name)

    def found_in(text: str) -> Sequence[PersonalSpan]:
        found: list[PersonalSpan] = []
        if patterns:
            found += own(plain(text), patterns)
        if other is not None:
            found += other.find(text)
        found = [span for span in found if same(text[span.start : span.end]) not in allowed]
        return settled([*found, *find(text, looking)], _order(names, found))

    return found_in


def _order(names: tuple[str, ...], found: list[PersonalSpan]) -> list[PersonalType]:
    order = dict.fromkeys((*names, *TYPES))
    return [*order, *(span.kind for span in found if span.kind not in order)]


def within(engine: Engine, seconds: float) -> Engine:
    """Return *engine* for the texts of one call, or one row: it may take so long for all of them, and the one that is under way.

    What comes after that is TimeoutError.
    """
    spent = [0.0]

    def found_in(text: str) -> Sequence[PersonalSpan]:
        if spent[0] > seconds:
            raise TimeoutError
        began = time.monotonic()
        try:
            return engine(text)
        finally:
            spent[0] += time.monotonic() - began

    return found_in


class Installed:
    """An engine that is installed, or that should be.

    Args:
        load: Returns its function.
    """

    _known: dict[str, "Installed"] = {}  # noqa: RUF012 - those of this process

    def __init__(self, load: Callable[[], Callable[[str], Any]]) -> None:
        self._load = load
        self._find: Callable[[str], Any] | None = None
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._stuck = 0

    @classmethod
    def of(cls, name: str) -> "Installed":
        """Return the engine of that name; whether there is one shows when it is asked."""
        return cls._known.setdefault(name, cls(lambda: _loaded(name)))

    def find(self, text: str) -> list[PersonalSpan]:
        """Return what it finds in *text*.

        Raises:
            Exception: Whatever it raises; TimeoutError if it does not answer; Unsearchable if that is no sound answer.
        """
        with self._lock:
            if self._stuck >= MOST_STUCK:
                raise TimeoutError
            self._stuck += 1
        answers: list[Any] = []
        failures: list[BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                # spans that do not overlap are no more than letters: what goes on for ever ends here
                answers.append([*islice(self._function()(text), len(text) + 1)])
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
                failures.append(error)
            finally:
                with self._lock:
                    self._stuck -= 1
                done.set()

        within = ANSWERS_WITHIN if self._find is not None else LOADED_WITHIN
        try:
            threading.Thread(target=work, name="llm-settings pii", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._stuck -= 1
            raise
        if not done.wait(within):
            _log.warning("An engine for personal data has not answered within %.0f seconds.", within)
            raise TimeoutError
        if failures:
            one = failures[0]  # one that ends a program ends none here, nor the thread that writes the log
            raise one if isinstance(one, Exception) else Unsearchable(type(one).__name__)
        return sound(answers[0], len(text))

    def _function(self) -> Callable[[str], Any]:
        with self._loading:
            if self._find is None:
                self._find = self._load()
        return self._find


def _loaded(name: str) -> Callable[[str], Any]:
    for point in entry_points(group=GROUP, name=name):
        found: Callable[[str], Any] = point.load()
        return found
    raise LookupError
