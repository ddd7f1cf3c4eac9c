"""Organisations of a CSV file: they are made, and given the names that other systems have for them."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlmodel import Session

from ..actors import Actor
from ..audit.record import ask_reason
from ..errors import AlreadyExists, Invalid
from ..wording import counted
from . import organization_names, organizations


class ImportedLine(NamedTuple):
    """What became of one organisation of a file."""

    slug: str
    outcome: str
    """In words."""
    is_refused: bool


def read(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Read a header of ``slug``, ``name`` and perhaps ``external``, then a line each. Lines of one slug are one.

    Args:
        lines: Of the file.

    Returns:
        Entries as :func:`~.organizations.create` takes them.

    Raises:
        Invalid: If it does not begin so, or is no CSV.
    """
    found: dict[str, dict[str, Any]] = {}
    reader = csv.DictReader(lines)
    try:
        if "slug" not in (reader.fieldnames or ()):
            raise Invalid({"file": "must begin with a line of names: slug,name,external"})
        for line in reader:
            slug = (line["slug"] or "").strip()
            named = (line.get("name") or "").strip() or slug
            entry = found.setdefault(slug, {"slug": slug, "name": named, "external_names": []})
            if external := line.get("external"):
                entry["external_names"].append(external)
    except csv.Error as error:
        raise Invalid({"file": f"must be CSV; line {reader.line_num}: {error}"}) from None
    return list(found.values())


def put(
    session: Session, actor: Actor, entries: Sequence[Mapping[str, Any]], *, take_former: bool = False
) -> list[ImportedLine]:
    """Make the organisations that are not there, and give those that are the external names they do not have; nothing is taken.

    Args:
        session: The transaction.
        actor: An admin.
        entries: Of :func:`read`; up to 1,000.
        take_former: Whether slugs that other organisations had before may be taken from them.

    Returns:
        What became of each: those that are new first.

    Raises:
        Forbidden: As everywhere.
        Invalid: If there are too many, or a reason is needed and not given.
    """
    ask_reason(session, actor, "organization.create")
    held = organization_names.holders(session, [entry["slug"] for entry in entries])
    there = {slug: one for slug, one in held.items() if one.kind == "slug" and not one.is_deleted}
    new = [entry for entry in entries if entry["slug"] not in there]
    made = organizations.create(session, actor, new, take_former=take_former)
    lines = [
        ImportedLine(entry["slug"], str(each.error or "added"), each.error is not None)
        for entry, each in zip(new, made, strict=True)
    ]
    own = organization_names.list_of(session, [one.organization_id for one in there.values()])
    for entry in entries:
        if (one := there.get(entry["slug"])) is None:
            continue
        before = [row.name for row in own[one.organization_id] if row.kind == "external"]
        wanted = sorted({*before, *entry["external_names"]})
        if wanted == before:
            lines.append(ImportedLine(entry["slug"], "as it is", is_refused=False))
            continue
        try:
            with session.begin_nested():
                organization_names.set_external(session, actor, one.organization_id, wanted, take_former=take_former)
            lines.append(
                ImportedLine(entry["slug"], f"{counted(len(wanted) - len(before), 'name')} added", is_refused=False)
            )
        except (Invalid, AlreadyExists) as error:
            lines.append(ImportedLine(entry["slug"], str(error), is_refused=True))
    return lines
