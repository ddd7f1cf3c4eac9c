"""What admins do: providers, settings, keys, the connection test, and the first start."""

from ..extras import require

require("store")
