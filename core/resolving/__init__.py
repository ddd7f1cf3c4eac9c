"""From rows to effective settings: the merge, the snapshot and its file."""
