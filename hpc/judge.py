"""A shard's state from what was observed: the first rule that matches. Pure.

The rules carry the numbers that the documentation gives them.
"""

from datetime import datetime, timedelta

from hpc.model import Attempt, Judgement, Observation, Phase, ShardFacts, State
from hpc.plan import NOT_COUNTED, Remedy, remedy
from pipeline.errors import Cause


def judge_all(
    observation: Observation, *, grace: timedelta, max_attempts: int
) -> tuple[Judgement, ...]:
    return tuple(
        judge(shard, observation, grace=grace, max_attempts=max_attempts)
        for shard in observation.shards
    )


def judge(
    shard: ShardFacts, observation: Observation, *, grace: timedelta, max_attempts: int
) -> Judgement:
    """One shard in one state with one cause.

    Args:
        grace: for how long accounting and the file system may lag behind what happened.
        max_attempts: how many attempts are made; preempted ones are not counted.
    """

    def verdict(rule: int, state: State, message: str, cause: Cause | None = None) -> Judgement:
        return Judgement(index=shard.index, state=state, rule=rule, cause=cause, message=message)

    if shard.output.verified:
        return verdict(1, State.DONE, "")
    if not shard.attempts:
        return verdict(2, State.PLANNED, "not submitted yet")
    if held := _in_phase(shard, Phase.HELD):
        why = held.record.reason if held.record and held.record.reason else "held"
        return verdict(
            3, State.BLOCKED, f"Slurm holds {_name(held)} ({why}): scontrol release, or cancel it"
        )
    if active := _in_phase(shard, Phase.ACTIVE):
        assert active.record
        return verdict(4, State.RUNNING, f"{_name(active)} is {active.record.slurm_state}")
    if waiting := _in_phase(shard, Phase.WAITING):
        assert waiting.record
        why = f" ({waiting.record.reason})" if waiting.record.reason else ""
        return verdict(5, State.QUEUED, f"{_name(waiting)} is {waiting.record.slurm_state}{why}")
    last = shard.attempts[-1]
    unknown = last.phase is Phase.UNKNOWN
    if unknown and not observation.answered:
        since = observation.last_answer
        when = f"last answer {since:%Y-%m-%d %H:%M:%S} UTC" if since else "no answer so far"
        return verdict(6, State.UNKNOWN, f"Slurm does not answer ({when}): {observation.trouble}")
    if observation.at - _changed(last) < grace:
        what = "was submitted" if unknown else "ended"
        return verdict(
            7, State.QUEUED, f"{_name(last)} {what} just now; its news may still be on the way"
        )
    cause, message = why_ended(last)
    if shard.output.problem:
        message = f"{message}; the output does not count: {shard.output.problem}"
    counted = sum(why_ended(attempt)[0] not in NOT_COUNTED for attempt in shard.attempts)
    if remedy(cause) is Remedy.ASK:
        return verdict(8, State.BLOCKED, message, cause)
    if counted >= max_attempts:
        return verdict(8, State.BLOCKED, f"{message}; attempts used up: {counted}", cause)
    return verdict(9, State.FAILED, message, cause)


def why_ended(attempt: Attempt) -> tuple[Cause, str]:
    """Of an attempt that is over: the task's own last words if any, else Slurm's state."""
    if attempt.words:
        return attempt.words.cause, attempt.words.message
    record = attempt.record
    if record is None or record.cause is None:
        return Cause.LOST, f"there is no record of {_name(attempt)} anywhere"
    shown = f"{_name(attempt)} ended as {record.slurm_state}"
    details = [f"exit code {record.exit_code}"] if record.exit_code not in (None, "0:0") else []
    details += [f"on {record.node}"] if record.node else []
    return record.cause, f"{shown} ({', '.join(details)})" if details else shown


def _in_phase(shard: ShardFacts, phase: Phase) -> Attempt | None:
    return next((a for a in reversed(shard.attempts) if a.phase is phase), None)


def _changed(attempt: Attempt) -> datetime:
    """When the attempt was last known to change."""
    if attempt.record and attempt.record.ended_at:
        return attempt.record.ended_at
    return attempt.submitted_at


def _name(attempt: Attempt) -> str:
    if attempt.array_job_id is None:
        return f"attempt {attempt.number}"
    return f"task {attempt.array_job_id}_{attempt.array_task_index}"
