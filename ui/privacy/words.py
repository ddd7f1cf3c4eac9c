"""How the Privacy page says what becomes of personal data."""

from collections.abc import Mapping
from typing import Any, Final

from core.resolving.personal_data import PersonalDataRules
from core.wording import counted, listed

KINDS: Final = {
    "EMAIL": "E-mail addresses",
    "PHONE": "Phone numbers",
    "CARD": "Payment cards",
    "IBAN": "Bank accounts (IBAN)",
    "ID": "National numbers",
    "IP": "Public IP addresses",
    "SECRET": "Secrets",
}
"""Type -> its name for people."""
CHOICES: Final[Mapping[str, Mapping[Any, str]]] = {
    "logs": {"mask": "is masked", "off": "is written as it is"},
    "prompts": {
        "off": "are sent as they are",
        "mask": "are sent masked",
        "refuse": "are refused if something is found",
    },
    "answers": {"off": "reach the program as they are", "mask": "reach the program masked"},
    "restore": {True: "get the caller's own values back", False: "keep the placeholders"},
    "on_failure": {"refuse": "are refused", "send": "are sent as they are"},
}
"""Field -> value -> what it means, behind what :data:`WHAT` says."""
WHAT: Final = {
    "logs": "The request log",
    "prompts": "Prompts",
    "answers": "Answers",
    "restore": "Answers to masked prompts",
    "on_failure": "Prompts that cannot be searched",
}


def whole_words(rules: PersonalDataRules) -> str:
    """Return what holds, as sentences."""
    names = ["logs", "prompts", "answers", *(["restore", "on_failure"] if rules.prompts == "mask" else [])]
    said = [f"{WHAT[name]} {CHOICES[name][getattr(rules, name)]}." for name in names]
    countries = f"Numbers of {listed(rules.countries)} are known." if rules.countries else "No country is chosen."
    return " ".join([*said, countries])


def fields_words(fields: Mapping[str, Any]) -> str:
    """Return what a row says, in parts; what it does not say it inherits."""
    said = [f"{what} {CHOICES[name][fields[name]]}" for name, what in WHAT.items() if fields.get(name) in CHOICES[name]]
    if (types := fields.get("types")) is not None:
        said.append(
            f"looks for {listed([KINDS.get(kind, kind).lower() for kind in types]) or 'nothing of the built-in kinds'}"
        )
    if (countries := fields.get("countries")) is not None:
        said.append(f"countries: {', '.join(countries) or 'none'}")
    if fields.get("engine") is not None:
        said.append(f"engine: {fields['engine']}")
    if (patterns := fields.get("patterns")) is not None:
        said.append(counted(len(patterns), "own pattern"))
    if (allow := fields.get("allow")) is not None:
        said.append(f"{counted(len(allow), 'text')} let be")
    return " · ".join(said) or "Says nothing: all is inherited."
