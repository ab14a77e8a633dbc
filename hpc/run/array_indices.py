"""Parse and write array indices: `3,7-9`, `0-20:2%3`, `4711_[4-10,12%2]`. Pure."""

import re
from collections.abc import Iterable

import msgspec

LARGEST = 4_000_001  # the largest MaxArraySize that Slurm takes


def format_indices(indices: Iterable[int]) -> str:
    """Return the shortest comma list of indices and ranges: (3, 7, 8, 9) is `3,7-9`."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def parse_indices(text: str) -> tuple[int, ...]:
    """Return the indices of a list such as `3,7-9,0-20:2%4`, ascending, each once.

    Raises:
        ValueError: the text is not such a list.
    """
    indices: set[int] = set()
    for part in text.partition("%")[0].split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+)(?::(\d+))?)?\s*", part)
        if not match:
            raise ValueError(f"{text!r} is not a list of indices such as 3,7-9")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        step = int(match[3] or 1)
        if last < first or not step or last > LARGEST:
            raise ValueError(f"{text!r}: {part.strip()} is not a range of indices")
        indices.update(range(first, last + 1, step))
    return tuple(sorted(indices))


def parse_jobs_to_await(text: str) -> tuple[str, ...]:
    """Return the ids of a list of jobs and array tasks such as `4711,4712_3`, each once.

    Raises:
        ValueError: the text is not such a list.
    """
    jobs = [job.strip() for job in text.split(",")]
    for job in jobs:
        if re.fullmatch(r"\d+\+\d+", job, re.ASCII):
            whole = job.partition("+")[0]
            raise ValueError(f"{job} is a part of a heterogeneous job: name the whole job, {whole}")
        if foreign := re.fullmatch(r"(\d[\d_]*)[;@](\S+)", job, re.ASCII):
            raise ValueError(
                f"{job} names the cluster {foreign[2]}. Tasks can wait only for jobs of the "
                f"cluster that they run on: if that is {foreign[2]}, give the number alone, "
                f"{foreign[1]}"
            )
        if not re.fullmatch(r"[1-9]\d*(_(0|[1-9]\d*))?", job, re.ASCII):
            raise ValueError(f"{job!r} is not a job id such as 4711, or 4711_3 for an array task")
    return tuple(dict.fromkeys(jobs))


class TaskId(msgspec.Struct, frozen=True):
    """A job id as sacct and squeue print it."""

    job: int
    """The id of the job, or of the array."""
    indices: tuple[int, ...] | None
    """The array indices; None for a job that is no array."""
    step: str = ""
    """`batch`, `extern`, `0`, …; empty for the task itself."""
    truncated: bool = False
    """Whether the list was cut, and continues after the last of `indices`."""


def parse_task_id(text: str) -> TaskId | None:
    """Parse a job id; return None for anything else, which the rows of other users may hold."""
    array, _, index = text.partition("_")
    if array.isdecimal() and index.isdecimal():  # as most of them are
        return TaskId(int(array), (int(index),))
    match = re.fullmatch(r"(\d+)(?:\+\d+)?(?:_(?:(\d+)|\[([^\]]*)\]))?(?:\.(.+))?", text.strip())
    if not match:
        return None
    job, single, several, step = int(match[1]), match[2], match[3], match[4] or ""
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
