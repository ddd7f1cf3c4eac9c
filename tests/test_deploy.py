"""The shipped configuration of the proxy is one that nginx takes."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT, require
from tests.vendors import make_certificate


def test_nginx_takes_the_shipped_configuration(tmp_path: Path) -> None:
    """`nginx -t` on deploy/nginx.conf, with a certificate that is there: no error, and no warning either."""
    require("nginx", shutil.which("nginx"))
    certificate, key = make_certificate(tmp_path)
    shipped = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for written, ours in (
        ("/etc/ssl/llm.example.com.pem", certificate),
        ("/etc/ssl/private/llm.example.com.key", key),
        ("listen 443 ssl", "listen 127.0.0.1:18443 ssl"),
    ):
        assert written in shipped
        shipped = shipped.replace(written, str(ours))
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"pid {tmp_path}/pid;\nerror_log {tmp_path}/errors;\nevents {{}}\nhttp {{\naccess_log off;\n{shipped}\n}}\n"
    )

    done = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(whole)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
    assert "[emerg]" not in done.stderr


def test_the_unit_ends_in_time_and_writes_where_only_it_reads() -> None:
    """The unit of docs/deployment.md: longer to stop than requests have, a folder of its own, nothing for others to read."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    found = re.search(r"```ini\n(\[Unit\].*?)```", page, re.DOTALL)
    assert found
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as systemd: names keep their case
    unit.read_string(found[1].replace("\\\n", " "))
    service = unit["Service"]
    graceful = re.search(r"--timeout-graceful-shutdown (\d+)", service["ExecStart"])

    assert graceful
    assert int(service["TimeoutStopSec"]) >= 3 * int(graceful[1])
    assert (service["UMask"], service["StateDirectoryMode"], service["ProtectSystem"]) == ("0077", "0700", "strict")
    assert f"/var/lib/{service['StateDirectory']}" in page.partition(found[0])[2]
    assert service["EnvironmentFile"].endswith(".env")
