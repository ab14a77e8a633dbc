"""Show lines that differ in numbers only as a few of them and a count. Pure.

A folder that cannot be read makes thousands of files unreadable, all for the same reason.
"""

from collections.abc import Sequence

from pipeline.text import counted, without_numbers

_SHOWN_OF_A_KIND = 3


def describe_similar(
    lines: Sequence[str], noun: str, *, most: int, of_a_kind: int = _SHOWN_OF_A_KIND
) -> list[str]:
    """Return the first lines of each kind, each kind followed by how many more there are of it.

    Args:
        lines: the lines; those that differ in numbers only are of one kind.
        noun: what a line is about, such as `file`.
        most: how many lines to return, beside one that counts all others.
        of_a_kind: how many lines of one kind to return.
    """
    kinds: dict[str, list[str]] = {}
    for line in lines:
        kinds.setdefault(without_numbers(line), []).append(line)
    shown: list[str] = []
    left = 0
    for kind in kinds.values():
        # A line of its own is no longer than one that counts a single line.
        first = kind if len(kind) <= of_a_kind + 1 else kind[:of_a_kind]
        more = len(kind) - len(first)
        if len(shown) + len(first) + bool(more) > most:
            left += len(kind)
            continue
        shown += first
        if more:
            shown.append(f"and {counted(more, f'more {noun}')} with the same problem")
    return [*shown, f"and {counted(left, f'more {noun}')}"] if left else shown
