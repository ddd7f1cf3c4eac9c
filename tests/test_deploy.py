"""The shipped configuration of the proxy is one that nginx takes."""

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
