"""The receivers of docs/webhooks.md take what is signed with their secret, once, and refuse everything else."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from core.calling import webhook
from tests.conftest import ROOT, require
from tests.processes import environment, free_port

PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
BODY = b'{"type":"settings.changed","data":{"generation":7}}'


@pytest.mark.parametrize(("language", "command", "suffix"), [("python", sys.executable, "py"), ("js", "node", "cjs")])
def test_receiver(tmp_path: Path, language: str, command: str, suffix: str) -> None:
    """Signed twice, once with another secret, once an hour ago: of the first alone something is printed, once."""
    require(command, shutil.which(command))
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    file, port, secret = tmp_path / f"receiver.{suffix}", free_port(), webhook.new_secret()
    file.write_text(code, encoding="utf-8")
    process = subprocess.Popen(
        [command, str(file)],
        env=environment(WEBHOOK_SECRET=secret, PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx2.get(url)
            except httpx2.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                break
        now = int(time.time())
        statuses = []
        for webhook_id, keys, at in (
            *(("msg_1", (webhook.new_secret(), secret), now), ("msg_1", (secret,), now)),
            *(("msg_2", (webhook.new_secret(),), now), ("msg_3", (secret,), now - 3600)),
        ):
            sent = webhook.send(url, keys, webhook_id, at, BODY, private_hosts=("127.0.0.1",))
            statuses.append(sent.status)
    finally:
        process.terminate()
        printed, _ = process.communicate(timeout=20)

    assert statuses == [204, 204, 400, 400]
    assert printed.split() == ["settings.changed", "7"]
