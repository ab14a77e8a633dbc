"""Compute what each attempt of a run requested, had and used, from the executor's records. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from hpc.efficiency.sampled_memory import SOURCE, is_short, peak_mb
from hpc.run.causes import cause_of
from hpc.run.former_values import value_at
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.run import Run
from hpc.run.model.shards import Observation, ShardFacts
from pipeline.errors import Cause

_MB_PER_GB = 1024
_CPUS = "cluster.cpus"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptUse:
    """One attempt that has ended. A value is None where the executor does not record it."""

    shard: int
    """The shard's index."""
    cause: Cause | None
    """Why it published nothing; None if the shard's output is its own."""
    elapsed_s: int
    """How long it ran, in seconds."""
    time_min: int | None
    """Its time limit in minutes."""
    cpus: int
    """CPUs that it requested."""
    alloc_cpus: int
    """CPUs that it had, which may be more: whole cores, or whole nodes."""
    cpu_s: float | None
    """CPU time that it used, in seconds."""
    mem_gb: float | None
    """Memory that it requested, in GiB."""
    alloc_mem_gb: float | None
    """Memory that it had, in GiB."""
    used_gb: float | None
    """Its peak memory in GiB."""
    memory_source: str = SOURCE
    """Who saw that peak."""
    is_short: bool = False
    """Whether its peak memory is not known because it was over too soon."""

    @property
    def hours(self) -> float:
        """Return how long it ran, in hours."""
        return self.elapsed_s / 3600


def attempt_uses(
    run: Run, observation: Observation, *, are_reserved: bool
) -> tuple[tuple[AttemptUse, ...], int]:
    """Return the attempts that have ended, and how many more there are without a final record.

    Accounting lags by some seconds.

    Args:
        run: the run.
        observation: what was observed of it, with the attempts of shards that are done.
        are_reserved: whether the executor reserves what a task requests.
    """
    known: list[AttemptUse] = []
    unknown = 0
    for shard, attempt in _ended_attempts(observation):
        record = attempt.record
        if record is None or record.elapsed_s is None or record.phase is not Phase.ENDED:
            unknown += 1
            continue
        cpus = requested_cpus(run, attempt.number)
        requested = attempt.request.mem_gb or record.req_mem_gb
        has_published = shard.has_published(attempt)
        own = shard.output.peak_mb if has_published else None
        peak, source = peak_mb(record.max_rss_mb, record.elapsed_s, own)
        known.append(
            AttemptUse(
                shard=shard.index,
                cause=None if has_published else cause_of(attempt),
                elapsed_s=record.elapsed_s,
                time_min=attempt.request.time_min if are_reserved else None,
                cpus=cpus,
                alloc_cpus=record.alloc_cpus or cpus,
                # Without JobAcctGather, Slurm prints 0 for what it has not measured.
                cpu_s=record.cpu_s or None,
                mem_gb=requested,
                alloc_mem_gb=record.alloc_mem_gb or requested,
                used_gb=None if peak is None else peak / _MB_PER_GB,
                memory_source=source,
                is_short=peak is None and bool(record.max_rss_mb) and is_short(record.elapsed_s),
            )
        )
    return tuple(known), unknown


def requested_cpus(run: Run, attempt: int) -> int:
    """Return the CPUs that an attempt requested."""
    cpus = run.cluster.resources.cpus
    before = value_at(run, attempt, _CPUS, now=cpus)
    return before if isinstance(before, int) else cpus


def _ended_attempts(observation: Observation) -> Iterator[tuple[ShardFacts, Attempt]]:
    """Yield the attempts that have run and are over."""
    for shard in observation.shards:
        for attempt in shard.attempts:
            record = attempt.record
            # A task that was canceled while it was pending cost nothing. Slurm gives it no node.
            is_canceled = record is not None and record.cause is Cause.CANCELLED
            has_run = not is_canceled or bool(record and record.elapsed_s)
            is_over = attempt.phase is Phase.ENDED or shard.output.verified
            if has_run and is_over:
                yield shard, attempt
