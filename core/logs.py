"""The request log, for the service whose calls it keeps: wait until it is written, and see what was not.

What is kept, and the writer: :mod:`core.calling.log_writer`.
"""

from .calling.log_writer import AT_EXIT, dropped, flush

__all__ = ["AT_EXIT", "dropped", "flush"]
