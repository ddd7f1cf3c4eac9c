"""The command line: ``python -m core``. Its commands: :mod:`core.commands`."""

import logging
import sys

from . import env_file, redaction
from .errors import CoreError, MissingExtra


def main() -> None:
    """Run the command line; an error this package knows is one sentence and exit 1."""
    try:
        from .commands.app import app  # noqa: PLC0415 - of the extra `cli`
    except MissingExtra:
        sys.exit("The command line needs an extra: pip install 'llm-settings[cli]'")
    redaction.set_up_logging()
    try:
        env_file.load()
        app()
    except CoreError as error:
        sys.exit(f"Error: {error}")
    except Exception:
        logging.getLogger(__name__).critical("Ended by an exception", exc_info=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
