"""Make the catalogue of models anew: ``make catalogue``. Reads packages in a throw-away folder; fetches nothing itself.

Writes core/models/catalogue.json and provenance.json, a line a model, and says what changed. The same packages and the
same overrides give the same bytes.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

import build  # noqa: E402 - beside this file
import score  # noqa: E402
from vote import Verdict  # noqa: E402

from core.models.apis import APIS  # noqa: E402
from core.models.vendored import FORMAT, PATH, PROVENANCE, read  # noqa: E402

PACKAGES = (
    "genai-prices",
    "langchain-anthropic",
    "langchain-deepseek",
    "langchain-google-genai",
    "langchain-groq",
    "langchain-mistralai",
    "langchain-openai",
    "langchain-xai",
    "litellm",
    "model-prices",
    "modelparams",
    "pydantic-ai-slim",
    "rates",
)


_BY_HAND = {"overrides", "collections"}
"""Whose pages are named."""


def main() -> None:
    """Make the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path, help="the folder that the packages are installed in")
    parser.add_argument("--to", type=Path, default=PATH.parent, help="where the two files are written")
    parser.add_argument("--score", action="store_true", help="say how each package does on the facts in tests/models")
    arguments = parser.parse_args()
    overrides = build.read_overrides(HERE / "overrides.toml")
    found = build.collect(arguments.packages)
    taken = build.verdicts(found, overrides)
    models = build.rows(taken, found)
    before = {api: dict(rows) for api, rows in read().rows.items()}
    head = {
        "format": FORMAT,
        "as_of": overrides["as_of"].isoformat(),
        "versions": _versions(arguments.packages),
    }
    (arguments.to / PATH.name).write_text(_text(head, models), encoding="utf-8")
    (arguments.to / PROVENANCE.name).write_text(_text(head, _provenance(taken)), encoding="utf-8")
    _report(before, models, taken)
    if arguments.score:
        voted = build.rows(build.verdicts(found, {**overrides, "facts": [], "ends": [], "collected": []}), found)
        for name in score.FILES:
            for line in score.table(name, found, voted, models, head["as_of"]):
                _say(line)


def _versions(folder: Path) -> dict[str, str]:
    installed = {each.name.lower().replace("_", "-"): each.version for each in distributions(path=[str(folder)])}
    return {name: installed[name] for name in PACKAGES}


def _text(head: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """Return JSON with a line a model, so that a diff of it can be read."""
    lines = ["{", *(f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()), '"models": {']
    for position, (api, rows) in enumerate(models.items(), 1):
        lines.append(f"{json.dumps(api)}: {{")
        lines += [
            f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}{',' if number < len(rows) else ''}"
            for number, (name, row) in enumerate(rows.items(), 1)
        ]
        lines.append("}," if position < len(models) else "}")
    return "\n".join([*lines, "}", "}", ""])


def _provenance(taken: build.Verdicts) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for (api, name), fields in sorted(taken.items()):
        row: dict[str, Any] = {}
        for field in build.FIELDS:
            verdict = fields.get(field)
            if verdict is None:
                continue
            urls = verdict.urls if field in {"retires", "successor"} or _BY_HAND & {*verdict.sources} else ()
            row[field] = [*dict.fromkeys((*verdict.sources, *urls))]
            if verdict.disputed:
                row.setdefault("disputed", {})[field] = dict(sorted(verdict.disputed.items()))
        result.setdefault(api, {})[name] = row
    return result


def _report(before: Mapping[str, Any], models: Mapping[str, Any], taken: build.Verdicts) -> None:
    """Say what changed against the file that is there, and how good the sources are."""
    for api in sorted(before.keys() | models.keys()):
        old, new = before.get(api, {}), models.get(api, {})
        for name in sorted(old.keys() | new.keys()):
            if name not in old:
                _say(f"+ {api} {name}")
            elif name not in new:
                _say(f"- {api} {name}")
            else:
                for field in sorted(old[name].keys() | new[name].keys()):
                    was, now = old[name].get(field), new[name].get(field)
                    if was != now:
                        _say(f"  {api} {name}: {field} {json.dumps(was)} -> {json.dumps(now)}")
    vendors = [api for api in models if APIS[api].vendor]
    known = {place: fields for place, fields in taken.items() if place[0] in vendors}
    _say(f"Models: {sum(map(len, models.values()))}, of vendors {len(known)}.")
    for field in build.FIELDS:
        cells: list[Verdict] = [fields[field] for fields in known.values() if field in fields]
        disputed, alone = sum(bool(cell.disputed) for cell in cells), sum(len(cell.sources) == 1 for cell in cells)
        _say(f"{field}: {len(cells)}, disputed {disputed}, of one source {alone}.")
    score = build.left_out(models, vendors)
    right, total = (sum(part[index] for part in score.values()) for index in (0, 1))
    parts = ", ".join(f"{field} {good} of {all_}" for field, (good, all_) in score.items())
    _say(f"A model that is left out inherits {right} of {total} fields rightly ({right / total:.0%}): {parts}.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
