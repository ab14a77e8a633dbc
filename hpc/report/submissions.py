"""What was submitted, and why shards are retried, in words. Pure."""

from collections import Counter
from collections.abc import Sequence

from hpc.run.array_indices import format_indices
from hpc.run.model import ArrayPlan, Judgement, Submission
from pipeline.text import counted


def describe_submission(one: Submission) -> str:
    shards = counted(len(one.plan.indices), "shard")
    indices = "index" if len(one.plan.indices) == 1 else "indices"
    where = ""  # of one that was only planned
    if one.released_at:
        where = f" as array job {one.array_job_id}" if one.array_job_id else " on this machine"
    offset = f" + {one.plan.offset}" if one.plan.offset else ""
    why = f" ({one.plan.why})" if one.plan.why else ""
    return (
        f"attempt {one.number}: {shards}{where}, "
        f"{indices} {format_indices(one.plan.indices)}{offset}, {one.plan.throttle} at once{why}"
    )


def describe_retries(plans: Sequence[ArrayPlan], judged: Sequence[Judgement]) -> list[str]:
    """A line for all shards that are tried again for the same reason: how many, why, what is
    changed, and what most of them said."""
    again: dict[str, list[Judgement]] = {}
    for one in plans:
        if one.why:
            again.setdefault(one.why, []).extend(judged[shard] for shard in one.shards)
    lines = []
    for why, shards in again.items():
        message = Counter(one.message for one in shards).most_common(1)[0][0]
        first = next(one.index for one in shards if one.message == message)
        said = f"; shard {first}: {' '.join(message.split())}" if message else ""
        lines.append(f"trying {counted(len(shards), 'shard')} again, {why}{said}")
    return lines
