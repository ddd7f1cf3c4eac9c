"""Each table whose changes services hear of has a place in the document, or a reason why not."""

import re

from core.govern.documents.schema import Document
from core.govern.documents.sections import ELSEWHERE, KINDS
from core.store.drift import TRIGGERS


def test_every_table_has_a_place_or_a_reason() -> None:
    """A new table with the trigger that counts changes is in the table of kinds, or in the list of reasons."""
    counted = {found[1] for trigger in TRIGGERS if (found := re.search(r"TRIGGER (\w+)_count AFTER", trigger))}
    placed = {table for kind in KINDS for table in kind.tables}

    assert len(counted) > 8
    assert counted == placed | set(ELSEWHERE)
    assert not placed & set(ELSEWHERE)


def test_every_section_is_of_a_kind() -> None:
    """No part of a document is read and then left alone."""
    of_settings = {"defaults"}
    assert set(Document.model_fields) - {"version"} == {kind.section for kind in KINDS if kind.section} | of_settings
