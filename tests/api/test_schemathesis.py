"""CHECKS 81: schemathesis, every check, stateful, against the real process, as admin, analyst and nobody.

How long is for `LLM_TEST_FUZZ_SECONDS` to say: a quarter of a minute, or half an hour in the nightly run.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.processes import App, core, running_app

pytestmark = pytest.mark.browser  # it speaks to the app's process, for a quarter of a minute

SECONDS = int(os.environ.get("LLM_TEST_FUZZ_SECONDS", "15"))
SHARES = {"admin": 0.7, "analyst": 0.2, "anonymous": 0.1}
"""Of the time: an admin reaches every operation, a stranger two."""
CONFIG = """
# Every check, said here and not by --checks: one that the command line names is on for every operation, whatever is below.
[checks]
enabled = true

# What a schema cannot say is refused with 422: that the default model is one of the available ones, that the base URL is
# no metadata address, and so on; and a PUT without a version, which may come as If-Match instead, with 428.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "410", "422", "428", "429", "5xx"]

# A body that breaks a rule may also be too large to be read at all.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]

# The row is there no longer when its provider was deleted, which takes it along: schemathesis looks for a DELETE of the row.
[[operations]]
include-operation-id = "listSettings"
checks.ensure_resource_availability.enabled = false

# A DELETE takes one of them, which its query names: the list stays, and so does what adds to it.
[[operations]]
include-operation-id = ["listHeaders", "setHeader", "removeHeader", "listQuery", "setQuery", "removeQuery"]
checks.use_after_free.enabled = false
checks.ensure_resource_availability.enabled = false

# A deleted organisation can be read and restored, and another may take its slug; rows go with their feature or provider.
[[operations]]
include-operation-id = [
    "addOrganizations", "oneOrganization", "changeOrganization", "deleteOrganization", "restoreOrganization",
    "organizationNamesOf", "setOrganizationNames", "listMembers", "setMember", "removeMember",
    "listOrganizationProviders", "oneOrganizationProvider", "changeOrganizationProvider", "setOwnKey", "removeOwnKey",
    "listOrganizationSettings", "setOrganizationSettings", "listFeatureSettings", "setFeatureSettings",
    "changeOverride", "deleteOverride",
]
checks.use_after_free.enabled = false
checks.ensure_resource_availability.enabled = false

# It is there again once one is added; and the provider itself is not gone with it.
[[operations]]
include-operation-id = ["nextKey", "addNextKey", "promoteKey", "retireKey"]
checks.use_after_free.enabled = false
checks.ensure_resource_availability.enabled = false
"""


def get(app: App, path: str, token: str) -> str:
    """Ask the app."""
    done = subprocess.run(
        ["curl", "-sf", "-H", f"Authorization: Bearer {token}", f"{app.url}/api/{path}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def answered(app: App, token: str) -> Counter[str]:
    """How often the app has answered with each status, by its own count."""
    found: Counter[str] = Counter()
    for status, number in re.findall(r'requests_total\{.*status="(\d+)"\} ([\d.]+)', get(app, "metrics", token)):
        found[status] += int(float(number))
    return found


def test_schemathesis(database: str, tmp_path: Path) -> None:
    """0 failures, 0 answers of 5xx, and half of an admin's answers are others than 401, 403 and 429: who is nobody gets little else."""
    env = {"DATABASE_URL": database}
    assert core("seed", **env).returncode == 0
    made = {role: core("tokens", "create", role, "--role", role, **env).stdout.strip() for role in ("admin", "analyst")}
    limits = {f"LLM_RATE_LIMIT_{name}": "1000000 per minute" for name in ("GENERAL", "SENSITIVE", "PROVISIONING")}
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    statuses: dict[str, Counter[str]] = {}

    with running_app(tmp_path / "log", **env, **limits) as app:
        described = tmp_path / "openapi.json"
        described.write_text(get(app, "openapi.json", made["admin"]), encoding="utf-8")
        for identity, share in SHARES.items():
            before = answered(app, made["admin"])
            signed_in = ["-H", f"Authorization: Bearer {made[identity]}"] if identity in made else []
            done = subprocess.run(
                [
                    *(str(Path(sys.executable).with_name("st")), "run", str(described), "--url", f"{app.url}/api"),
                    *("--max-time", str(max(5, round(SECONDS * share)))),
                    # It dials whatever host a body names: tests stay on this machine. test_connection.py has it.
                    *("--exclude-operation-id", "testProvider", "--exclude-operation-id", "testNextKey"),
                    *("--continue-on-failure", "--no-color", "--generation-database", "none", "--report", "json"),
                    *signed_in,
                ],
                cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS + 120,
            )  # fmt: skip
            statuses[identity] = answered(app, made["admin"]) - before
            assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        log = app.output()

    reports = sorted((tmp_path / "schemathesis-report").glob("json-*.json"))
    cases = [json.loads(report.read_text(encoding="utf-8"))["test_cases"] for report in reports]
    generated = [found["generated"] for found in cases]
    assert len(cases) == len(SHARES)
    assert [found["unique_failures"] for found in cases] == [0] * len(cases)
    # The floor is for the whole: how many fit into a stranger's few seconds is for the machine to say.
    assert min(generated) > 0, generated
    assert sum(generated) > 50 * len(cases), generated
    whole = sum(statuses.values(), Counter())
    print({identity: dict(sorted(found.items())) for identity, found in statuses.items()}, generated)  # noqa: T201 - the report
    refused = sum(statuses["admin"][status] for status in ("401", "403", "429"))
    assert not any(status.startswith("5") for status in whole), whole
    assert refused <= statuses["admin"].total() / 2, statuses
    assert made["admin"] not in log
    assert "Traceback" not in log
