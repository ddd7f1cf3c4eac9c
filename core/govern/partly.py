"""How periodic work says that it was done, and not all of it."""

from ..errors import CoreError


class Partly(CoreError):
    """The run is done, and some of it could not be: it is not tried again before its time, and people read why.

    Args:
        words: A sentence for people, without a secret.
        done: How many rows it was all the same.
    """

    def __init__(self, words: str, done: int) -> None:
        super().__init__(words)
        self.done = done
