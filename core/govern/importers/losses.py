"""What an importer says of a file besides the document: each thing that did not come over as it stood there."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from ...redaction import scrub
from ...wording import counted

LossKind = Literal["lost", "said otherwise", "to do"]
"""``lost``: it has no place here. ``said otherwise``: it is in the document in another form. ``to do``: a person is needed."""
MOST: Final = 2_000
"""So many are told of one file; of more, how many there are."""
_LONGEST: Final = 200


class LossReason(NamedTuple):
    """Why something does not come over as it is, and what to do instead: sentences for people."""

    why: str
    instead: str = ""
    kind: LossKind = "lost"


class ImportLoss(NamedTuple):
    """One thing of a file that did not come over as it stood there. No part of it is a value of the file."""

    where: str
    """Its path in the file, as ``model_list[3].litellm_params.rpm``; a line's name in a .env file."""
    line: int | None
    """Its line, counted from 1; None where the file is JSON."""
    why: str
    instead: str
    kind: LossKind

    def __str__(self) -> str:
        place = f"line {self.line}, {self.where}" if self.line else self.where
        return f"{self.kind}: {place}: {self.why}" + (f". Instead: {self.instead}" if self.instead else "")


class Imported(NamedTuple):
    """What became of a file."""

    document: dict[str, Any]
    """For ``apply``: YAML or JSON can be written of it. Without secrets."""
    losses: tuple[ImportLoss, ...]

    def without_references(self) -> dict[str, Any]:
        """Return the document for where nobody resolves references: each key and header that is one is to be entered by hand."""
        providers = {
            name: {
                field: _by_hand(said)
                if field == "api_key"
                else {key: _by_hand(each) for key, each in said.items()}
                if field in {"headers", "query"}
                else said
                for field, said in provider.items()
            }
            for name, provider in self.document.get("providers", {}).items()
        }
        return {**self.document, **({"providers": providers} if providers else {})}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of each part of the document there are."""
        parts = ("providers", "features", "presets")
        providers = self.document.get("providers", {}).values()
        models = sum(len(provider.get("available_models", ())) for provider in providers)
        found = {part: len(self.document.get(part, {})) for part in parts}
        return {"providers": found["providers"], "models": models, **{part: found[part] for part in parts[1:]}}

    @property
    def summary(self) -> str:
        """The counts in words, as ``2 providers, 5 models, 1 feature; 3 lost, 1 to do``."""
        came = ", ".join(counted(number, part[:-1]) for part, number in self.counts.items() if number) or "nothing"
        kinds: tuple[LossKind, ...] = ("lost", "said otherwise", "to do")
        left = {kind: sum(loss.kind == kind for loss in self.losses) for kind in kinds}
        return f"{came}; " + (
            ", ".join(f"{number} {kind}" for kind, number in left.items() if number) or "nothing lost"
        )


def _by_hand(said: Any) -> Any:
    return {"set": True} if isinstance(said, dict) and said.keys() & {"env", "file"} else said


class Book:
    """The losses of one file, while it is read."""

    def __init__(self, lines: Mapping[str, int] | None = None) -> None:
        self._lines = lines or {}
        self._found: dict[tuple[str, str], ImportLoss] = {}
        self._more = 0

    def add(self, where: str, why: LossReason) -> None:
        """Note a loss; the same one at the same place counts once."""
        if len(self._found) >= MOST:
            self._more += 1
            return
        place = shown(where)
        self._found.setdefault(
            (where, why.why), ImportLoss(place, self._lines.get(where), why.why, why.instead, why.kind)
        )

    def drop(self, where: str) -> None:
        """Take back what was noted at a place."""
        self._found = {known: loss for known, loss in self._found.items() if known[0] != where}

    def all(self) -> tuple[ImportLoss, ...]:
        """Return what was noted, in the order of the file where lines are known, else as it was met."""
        found = sorted(self._found.values(), key=lambda loss: loss.line or 0)
        if self._more:
            found.append(
                ImportLoss("the rest", None, f"{self._more:,} more are not listed", "import a smaller file", "lost")
            )
        return tuple(found)


def shown(path: str) -> str:
    """Return a path, which is made of a file's own names, as it may be printed: short, one line, without secrets."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in path[: _LONGEST * 4])
    return scrub(plain)[:_LONGEST]
