"""What was acknowledged outlives the server: PostgreSQL is killed under writers of core, again and again."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import col, func, select

from core.actors import COMMAND_LINE
from core.audit import chain
from core.errors import StoreUnavailable
from core.manage import providers
from core.postgres import embedded
from core.store import db, migrate
from core.store.records import AuditEvent
from core.store.tables import LlmProvider

ROUNDS = int(os.environ.get("LLM_TEST_KILLS", "3"))
WRITERS = 4
pytestmark = pytest.mark.kill


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for a server of the test's own, on a disk: what is in memory cannot be lost."""
    home = Path(tempfile.mkdtemp(prefix="d"))
    yield home / "data"
    embedded.stop(home / "data")
    shutil.rmtree(home)


class Writer(threading.Thread):
    """Edits one provider over and over; keeps the last edit whose commit was confirmed, and the one under way."""

    def __init__(self, provider_id: int, ending: threading.Event) -> None:
        super().__init__()
        self.provider_id, self._ending = provider_id, ending
        self.confirmed = self.tried = 0

    def run(self) -> None:
        while not self._ending.is_set():
            self.tried = self.confirmed + 1
            try:
                with db.transaction() as session:
                    providers.update(session, COMMAND_LINE, self.provider_id, {"description": str(self.tried)})
            except StoreUnavailable:
                time.sleep(0.05)
                if (kept := self._stored()) is not None:
                    self.confirmed = max(self.confirmed, kept)  # the confirmation was lost, the commit was not
            else:
                self.confirmed = self.tried

    def _stored(self) -> int | None:
        try:
            with db.transaction() as session:
                return int(providers.get(session, self.provider_id).description or 0)
        except StoreUnavailable:
            return None


def _kill(data_dir: Path) -> None:
    pid = int((data_dir / "postgres" / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    os.kill(pid, signal.SIGKILL)


def test_no_acknowledged_write_is_lost(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 62: over rounds of kill -9 each confirmed edit is stored, each stored edit has its event, and the chain holds."""
    with embedded.keep_running(data_dir) as url:
        engine = db.make_engine(url)
        migrate.upgrade(engine)
        monkeypatch.setattr(db, "get_engine", lambda: engine)
        with db.transaction() as session:
            made = [providers.create(session, COMMAND_LINE, _acme(number)) for number in range(WRITERS)]
            ids = [row.id for row in made if row.id is not None]
        ending = threading.Event()
        writers = [Writer(number, ending) for number in ids]
        for writer in writers:
            writer.start()
        try:
            for _ in range(ROUNDS):
                before = [writer.confirmed for writer in writers]
                _until(lambda: _all_wrote(writers, before))  # noqa: B023 - called within the round
                _kill(data_dir)
        finally:
            ending.set()
            for writer in writers:
                writer.join(60)
        _until(lambda: all(writer._stored() is not None for writer in writers))
        with db.transaction() as session:
            for writer in writers:
                stored = session.get_one(LlmProvider, writer.provider_id)
                events = session.exec(
                    select(func.count()).where(
                        col(AuditEvent.action) == "provider.update", col(AuditEvent.target_id) == writer.provider_id
                    )
                ).one()
                assert int(stored.description or 0) in {writer.confirmed, writer.tried}
                assert events == int(stored.description or 0)
        with db.transaction() as session:
            assert chain.verify(session).problem == ""
        engine.dispose()


def _all_wrote(writers: list[Writer], before: list[int]) -> bool:
    return all(writer.confirmed > count + 5 for writer, count in zip(writers, before, strict=True))


def _acme(number: int) -> dict[str, object]:
    return {
        "name": f"acme-{number}",
        "display_name": "Acme",
        "kind": "openai_compatible",
        "api_base_url": "https://llm.acme.example/v1",
        "available_models": ["m"],
        "default_model": "m",
    }


def _until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
