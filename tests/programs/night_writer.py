"""Edits providers over and over, by whichever release is on the path; a line on stdin tells it what to do, and has an answer.

``hold``: rest, and answer which number of each provider was confirmed, how many writes that were, and which were lost.
``go``: on. ``anew``: what is stored now counts as confirmed, as after a restore. ``end``: rest for good.
"""

import json
import sys
import threading
import time

from core.actors import COMMAND_LINE
from core.errors import StoreUnavailable
from core.manage import providers
from core.store import db


class Writer(threading.Thread):
    """Writes one provider; a commit whose answer was lost is looked up."""

    def __init__(self, name: str) -> None:
        super().__init__(daemon=True)
        self.provider, self.confirmed, self.writes = name, 0, 0
        self.lost: list[str] = []
        self.may, self.rests = threading.Event(), threading.Event()

    def run(self) -> None:
        """Write whenever it may."""
        while True:
            self.rests.set()
            self.may.wait()
            self.rests.clear()
            while self.may.is_set():
                self._write()
            stored = self.stored()
            if stored != self.confirmed:
                self.lost.append(f"{self.provider}: {self.confirmed} was confirmed, {stored} is stored")

    def _write(self) -> None:
        tried = self.confirmed + 1
        try:
            with db.transaction() as session:
                row = providers.get_by_name(session, self.provider)
                providers.update(session, COMMAND_LINE, row.id or 0, {"display_name": f"n{tried}"})
        except StoreUnavailable:
            time.sleep(0.05)
            stored = self.stored()
            if stored not in {self.confirmed, tried}:
                self.lost.append(f"{self.provider}: {self.confirmed} was confirmed, {stored} is stored")
            self.confirmed = stored
        else:
            self.confirmed = tried
            self.writes += 1

    def stored(self) -> int:
        """Return what is stored, once the database says it."""
        while True:
            try:
                with db.transaction() as session:
                    return int(providers.get_by_name(session, self.provider).display_name.removeprefix("n"))
            except StoreUnavailable:
                time.sleep(0.05)


if __name__ == "__main__":
    writers = [Writer(name) for name in sys.argv[1:]]
    for writer in writers:
        writer.confirmed = writer.stored()
        writer.start()
    for line in sys.stdin:
        for writer in writers:
            match line.strip():
                case "go":
                    writer.rests.clear()
                    writer.may.set()
                case "anew":
                    writer.confirmed = writer.stored()
                case _:
                    writer.may.clear()
        if line.strip() in {"hold", "end"}:
            for writer in writers:
                writer.rests.wait()
        answer = {
            "confirmed": {writer.provider: writer.confirmed for writer in writers},
            "writes": sum(writer.writes for writer in writers),
            "lost": [words for writer in writers for words in writer.lost],
        }
        print(json.dumps(answer), flush=True)  # noqa: T201 - its answer
        if line.strip() == "end":
            break
