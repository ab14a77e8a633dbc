"""Advise what the tasks of the next run should request. Pure.

Advice is never below what any attempt needed, and says on how few tasks it is based.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from hpc.efficiency.attempt_use import AttemptUse
from hpc.efficiency.measure import Efficiency, busy_cpus, peak_source
from hpc.efficiency.sampled_memory import LEAST_SAMPLED_S, OWN_COUNT
from hpc.run.cluster.resources import Resources
from hpc.run.cluster.slurm_time import format_slurm_time
from pipeline.errors import Cause
from pipeline.text import counted, format_memory

# Slurm samples memory every 30 s by default and may miss a peak; other posts may need more.
MEMORY_MARGIN = 1.25
# Other nodes and a busy file system are slower.
TIME_MARGIN = 1.5
SHORTEST_MIN = 10
# Advice on fewer tasks says so.
FEW_TASKS = 5
_MIB_PER_GIB = 1024
# CPU time is measured to less than this share of a CPU.
_CPU_TOLERANCE = 0.1
# A request is kept if no more than this share of it could be saved.
_NOT_WORTH = 0.25
# (up to, in steps of)
_MEMORY_STEPS = ((4.0, 0.25), (16.0, 0.5), (math.inf, 1.0))
_TIME_STEPS = ((60.0, 5), (600.0, 15), (math.inf, 60))


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One key of the section `cluster`, or of a template, for the next run."""

    key: str
    """The key."""
    value: str
    """Its value, as YAML has it."""
    reason: str
    """What it is based on, in words."""
    is_change: bool
    """Whether it differs from what this run requested."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What the next run should request, and why something is not known."""

    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    """What else a person should know, in sentences."""


def advise(
    efficiency: Efficiency,
    *,
    resources: Resources,
    are_reserved: bool,
    longest_min: int | None = None,
) -> Advice:
    """Return what the next run with the same posts per shard should request.

    Args:
        efficiency: what the attempts of this run used.
        resources: what its tasks are configured to request.
        are_reserved: whether the executor reserves what a task requests.
        longest_min: the time in minutes beyond which none is requested; None for no such limit.
    """
    if not are_reserved:
        return Advice(notes=("The tasks ran on this machine, which reserves nothing for them.",))
    published = efficiency.published
    if not published:
        return Advice(notes=("No task has published an output yet, so there is no advice.",))
    lines: list[Line] = []
    notes: list[str] = []
    for found in (
        *_memory(efficiency, resources),
        *_time(efficiency, longest_min),
        *_cpus(efficiency, resources),
    ):
        if isinstance(found, Line):
            lines.append(found)
        else:
            notes.append(found)
    most_cpus = max(use.alloc_cpus for use in published)
    if most_cpus > resources.cpus:
        notes.append(
            f"Slurm gave tasks up to {counted(most_cpus, 'CPU')} where {resources.cpus} were "
            "requested: it allocates whole cores or whole nodes, or CPUs for their memory."
        )
    if lines and len(published) < FEW_TASKS:
        notes.append(f"This is based on {counted(len(published), 'task')} only.")
    return Advice(lines=tuple(lines), notes=tuple(notes))


def memory_needed(efficiency: Efficiency) -> float | None:
    """Return the memory in GiB that every attempt would have got by with; None if unknown.

    One that ran out of memory needed more than it had.
    """
    peaks = [use.used_gb for use in efficiency.attempts if use.used_gb is not None]
    exceeded = [use.mem_gb for use in _out_of_memory(efficiency) if use.mem_gb is not None]
    has_measured = any(use.used_gb is not None for use in efficiency.published)
    return max([*peaks, *exceeded]) if has_measured else None


def minutes_needed(efficiency: Efficiency) -> float:
    """Return the time in minutes that every shard would have got by with in one attempt.

    An attempt that ran out of time left its answers to the next one.
    """
    by_shard: dict[int, float] = defaultdict(float)
    for use in efficiency.attempts:
        if use.cause is None or use.cause is Cause.TIMEOUT:
            by_shard[use.shard] += use.elapsed_s / 60
    longest = max((use.elapsed_s / 60 for use in efficiency.published), default=0.0)
    return max([longest, *by_shard.values()])


def cpus_needed(efficiency: Efficiency) -> float | None:
    """Return the most CPUs that any attempt kept busy on average; None if unknown."""
    busy = [busy_cpus(use) for use in efficiency.published]
    return max((each for each in busy if each is not None), default=None)


def _out_of_memory(efficiency: Efficiency) -> list[AttemptUse]:
    return [use for use in efficiency.attempts if use.cause is Cause.OUT_OF_MEMORY]


