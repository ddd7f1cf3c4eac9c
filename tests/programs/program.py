"""Be the program that the first argument is the text of: for tests of many programs, which are forked from one that has the SDKs."""

import sys

exec(compile(sys.argv.pop(1), "<program>", "exec"), {"__name__": "__main__"})
