"""The commands of webhooks, from the first to the last."""

from tests.processes import core
from tests.receivers import Receiver, is_signed


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
