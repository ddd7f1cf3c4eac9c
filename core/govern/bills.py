"""What vendors charge for a month, by their own figure, and what was counted here of the same month: how far they differ, and why.

For the installation's admins, who enter it, and its analysts; an organisation has no bill of a vendor's.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Changes, Target, changes_between, record
from ..errors import Conflict, Invalid, NotFound
from ..store.bill_schemas import VendorBillInput
from ..store.schemas import validate
from ..store.spend_tables import LlmVendorBill
from . import bill_files, spend
from .bill_files import BillFile
from .spend import SpendSums

FIELDS: Final = tuple(VendorBillInput.model_fields)
_RECORDED: Final = (*FIELDS, "source")
_IS_PROVIDER: Final = text(
    "SELECT EXISTS (SELECT FROM llm_providers WHERE name = :name) OR EXISTS (SELECT FROM llm_spend WHERE provider = :name)"
)
_PER_CENT: Final = Decimal("0.1")
_NOTHING: Final = SpendSums(0, 0, 0, Decimal(0), Decimal(0), 0)


class ComparedBill(NamedTuple):
    """A provider's month: what was counted here, and what its vendor charges."""

    provider: str
    zone: str
    """Whose month it is, of both."""
    counted: SpendSums
    bill: LlmVendorBill | None
    """None: nobody has entered it yet."""

    @property
    def difference(self) -> Decimal | None:
        """By how much the vendor charges more than was counted; below 0: less."""
        return None if self.bill is None else self.bill.amount - self.counted.cost

    @property
    def per_cent(self) -> Decimal | None:
        """The difference, of what the vendor charges, to a tenth; None where that is nothing."""
        if self.bill is None or self.difference is None or not self.bill.amount:
            return None
        return (self.difference / abs(self.bill.amount) * 100).quantize(_PER_CENT, ROUND_HALF_UP)


def comparison(session: Session, actor: Actor, month: date) -> list[ComparedBill]:
    """Return each provider with a bill or with spend in *month*, by name: both figures are of the bill's zone, else of UTC.

    Args:
        session: The transaction.
        actor: An admin or analyst of the installation.
        month: Any day of it.

    Raises:
        Forbidden: If the actor is neither.
    """
    require(session, actor, "bill.list", role="analyst")
    month = month.replace(day=1)
    found = select(LlmVendorBill).where(LlmVendorBill.month == month)
    bills = {bill.provider: bill for bill in session.exec(found)}
    counted: dict[tuple[str, str], SpendSums] = {}
    for zone in sorted({"UTC", *(bill.zone for bill in bills.values())}):
        table = spend.spent(session, actor, ("provider",), month, zone=zone)
        counted |= {(zone, row.names[0]): row.sums for row in table.rows}
    names = sorted({*bills, *(name for zone, name in counted if zone == "UTC")})
    zones = {name: bills[name].zone if name in bills else "UTC" for name in names}
    return [
        ComparedBill(name, zones[name], counted.get((zones[name], name), _NOTHING), bills.get(name)) for name in names
    ]


def set_bill(
    session: Session,
    actor: Actor,
    data: Mapping[str, Any],
    *,
    version: int | None = None,
    source: Literal["typed", "uploaded"] = "typed",
) -> LlmVendorBill:
    """Say what a vendor charges for a month, in the place of what was said before; *data* is a :class:`VendorBillInput`.

    Raises:
        Forbidden: If the actor is no admin.
        Invalid: By the field. Also if nobody knows the provider.
        Conflict: If *version* is not the one that is there.
    """
    require(session, actor, "bill.set")
    wanted = validate(VendorBillInput, data)
    spend.zone_of(wanted.zone)
    if not session.scalar(_IS_PROVIDER, {"name": wanted.provider}):
        raise Invalid({"provider": "must be the name of a provider, or of one that was called"})
    row = _locked(session, wanted.provider, wanted.month)
    before = {} if row is None else row.model_dump(include=set(_RECORDED))
    after = {**wanted.model_dump(), "note": wanted.note or None, "source": source}
    if version is not None and version != (0 if row is None else row.version):
        raise _stale(row, wanted.provider, wanted.month)
    if before == after and row is not None:
        return row
    if row is None:
        row = LlmVendorBill(**after, updated_by=actor.name)
    else:
        row.sqlmodel_update(
            {**after, "version": row.version + 1, "updated_at": _now(session), "updated_by": actor.name}
        )
    session.add(row)
    session.flush()
    session.refresh(row)
    _record(session, actor, "bill.set", row, changes_between(before, after, _RECORDED))
    return row


def remove(session: Session, actor: Actor, provider: str, month: date, *, version: int | None = None) -> LlmVendorBill:
    """Take back what a vendor was said to charge for *month*; return what was said.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere.
    """
    require(session, actor, "bill.remove")
    row = None if "\x00" in provider else _locked(session, provider, month.replace(day=1))
    if row is None:
        raise NotFound("bill", f"{provider} {month:%Y-%m}")
    if version is not None and version != row.version:
        raise _stale(row, provider, month)
    gone = changes_between(row.model_dump(include=set(_RECORDED)), {}, _RECORDED)
    _record(session, actor, "bill.remove", row, gone)
    session.delete(row)
    session.flush()
    return row


def take(
    session: Session, actor: Actor, provider: str, content: bytes, *, zone: str = "UTC", note: str = "", **how: Any
) -> tuple[BillFile, list[LlmVendorBill]]:
    """Read a vendor's CSV file and set the bill of each of its months.

    Args:
        session: The transaction.
        actor: An admin.
        provider: Whose vendor it is.
        content: The file.
        zone: Whose days the file has.
        note: To be kept with each.
        how: As :func:`core.govern.bill_files.read` takes it.

    Raises:
        Forbidden, Invalid: As :func:`set_bill` and :func:`~core.govern.bill_files.read`.
    """
    require(session, actor, "bill.set")
    found = bill_files.read(content, **how)
    data = {"provider": provider, "zone": zone, "note": note or None}
    amounts = [(each.month, each.amount.quantize(Decimal("1e-10"), ROUND_HALF_UP)) for each in found.months]
    return found, [
        set_bill(session, actor, {**data, "month": month, "amount": f"{amount:f}"}, source="uploaded")
        for month, amount in amounts
    ]


def _locked(session: Session, provider: str, month: date) -> LlmVendorBill | None:
    """Return the row, after whoever else changes the bill of the same month."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('llm_vendor_bills'))"))
    wanted = (LlmVendorBill.provider == provider, LlmVendorBill.month == month)
    found = select(LlmVendorBill).where(*wanted).with_for_update().order_by(col(LlmVendorBill.month))
    return session.exec(found.execution_options(populate_existing=True)).one_or_none()


def _stale(row: LlmVendorBill | None, provider: str, month: date) -> Exception:
    if row is None:
        return NotFound("bill", f"{provider} {month:%Y-%m}")
    return Conflict(
        "bill",
        version=row.version,
        changed_by=row.updated_by,
        changed_at=row.updated_at.isoformat(),
        changes={"amount": (format(row.amount.normalize(), "f"), None)},
    )


def _now(session: Session) -> datetime:
    found: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found.astimezone(UTC)


def _record(session: Session, actor: Actor, action: str, row: LlmVendorBill, changes: Changes) -> None:
    said = {name: (_said(was), _said(now)) for name, (was, now) in changes.items()}
    record(session, actor, action, Target("bill", None, f"{row.provider} {row.month:%Y-%m}"), said)


def _said(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return f"{value:%Y-%m}" if isinstance(value, date) else value
