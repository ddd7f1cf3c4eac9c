"""For the unit tests of services: what `resolve` answers, without a database.

from core.testing import override

def test_summary():
    with override("openai", model="gpt-test", temperature=0.0, api_key="sk-test"):
        ...                                    # resolve("openai") is this, every other name is unknown
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from . import resolve
from .errors import KeyUnreadable
from .kinds import facts_of
from .parameters import PARAMETERS
from .resolving.effective import EffectiveSettings, Layer, ProviderFacts, Status, build

_FIELDS = {*PARAMETERS, "omitted_parameters", "custom_settings"}


@contextmanager
def override(
    provider: str,
    *,
    model: str | None = "test-model",
    api_key: str | None = "sk-test",
    kind: str | None = None,
    base_url: str | None = None,
    status: Status = "ok",
    **parameters: Any,
) -> Iterator[EffectiveSettings]:
    """Have :func:`core.resolve.resolve` answer so for *provider*, in all threads, until the block ends.

    Also a decorator. Nested ones add up. A :class:`core.resolve.Resolver` of one's own is not touched.

    Args:
        provider: The name.
        model: None: the status is ``no_model``.
        api_key: None: the status is ``no_key``.
        kind: Default: the provider's name where that is a kind, else ``openai_compatible``.
        base_url: Default: the vendor's own.
        status: What is to be tried out: ``unknown_provider``, ``store_unavailable``, ``disabled``, ``key_unreadable``.
        **parameters: Of a settings row, as ``temperature=0.2`` or ``omitted_parameters=["top_p"]``; the rest has the
            built-in defaults.

    Raises:
        TypeError: If there is no such parameter.
        ValueError: If a value is one that could not be stored.
    """
    _check(parameters)
    if status in {"unknown_provider", "store_unavailable"}:
        answer = build(None, (), name=provider, missing=status)
    else:
        facts = ProviderFacts(
            id=1,
            name=provider,
            display_name=provider,
            kind=kind or (provider if facts_of(provider).base_url else "openai_compatible"),
            base_url=base_url,
            default_model=None if status == "no_model" else model,
            is_active=status != "disabled",
            version=1,
            changes={},
            open_box=None if api_key is None or status == "no_key" else lambda: _box(api_key, status),
        )
        answer = build(facts, [Layer("provider", 1, 1, parameters, {})])
    before = resolve.resolver
    resolve.resolver = _Fixed({**(before.answers if isinstance(before, _Fixed) else {}), provider: answer})
    try:
        yield answer
    finally:
        resolve.resolver = before


class _Fixed(resolve.Resolver):
    """A resolver that asks nobody."""

    __slots__ = ("answers",)

    def __init__(self, answers: dict[str, EffectiveSettings]) -> None:
        super().__init__()
        self.answers = self._answers = answers
        self._connected = True
        self._verified_at = float("inf")
        self._stop.set()

    def miss(self, provider: object) -> EffectiveSettings:
        """Answer for every other name."""
        return build(None, (), name=str(provider))


class _Plain:
    """A key that is no secret."""

    def __init__(self, key: str) -> None:
        self._key = key

    def open(self) -> str:
        return self._key


def _check(parameters: Mapping[str, Any]) -> None:
    unknown = parameters.keys() - _FIELDS
    if unknown:
        raise TypeError(f"No such parameter: {', '.join(sorted(unknown))}. There are {', '.join(sorted(_FIELDS))}.")
    for parameter in PARAMETERS.values():
        value = parameters.get(parameter.name)
        if value is not None and not parameter.fits(value):
            raise ValueError(f"{parameter.name}: a settings row could not have {value!r}")


def _box(api_key: str, status: Status) -> Any:
    if status == "key_unreadable":
        raise KeyUnreadable("damaged", "The stored key is damaged. Enter the API key again.")
    return _Plain(api_key)
