"""Tables, the one validator, transactions and migrations."""

from ..extras import require

require("store")
