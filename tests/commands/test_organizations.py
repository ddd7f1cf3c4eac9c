"""`organizations` and `features`, run as people run them."""

from pathlib import Path

from tests.conftest import PASSWORD
from tests.processes import core


def test_an_organisations_life(committed: str, tmp_path: Path) -> None:
    """Made, renamed, given a key and a member, imported, deleted, restored and purged; a key is read from standard input, and never printed."""
    url = {"DATABASE_URL": committed}

    def run(*arguments: str, stdin: str = "") -> str:
        done = core("organizations", *arguments, stdin=stdin, **url)
        return (done.stdout + done.stderr).strip() + ("" if done.returncode == 0 else f" exit {done.returncode}")

    core("seed", **url)
    core("users", "add", "eve", "--role", "member", stdin=PASSWORD + "\n", **url)
    assert run("add", "tier", "--is-template") == "Added tier."
    assert run("add", "acme", "--name", "Acme", "--template", "tier", "--external", "crm-1") == "Added acme."
    assert "already an organisation" in run("add", "acme")
    assert run("rename", "crm-1", "acme-2") == "Renamed to acme-2."
    key = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
    assert run("keys", "set", "acme", "openai", stdin=key + "\n").startswith("Stored sk-proj...**** #")
    assert run("members", "set", "acme", "eve", "--role", "admin") == "eve is admin of acme."
    assert run("members", "list", "acme") == f"{'eve':<30} {'admin':<8} active"
    file = tmp_path / "crm.csv"
    file.write_text("slug,name,external\nacme-2,,crm-2\nacme-2,,crm-3\nbeta,Beta GmbH,crm-9\nBad,,\n", encoding="utf-8")
    tried = run("import", str(file), "--dry-run")
    assert [line.split()[0] for line in tried.splitlines()] == ["beta", "Bad", "acme-2"]
    assert tried.endswith("2 names added exit 1")
    assert run("import", str(file)) == tried
    assert "as it is" in run("import", str(file))
    assert run("list") == (f"{'acme-2':<40} Acme  (1 own key)\n{'beta':<40} Beta GmbH\n{'tier':<40} tier  (template)")
    assert core("tokens", "create", "crm", "--organization", "acme", **url).stdout.startswith("llms_")
    assert "crm" in core("tokens", "list", **url).stdout
    assert "build on" in run("delete", "tier")
    assert run("disable", "beta") == "Disabled beta."
    deleted = run("delete", "acme")
    assert run("restore", deleted.split()[-1]) == "Restored acme-2."
    assert run("keys", "remove", "acme", "openai").startswith("acme has no key")
    run("delete", "acme")
    assert run("purge") == ""
    assert run("purge", "--days", "0", "--dry-run") == run("purge", "--days", "0")
    assert run("members", "remove", "beta", "eve").startswith("Error: There is no member")


def test_features(committed: str) -> None:
    """Registered, listed and deleted, with what goes along."""
    url = {"DATABASE_URL": committed}
    assert core("features", "add", "classify", **url).stdout == "Added classify.\n"
    assert core("features", "add", "Bad", **url).returncode == 1
    assert core("features", "list", **url).stdout == f"{'classify':<40} classify\n"
    assert core("features", "delete", "classify", **url).stdout == "Deleted the feature classify.\n"
    assert core("features", "list", **url).stdout == ""


def test_unregistered_organisations(committed: str) -> None:
    """Served or not, as an admin decides."""
    url = {"DATABASE_URL": committed}
    assert core("installation", "show", **url).stdout == "organizations: closed\nrequire reason: no\n"
    assert (
        core("installation", "set", "--organizations", "open", **url).stdout
        == "organizations: open\nrequire reason: no\n"
    )
    assert core("installation", "show", **url).stdout == "organizations: open\nrequire reason: no\n"
    refused = core("installation", "set", "--organizations", "ajar", **url)
    assert (refused.returncode, "closed or open" in refused.stderr) == (1, True)
