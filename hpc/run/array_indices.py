"""Array indices as Slurm and people write them: `3,7-9`, `0-20:2%3`, `4711_[4-10,12%2]`. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

LARGEST = 4_000_001  # the largest MaxArraySize that Slurm takes


def format_indices(indices: Iterable[int]) -> str:
    """The shortest comma list of single indices and ranges: (3, 7, 8, 9) is `3,7-9`."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def parse_indices(text: str) -> tuple[int, ...]:
    """The indices of a list such as `3,7-9,0-20:2%4`, ascending, each once.

    Raises ValueError where the text is no such list.
    """
    indices: set[int] = set()
    for part in text.partition("%")[0].split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+)(?::(\d+))?)?\s*", part)
        if not found:
            raise ValueError(f"{text!r} is no list of indices like 3,7-9")
        first = int(found[1])
        last = int(found[2]) if found[2] else first
        step = int(found[3] or 1)
        if last < first or not step or last > LARGEST:
            raise ValueError(f"{text!r}: {part.strip()} is no range of indices")
        indices.update(range(first, last + 1, step))
    return tuple(sorted(indices))


@dataclass(frozen=True, slots=True)
class TaskId:
    """A job id as sacct and squeue print it. `indices` None: not of an array.

    `truncated`: the list was cut, and goes on after the last of `indices`. `step` is `batch`,
    `extern`, `0`, …, empty for the task itself.
    """

    job: int
    indices: tuple[int, ...] | None
    step: str = ""
    truncated: bool = False


def parse_task_id(text: str) -> TaskId | None:
    """None where the text is no job id: others' rows may hold anything."""
    found = re.fullmatch(r"(\d+)(?:\+\d+)?(?:_(?:(\d+)|\[([^\]]*)\]))?(?:\.(.+))?", text.strip())
    if not found:
        return None
    job, single, several, step = int(found[1]), found[2], found[3], found[4] or ""
    if single is not None:
        return TaskId(job, (int(single),), step)
    if several is None:
        return TaskId(job, None, step)
    listed = several.partition("%")[0]
    truncated = "..." in listed
    if truncated:
        # What precedes the dots may be cut within a range: only whole parts count.
        listed = listed.partition("...")[0].rpartition(",")[0]
    try:
        return TaskId(job, parse_indices(listed) if listed else (), step, truncated)
    except ValueError:
        return None
