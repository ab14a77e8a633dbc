"""Run contestants in turns, each in a process of its own, and compare what they take.

A figure of a benchmark is a ratio to a reference that ran in the same minutes on the same machine:
seconds alone say more about the machine than about the program.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pipeline import __version__

_KB_PER_MB = 1024.0
_SUCCESS = frozenset({0})

Measured = TypeVar("Measured")


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What one contestant took."""

    began: float
    """When it was started, on the machine's monotonic clock."""
    seconds: float
    cpu_seconds: float
    """User and system time, of the process and the children that it waited for."""
    peak_mb: float = 0.0
    """The most memory (MiB) that it, or one of these children, had."""
    printed: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """What some work takes or reaches in relation to a reference."""

    name: str
    reference: str
    ratio: float
    """The median over the rounds of the ratio to the reference."""
    rounds: int
    goal: str = ""
    """What the project aims at, in words."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Further numbers by name, such as `seconds`, a median, or `CPU ratio`."""


def python(*arguments: object) -> tuple[str, ...]:
    """Return a command that runs this interpreter."""
    return (sys.executable, *map(str, arguments))


def run_child(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    exit_codes: frozenset[int] = _SUCCESS,
    folder: Path | None = None,
) -> Took:
    """Run a command to its end, and return what it took.

    CPU seconds are the fair measure on a machine that others load too.

    Args:
        command: the program and its arguments.
        environment: variables to add to this process's environment.
        exit_codes: those that do not mean that it failed.
        folder: the working folder; by default, this process's.

    Raises:
        SystemExit: it failed; shows what it printed.
    """
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode not in exit_codes:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}:\n{printed}")
    return Took(
        began=began,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / _KB_PER_MB,
        printed=printed,
    )


def child(
    *command: object,
    prepare: Callable[[], object] = lambda: None,
    exit_codes: frozenset[int] = _SUCCESS,
) -> Callable[[], Took]:
    """Return a contestant that runs a command.

    Args:
        command: the program and its arguments.
        prepare: called before each round; its time does not count.
        exit_codes: those that do not mean that it failed.
    """

    def act() -> Took:
        prepare()
        return run_child([str(word) for word in command], exit_codes=exit_codes)

    return act


def in_turns(
    contestants: Mapping[str, Callable[[], Measured]], rounds: int
) -> dict[str, list[Measured]]:
    """Return what each contestant measured, round by round.

    They take turns, so that a slow minute of the machine slows each of them. Every other round goes
    backward, so that none profits from always being the last.
    """
    measured: dict[str, list[Measured]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            measured[name].append(contestants[name]())
    return measured


def median_ratio(ours: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(ours, reference, strict=True))


def compare(
    name: str, reference: str, took: Mapping[str, Sequence[Took]], goal: str = ""
) -> Figure:
    """Compare the seconds of some work with those of a reference, round by round."""
    ours, theirs = took[name], took[reference]
    return Figure(
        name=name,
        reference=reference,
        ratio=median_ratio([each.seconds for each in ours], [each.seconds for each in theirs]),
        rounds=len(ours),
        goal=goal,
        details={
            "CPU ratio": median_ratio(
                [each.cpu_seconds for each in ours], [each.cpu_seconds for each in theirs]
            ),
            "seconds": statistics.median(each.seconds for each in ours),
            "reference seconds": statistics.median(each.seconds for each in theirs),
            "peak MB": max(each.peak_mb for each in ours),
        },
    )


def report(title: str, figures: Sequence[Figure], results: Path | None) -> None:
    """Print figures, and write them to a JSON file if one is named."""
    print(title)
    for figure in figures:
        goal = f"   goal: {figure.goal}" if figure.goal else ""
        details = "".join(f", {name} {value:.4g}" for name, value in figure.details.items())
        print(f"  {figure.name:<34} {figure.ratio:8.3f} x {figure.reference}{details}{goal}")
    if results:
        document = {
            "title": title,
            "version": __version__,
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "figures": [asdict(figure) for figure in figures],
        }
        results.write_text(json.dumps(document, indent=1) + "\n")
