"""What may be an API key: one set of rules for pages, REST, command line and import. No sentence here repeats the key."""

import re
from typing import Final, NamedTuple

from ..kinds import KeyFormat, facts_of
from ..presets import preset_at
from ..redaction import SHORTEST

MAX_KEY: Final = 8192
"""Characters. The longest in use are tokens of a sign-in (Entra, Keycloak: 1,300) and of Bedrock (1,100); a server's headers end at 8 KB."""
MIN_KEY: Final = 10
"""Characters of a vendor's key. A server of one's own takes any: its documentation names ``EMPTY`` or ``ollama``."""


class KeyVerdict(NamedTuple):
    """What is to be said of a typed key."""

    refused: str = ""
    """The rule it breaks."""
    correction: str = ""
    """Where it is refused: the key that probably was meant. A secret."""
    warning: str = ""
    """Why it is probably no key of this kind: a person confirms it."""
    note: str = ""
    """What else is to be known."""


_QUOTES: Final = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_LABEL: Final = (
    rf"[{_QUOTES}]?[A-Za-z0-9_. -]{{0,60}}(?i:key|token|secret)s?[{_QUOTES}]?\s{{0,3}}[:=]"  # its name says what it is
    r"|[A-Z0-9]+_[A-Z0-9_]+\s{0,3}[:=]"  # a variable
    r"|[A-Za-z0-9_. -]{1,60}[:=]\s"  # words, and a blank behind the colon
)
_REFERENCE: Final = (
    r"\$\{.*|\$\(.*|\$[A-Z_][A-Z0-9_]*|%[A-Za-z_]\w*%|\{\{.*|(os\.)?environ[/.\[].*|process\.env\..*|env[:/][A-Za-z_]\w*"
    r"|(op|vault|secrets?|keyring|file|gcpsm|gcp-sm|aws-sm|awssm|azurekeyvault|akv|bws|doppler)://?.*|vault:.*"
    r"|/(run|var|etc|home|mnt|opt|secrets|usr|tmp|root)/[\w./-]+|[A-Za-z]:\\.*"
    r"|ref\+.*|arn:aws[\w-]*:.*|projects/[^/]+/secrets/.*|@Microsoft\.KeyVault\(.*|!(vault|secret|ENV)\b.*"
)
"""Of shells and .env files, LiteLLM (os.environ/), 1Password (op://), Vault, vals (ref+), AWS, Google, Azure, Ansible; files."""
_REFUSED: Final = tuple(
    (re.compile(pattern, re.DOTALL), rule)
    for pattern, rule in (
        (
            r"\S{0,12}?(\.\.\.|\u2026)?[*\u2022\u25cf]{3,}",
            "is the mask of a stored key, and no key. Leave it out to keep what is stored",
        ),
        (r"(#|//)(\s.*)?", "is a comment, and no key"),
        (_REFERENCE, "is a reference to a secret kept elsewhere, and none is followed: paste the key itself"),
        (r"[A-Za-z][A-Za-z0-9+.-]{1,30}://.*", "is a URL: that is what Base URL is for"),
        (r"\{.*", "is a JSON document, and no key. A service account's file cannot be used"),
        (
            r"(?i)(authorization\s{0,3}[:=]\s{0,3})?(bearer|token)[\s:]\s{0,3}(?P<key>\S.*)",
            "has a header's words before the key, which are added when it is sent",
        ),
        (
            rf"(export\s+|setx?\s+|-\s+)?(?={_LABEL})[^:=]{{1,80}}?[:=]\s{{0,3}}(?P<key>[^\s=].*)",
            "has a name before the key, as NAME=key: leave out the name",
        ),
        (r"setx\s+\w+\s+(?P<key>\S.*)", "has a command before the key"),
        (
            rf"[{_QUOTES}](?P<key>[^{_QUOTES}]*)[{_QUOTES}]?[,;]?|(?P<inner>[^{_QUOTES}]+)[{_QUOTES}][,;]?",
            "has a quote around it, which is no part of the key",
        ),
        (r".*(\.\.\.|\u2026).*", "is a shortened key: copy the whole one"),
    )
)
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_GONE: Final = dict.fromkeys(map(ord, f"\u00a0\u2007\u202f\u3000{_QUOTES[3:]}"), "")
_SEVERAL: Final = re.compile(r".{8,}[,;|]\s*.{8,}", re.DOTALL)
_SEVERAL_BY_PREFIX: Final = re.compile(r"(sk-|AIza|gsk_|xai-).+[,;|]\s*(sk-|AIza|gsk_|xai-).+", re.DOTALL)
_DUMMY: Final = re.compile(
    r"(?i)none|null|nil|undefined|empty|dummy|fake|test|secret|key|token|password|n/?a|-|no-?key(-required)?|local|any"
    r"|not-?(needed|used|required|set)|unused|ollama|lm-?studio|anything|(fake|dummy|test)[-_ ]?(api[-_ ]?)?key"
    r"|sk-(x+|\d{1,9}|test|fake|dummy|key)"
)
"""What servers without a key are given, as their documentation says: vLLM, Ollama, LM Studio, LiteLLM, llama.cpp."""
_SAMPLE: Final = re.compile(
    r"(?i)<.*>|\[.*\]|.*(?<![a-z0-9])(your|my|change|replace|insert|paste|enter|add|example|placeholder|sample|todo|tbd)(?![a-z0-9]).*"
    r"|.*(change_?me|user_provided|api_?key_?here|(?<![a-z0-9])here).?|.*([x0.*])\3{5,}.*|x{3,}",
    re.DOTALL,
)
"""What samples of .env files say: LibreChat, bolt.diy, Lobe Chat, and the vendors' own."""


