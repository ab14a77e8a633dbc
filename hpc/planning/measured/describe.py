"""Describe in words how fast earlier tasks were, and what follows for the next ones. Pure."""

from hpc.planning.measured.duration import Workload, estimate_minutes
from hpc.planning.measured.pace import RunPace
from hpc.planning.measured.shard_size import format_rate
from pipeline.text import counted, estimated_duration, format_duration, format_memory


def describe_pace(pace: RunPace) -> str:
    """Return how fast earlier tasks were, and which run shows it."""
    run = pace.canary or pace.runs[0]
    kind = "canary run" if run.manifest.canary else "run"
    others = len(pace.runs) - 1
    more = f" and {counted(others, 'other run')}" if others else ""
    memory = "" if pace.memory_mb is None else f", up to {format_memory(pace.memory_mb)}"
    return f"measured in {kind} {run.run_id}{more}: {describe_speed(pace)}{memory}"


def describe_speed(pace: RunPace) -> str:
    """Return how fast one task was, and how long it took before its first post."""
    startup = format_duration(60 * pace.startup_minutes)
    return (
        f"{format_rate(pace.per_minute)} per task "
        f"({counted(pace.asked, 'post')} in {counted(pace.tasks, 'task')}), "
        f"{startup} before the first post"
    )


def describe_duration(work: Workload) -> str:
    """Return how long all tasks take together."""
    tasks = min(work.tasks_at_once, work.shards)
    duration = estimated_duration(60 * (estimate_minutes(work) or 0.0))
    return f"{duration} with {counted(tasks, 'task')} at a time (without the time in the queue)"
