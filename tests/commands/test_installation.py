"""`installation`, and what it decides of the other commands: whether each change needs a reason."""

from sqlmodel import select

from core.store import db
from core.store.records import AuditEvent
from tests.processes import core


def test_each_change_needs_a_reason(committed: str) -> None:
    """Shown, turned on and off again; a command without --comment is refused with the cure, a dry run needs none."""
    url = {"DATABASE_URL": committed}
    assert core("installation", "show", **url).stdout == "organizations: closed\nrequire reason: no\n"
    assert (
        core("installation", "set", "--require-reason", **url).stdout == "organizations: closed\nrequire reason: yes\n"
    )
    refused = core("organizations", "add", "acme", **url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "comment: is needed" in refused.stderr
    assert "--comment" in refused.stderr
    assert core("organizations", "add", "acme", "-m", "a new customer", **url).returncode == 0
    assert core("import-env", "--dry-run", OPENAI_API_KEY="sk-proj-canary-0123456789abcdefghij", **url).returncode == 0
    assert core("installation", "set", "--no-require-reason", **url).returncode == 1
    last = core(
        "installation", "set", "--organizations", "open", "--no-require-reason", "--comment", "calm again", **url
    )
    assert last.stdout == "organizations: open\nrequire reason: no\n"

    with db.transaction() as session:
        said = {
            event.action: event.changes.get("comment", {}).get("after") for event in session.exec(select(AuditEvent))
        }
    assert said["organization.create"] == "a new customer"
    assert said["installation.update"] == "calm again"
