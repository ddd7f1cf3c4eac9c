"""The record of every change, and the chain that shows tampering."""

from ..extras import require

require("store")
