"""Describe what was submitted, and why shards are retried. Pure."""

from collections import Counter
from collections.abc import Sequence

from hpc.run.array_indices import format_indices
from hpc.run.model.arrays import ArrayPlan, Submission, SubmitLimit
from hpc.run.model.shards import Judgement
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
    after = f", once {listed_jobs(plan.upstream)} succeeded" if plan.upstream else ""
    offset = f" + {plan.offset}" if plan.offset else ""
    why = f" ({plan.why})" if plan.why else ""
    return (
        f"submission {submission.number}: {shards}{where}, {indices} {format_indices(plan.indices)}"
        f"{offset}, up to {plan.throttle} at a time{after}{why}"
    )


def listed_jobs(jobs: Sequence[str]) -> str:
    """Return `job 4711 has`, or `jobs 4711 and 4712 have`."""
    *others, last = jobs
    if not others:
        return f"job {last} has"
    return f"jobs {', '.join(others)} and {last} have"


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


def describe_limit(limit: SubmitLimit | None) -> str:
    """Return which limit leaves no room for more jobs, and how far it is used."""
    if limit is None:
        return "Slurm takes no more jobs for now"
    return (
        f"{limit.name} allows {counted(limit.most, 'job')} at a time (each array task counts), "
        f"and {limit.used:,} {'was' if limit.used == 1 else 'were'} taken"
    )


def describe_refusal(words: str) -> str:
    """Return that Slurm takes no more jobs, with its own words on one line."""
    return f"Slurm takes no more jobs for now ({' '.join(words.split())})"


def describe_waiting(sent: int, waiting: int, reason: str) -> str:
    """Return how many shards were submitted, how many wait for room, and why."""
    if not sent:
        return f"{counted(waiting, 'shard')} not submitted yet: {reason}"
    return f"{sent:,} of {counted(sent + waiting, 'shard')} submitted: {reason}"
