"""The command line: ``python -m core``. Its commands: :mod:`core.commands`."""

import logging
import sys
from typing import NoReturn

from . import env_file, log_lines, redaction
from .config import choose_log_format
from .errors import CoreError, MissingExtra


def main() -> None:
    """Run the command line; an error this package knows is one sentence and exit 1."""
    try:
        from .commands.app import app  # noqa: PLC0415 - of the extra `cli`
    except MissingExtra:
        sys.exit("The command line needs an extra: pip install 'llm-settings[cli]'")
    redaction.set_up_logging()
    try:
        choose_log_format()
        env_file.load()
        choose_log_format()
        try:
            app()
        finally:
            _flush()
    except CoreError as error:
        _give_up(str(error))
    except OSError as error:  # of a full disk, most of them; what is printed may be lost as well
        where = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or type(error).__name__
        _give_up(f"{reason}{where}. What was to be printed may be incomplete; look before you run it again.")
    except Exception:
        logging.getLogger(__name__).critical("Ended by an exception", exc_info=True)
        sys.exit(1)


def _give_up(reason: str) -> NoReturn:
    sys.exit(log_lines.sentence(f"Error: {reason}", "ERROR"))


def _flush() -> None:
    """Write out what was printed, here, where a full disk is one sentence; what cannot be written is given up."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None  # else the interpreter tries it once more, and prints a traceback
        raise


if __name__ == "__main__":
    main()
