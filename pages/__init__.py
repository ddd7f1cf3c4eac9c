"""The pages: thin, each guarded on its first line."""
