"""The second factor of local users: a code of an app (TOTP, RFC 6238) or one of ten recovery codes, each good once.

It is asked for behind the right password, by a step that lasts :data:`STEP_MINUTES` and is good once. Times are by the database's clock.
"""

import base64
import hashlib
import re
import secrets
import unicodedata
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session, col, delete, func, select, update

from ..actors import Actor
from ..audit.record import Target, record
from ..crypto import get_ring
from ..errors import KeyUnreadable
from ..extras import from_extra
from ..store.sealed import second_factor_place
from ..store.table import id_of
from ..store.tables import RecoveryCode, SecondFactor, SecondFactorStep, User

STEP_MINUTES: Final = 5
"""Between the password and the code."""
PERIOD_SECONDS: Final = 30
"""Of a code; the one before and the next one are good too."""
CODES: Final = 10
"""Recovery codes."""
WRONG: Final = (
    "The code is wrong, or was used already. Type the next one that your app shows. If none is taken, the clock of your device may be off: "
    "have it set itself, or use a recovery code."
)
FAILED: Final = "session.second_factor_failed"

_TOTP = re.compile(r"[0-9]{6}")
_RECOVERY = re.compile(r"[A-Z2-7]{16}")
_NOW: Any = func.clock_timestamp()


def is_on(session: Session, user_id: int) -> bool:
    """Tell whether a user has a second factor that was confirmed."""
    query = select(SecondFactor.id).where(SecondFactor.user_id == user_id, col(SecondFactor.confirmed_at).is_not(None))
    return session.exec(query).first() is not None


def who_has_one(session: Session) -> frozenset[int]:
    """Return the ids of the users who have one."""
    query = select(SecondFactor.user_id).where(col(SecondFactor.confirmed_at).is_not(None))
    return frozenset(session.exec(query).all())


def codes_left(session: Session, user_id: int) -> int:
    """Return how many recovery codes of a user were not used yet."""
    unused = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    return session.exec(unused.where(col(RecoveryCode.used_at).is_(None))).one()


def begin_step(session: Session, user: User) -> str:
    """Return the secret of the step between the password, which was right just now, and the code."""
    made = secrets.token_urlsafe(32)
    session.exec(delete(SecondFactorStep).where(col(SecondFactorStep.expires_at) < _NOW))
    row = SecondFactorStep(
        digest=_digest(made),
        user_id=id_of(user),
        auth_epoch=user.auth_epoch,
        expires_at=_NOW + text(f"interval '{STEP_MINUTES} minutes'"),
    )
    session.add(row)
    session.flush()
    return made


def whose_step(session: Session, step: str) -> User | None:
    """Return who is between password and code; None if it was used, took too long, or the user was changed since."""
    return _step(session, step, lock=False)


def finish_step(session: Session, step: str, code: str) -> User | None:
    """Return who signs in now, and use up the step; None if the code is wrong, or :func:`whose_step` returns nobody."""
    user = _step(session, step, lock=True)  # of parallel ones the second waits, and finds none
    if user is None or not fits(session, user, code):
        return None
    session.exec(delete(SecondFactorStep).where(col(SecondFactorStep.user_id) == user.id))
    return user


def fits(session: Session, user: User, typed: str) -> bool:
    """Tell whether *typed* is a code of the user's that was not used yet, and use it up. A guess has been counted before."""
    code = _plain(typed)
    if _RECOVERY.fullmatch(code):
        return _use_recovery_code(session, user, code)
    row = session.exec(
        select(SecondFactor).where(SecondFactor.user_id == user.id, col(SecondFactor.confirmed_at).is_not(None))
    ).one_or_none()
    if row is None:
        return False
    step = step_of(session, row, code)
    return step is not None and _use_step(session, row, step)


