"""What the pages share: the guard, feedback and small widgets."""
