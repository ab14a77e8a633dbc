"""Run commands in turns, each in a process of its own, and compare what they take.

A figure of a benchmark is a ratio to a reference that ran in the same minutes on the same machine:
seconds alone say more about the machine than about the program.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline import __version__

_KB_PER_MB = 1024.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One piece of work that is measured again and again."""

    name: str
    command: Sequence[str]
    """The program and its arguments."""
    prepare: Callable[[], None] = lambda: None
    """Called before each round; its time does not count."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables to add to this process's environment."""
    exit_codes: frozenset[int] = frozenset({0})
    """Those that do not mean that it failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    """User and system time, of the process and the children that it waited for."""
    peak_mb: float
    """The most memory (MiB) that it, or one of these children, had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """How long some work takes in relation to a reference."""

    name: str
    reference: str
    ratio: float
    """The median over the rounds of the ratio of seconds."""
    cpu_ratio: float
    """The median over the rounds of the ratio of CPU seconds."""
    seconds: float
    """The median of the work's seconds."""
    reference_seconds: float
    peak_mb: float
    rounds: int
    goal: str = ""
    """What the project aims at, in words."""


def python(*arguments: object) -> tuple[str, ...]:
    """Return a command that runs this interpreter."""
    return (sys.executable, *map(str, arguments))


def run(work: Work) -> Took:
    """Run a piece of work once.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    work.prepare()
    begun = time.perf_counter()
    child = subprocess.Popen(
        work.command, env={**os.environ, **work.environment}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in work.exit_codes:
        raise subprocess.CalledProcessError(child.returncode, list(work.command))
    return Took(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / _KB_PER_MB,
    )


def in_turns(works: Sequence[Work], rounds: int) -> dict[str, list[Took]]:
    """Run all works in turns, so that a slow minute of the machine slows each of them."""
    took: dict[str, list[Took]] = {work.name: [] for work in works}
    for _ in range(rounds):
        for work in works:
            took[work.name].append(run(work))
    return took


def compare(
    name: str, reference: str, took: Mapping[str, Sequence[Took]], goal: str = ""
) -> Figure:
    """Compare some work with a reference, round by round."""
    rounds = list(zip(took[name], took[reference], strict=True))
    return Figure(
        name=name,
        reference=reference,
        ratio=statistics.median(ours.seconds / theirs.seconds for ours, theirs in rounds),
        cpu_ratio=statistics.median(
            ours.cpu_seconds / theirs.cpu_seconds for ours, theirs in rounds
        ),
        seconds=statistics.median(ours.seconds for ours, _ in rounds),
        reference_seconds=statistics.median(theirs.seconds for _, theirs in rounds),
        peak_mb=max(ours.peak_mb for ours, _ in rounds),
        rounds=len(rounds),
        goal=goal,
    )


def report(title: str, figures: Sequence[Figure], results: Path | None) -> None:
    """Print figures, and write them to a JSON file if one is named."""
    print(title)
    for figure in figures:
        goal = f"   goal: {figure.goal}" if figure.goal else ""
        print(
            f"  {figure.name:<34} {figure.seconds:8.2f} s, {figure.peak_mb:5.0f} MB;  "
            f"{figure.ratio:5.2f} x {figure.reference} ({figure.cpu_ratio:.2f} x its CPU time)"
            f"{goal}"
        )
    if results:
        document = {
            "title": title,
            "version": __version__,
            "cpus": os.cpu_count(),
            "figures": [asdict(figure) for figure in figures],
        }
        results.write_text(json.dumps(document, indent=1) + "\n")
