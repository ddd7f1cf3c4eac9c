"""``python -m core``: the command line of llm_settings."""

from llm_settings.__main__ import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
