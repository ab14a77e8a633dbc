"""Describe a run in the few lines that `supervise` prints whenever something changed. Pure."""

from collections import Counter

from hpc.display.run.label_counts import describe_labeled
from hpc.display.run.pending import describe_pending
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus
from pipeline.text import counted

# What else a shard can be, in the order in which the line names it.
_SHOWN = (
    State.RUNNING,
    State.QUEUED,
    State.UNKNOWN,
    State.ENDING,
    State.FAILED,
    State.PLANNED,
    State.BLOCKED,
)


def describe_progress(status: RunStatus, trouble: str | None = None, later: int = 0) -> list[str]:
    """Return a line on how far a run is, and what its pending tasks wait for.

    Args:
        status: the run as it is now.
        trouble: what kept submissions from being finished.
        later: how many shards will be submitted once a task has ended.
    """
    counts = Counter(judgement.state for judgement in status.judgements)
    posts = status.run.manifest.posts
    line = (
        f"{counts[State.DONE]:,} of {counted(len(status.judgements), 'shard')} done, "
        f"{status.posts_done:,} of {counted(posts, 'post')}{describe_labeled(status.labels)}"
    )
    if others := [f"{counts[state]:,} {state}" for state in _SHOWN if counts[state]]:
        line += f"; {', '.join(others)}"
    if later:
        line += f"; {later:,} more will be submitted when a task has ended"
    if not trouble and status.observation.trouble:
        trouble = f"Slurm does not answer: {status.observation.trouble}"
    if trouble:
        line += f"; {trouble}"
    return [line, *describe_pending(status.observation)]
