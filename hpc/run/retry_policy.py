"""The configuration's `retry:` section: how far each remedy may go."""

from dataclasses import asdict, dataclass

from pipeline.config.section import Section
from pipeline.model import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Factors and limits of the remedies. GiB and minutes.

    `max_mem_gb` and `max_time_min` None: the largest node's memory, the partition's limit.
    `requeues`: how often a task near its time limit puts itself back under its own job id before
    a new attempt is made. `stall_minutes`: a running task without progress for so long is
    reported, and with `restart_stalled` put back into the queue, once an attempt.
    """

    max_attempts: int = 4
    memory_factor: float = 2.0
    max_mem_gb: float | None = None
    time_factor: float = 2.0
    max_time_min: int | None = None
    max_excluded_nodes: int = 8
    throttled_minutes: float = 10.0
    throttled_factor: float = 0.5
    max_poison: int = 10
    requeues: int = 0
    stall_minutes: float = 30.0
    restart_stalled: bool = False


def freeze(section: Section) -> JsonObject:
    """JSON values for the manifest. Raises InputError for an unknown or unusable value."""
    default = RetryPolicy()
    policy = RetryPolicy(
        max_attempts=section.integer("max_attempts", default.max_attempts, least=1),
        memory_factor=section.number("memory_factor", default.memory_factor, above=0),
        max_mem_gb=section.number("max_mem_gb", None, above=0),
        time_factor=section.number("time_factor", default.time_factor, above=0),
        max_time_min=section.integer("max_time_min", None, least=1),
        max_excluded_nodes=section.integer("max_excluded_nodes", default.max_excluded_nodes),
        throttled_minutes=section.time("throttled_minutes", default.throttled_minutes, above=-1),
        throttled_factor=section.number("throttled_factor", default.throttled_factor, above=0),
        max_poison=section.integer("max_poison", default.max_poison),
        requeues=section.integer("requeues", default.requeues),
        stall_minutes=section.time("stall_minutes", default.stall_minutes),
        restart_stalled=section.boolean("restart_stalled", default.restart_stalled),
    )
    for name in ("memory_factor", "time_factor"):
        if getattr(policy, name) < 1:
            raise section.error(name, f"should be 1 or more, not {getattr(policy, name):g}")
    if policy.throttled_factor > 1:
        raise section.error(
            "throttled_factor", f"should be 1 or less, not {policy.throttled_factor:g}"
        )
    section.done()
    return asdict(policy)


def policy_of(frozen: JsonObject) -> RetryPolicy:
    return RetryPolicy(**frozen)
