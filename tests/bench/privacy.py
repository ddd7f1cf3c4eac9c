"""What it costs to look for personal data: time by length and kind of text, memory, what is imported, a part of a stream."""

import json
import random
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

from core.privacy.looking import Looking, find
from core.privacy.national import COUNTRIES
from core.privacy.placeholders import Placeholders, Restoring
from core.privacy.streaming import Masking

KB = 1024
DICE = random.Random(24)
PROSE = (
    "Dear team, thank you for the quick answer about the offer that we talked of in the meeting last week. We would like to go on with the "
    "second plan, but there are questions about the delivery in May 2024 and the price of the 12 machines. Anna (anna.lee@example.com, "
    "+49 30 901820) has the papers. Could you send a copy of the contract, and say whether 15 % still holds? Invoice 20240311 was paid on 12.03.2024. "
)
CHAT = json.dumps(
    {
        "model": "gpt-6.1-terra",
        "max_tokens": 900,
        "messages": [
            {"role": "system", "content": "You answer questions about orders of our shop, in short sentences."},
            {
                "role": "user",
                "content": "Where is my order 4711-0815? I am Anna Lee, anna@example.com, phone 0171 2345678.",
            },
            {"role": "assistant", "content": "It left our house at 14:05 on 2024-05-03, and will be there in 2 days."},
            {"role": "user", "content": "id 3fa85f64-5717-4562-b3fc-2c963f66afa6, build 1.2.3, 8.8.8.8 at 1718000000"},
        ],
    }
)
DIGITS = " ".join(str(DICE.randrange(10 ** DICE.randint(3, 16))) for _ in range(200))
CJK = "我们上周在会议上讨论了新的合同\uff0c价格是12000元\uff0c请在2024年5月3日之前回复。联系人王芳\uff0c电话13812345678\uff0c邮箱wang@example.com。"
TEXTS = {
    "prose": (PROSE * 3)[:KB],
    "chat as JSON": (CHAT * 2)[:KB],
    "Chinese": (CJK * 9).encode()[:KB].decode(errors="ignore"),
    "numbers alone": DIGITS[:KB],
}
ALL = tuple(sorted(COUNTRIES))
OF = {"no": Looking(), "5": Looking(countries=("DE", "FR", "GB", "NL", "US")), "61": Looking(countries=ALL)}
MEGABYTE = 1_000_000
HOSTILE = {
    "digits": "".join(DICE.choices("0123456789", k=MEGABYTE)),
    "@": "@" * MEGABYTE,
    "letters and digits": "".join(DICE.choices("0123456789abcXYZ", k=MEGABYTE)),
    "100,000 short lines": "a1 2b, 03\n" * 100_000,
}
AROUND = """
import json, sys, time
texts, countries, has_extra = json.load(sys.stdin)
import core.resolve
def size(): return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
taken = sorted(name for name in sys.modules if name.startswith(("core.privacy", "stdnum", "phonenumbers")))
before, began = size(), time.process_time()
from core.privacy import looking
looking._has_extra = has_extra
for text in texts: looking.find(text, looking.Looking(countries=tuple(countries)))
print(len(taken), size() - before, (time.process_time() - began) * 1000)
"""


def run(row: Callable[..., None]) -> None:
    """Measure, and print a row for each."""
    for what, text in TEXTS.items():
        took = {name: _ms(lambda: find(text, looking)) for name, looking in OF.items()}  # noqa: B023 - called at once
        reached = None if what == "numbers alone" else took["61"] <= 1
        figures = ", ".join(f"{ms:.2f}" for ms in took.values())
        must = "(compared)" if reached is None else "≤ 1 ms"
        row(f"personal data: 1 kB of {what}; no, 5, 61 countries", f"{figures} ms", must, reached=reached)
    for what, text in HOSTILE.items():
        half, whole = (_ms(lambda: find(text[:size], OF["61"]), 1, 3) for size in (len(text) // 2, len(text)))  # noqa: B023 - called at once
        figures = f"{whole / 1000:.2f} s, {whole / half:.2f}"
        row(f"personal data: 1 MB of {what} ÷ half of it", figures, "≤ 2.5", reached=whole / half <= 2.5)
    _processes(row)
    _streams(row)


def _processes(row: Callable[..., None]) -> None:
    for has_extra in (True, False):
        given = json.dumps([list(TEXTS.values()), ALL, has_extra])
        made = [_alone(given) for _ in range(5)]
        taken, memory, first = map(min, zip(*made, strict=True))
        extra = "with the extra" if has_extra else "without it"
        row(f"personal data, 61 countries, {extra}: memory", f"{memory:.1f} MiB", "≤ 20 MiB", reached=memory <= 20)
        row(f"personal data, 61 countries, {extra}: the first 4 kB", f"{first:.0f} ms", "(compared)", reached=None)
    row("personal data: modules of it that core.resolve imports", f"{taken:.0f}", "0", reached=not taken)


def _alone(given: str) -> list[float]:
    """Return what a process of its own says: modules there before, MiB, ms."""
    command = [sys.executable, "-c", AROUND]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return list(map(float, done.stdout.split()))


def _streams(row: Callable[..., None]) -> None:
    known = Placeholders()
    known.mask(PROSE)
    parts = [text for word in known.mask(PROSE).split(" ") for text in (word[:3], word[3:] + " ")] * 20

    def given(stream: Any) -> float:
        began = time.process_time()
        for part in parts:
            stream.feed(part)
        return (time.process_time() - began) / len(parts) * 1e6

    took = min(given(Restoring(known)) for _ in range(9))
    row("personal data: values put back, a part of a stream", f"{took:.2f} µs", "≤ 3 µs", reached=took <= 3)
    took = min(given(Masking(Placeholders())) for _ in range(5))
    row("personal data: an answer masked, a part of a stream", f"{took:.1f} µs", "(compared)", reached=None)


def _ms(call: Callable[[], object], times: int = 5, repeat: int = 80) -> float:
    """Return the best of some runs, in ms of computing a call: not what other processes took meanwhile."""
    return min(timeit.repeat(call, number=times, repeat=repeat, timer=time.process_time)) / times * 1e3


if __name__ == "__main__":  # these alone: python -m tests.bench.privacy
    run(lambda what, measured, must, *, reached: sys.stdout.write(f"{what} | {measured} | {must} | {reached}\n"))
