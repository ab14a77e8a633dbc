"""Run child processes in alternating rounds, and compare what they took by medians."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What one child process took."""

    began: float
    """When it was started, on the machine's monotonic clock."""
    wall_s: float
    cpu_s: float
    """Of all its threads, in user mode and in the kernel."""
    printed: str


def run_child(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Took:
    """Run a command to its end.

    CPU seconds are the fair measure on a machine that others load too.
    """
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}:\n{printed}")
    return Took(began=began, wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, printed=printed)


def alternate(
    contestants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Return what each contestant measured, round by round.

    In each round they take turns, and every other round goes backward.
    """
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            measured[name].append(contestants[name]())
    return measured


def ratio(ours: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(ours, reference, strict=True))
