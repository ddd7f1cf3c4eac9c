"""Who may: users, sign-ins, tokens, rights and rate limits."""
