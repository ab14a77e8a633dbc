"""Say when shards whose tasks have ended can be acted upon. Pure."""

from datetime import timedelta

from hpc.run.judge import rest_of_grace
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus


def until_grace_ends_s(status: RunStatus) -> float | None:
    """Return in how many seconds the grace time of every shard that is ending is over.

    One look then sees all of them. None if no shard is ending.
    """
    grace = timedelta(seconds=status.run.cluster.grace_seconds)
    rests = [
        rest_of_grace(shard, status.observation, grace)
        for judgement, shard in zip(status.judgements, status.observation.shards, strict=True)
        if judgement.state is State.ENDING
    ]
    return max(rests, default=None)
