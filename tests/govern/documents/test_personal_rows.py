"""What becomes of personal data as a section of the document: by the names of its scope, whole, an organisation's own in its document too."""

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.errors import Invalid
from core.govern.documents import writing
from core.manage import personal_data
from core.store.table import id_of
from tests.govern.documents.test_presets_and_limits import put

SAID = """
version: 1
organizations:
  acme: {name: Acme}
features:
  classify: {display_name: Classify}
personal_data:
  - {logs: mask, countries: [DE]}
  - {organization: acme, feature: classify, prompts: refuse, types: [], allow: [info@acme.example], restore: false}
"""


def test_said_exported_and_said_again(session: Session) -> None:
    """Made with what it names; the export is what is stored, and is applied to a store without; what names nothing there is refused."""
    put(session, SAID)
    found = {each.scope: each.row for each in personal_data.list_all(session, COMMAND_LINE)}
    assert list(found) == ["all providers", "acme · classify · all providers"]
    row = found["acme · classify · all providers"]
    assert (row.prompts, row.types, row.allow, row.restore) == ("refuse", [], ["info@acme.example"], False)
    assert not put(session, SAID).changes
    exported = writing.write(session, COMMAND_LINE)
    assert not put(session, exported, prune=True).changes
    for each in found.values():
        personal_data.delete(session, COMMAND_LINE, id_of(each))
    put(session, exported)
    assert writing.write(session, COMMAND_LINE) == exported
    (own,) = writing.data_of(session, COMMAND_LINE, "acme")["personal_data"]
    assert (own["organization"], own["prompts"]) == ("acme", "refuse")

    put(session, "version: 1\npersonal_data: [{logs: 'off'}]\n")
    kept = {each.scope: each.row for each in personal_data.list_all(session, COMMAND_LINE)}
    assert (kept["all providers"].logs, kept["all providers"].countries) == ("off", None)
    for wrong, words in (("{feature: nope, logs: mask}", "nope"), ("{logs: loud}", "off or mask")):
        with pytest.raises(Invalid, match=words):
            put(session, f"version: 1\npersonal_data: [{wrong}]\n")
    assert not put(session, "version: 1\npersonal_data: [{logs: 'off'}]\n").changes
