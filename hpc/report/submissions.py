"""What was submitted, and why shards are retried, in words. Pure."""

from collections import Counter
from collections.abc import Sequence

from hpc.run.array_indices import format_indices
from hpc.run.model import ArrayPlan, Judgement, Submission
from pipeline.text import counted


def describe_submission(submission: Submission) -> str:
    """Return a line for a submission, or for one that is only planned."""
    plan = submission.plan
    shards = counted(len(plan.indices), "shard")
    indices = "index" if len(plan.indices) == 1 else "indices"
    where = ""  # of one that was only planned
    if submission.released_at:
        job = submission.array_job_id
        where = f" as array job {job}" if job else " on this machine"
    offset = f" + {plan.offset}" if plan.offset else ""
    why = f" ({plan.why})" if plan.why else ""
    return (
        f"attempt {submission.number}: {shards}{where}, {indices} {format_indices(plan.indices)}"
        f"{offset}, up to {plan.throttle} at a time{why}"
    )


def describe_retries(plans: Sequence[ArrayPlan], judgements: Sequence[Judgement]) -> list[str]:
    """Return a line for all shards that are retried for the same reason.

    It says how many they are, why, what is changed, and what most of them said.
    """
    retried: dict[str, list[Judgement]] = {}
    for plan in plans:
        if plan.why:
            retried.setdefault(plan.why, []).extend(judgements[shard] for shard in plan.shards)
    lines = []
    for why, shards in retried.items():
        message = Counter(shard.message for shard in shards).most_common(1)[0][0]
        first = next(shard.index for shard in shards if shard.message == message)
        example = f"; shard {first}: {' '.join(message.split())}" if message else ""
        lines.append(f"retrying {counted(len(shards), 'shard')}, {why}{example}")
    return lines
