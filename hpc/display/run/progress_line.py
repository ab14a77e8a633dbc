"""Describe a run in the few lines that `supervise` prints whenever something changed. Pure."""

from collections import Counter

from hpc.display.run.label_counts import describe_labeled
from hpc.display.run.pending import describe_later, describe_pending
from hpc.run.model.shards import State
from hpc.run.run_view import Sight
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


def describe_progress(sight: Sight) -> list[str]:
    """Return how far a run is, what its pending tasks wait for, and what is left to a person."""
    status, trouble = sight.status, sight.trouble
    counts = Counter(judgement.state for judgement in status.judgements)
    posts = status.run.manifest.posts
    line = (
        f"{counts[State.DONE]:,} of {counted(len(status.judgements), 'shard')} done, "
        f"{status.posts_done:,} of {counted(posts, 'post')}{describe_labeled(status.labels)}"
    )
    if others := [f"{counts[state]:,} {state}" for state in _SHOWN if counts[state]]:
        line += f"; {', '.join(others)}"
    if sight.later:
        line += f"; {describe_later(status, sight.later)}"
    if not trouble and status.observation.trouble:
        trouble = f"Slurm does not answer: {status.observation.trouble}"
    if trouble:
        line += f"; {trouble}"
    return [line, *describe_pending(status.observation), *sight.blocked]