def step_of(session: Session, row: SecondFactor, typed: str) -> int | None:
    """Return of which 30 seconds *typed* is the code: those that are now, the ones before or the next; None: of none.

    Raises:
        KeyUnreadable: If the seed cannot be opened here.
    """
    code = _plain(typed)
    if not _TOTP.fullmatch(code):
        return None
    with from_extra():
        import pyotp  # noqa: PLC0415 - the commands of users work without it

    seed = get_ring().open(row.seed_encrypted or "", row.seed_key_id, row.seed_binding, second_factor_place(row))
    now = int(session.exec(select(func.floor(func.extract("epoch", _NOW) / PERIOD_SECONDS))).one())
    app = pyotp.TOTP(seed)
    found = [step for step in (now - 1, now, now + 1) if secrets.compare_digest(app.generate_otp(step), code)]
    return found[-1] if found else None


def _use_step(session: Session, row: SecondFactor, step: int) -> bool:
    """Note that a code was used, in one statement: of two who type it at the same moment one is let in."""
    used = session.exec(
        update(SecondFactor)
        .where(col(SecondFactor.id) == row.id, col(SecondFactor.last_step) < step)
        .values(last_step=step)
        .execution_options(synchronize_session=False)
    )
    return bool(used.rowcount)


def _use_recovery_code(session: Session, user: User, code: str) -> bool:
    used = session.exec(
        update(RecoveryCode)
        .where(
            col(RecoveryCode.user_id) == user.id,
            col(RecoveryCode.code_hash) == _digest(code),
            col(RecoveryCode.used_at).is_(None),
        )
        .values(used_at=_NOW)
        .execution_options(synchronize_session=False)
    )
    if not used.rowcount:
        return False
    left = codes_left(session, id_of(user))
    actor = Actor(user.username, user.id, user.auth_epoch)
    record(session, actor, "second_factor.use_code", Target("user", user.id, user.username), {"left": (left + 1, left)})
    return True


def made_codes(session: Session, user: User) -> list[str]:
    """Give a user new recovery codes in place of all others; they are shown once, the database has their hashes."""
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.user_id) == user.id))
    codes = [
        base64.b32encode(secrets.token_bytes(10)).decode() for _ in range(CODES)
    ]  # 80 bits: nobody finds them from their SHA-256
    session.add_all([RecoveryCode(user_id=id_of(user), code_hash=_digest(code)) for code in codes])
    session.flush()
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)).lower() for code in codes]


def drop(session: Session, user: User) -> bool:
    """Take a user's second factor away, with what belongs to it; return whether there was one. Nothing is put on record here."""
    was_on = is_on(session, id_of(user))
    for table in (SecondFactor, RecoveryCode, SecondFactorStep):
        session.exec(delete(table).where(col(table.user_id) == user.id))
    return was_on


def wrong(session: Session, user: User, address: str) -> None:
    """Put a wrong code on record."""
    record(session, Actor(user.username, address=address), FAILED, Target("user", user.id, user.username))


def unreadable_words(error: KeyUnreadable) -> str:
    """Return what somebody is told whose seed cannot be opened here."""
    return f"Your second factor cannot be read here ({error.reason}). Use a recovery code, or ask an admin."


def _step(session: Session, step: str, *, lock: bool) -> User | None:
    query: Any = (
        select(User)
        .join(SecondFactorStep, col(SecondFactorStep.user_id) == User.id)
        .where(
            SecondFactorStep.digest == _digest(step),
            col(SecondFactorStep.expires_at) > _NOW,
            SecondFactorStep.auth_epoch == User.auth_epoch,
            col(User.is_active),
        )
    )
    return session.exec(query.with_for_update(of=SecondFactorStep) if lock else query).one_or_none()  # type: ignore[no-any-return]  # a query of Any


def _plain(typed: str) -> str:
    """Return a code as it is meant: full-width digits, blanks and hyphens are how people and keyboards write."""
    return re.sub(r"[\s\u2010-\u2015-]", "", unicodedata.normalize("NFKC", typed[:100])).upper()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
