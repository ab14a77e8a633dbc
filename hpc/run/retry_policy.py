"""Declare the section `retry`: how far each remedy may go."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import force_setattr

from hpc.run.cluster.slurm_time import MAX_TIME_IN_NOTATION, minutes_of
from pipeline.config.keys import (
    Count,
    Duration,
    DurationOrZero,
    Positive,
    PositiveNumber,
    Section,
    Text,
    key,
)

Factor = Annotated[float, Meta(ge=1)]
Fraction = Annotated[float, Meta(gt=0, le=1)]


class RetryPolicy(Section, frozen=True, kw_only=True):
    """Factors and limits of the remedies for shards that fail."""

    max_attempts: Annotated[
        Positive,
        key(
            "Block a shard after this many attempts; an attempt that got further than the one "
            "before it does not count."
        ),
    ] = 4
    memory_factor: Annotated[
        Factor, key("Multiply the memory by this after a task ran out of memory.")
    ] = 2.0
    max_mem_gb: Annotated[
        PositiveNumber | None,
        key(
            "Never request more memory than this.",
            unit="GiB",
            default="the memory of the partition's largest node",
        ),
    ] = None
    time_factor: Annotated[
        Factor, key("Multiply the time limit by this after a task ran out of time.")
    ] = 2.0
    max_time_min: Annotated[
        Positive | None,
        key(
            "Never request more time than this.",
            unit="minutes",
            default="the partition's time limit",
            hint=MAX_TIME_IN_NOTATION,
        ),
    ] = None
    max_time: Annotated[
        Text | None,
        key(
            "The same in Slurm's notation.",
            default="none",
            number_as_text=True,
            omit_default=True,
        ),
    ] = None
    max_excluded_nodes: Annotated[Count, key("Exclude at most this many nodes that failed.")] = 8
    throttled_minutes: Annotated[
        DurationOrZero,
        key("Wait this long before a shard that was throttled is retried.", unit="minutes"),
    ] = 10.0
    max_unavailable: Annotated[
        Positive,
        key(
            "Ask a service that no longer answers this many times before a person is needed. The "
            "first pause is `throttled_minutes`; each one after it is twice as long, up to an hour."
        ),
    ] = 24
    throttled_factor: Annotated[
        Fraction,
        key("Multiply the number of tasks at once by this when a throttled shard is retried."),
    ] = 0.5
    max_poison: Annotated[
        Count,
        key("Leave at most this many posts of a shard unlabeled because its task dies on them."),
    ] = 10
    requeues: Annotated[
        Count,
        key(
            "Let a task that nears its time limit requeue itself this often under its own job id "
            "before a new attempt is made."
        ),
    ] = 0
    stall_minutes: Annotated[
        Duration,
        key("Report a running task that has made no progress for this long.", unit="minutes"),
    ] = 30.0
    restart_stalled: Annotated[bool, key("Also requeue such a task, once per attempt.")] = False

    def __post_init__(self) -> None:
        """Keep `max_time` in minutes."""
        if self.max_time is not None:
            force_setattr(self, "max_time_min", minutes_of("max_time", self.max_time, 0))
            force_setattr(self, "max_time", None)
