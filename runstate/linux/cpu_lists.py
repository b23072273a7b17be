"""Lists of CPUs and memory nodes as the kernel writes them: ``0-3,7`` (cpuset(7))."""

from __future__ import annotations


def parse_list(text: str) -> list[int]:
    """The numbers of a list, in order and each once; none of an empty one.

    Raises:
        ValueError: It is no such list.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        words = part.strip()
        if not words:
            continue
        first, dash, last = (word.strip() for word in words.partition("-"))
        low, high = _number(first), _number(last) if dash else _number(first)
        if high < low:
            raise ValueError(f"{words} runs backwards")
        if high >= LARGEST:
            raise ValueError(f"{words} is beyond {LARGEST - 1}")
        numbers.update(range(low, high + 1))
    return sorted(numbers)


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise ValueError(f"{word!r} is no number")
    return int(word)


LARGEST = 100_000
"""More than any kernel has CPUs (CONFIG_NR_CPUS) or nodes (CONFIG_NODES_SHIFT)."""
