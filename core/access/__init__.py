"""Who may: users, sign-ins, tokens, rights and rate limits."""

from ..extras import require

require("store")