def _memory(efficiency: Efficiency, resources: Resources) -> Iterator[Line | str]:
    needed = memory_needed(efficiency)
    if needed is None:
        yield f"{_why_unknown(efficiency)}, so there is no advice on memory."
        return
    exceeded = _out_of_memory(efficiency)
    done = {use.shard for use in efficiency.published}
    if open_ones := {use.shard for use in exceeded} - done:
        yield (
            f"{counted(len(open_ones), 'unfinished shard')} ran out of memory: more than "
            f"{_memory_words(needed)} is needed, and how much more is unknown."
        )
    spread = efficiency.memory
    requested = spread.least_requested if spread else None
    gb, is_change = _kept(_round_up(needed * MEMORY_MARGIN, _MEMORY_STEPS), requested)
    who = "a task" if spread and spread.most >= needed else "an attempt that failed"
    reason = f"{who} used at most {_memory_words(needed)}"
    if peak_source(efficiency.attempts) == OWN_COUNT:
        reason += f" by {OWN_COUNT}"
    if any(use.mem_gb == needed for use in exceeded):
        reason = f"{_memory_words(needed)} is too little"
    asked = f", requested {_memory_words(requested)}" if requested else ""
    if not is_change:
        gb = math.ceil(gb * 100) / 100  # as somebody would write Slurm's default
    key, value = "mem_gb", gb
    if resources.mem_per_cpu is not None:
        # The next run has the memory of the CPUs that it is advised to request.
        cpus = _cpus_to_request(efficiency) or resources.cpus
        is_change = is_change or cpus != resources.cpus
        per_cpu = _round_up(gb / cpus, _MEMORY_STEPS) if is_change else resources.mem_per_cpu
        key, value = "mem_per_cpu", per_cpu
    yield Line(key=key, value=f"{value:g}", reason=reason + asked, is_change=is_change)


def _why_unknown(efficiency: Efficiency) -> str:
    if any(use.is_short for use in efficiency.published):
        return (
            "Slurm samples memory every 30 s by default, and these tasks ran for less than "
            f"{LEAST_SAMPLED_S} s"
        )
    return (
        "Slurm has recorded no peak memory of these tasks (scontrol show config: JobAcctGatherType)"
    )


def _memory_words(gb: float) -> str:
    return format_memory(gb * _MIB_PER_GIB)


def _time(efficiency: Efficiency, longest_min: int | None) -> Iterator[Line | str]:
    needed = minutes_needed(efficiency)
    spread = efficiency.minutes
    requested = spread.least_requested if spread else None
    # Nobody gains by a limit that is shorter than that.
    shortest = min(SHORTEST_MIN, requested or SHORTEST_MIN)
    with_margin = max(shortest, _round_up(needed * TIME_MARGIN, _TIME_STEPS))
    if longest_min is not None and with_margin > longest_min:
        yield (
            f"A shard takes up to {format_slurm_time(needed)}. With a margin, that is "
            f"more than the longest time limit ({format_slurm_time(longest_min)}): make shards "
            "smaller (sharding.rows_per_shard)."
        )
        return
    minutes, is_change = _kept(with_margin, requested)
    # The table beside it has the tasks that published an output, not those that ran out of time.
    of_task = spread is not None and spread.most >= needed
    who = "a task ran for at most" if of_task else "the attempts at a shard ran for at most"
    yield Line(
        key="time",
        value=_in_two_digits(format_slurm_time(math.ceil(minutes))),
        reason=f"{who} {format_slurm_time(needed)}"
        + (f", requested {format_slurm_time(round(requested))}" if requested else ""),
        is_change=is_change,
    )


def _cpus(efficiency: Efficiency, resources: Resources) -> Iterator[Line | str]:
    needed = cpus_needed(efficiency)
    if needed is None:
        yield "Slurm has recorded no CPU time of these tasks, so there is no advice on CPUs."
        return
    cpus = _cpus_to_request(efficiency)
    yield Line(
        key="cpus",
        value=str(cpus),
        reason=f"a task kept at most {needed:.2f} busy on average, requested {resources.cpus}",
        is_change=cpus != resources.cpus,
    )


def _cpus_to_request(efficiency: Efficiency) -> int | None:
    needed = cpus_needed(efficiency)
    return None if needed is None else max(1, math.ceil(needed - _CPU_TOLERANCE))


def _kept(advised: float, requested: float | None) -> tuple[float, bool]:
    """Return what to request, and whether that is a change.

    What was requested stays if it is enough, and little of it could be saved.
    """
    if requested is None:
        return advised, True
    if requested * (1 - _NOT_WORTH) <= advised <= requested:
        return requested, False
    return advised, True


def _round_up(amount: float, steps: tuple[tuple[float, float], ...]) -> float:
    """Return an amount rounded up to the step of its size."""
    step = next(step for most, step in steps if amount <= most)
    return math.ceil(amount / step) * step


def _in_two_digits(time: str) -> str:
    """Return a time of Slurm with two digits for its hours, which YAML leaves as a text."""
    hours, _, rest = time.partition(":")
    return f"{hours:0>2}:{rest}" if hours.isdecimal() else time
