"""A process that writes the audit as lines until it is killed; arguments: seconds of the lease, events at a time, seconds that writing takes."""

import sys
import time

from core.govern import audit_lines


def slowly(lines: str) -> None:
    """Write, and be busy for a while before it is noted."""
    audit_lines.to_stdout(lines)
    time.sleep(float(sys.argv[3]))


if __name__ == "__main__":
    audit_lines.AT_ONCE = int(sys.argv[2])  # type: ignore[misc]  # smaller than it is, for the test
    lines = audit_lines.AuditLines(slowly, look=0.05, lease=float(sys.argv[1]))
    lines.start()
    sys.stdin.read()
    lines.close()
