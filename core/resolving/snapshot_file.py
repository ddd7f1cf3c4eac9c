"""The last-known-good file: a snapshot without keys, for a process that starts while the database is away.

One line of JSON that says what follows, and its SHA-256; then the snapshot's lines. Whatever is not exactly that is not read.
"""

import json
import logging
import os
import stat
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from .columns import (
    BUDGETS,
    FACTS,
    FEATURES,
    INSTALLATION,
    LIMITS,
    OVERRIDES,
    PERSONAL_DATA,
    PROVIDERS,
    RATE_LIMITS,
    SEALED,
    SECRETS,
    SETTINGS,
    Columns,
)
from .organizations import TABLES as ORGANIZATIONS
from .organizations import Organizations
from .snapshot import Snapshot

FORMAT: Final = "llm-settings snapshot 6"


def _bare(columns: Columns, has: str) -> list[str]:
    return [*list(columns)[:-SEALED], has]


COLUMNS: Final = {
    "llm_providers": _bare(PROVIDERS, "has_key"),
    "llm_settings": list(SETTINGS),
    "llm_provider_secrets": _bare(SECRETS, "is_sealed"),
    "llm_model_facts": list(FACTS),
    "llm_features": list(FEATURES),
    "feature_llm_overrides": list(OVERRIDES),
    "installation": list(INSTALLATION),
    "llm_limits": list(LIMITS),
    "org_llm_budgets": list(BUDGETS),
    "llm_rate_limits": list(RATE_LIMITS),
    "llm_pii_settings": list(PERSONAL_DATA),
}
"""Table -> the columns of its lines, in their order. It stands in the file: one of a version that reads others is not used."""
KINDS: Final = {
    kind.decode(): _bare(table.columns, "has_key") if kind == b"K" else list(table.columns)
    for kind, table in ORGANIZATIONS.items()
}
"""The same of an organisation's lines, by how they begin; before that stands the organisation's id."""
LARGEST: Final = 256 * 1024 * 1024
"""Bytes. A larger file is none of ours: 1,000 providers take half a megabyte."""

_log = logging.getLogger(__name__)


class Saved(NamedTuple):
    """What was in a file."""

    snapshot: Snapshot
    verified_at: float
    """When it was last known to agree with the store, in seconds since 1970, by the clock of the machine that wrote it."""


def write(path: Path, snapshot: Snapshot, verified_at: float) -> None:
    """Put *snapshot*, without its keys, in place of what is there: whoever reads sees the old file or the new one, whole.

    Readable by its owner alone.

    Raises:
        OSError: If the folder cannot be written to.
    """
    bare = snapshot.without_keys()
    tables = bare.tables()
    body = b"".join(line + b"\n" for lines in tables for line in lines.values())
    organizations = b"".join(
        b"%d\t" % one + line + b"\n" for one, lines in bare.organizations.items() for line in lines.split(b"\n")[:-1]
    )
    import hashlib  # noqa: PLC0415 - keeps the import of the resolver lean

    digest = hashlib.sha256(body)
    digest.update(organizations)
    head = {
        "format": FORMAT,
        "columns": {**COLUMNS, **KINDS},
        "generation": bare.generation,
        "epoch": bare.epoch,
        "verified_at": verified_at,
        "lines": dict(zip(COLUMNS, map(len, tables), strict=True)),
        "only": bare.organizations.only,
        "sha256": digest.hexdigest(),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.unlink(missing_ok=True)  # of a process that was killed, and had the same number
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(json.dumps(head).encode() + b"\n" + body)
            file.write(organizations)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: Path) -> Saved | None:
    """Return what is in the file; None, and a line in the log, if there is none that can be trusted.

    One that others may write to is not trusted: it says where keys are sent. One that others may read is made private.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
            found = os.fstat(file.fileno())
            _refuse_others(found)
            if stat.S_IMODE(found.st_mode) & 0o077:
                _log.warning("The snapshot file %s was readable by others; it is private now.", path)
                os.fchmod(file.fileno(), 0o600)
            return _parsed(file.read(LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        _log.warning("The snapshot file %s is not used: %s.", path, why)
        return None


def _refuse_others(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_size >= LARGEST:
        raise ValueError("it is no file of ours")
    if found.st_uid not in {os.geteuid(), 0} or stat.S_IMODE(found.st_mode) & 0o022:
        raise ValueError("somebody else may have written it")


def _parsed(raw: bytes) -> Saved:
    first, _, body = raw.partition(b"\n")
    head = json.loads(first)
    if head["format"] != FORMAT or head["columns"] != {**COLUMNS, **KINDS}:
        raise ValueError("it is of another version")
    import hashlib  # noqa: PLC0415 - keeps the import of the resolver lean

    if hashlib.sha256(body).hexdigest() != head["sha256"]:
        raise ValueError("it is damaged")
    lines = body.split(b"\n")[:-1]
    tables, at = [], 0
    for table, columns in COLUMNS.items():
        number = head["lines"][table]
        part = lines[at : at + number]
        at += number
        if len(part) != number or not all(line.count(b"\t") == len(columns) - 1 for line in part):
            raise ValueError("it is damaged")
        tables.append({int(line.partition(b"\t")[0]): line for line in part})
    providers, settings, secrets, facts, features, overrides, installation, limits, budgets, rates, personal = tables
    snapshot = Snapshot(
        int(head["generation"]),
        str(head["epoch"]),
        providers,
        settings,
        secrets,
        facts=facts,
        features=features,
        overrides=overrides,
        installation=installation,
        limits=limits,
        budgets=budgets,
        rate_limits=rates,
        personal_data=personal,
        organizations=_organizations(lines[at:], head["only"]),
        has_keys=False,
    )
    return Saved(snapshot, min(float(head["verified_at"]), time.time()))


def _organizations(lines: list[bytes], only: list[str] | None) -> Organizations:
    packed: dict[int, list[bytes]] = {}
    for line in lines:
        one, _, rest = line.partition(b"\t")
        kind, _, values = rest.partition(b"\t")
        if values.count(b"\t") != len(KINDS[kind.decode()]) - 1 or (kind != b"O" and int(one) not in packed):
            raise ValueError("it is damaged")
        packed.setdefault(int(one), []).append(rest + b"\n")
    return Organizations({one: b"".join(parts) for one, parts in packed.items()}, None if only is None else tuple(only))
