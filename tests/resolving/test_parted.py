"""A dict in parts: it reads as a dict, a change copies single parts, and what was before stays as it was."""

import random

from core.resolving.parted import Parted


def test_reads_as_a_dict_whatever_is_changed() -> None:
    """Entries come, change and go, by the dozen too; each state before is still what it was."""
    dice, plain = random.Random(3), dict[str, int]()
    parted: Parted[str, int] = Parted(plain)
    for _ in range(400):
        changed = {str(dice.randrange(300)): dice.choice([None, 1, 2, 3]) for _ in range(dice.choice([0, 1, 40]))}
        before, was = parted, dict(plain)
        parted = parted.after(changed)
        plain = {key: value for key, value in {**plain, **changed}.items() if value is not None}
        assert dict(parted.items()) == plain
        assert len(parted) == len(plain)
        assert [parted.get(str(key)) for key in range(300)] == [plain.get(str(key)) for key in range(300)]
        assert dict(before.items()) == was


def test_a_change_copies_one_part_of_many() -> None:
    """Of 100,000 entries some hundred; read whole or grown one by one."""
    read, grown = Parted(dict.fromkeys(range(100_000), b"")), Parted[int, bytes]({})
    for number in range(3_000):
        grown = grown.after({number: b""})
    for parted in (read, grown):
        after = parted.after({7: b"changed"})
        copied = [part for part, other in zip(after._parts, parted._parts, strict=True) if part is not other]
        assert len(copied) == 1
        assert len(copied[0]) <= 4 * 16 * len(parted) ** 0.5
        assert len(parted._parts) <= 2 * len(parted) ** 0.5
