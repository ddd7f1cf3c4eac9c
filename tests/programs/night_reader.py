"""A service, of whichever release is on the path: each line on stdin is a look at all the providers it was given."""

import json
import sys

from core.resolve import resolve

if __name__ == "__main__":
    for _ in sys.stdin:
        found = {name: resolve(name) for name in sys.argv[1:]}
        answer = {
            name: [settings.status, settings.display_name, settings.api_key()[-4:] if settings.status == "ok" else ""]
            for name, settings in found.items()
        }
        print(json.dumps(answer), flush=True)  # noqa: T201 - its answer
