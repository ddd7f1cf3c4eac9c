"""What looks over it all: the audit log and the figures of calls."""

from ..extras import require

require("store")
