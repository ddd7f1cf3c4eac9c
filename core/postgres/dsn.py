"""How this package's connections are asked for: app, command line and services read ``DATABASE_URL`` here, by libpq's own words."""

import re
from typing import Any, Final

from ..errors import BadConfig

_WRITTEN_BY: Final = {
    "schema": "Write the schema as options=-csearch_path%3DNAME, or give the role a search_path.",
    "pgbouncer": "Take it away.",
    "connection_limit": "Take it away.",
    "pool_timeout": "Take it away.",
    "sslaccept": "Write sslmode=require, or sslmode=verify-full with sslrootcert=.",
}
"""Words of Prisma, whose URLs are copied most often: https://www.prisma.io/docs/orm/overview/databases/postgresql."""
_VALUES: Final = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
"""What libpq takes. It says so itself, but only where it connects, beside all that may pass by itself."""


def arguments(url: str, *, name: str, connect_timeout: int, options: str) -> dict[str, Any]:
    """Return what :func:`psycopg.connect` is to be given: all that the URL says, and ours where it says nothing.

    The URL's own ``connect_timeout`` and ``application_name`` hold; its ``options`` come after ours, where the last one
    decides. The time zone is always UTC, the encoding always UTF-8: what is stored is read by them.

    Args:
        url: As :attr:`core.config.Config.database_url`.
        name: What the server's list of connections shows; empty: the caller says it later.
        connect_timeout: Seconds, for each host of the URL; libpq takes 2 at least.
        options: The server's settings, as ``-c statement_timeout=5s``; empty: none of ours is asked for at start-up,
            where the URL has none either, for a pooler may refuse them.

    Raises:
        BadConfig: If the URL has a word that libpq does not know. No part of it is repeated but such a word.
    """
    from psycopg import ProgrammingError, conninfo  # noqa: PLC0415 - keeps the import of the resolver lean

    try:
        given: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
        fault = ""
    except ProgrammingError as error:
        given, fault = {}, str(error)
    if fault:  # out here: chained, the cause would hold a part of the URL
        raise BadConfig(_explained(fault))
    if not str(given.get("connect_timeout", "0")).strip().lstrip("-").isdecimal():
        raise BadConfig("DATABASE_URL: connect_timeout is no number of seconds.")
    for word, known in _VALUES.items():
        if word in given and given[word] not in known:
            raise BadConfig(f"DATABASE_URL: {word} is none of {', '.join(known)}.")
    if name:
        given.setdefault("application_name", name)
    given.setdefault("connect_timeout", connect_timeout)
    if options or given.get("options"):
        given["options"] = " ".join(filter(None, (options, given.get("options"), "-c timezone=UTC")))
    given["client_encoding"] = "utf8"
    return given


def _explained(fault: str) -> str:
    found = re.search(r'invalid URI query parameter: "([a-z_]{1,30})"\s*$', fault)
    if found is None:
        return "DATABASE_URL cannot be read: what stands behind its ? is no list of name=value with & between."
    cure = _WRITTEN_BY.get(found[1], "Take it away, or write what libpq calls it.")
    return (
        f"DATABASE_URL: PostgreSQL's own driver does not know {found[1]}= in it (another program's word). {cure} "
        "The words: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"
    )
