"""What it means when the database refuses a row: a name that is taken, or tables of another version."""

import psycopg
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from ..errors import CoreError, SchemaMismatch


def flush(session: Session, taken: CoreError) -> None:
    """Write what is pending in *session*.

    Args:
        session: The transaction.
        taken: What to raise if a unique index has such a row already.

    Raises:
        SchemaMismatch: If a rule of the database refuses what the rules of this program took: the two are of different
            versions.
    """
    try:
        session.flush()
    except IntegrityError as error:
        problem = taken if isinstance(error.orig, psycopg.errors.UniqueViolation) else _of_another_version(error.orig)
    else:
        return
    raise problem  # out here: chained, even silently, the cause would hold the row


def _of_another_version(error: BaseException | None) -> SchemaMismatch:
    rule = error.diag.constraint_name or error.diag.column_name if isinstance(error, psycopg.Error) else None
    return SchemaMismatch(
        f"The database refuses this by its rule {rule}: its tables are of another version than this program. "
        "Run: python -m core migrate"
    )
