"""Secrets in texts: what the log takes out of its lines by its form, and what people call a password."""

import unicodedata
from collections.abc import Iterator
from typing import Final

from ..patterns import later
from ..secret_forms import present
from .spans import LETTERS, PersonalSpan, Searched, small

_CODE: Final = later(
    r"(?i)[(\[{<$`*]|^(?:none|null|nil|true|false|undefined|os|process|env|self|this|config|settings|str|string|required|optional|yes|no)\b"
    r"|^x+$|^[A-Z_-]*(?:YOUR|EXAMPLE|CHANGE_?ME|PLACEHOLDER)[A-Z_-]*$|\.\.\."
)
"""What stands where a secret would, and is none."""
_SHORTEST: Final = 6
"""Letters of a secret."""
_PASSWORDS: Final = (
    "password|passwd|pwd|pw|passphrase|passcode|passwort|kennwort|mdp|mot de passe|contraseña|senha|palavra-passe|parola|пароль|пароля|"
    "wachtwoord|hasło|haslo|hasła|lösenord|passord|adgangskode|kodeord|salasana|heslo|jelsz|κωδικός|şifre|lozinka|geslo|slaptažod|parool|"
    "密码|密碼|口令|パスワード|비밀번호|암호|पासवर्ड|كلمة المرور|كلمة السر|סיסמ|รหัสผ่าน|mật khẩu|kata sandi|kata laluan|contrasenya|lykilorð|"
    "құпия ?сөз|პაროლ|գաղտնաբառ|رمز عبور|رمز ورود|گذرواژه|پاس ورڈ|পাসওয়ার্ড|கடவுச்சொல்|nenosiri|nywila|wagwoord|şifrə|fjalëkalim|лозинк"
)
_WORDS: Final = tuple(dict.fromkeys(map(small, _PASSWORDS.replace(" ?", " ").split("|"))))
_SPELT: Final = tuple(
    dict.fromkeys(unicodedata.normalize(form, word) for form in ("NFC", "NFD") for word in _PASSWORDS.split("|"))
)
"""Also with the accents apart from their letters."""
_SAID: Final = later(
    rf"(?i)(?<![A-Za-z\u00aa-\u058f])(?:{'|'.join(_SPELT)})[A-Za-z\u00aa-\u06ff]{{0,6}}(?:(?<![A-Za-z])|(?![A-Za-z0-9+/]))"
)
_VERBS: Final = "is ist lautet est es é è to är er on je jest are são -> => है هي هو היא הוא yra ir este είναι adalah là"
_LINKS: Final = frozenset(_VERBS.split())
"""Behind one of these the next thing is what was asked for."""
_PIECE: Final = later(r"[^\s\"'«»„“”「」『』、。|]+")
_SYMBOL: Final = later(r"[!#$%&*+?@^_~]|(?<=\w)[.-](?=\w)")
_BEFORE_IT: Final = ":=(-是は는은"
_REACH, _PIECES = 64, 6
"""Characters, and pieces, behind the word in which a password may stand."""


def secrets(plain: Searched) -> Iterator[PersonalSpan]:
    """Find what looks like a secret, by the table of the log (:data:`core.secret_forms.SECRET_FORMS`), where it is no code.

    Of two that overlap the one that is known by itself stands: ``KEY="sk-…"`` loses what is behind ``sk-``. A password that is told in
    a sentence ("my password is …") is one if it has a letter and a digit, and stands behind a word as *is*, or has a symbol.
    """
    folded = plain.folded
    found = list(_by_forms(plain.text))
    composed = folded if folded.isascii() else unicodedata.normalize("NFC", folded)
    if any(word in composed for word in _WORDS):
        found += _told(plain.text)
    taken: list[tuple[int, int]] = []
    for start, end in found:
        if not any(start < other_end and other_start < end for other_start, other_end in taken[-_PIECES * 4 :]):
            taken.append((start, end))
            yield plain.span(start, end, "SECRET")


def _by_forms(text: str) -> Iterator[tuple[int, int]]:
    """Yield where secrets stand that have a form, those first that are known by themselves; no digests, which are mostly of files."""
    for form in sorted(present(text), key=lambda one: not one.by_itself):
        is_of_url = form.kept.endswith("@")
        for found in () if form.is_digest else form.pattern.finditer(text):
            start, end = found.end(1) if form.kept.startswith("\\1") else found.start(), found.end() - is_of_url
            while start < end and text[start] in "'\"":
                start += 1
            while start < end and text[end - 1] in "'\"":
                end -= 1
            value = text[start:end]
            if _CODE.search(value) is None and (is_of_url or _is_one(value)):
                yield start, end


def _is_one(value: str) -> bool:
    letters = sum(letter.isalnum() for letter in value)
    return letters >= _SHORTEST - 1 and (not value.isalpha() or (letters >= _SHORTEST and not value.islower()))


def _told(text: str) -> Iterator[tuple[int, int]]:
    """Yield where passwords stand that are told in a sentence."""
    for word in _SAID.finditer(text):
        line = text.find("\n", word.end(), word.end() + _REACH)
        end = line if line >= 0 else min(len(text), word.end() + _REACH)
        is_linked = False
        for place, piece in enumerate(_PIECE.finditer(text, word.end(), end)):
            if place >= _PIECES:
                break
            start, value = piece.start(), piece[0]
            while value and value[0] in _BEFORE_IT:
                is_linked, start, value = True, start + 1, value[1:]
            if not value or unicodedata.normalize("NFC", value) in _LINKS:
                is_linked = True
                continue
            value = _ending(value)
            if _could_be(value, is_linked=is_linked or (not place and _is_mixed(value))):
                yield start, start + len(value)
                break
            if piece[0][-1] in ".?;":
                break
            is_linked = piece[0].endswith((":", "="))


def _is_mixed(value: str) -> bool:
    """Return whether *value* has what people put into a password: it need not be said that it is one, right behind the word."""
    return (
        len(value) >= _MIXED
        and value.isalnum()
        and any(map(str.islower, value))
        and any(map(str.isupper, value))
        and not value[0].isdigit()
        and _METHOD.match(value) is None
    )


_MIXED: Final = 9
"""Letters."""
_METHOD: Final = later(r"(?i)argon2|scrypt|bcrypt|pbkdf|base\d|sha\d|md5|oauth|version|policy|windows")


def _ending(value: str) -> str:
    """Return *value* without the sentence's punctuation, and without what follows it in a script that has no spaces."""
    if value[:1].isascii():
        behind = _UNSPACED.search(value)
        value = value[: behind.start()] if behind else value
    return value.rstrip(".,;:?)") if not value.endswith("))") else value.rstrip(")")


_UNSPACED: Final = later(rf"(?![{LETTERS}])\w")


def _could_be(value: str, *, is_linked: bool) -> bool:
    if len(value) < _SHORTEST or not any(map(str.isdigit, value)) or not any(map(str.isalpha, value)):
        return False
    if _NO_PASSWORD.search(value) is not None:
        return False
    return is_linked or _SYMBOL.search(value) is not None


_NO_PASSWORD: Final = later(r"://|@[\w-]+\.\w|\(|^[<{$\[]|^[\d.:/-]+\w?$")
"""Addresses, calls, what stands for a value, dates and times."""
