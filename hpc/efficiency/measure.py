"""Compare what the tasks of a run requested with what they used, and count what was wasted. Pure.

What an attempt used counts as wasted if the shard's output is not its own. Checkpoints keep its
answers, so less than that has to be paid for again; but nobody knows how much less.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpc.efficiency.attempt_use import AttemptUse
from pipeline.errors import Cause

# A task that ends within seconds uses CPU time that its whole seconds do not show.
_SHORT_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How a resource was used by the attempts that published an output."""

    least_requested: float | None
    """The smallest request; None where it is Slurm's default."""
    most_requested: float | None
    """The largest request, which differs if a remedy raised it."""
    allocated: float | None
    """The most that any of them had; None where that is not known."""
    median: float
    percentile_95: float
    most: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """A resource times the hours for which the attempts had it."""

    allocated: float
    used: float
    """By attempts that published an output."""

    @property
    def wasted(self) -> float:
        """Return what was allocated and not used; never negative."""
        return max(0.0, self.allocated - self.used)


@dataclass(frozen=True, kw_only=True, slots=True)
class Efficiency:
    """What a run's attempts requested and used. A resource is None where it was not measured."""

    attempts: tuple[AttemptUse, ...]
    """The attempts that have ended, as far as they are known."""
    unknown: int
    """How many more there were, of which the executor has no record, or none yet."""
    minutes: Spread | None
    """Time, in minutes."""
    memory: Spread | None
    """Peak memory, in GiB."""
    cpus: Spread | None
    """CPUs at work on average."""
    node_hours: Hours
    """One task runs on one node, so this is the time for which tasks ran."""
    core_hours: Hours | None
    memory_hours: Hours | None
    """GiB times hours."""
    wasted_by_cause: Mapping[Cause, float]
    """The node hours of attempts that published nothing, by cause, the largest first."""

    @property
    def published(self) -> tuple[AttemptUse, ...]:
        """Return the attempts whose output counts."""
        return tuple(use for use in self.attempts if use.cause is None)

    @property
    def failed(self) -> int:
        """Return how many attempts published nothing."""
        return len(self.attempts) - len(self.published)


def measure(attempts: Sequence[AttemptUse], unknown: int = 0) -> Efficiency:
    """Return what attempts requested and used, and what was wasted.

    Args:
        attempts: the attempts that have ended.
        unknown: how many more there were, of which nothing is known.
    """
    published = [use for use in attempts if use.cause is None]
    wasted: dict[Cause, float] = {}
    for use in attempts:
        if use.cause is not None:
            wasted[use.cause] = wasted.get(use.cause, 0.0) + use.hours
    by_cause = dict(sorted(wasted.items(), key=lambda item: -item[1]))
    allocated = math.fsum(use.hours for use in attempts)
    return Efficiency(
        attempts=tuple(attempts),
        unknown=unknown,
        minutes=_spread((use.elapsed_s / 60, use.time_min, use.time_min) for use in published),
        memory=_spread(
            (use.used_gb, use.mem_gb, use.alloc_mem_gb)
            for use in published
            if use.used_gb is not None
        ),
        cpus=_spread(
            (busy, use.cpus, use.alloc_cpus)
            for use in published
            if (busy := busy_cpus(use)) is not None
        ),
        node_hours=Hours(
            allocated=allocated,
            used=min(allocated, math.fsum(use.hours for use in published)),
        ),
        core_hours=_core_hours(attempts),
        memory_hours=_memory_hours(attempts),
        wasted_by_cause=by_cause,
    )


def peak_source(attempts: Sequence[AttemptUse]) -> str:
    """Return who saw the highest peak of memory; '' if nobody saw any."""
    measured = [(use.used_gb, use.memory_source) for use in attempts if use.used_gb is not None]
    return max(measured)[1] if measured else ""


def busy_cpus(use: AttemptUse) -> float | None:
    """Return how many CPUs an attempt kept busy on average; None if that was not measured."""
    if use.cpu_s is None:
        return None
    busy = use.cpu_s / max(use.elapsed_s, 1)
    return min(busy, float(use.alloc_cpus)) if use.elapsed_s < _SHORT_S else busy


def _core_hours(attempts: Sequence[AttemptUse]) -> Hours | None:
    measured = [use for use in attempts if use.cause or use.cpu_s is not None]
    if not any(use.cpu_s is not None for use in measured):
        return None
    return Hours(
        allocated=math.fsum(use.alloc_cpus * use.hours for use in measured),
        used=math.fsum(
            min(use.cpu_s / 3600, use.alloc_cpus * use.hours)
            for use in measured
            if use.cause is None and use.cpu_s is not None
        ),
    )


def _memory_hours(attempts: Sequence[AttemptUse]) -> Hours | None:
    measured = [
        (use, use.alloc_mem_gb)
        for use in attempts
        if use.alloc_mem_gb is not None and (use.cause or use.used_gb is not None)
    ]
    if not any(use.used_gb is not None for use, _ in measured):
        return None
    return Hours(
        allocated=math.fsum(gb * use.hours for use, gb in measured),
        used=math.fsum(
            min(use.used_gb, gb) * use.hours
            for use, gb in measured
            if use.cause is None and use.used_gb is not None
        ),
    )


def _spread(values: Iterable[tuple[float, float | None, float | None]]) -> Spread | None:
    """Return the spread of (used, requested, allocated); None of nothing."""
    rows = list(values)
    if not rows:
        return None
    used = sorted(row[0] for row in rows)
    requested = [row[1] for row in rows if row[1] is not None]
    allocated = [row[2] for row in rows if row[2] is not None]
    return Spread(
        least_requested=min(requested, default=None),
        most_requested=max(requested, default=None),
        allocated=max(allocated, default=None),
        median=_percentile(used, 0.5),
        percentile_95=_percentile(used, 0.95),
        most=used[-1],
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
