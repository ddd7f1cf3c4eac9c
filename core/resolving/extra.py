"""Extra request parameters: a JSON object of a settings row that is sent with each request, by the vendor's names. Pure functions.

An entry that is one of our own parameters, however the vendor spells it, is a value of that parameter: it obeys the same rules.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ..parameters import PARAMETERS
from .decision import SPELLINGS

PREFIX: Final = "extra_parameters."
"""How the names of extra parameters begin in :meth:`~.effective.EffectiveSettings.explain`."""
LONGEST_NAME: Final = 100
"""Characters."""

_ASKED: Final = "the program writes what is asked"
_PER_CALL: Final = "each call decides it"
_ADDRESS: Final = "keys, headers, query parameters and addresses are the provider's: see Providers"
_INSIDE: Final = "write what stands in it here, by its own name"
_OWN_ROW: Final = "it has a row of its own"
RESERVED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("model", "timeout", "maxretries"), _OWN_ROW),
    **dict.fromkeys(("messages", "contents", "input", "prompt"), _ASKED),
    **dict.fromkeys(("system", "systeminstruction", "instructions"), _ASKED),
    **dict.fromkeys(("stream", "streamoptions", "n", "candidatecount"), _PER_CALL),
    **dict.fromkeys(("apikey", "authorization", "xapikey", "xgoogapikey", "authtoken", "baseurl"), _ADDRESS),
    **dict.fromkeys(("headers", "extraheaders", "defaultheaders", "query", "extraquery", "defaultquery"), _ADDRESS),
    **dict.fromkeys(("extrabody", "config", "generationconfig", "httpoptions", "extraparameters"), _INSIDE),
    **dict.fromkeys(("responseformat", "responsemimetype", "responseschema", "responsejsonschema"), _PER_CALL),
    "shouldreturnhttpresponse": _PER_CALL,
}
"""What no entry may be called, in small letters and nothing but letters -> why."""


def refusal(extra: Mapping[str, Any]) -> str | None:
    """Return the rule that the names in *extra*, or values of our own parameters, break; None: they keep them all."""
    named: dict[str, str] = {}
    for name, value in extra.items():
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
            return f"must have names of 1 to {LONGEST_NAME} printable characters, without spaces around them"
        if (why := _reserved(name)) is not None:
            return f"may not have {name}: {why}"
        ours = SPELLINGS.get(name)
        if ours is None:
            continue
        parameter = PARAMETERS[ours]
        if ours in named:
            return f"has {named[ours]} and {name}, which are the same parameter: name it once"
        if value is not None and not parameter.fits(value):
            return f"has {name}, which must be {parameter.rule}"
        named[ours] = name
    return None


def twice(extra: Mapping[str, Any], row: Mapping[str, Any]) -> str | None:
    """Return the rule that is broken where a parameter stands in *extra* and in the *row* itself; None: nowhere."""
    for name, value in extra.items():
        ours = SPELLINGS.get(name)
        if ours is not None and value is not None and row.get(ours) is not None:
            return f"has {name}, which is {PARAMETERS[ours].label}, and that has a value of its own here: name it once"
    return None


def split(extra: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of a stored object is a value of our own parameters, by our names, and the rest.

    What only raw SQL can have stored, a reserved name or no object at all, counts as not there.
    """
    known: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in extra.items() if isinstance(extra, Mapping) else ():
        if _reserved(name) is None:
            ours = SPELLINGS.get(name)
            (others if ours is None else known)[ours or name] = value
    return known, others


def _reserved(name: str) -> str | None:
    return RESERVED.get(re.sub("[^a-z0-9]", "", name.lower()))