def look(kind: str, typed: str, base_url: str | None = None) -> KeyVerdict:
    """Judge what was typed as a key of a provider of *kind* at *base_url*; blanks around it do not count.

    At a known vendor's address the warnings are by that vendor's keys, whatever the kind.
    """
    key = typed.strip()
    own = facts_of(kind).self_hosted
    size = f"must be {1 if own else MIN_KEY} to {MAX_KEY:,} characters"
    if len(key) > MAX_KEY:
        return KeyVerdict(size)
    if refused := _refused(kind, key):
        return refused
    if len(key) < (1 if own else MIN_KEY):
        return KeyVerdict(size)
    if not own:
        return _look_at_vendors(kind, key)
    found, preset = _look_at_own(key), preset_at(base_url)
    if preset is None or found.refused or found.warning:
        return found
    return found._replace(warning=_unlike(preset.key_format, f"{preset.label} keys", key))


def placeholder(text: str) -> bool:
    """Return whether *text* is what samples of configuration write in place of a key."""
    return dummy(text) or _SAMPLE.fullmatch(text.strip()) is not None


def dummy(text: str) -> bool:
    """Return whether *text* is a word that servers without a key are given."""
    return _DUMMY.fullmatch(text.strip()) is not None


def _refused(kind: str, key: str) -> KeyVerdict | None:
    for pattern, rule in _REFUSED:
        if match := pattern.fullmatch(key):
            found = match.groupdict()
            return KeyVerdict(rule, _meant(kind, found.get("key") or found.get("inner") or ""))
    if not key.isascii():
        place = next(number for number, sign in enumerate(key, start=1) if not sign.isascii())
        rule = f"has a character (number {place}) that no key has: texts and chats put it there. Copy it from the vendor's page"
        mended = key.translate(_DASHES).translate(_GONE)
        return KeyVerdict(rule, _meant(kind, mended) if mended != key else "")
    return None


def _meant(kind: str, key: str) -> str:
    """Return *key* if it is one, or what it is corrected to in its turn."""
    found = look(kind, key)
    return found.correction if found.refused else key.strip()


def _look_at_own(key: str) -> KeyVerdict:
    if _SEVERAL_BY_PREFIX.fullmatch(key):
        return KeyVerdict(_ONE_ONLY)
    short = f"Shorter than {SHORTEST} characters: it counts as no secret, and is not looked for in the log."
    blank = "Keys have no blanks inside; this one has. Check that it is the right key."
    return KeyVerdict(warning=blank if " " in key else "", note=short if len(key) < SHORTEST else "")


def _look_at_vendors(kind: str, key: str) -> KeyVerdict:
    if _SEVERAL.fullmatch(key):
        return KeyVerdict(_ONE_ONLY)
    if " " in key:
        return KeyVerdict("has a blank inside, as no key has: copy it again", _meant(kind, key.replace(" ", "")))
    return KeyVerdict(warning=_unlike(facts_of(kind).key_format, "Keys of this kind", key))


def _unlike(known: KeyFormat | None, whose: str, key: str) -> str:
    """Return the warning that *key* does not look like one of a vendor; empty if it does."""
    if placeholder(key):
        return "This looks like a sample's placeholder, and no key. Check that it is the right one."
    if known is not None and known.prefixes and not key.startswith(known.prefixes):
        return f"{whose} usually begin with {' or '.join(known.prefixes)}; this one does not. Check that it is the right key."
    if known is not None and len(key) < known.min_length:
        return f"{whose} usually have at least {known.min_length} characters; this one has {len(key)}."
    return ""


_ONE_ONLY: Final = "is several keys: a provider has one. Make a provider for each"
