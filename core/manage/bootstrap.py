"""From an empty folder, or an operator's database, to a store that the app can work on."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from sqlalchemy.exc import DBAPIError

from .. import crypto, log_lines
from ..access import users
from ..actors import FIRST_START
from ..config import Config, check_at_start, get_config
from ..errors import CoreError
from ..postgres import embedded
from ..store import db, migrate
from . import keys, seed

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_ready = threading.Event()


def _print(sentence: str) -> None:
    with suppress(OSError):  # a full disk under the log must not keep the app from starting
        print(log_lines.sentence(sentence), flush=True)  # noqa: T201 - for the person at the terminal, not for the log


def check_configuration() -> None:
    """Check all of the app's environment that can be told wrong before anything is dialled; raises BadConfig."""
    from ..access import ratelimit  # noqa: PLC0415 - of the extra `app`: the command line has no rate limits
    from ..access.sso_config import oidc_config  # noqa: PLC0415 - as above

    config = get_config()
    check_at_start(config)
    oidc_config(config)
    crypto.get_ring()
    ratelimit.get_limiter()
    if not config.embedded:
        db.get_engine()  # which reads the URL, and connects to nothing yet


def ensure_ready(say: Callable[[str], None] = _print) -> None:
    """Make the store ready once in this process; cheap when it is. After a failure the next call tries again.

    The embedded store is created, migrated, seeded and given its first admin. An operator's database is only looked
    at: nothing is migrated behind their back.

    Args:
        say: Takes the sentences for the person at the terminal; the first admin's password is among them, once.

    Raises:
        StoreUnavailable: If the database cannot be reached.
        SchemaMismatch: If its schema is not this version's; names the command to run.
        Invalid: If ``LLM_ADMIN_PASSWORD`` breaks the password rules.
    """
    if _ready.is_set():
        return
    with _lock:
        if not _ready.is_set():
            _prepare(get_config(), say)
            _ready.set()


@contextmanager
def running(say: Callable[[str], None] = _print) -> Iterator[None]:
    """Hold the store for as long as the app runs; a killed embedded server is restarted.

    A database that is away at start does not stop the app: its pages say so, and it recovers by itself.
    """
    users.decoy_hash()  # before anybody signs in; a command, which nobody signs in to, does without
    config = get_config()
    with ExitStack() as stack:
        try:
            if config.embedded:
                stack.enter_context(embedded.keep_running(config.data_dir))
            stack.callback(db.close_engine)  # before the server is stopped
            ensure_ready(say)
        except CoreError as error:
            say(str(error))
        yield


def _prepare(config: Config, say: Callable[[str], None]) -> None:
    password = config.admin_password.reveal() if config.admin_password else None
    if config.embedded:
        engine = db.get_engine()
        migrate.upgrade(engine)
        if config.encryption_key is None and not config.key_file.is_file():
            _make_key(config, say)
        made = None
        with db.transaction() as session:  # all of it or nothing: a first start that was killed is one again
            if users.none_yet(session):
                seed.seed(session, FIRST_START)
                made = users.bootstrap(session, config.admin_username, password)
        if made:
            say(f"First start. Sign in as {config.admin_username!r} with this password, shown only now: {made}")
    else:
        if (found := migrate.check(db.get_engine())) != "ok":
            may = "reads and writes it" if found == "newer" else "reads it, and saves nothing"
            say(f"The database was migrated by a newer version of LLM Settings; this one {may}. Upgrade this process.")
        if password:
            with db.transaction() as session:
                users.bootstrap(session, config.admin_username, password)
        if config.encryption_key is None and not _used():
            say("Started sealed: LLM_ENCRYPTION_KEY is not set, so API keys can be neither stored nor opened.")
    _look_at_encryption_key(say)


def _make_key(config: Config, say: Callable[[str], None]) -> None:
    """Make the key of a store that has none yet. Where one has sealed something, another would only hide that it is gone."""
    if _used() and not config.key_file.is_file():  # looked at again: another process that starts may just have made it
        return
    if crypto.ensure_key_file(config.key_file):
        say(f"Made an encryption key for API keys: {config.key_file} (keep a copy: without it they cannot be read).")
    crypto.get_ring.cache_clear()


def _used() -> bool:
    """Whether the store was used with an encryption key."""
    with db.transaction() as session:
        return bool(keys.look_at_canary(session, crypto.KeyRing(None)).known)


def _look_at_encryption_key(say: Callable[[str], None]) -> None:
    """Tell a wrong encryption key from a damaged row before anybody meets one; never in the way of the start."""
    try:
        with db.transaction() as session:
            canary = keys.check_canary(session, crypto.get_ring())
    except (CoreError, DBAPIError) as error:
        why = str(error) if isinstance(error, CoreError) else type(error.orig).__name__
        say(f"The encryption key could not be checked: {why}")
    else:
        if canary.message and (canary.state != "sealed" or canary.known):
            say(canary.message)
