"""What a database, or a pooler in front of it, refuses: the reason in our own words, and the cure.

A driver's text may name a part of the URL, a password among it. So nothing of it is passed on, but what the server itself
says when it refuses a connection: it never repeats a password.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ..redaction import scrub

STARTING: Final = "57P03"
FULL: Final = "53300"
READ_ONLY: Final = "25006"
"""SQLSTATEs that callers tell apart: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
_STATE: Final = ("08", "53", "57", "58")
"""Classes of what befalls a server as a whole: of these its own words are passed on, for no value of ours is in them."""
LONGEST: Final = 200
"""Characters of a server's own words."""


class Refusal(NamedTuple):
    """Why a database does not do what it was asked for."""

    sqlstate: str
    """The server's code; of two characters where the whole class means one thing, empty where there is none."""
    reason: str
    cure: str
    lasting: bool
    """Whether it stays so until somebody changes something: waiting alone does not help."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.cure}"


class _Kind(NamedTuple):
    reason: str
    cure: str
    words: str = ""
    """What an error at connecting says, which comes without a code: a regular expression over the English text of
    PostgreSQL, libpq and PgBouncer."""
    lasting: bool = True


_KINDS: Final[Mapping[str, _Kind]] = {
    "08P01": _Kind(
        "the pooler refuses a start-up option",
        "take it out of {variable} and PGOPTIONS, or name it in ignore_startup_parameters of PgBouncer",
        r"unsupported startup parameter",
    ),
    "28": _Kind(
        "the database refuses the user or the password",
        "check both in {variable}, and the server's pg_hba.conf",
        r"authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|role .* does not exist"
        r"|not permitted to log in|no such user",
    ),
    "3D000": _Kind(
        "there is no such database on this server",
        "check the name in {variable}, or create it and run `python -m core migrate`",
        r"database .* does not exist|no such database",
    ),
    "42501": _Kind(
        "the database role may not do this",
        "run `python -m core {grant}` as the owner of the tables",
        r"permission denied for database",
    ),
    "42P01": _Kind(
        "the tables are missing",
        "check that {variable} names the right database, and run `python -m core migrate` there",
    ),
    "42703": _Kind(
        "the database's tables are of another version",
        "run `python -m core migrate`, and use one version of LLM Settings everywhere",
    ),
    READ_ONLY: _Kind(
        "the database is read-only, as a replica is",
        "name the primary in LLM_WRITE_DATABASE_URL, or in DATABASE_URL",
    ),
    FULL: _Kind(
        "the server has no free connection",
        "raise max_connections, or the CONNECTION LIMIT of the role or database, start fewer processes, or put a pooler in front",
        r"too many clients|connection slots are reserved|too many connections|no more connections allowed",
        lasting=False,
    ),
    STARTING: _Kind(
        "the database is starting, or shutting down",
        "wait a moment",
        r"the database system is (?:starting|shutting|not|in recovery)",
        lasting=False,
    ),
}
_AT_THE_LINE: Final = (
    _Kind(
        "nobody listens there",
        "check host and port in {variable}, and that the server runs",
        r"Connection refused|No such file",
        lasting=False,
    ),
    _Kind(
        "the host's name is not known",
        "check the host in {variable}",
        r"failed to resolve|could not translate host name",
        lasting=False,
    ),
    _Kind(
        "no answer in time",
        "check host and port in {variable}, and firewalls in between",
        r"timeout|timed out",
        lasting=False,
    ),
    _Kind(
        "the server's certificate is refused",
        "check sslmode and sslrootcert in {variable}",
        r"certificate",
        lasting=False,
    ),
    _Kind("server and client do not agree on TLS", "check sslmode in {variable}", r"SSL|TLS", lasting=False),
    _Kind(
        "the connection broke off",
        "it is tried again; if it goes on, look at the server's log",
        r"server closed the connection|connection (?:is|was) (?:lost|closed)|consuming input failed|reset by peer|roken pipe",
        lasting=False,
    ),
    _Kind(
        "{variable} cannot be read",
        "write postgresql://user:password@host:5432/name, special characters as %XX",
        r"invalid (?:percent|URI|port|integer|connection option)|missing \"=\"",
        lasting=False,
    ),
)
"""What never reached a server, or was broken off; none of it lasts, for networks and name servers come back."""
_SERVER_MESSAGE: Final = re.compile(r"(?:^|: )\w+:  (?P<words>.+)", re.MULTILINE)
"""A severity in whatever language, and two spaces: how libpq prints an error of the server."""


def read(error: BaseException, *, variable: str = "DATABASE_URL", grant: str = "grant-reader ROLE") -> Refusal | None:
    """Return why the database refuses, by an error of psycopg or one of SQLAlchemy around it; None if it cannot be told.

    Args:
        error: The error.
        variable: The name of what the URL comes from, for the cure.
        grant: The command that gives the role what it lacks here, for the cure.
    """
    found = (_by_code(one) or _by_words(one) for one in _inside(error))
    return next((_in_words(*pair, variable, grant) for pair in found if pair is not None), None)


def _by_code(one: BaseException) -> tuple[str, _Kind] | None:
    code = getattr(one, "sqlstate", None) or ""
    kind = _KINDS.get(code) or _KINDS.get(code[:2])
    if kind is not None and code != "08P01":  # that one has many meanings
        return code, kind
    diag = getattr(one, "diag", None)
    if code[:2] in _STATE and diag is not None and diag.message_primary and not _known_words(str(one)):
        return code, _server_says(diag.message_primary, "wait, and look at the server's log")
    return None


def _by_words(one: BaseException) -> tuple[str, _Kind] | None:
    if type(one).__module__.partition(".")[0] != "psycopg":
        return None
    words = str(one)
    if known := _known_words(words):
        return known
    if getattr(one, "sqlstate", None):
        return None
    if match := _SERVER_MESSAGE.search(words):
        return "", _server_says(match["words"], "check {variable}, and the server's log")
    return next((("", kind) for kind in _AT_THE_LINE if re.search(kind.words, words)), None)


def _known_words(words: str) -> tuple[str, _Kind] | None:
    return next(((code, kind) for code, kind in _KINDS.items() if kind.words and re.search(kind.words, words)), None)


def _server_says(words: str, cure: str) -> _Kind:
    quoted = repr(scrub(words)[:LONGEST]).replace("{", "{{").replace("}", "}}")
    return _Kind(f"the server says {quoted}", cure, lasting=False)


def _in_words(code: str, kind: _Kind, variable: str, grant: str) -> Refusal:
    reason, cure = (text.format(variable=variable, grant=grant) for text in (kind.reason, kind.cure))
    return Refusal(code, reason, cure, kind.lasting)


def _inside(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, and what it was raised from: SQLAlchemy keeps the driver's as ``orig``."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = getattr(one, "orig", None) or one.__cause__
