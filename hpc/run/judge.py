"""A shard's state from what was observed: the first rule that matches. Pure.

The rules carry the numbers that the documentation gives them.
"""

from datetime import datetime, timedelta

from hpc.run.causes import Remedy, remedy, task_name, why_ended
from hpc.run.model import Attempt, Judgement, Observation, Phase, ShardFacts, State
from hpc.run.retry_policy import RetryPolicy
from pipeline.errors import Cause
from pipeline.text import format_duration


def judge_all(
    observation: Observation, *, grace: timedelta, policy: RetryPolicy
) -> tuple[Judgement, ...]:
    return tuple(
        judge(shard, observation, grace=grace, policy=policy) for shard in observation.shards
    )


def judge(
    shard: ShardFacts, observation: Observation, *, grace: timedelta, policy: RetryPolicy
) -> Judgement:
    """One shard in one state with one cause.

    Args:
        grace: for how long accounting and the file system may lag behind what happened.
        policy: how many attempts are made, and for how long a task may stand still.
    """

    def verdict(
        rule: int, state: State, message: str, cause: Cause | None = None, stalled: bool = False
    ) -> Judgement:
        return Judgement(
            index=shard.index, state=state, rule=rule, cause=cause, message=message, stalled=stalled
        )

    if shard.output.verified:
        return verdict(1, State.DONE, "")
    if not shard.attempts:
        return verdict(2, State.PLANNED, "not submitted yet")
    if held := _in_phase(shard, Phase.HELD):
        why = held.record.reason if held.record and held.record.reason else "held"
        return verdict(
            3,
            State.BLOCKED,
            f"Slurm holds {task_name(held)} ({why}): scontrol release, or cancel it",
        )
    if active := _in_phase(shard, Phase.ACTIVE):
        assert active.record
        still = _standing_still(shard, active, observation.at, policy)
        message = f"{task_name(active)} is {active.record.slurm_state}{still}"
        return verdict(4, State.RUNNING, message, stalled=bool(still))
    if waiting := _in_phase(shard, Phase.WAITING):
        assert waiting.record
        why = f" ({waiting.record.reason})" if waiting.record.reason else ""
        return verdict(
            5, State.QUEUED, f"{task_name(waiting)} is {waiting.record.slurm_state}{why}"
        )
    last = shard.attempts[-1]
    unknown = last.phase is Phase.UNKNOWN
    if unknown and not observation.answered:
        when = _last_answer(observation)
        return verdict(6, State.UNKNOWN, f"Slurm does not answer ({when}): {observation.trouble}")
    refused = last.words and remedy(last.words.cause) is Remedy.ASK
    if observation.at - last.last_change < grace and not refused:
        what = "was submitted" if unknown else "ended"
        return verdict(
            7, State.QUEUED, f"{task_name(last)} {what} just now; its news may still be on the way"
        )
    cause, message = why_ended(last)
    if shard.output.problem:
        message = f"{message}; the output does not count: {shard.output.problem}"
    if remedy(cause) is Remedy.ASK:
        return verdict(8, State.BLOCKED, message, cause)
    counted = counted_attempts(shard, policy)
    if counted >= policy.max_attempts:
        return verdict(8, State.BLOCKED, f"{message}; attempts used up: {counted}", cause)
    return verdict(9, State.FAILED, message, cause)


def counted_attempts(shard: ShardFacts, policy: RetryPolicy) -> int:
    """How many of the attempts count towards `max_attempts`.

    Preempted ones do not, nor those that a person ended or has to look at, nor those that ran out
    of time but kept new rows: each brings the shard nearer to its end. Nor do those that died at a
    post alone, up to `max_poison`, and as many before them that brought it under suspicion: the
    post is set aside then.
    """
    causes = [(why_ended(attempt)[0], attempt) for attempt in shard.attempts]
    excused = sum(
        cause is Cause.PREEMPTED
        or remedy(cause) is Remedy.ASK
        or (cause is Cause.TIMEOUT and attempt.rows > 0)
        for cause, attempt in causes
    )
    trials = sum(cause is Cause.CRASHED and attempt.trials > 0 for cause, attempt in causes)
    crashes = sum(cause is Cause.CRASHED for cause, _ in causes)
    poisoned = min(trials, policy.max_poison)
    return len(causes) - excused - min(2 * poisoned, crashes)


def _in_phase(shard: ShardFacts, phase: Phase) -> Attempt | None:
    return next((a for a in reversed(shard.attempts) if a.phase is phase), None)


def _standing_still(shard: ShardFacts, active: Attempt, now: datetime, policy: RetryPolicy) -> str:
    """'' unless the attempt is at work and has not got anywhere for longer than it should."""
    beat, started = shard.heartbeat, active.record.started_at if active.record else None
    # Of a life that began after the last beat there is no news yet.
    since = max((at for at in (started, beat.progress_at if beat else None) if at), default=None)
    running = active.record is not None and active.record.slurm_state.upper() == "RUNNING"
    # A suspended or completing task stands still by right.
    if since is None or not running or active is not shard.attempts[-1]:
        return ""
    minutes = (now - since).total_seconds() / 60
    if minutes < policy.stall_minutes:
        return ""
    error = f"; its last error: {beat.last_error}" if beat and beat.last_error else ""
    return f" and has made no progress for {minutes:.0f} min{error}"


def _last_answer(observation: Observation) -> str:
    if observation.last_answer is None:
        return "no answer so far"
    ago = format_duration((observation.at - observation.last_answer).total_seconds())
    return f"last answer {ago} ago, {observation.last_answer:%Y-%m-%d %H:%M:%S} UTC"
