"""Secrets in texts: what the log takes out of its lines by its form, and what people call a password."""

from collections.abc import Iterator
from typing import Final

from ..patterns import later
from ..redaction import PATTERNS
from .spans import PersonalSpan, Searched

_NAMED: Final = (
    "passw",
    "pwd",
    "secret",
    "api_key",
    "apikey",
    "encryption_key",
    "access_token",
    "?key",
    "&key",
    "?token",
    "&token",
)
_SIGNS: Final[tuple[tuple[str, ...], ...]] = (
    ("$2",),
    ("sk-", "gsk_", "xai-", "github_pat_", "xox", "aiza", "llms_"),
    ("hf_", "ghp_", "gho_", "ghu_", "ghr_", "ghs_", "akia", "asia"),
    ("eyj",),
    ("api-key", "authorization"),
    ("cookie",),
    ("bearer",),
    _NAMED,
    _NAMED,
    ("://",),
)
"""What every text has, in small letters, in which the log's pattern of the same place finds something."""
_PATTERNS: Final = tuple(zip(_SIGNS, PATTERNS[2:], strict=True))
"""All but long hex, which is mostly the digest of a file."""
_CODE: Final = later(
    r"(?i)[(\[{<$`*]|^(?:none|null|nil|true|false|undefined|os|process|env|self|this|config|settings|str|string|required|optional|yes|no)\b"
    r"|^x+$|^\.+$|^[A-Z_]*(?:YOUR|EXAMPLE|CHANGE_?ME|PLACEHOLDER)[A-Z_]*$"
)
"""What stands where a secret would, and is none."""
_PASSWORDS: Final = (
    "password|passwd|pwd|passphrase|passwort|kennwort|mot de passe|contraseña|senha|palavra-passe|parola|пароль|wachtwoord|hasło|haslo|lösenord|"
    "salasana|heslo|jelszó|κωδικός|şifre|密码|密碼|パスワード|비밀번호|पासवर्ड"
)
_WORDS: Final = tuple(_PASSWORDS.split("|"))
_SAID: Final = later(
    rf"(?i)(?<![^\W\d_])(?:{_PASSWORDS})(?: (?:is|ist|lautet|est|es|é|è|to|är|er|on|je|jest)(?= )|は|是|는|은| ?[:=])\s{{0,2}}"
    r"[\"'«„“「]?(?=[^\s\"']{0,64}\d)([^\s\"'»“”「」,;。]{5,63}[^\s\"'»“”「」,;。.?])"
)
_SHORTEST: Final = 6
"""Letters of a secret that has nothing else."""


def secrets(plain: Searched) -> Iterator[PersonalSpan]:
    """Find what looks like a secret, by the patterns of the log (:data:`core.redaction.PATTERNS`), where it is no code.

    A password that is told in a sentence ("my password is …") is one if it has a digit.
    """
    text = plain.text
    folded = text.lower()
    for signs, (pattern, kept) in _PATTERNS:
        if any(sign in folded for sign in signs):
            is_of_url = kept.endswith("@")
            for found in pattern.finditer(text):
                start, end = found.end(1) if kept.startswith("\\1") else found.start(), found.end() - is_of_url
                value = text[start:end].strip("'\"")
                if value and _CODE.search(value) is None and (is_of_url or _is_one(value)):
                    yield plain.span(start, end, "SECRET")
    if any(word in folded for word in _WORDS):
        for found in _SAID.finditer(text):
            if _CODE.search(found[1]) is None:
                yield plain.span(found.start(1), found.end(1), "SECRET")


def _is_one(value: str) -> bool:
    return not value.isalpha() or (len(value) >= _SHORTEST and not value.islower())
