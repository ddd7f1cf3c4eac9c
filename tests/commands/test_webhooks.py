"""The commands of webhooks, from the first to the last."""

from tests.processes import core
from tests.receivers import MailServer, Receiver, is_signed


def test_from_first_to_last(database: str) -> None:
    """Added with its secret on standard output alone, tested, listed, removed; a receiver that fails is exit code 1."""
    env = {"DATABASE_URL": database, "LLM_PRIVATE_HOSTS": "127.0.0.1"}
    with Receiver(lambda n: 200 if n == 1 else 500) as receiver:
        added = core("webhooks", "add", "ops", receiver.url, **env)
        secret = added.stdout.strip()
        assert (added.returncode, added.stderr) == (0, "Keep it now: it is not shown again.\n")
        assert "nothing sent yet" in core("webhooks", "list", **env).stdout
        tested = core("webhooks", "test", "ops", **env)
        assert (tested.returncode, tested.stdout) == (0, "Taken: the receiver answered 200.\n")
        assert is_signed(receiver.got[0], secret)
        failed = core("webhooks", "test", "ops", **env)
        assert (failed.returncode, "The receiver answered 500" in failed.stderr) == (1, True)
    listed = core("webhooks", "list", **env).stdout
    assert "on, last" in listed
    assert "answered 500" in listed
    refused = core("webhooks", "add", "ops", "http://hooks.example.com/x", **env)
    assert (refused.returncode, "https://" in refused.stderr) == (1, True)
    assert core("webhooks", "remove", "ops", **env).returncode == 0
    assert core("webhooks", "list", **env).stdout == ""


def test_slack_and_people(database: str) -> None:
    """Slack's URL comes from standard input, never as an argument; people are arguments; both are listed without a secret."""
    with Receiver() as receiver, MailServer() as server:
        receiver.says = "ok"
        env = {"DATABASE_URL": database, "LLM_PRIVATE_HOSTS": "127.0.0.1", "LLM_SMTP_FROM": "llm@corp.example"}
        env["LLM_SMTP_URL"] = f"smtp://127.0.0.1:{server.port}?tls=none"
        refused = core("webhooks", "add", "channel", receiver.url, "--kind", "slack", **env)
        assert (refused.returncode, "is a secret of Slack's" in refused.stderr) == (1, True)
        added = core("webhooks", "add", "channel", "--kind", "slack", stdin=f"{receiver.url}\n", **env)
        assert (added.returncode, added.stdout, added.stderr) == (0, "Added channel.\n", "")
        assert core("webhooks", "add", "people", "a@b.example", "c@d.example", "--kind", "email", **env).returncode == 0
        assert core("webhooks", "test", "channel", **env).stdout == "Taken: the receiver answered 200.\n"
        assert core("webhooks", "test", "people", **env).stdout == "Taken: the receiver answered 250.\n"
        listed = core("webhooks", "list", **env).stdout
        assert "a@b.example, c@d.example" in listed
        assert "very-secret" not in listed + added.stdout + refused.stderr
    assert [letter.to for letter in server.got] == [["a@b.example", "c@d.example"]]
