"""Judge a shard's state from what was observed: the first rule that matches. Pure.

The rules carry the numbers that the documentation gives them.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from hpc.run.causes import Remedy, cause_of, remedy, task_name, why_ended
from hpc.run.delays import is_delayed
from hpc.run.model.attempts import Attempt, Phase, UnreadableFile
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.outage import Outage, find_outage
from hpc.run.retry_policy import RetryPolicy
from pipeline.errors import Cause
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.text import format_duration

# A task writes its heartbeat every 15 s; a busy file system may cost some of them.
_MISSED_BEATS = timedelta(minutes=1)
# Slurm rejects commands between machines whose clocks differ by more (munge). An end that is later
# than that was dated by a clock that has been set back since, and so it is over.
_CLOCKS_MAY_DIFFER = timedelta(minutes=5)
# These say that an output is missing, or a record. Within the grace time it may only be late.
_MAY_BE_LATE = frozenset({Cause.NO_OUTPUT, Cause.LOST})


def judge_all(
    observation: Observation, *, grace: timedelta, policy: RetryPolicy
) -> tuple[Judgement, ...]:
    """Judge every shard. The arguments are those of `judge`."""
    unseen = _describe_unseen(observation, grace)
    outage = find_outage(observation)
    return tuple(
        judge(shard, observation, grace=grace, policy=policy, unseen=unseen, outage=outage)
        for shard in observation.shards
    )


def judge(
    shard: ShardFacts,
    observation: Observation,
    *,
    grace: timedelta,
    policy: RetryPolicy,
    unseen: str = "",
    outage: Outage | None = None,
) -> Judgement:
    """Put a shard into one state with one cause.

    Args:
        shard: what was observed of the shard.
        observation: what was observed of the run.
        grace: how long accounting and the file system may lag behind what happened.
        policy: how many attempts are made, and for how long a task may make no progress.
        unseen: a task of the run that works without a record in Slurm, so that the lack of a
            record proves nothing; empty if there is none.
        outage: what is known of a service that answers nobody; None if it answers.
    """
    if shard.output.verified:
        return Judgement(index=shard.index, rule=1, state=State.DONE)
    judgement = partial(Judgement, index=shard.index)
    if not shard.attempts and not shard.output.unreadable:
        if observation.is_labeled_elsewhere:
            message = "another engine labels it, and its answers were not adopted yet"
            return judgement(rule=2, state=State.PLANNED, message=message, awaits_engine=True)
        return judgement(rule=2, state=State.PLANNED, message="not submitted yet")
    return (
        _judge_alive(shard, observation, policy, judgement)
        or _judge_unreadable(shard, judgement)
        or _judge_ended(shard, observation, _Around(grace, policy, unseen, outage), judgement)
    )


class _Around(Struct, frozen=True):
    """What decides beside the shard and its run; the arguments of `judge`."""

    grace: timedelta
    policy: RetryPolicy
    unseen: str
    outage: Outage | None


def _judge_alive(
    shard: ShardFacts,
    observation: Observation,
    policy: RetryPolicy,
    judgement: Callable[..., Judgement],
) -> Judgement | None:
    """Apply rules 3 to 5: some attempt is held, active or pending."""
    if held := _in_phase(shard, Phase.HELD):
        why = held.record.reason if held.record and held.record.reason else "held"
        advice = held.record.advice if held.record else ""
        message = f"Slurm holds {task_name(held)} ({why}): {advice or 'release it, or cancel it'}"
        return judgement(rule=3, state=State.BLOCKED, message=message)
    if active := _in_phase(shard, Phase.ACTIVE):
        assert active.record
        wait = _describe_wait_for_disk(shard, active)
        stall = "" if wait else _describe_stall(shard, active, observation.observed_at, policy)
        message = f"{task_name(active)} is {active.record.slurm_state}{wait or stall}"
        return judgement(rule=4, state=State.RUNNING, message=message, stalled=bool(stall))
    if waiting := _in_phase(shard, Phase.WAITING):
        assert waiting.record
        why = f" ({waiting.record.reason})" if waiting.record.reason else ""
        if is_delayed(waiting, observation.observed_at):
            why += f" until {waiting.starts_at:%Y-%m-%d %H:%M:%S} UTC"
        message = f"{task_name(waiting)} is {waiting.record.slurm_state}{why}"
        return judgement(rule=5, state=State.QUEUED, message=message)
    return None


def _judge_unreadable(shard: ShardFacts, judgement: Callable[..., Judgement]) -> Judgement | None:
    """Apply the first part of rule 6: whether the shard is done cannot be read now."""
    output = shard.output
    if not output.unreadable:
        return None
    message = f"its output cannot be read now, so it may be done: {output.unreadable}"
    advice = "make it readable, or move it away to have the shard labeled again"
    return _await_file(UnreadableFile(message, output.needs_person), advice, judgement)


def _await_file(
    file: UnreadableFile, advice: str, judgement: Callable[..., Judgement]
) -> Judgement:
    """Judge nothing before a file can be read; block where a person has to make that possible."""
    pending = partial(judgement, rule=6, awaits_file=True)
    if file.needs_person:
        return pending(state=State.BLOCKED, message=f"{file.problem}; {advice}")
    return pending(state=State.UNKNOWN, message=file.problem)


def _judge_ended(
    shard: ShardFacts,
    observation: Observation,
    around: _Around,
    judgement: Callable[..., Judgement],
) -> Judgement:
    """Apply the rest of rules 6 to 9: no attempt is known to be alive."""
    last, grace = shard.attempts[-1], around.grace
    is_unknown = last.phase is Phase.UNKNOWN
    if words := last.unread_words:
        message = f"{words.problem}, so nobody knows why {task_name(last)} ended"
        advice = "make the file readable, or move it away to have the shard judged without it"
        return _await_file(replace(words, problem=message), advice, judgement)
    if is_unknown and not observation.answered:
        message = f"Slurm does not answer ({_last_answer(observation)}): {observation.trouble}"
        return judgement(rule=6, state=State.UNKNOWN, message=message)
    if is_unknown and (alive := _sign_of_life(shard, observation.observed_at, grace)):
        message = f"Slurm has no record of {task_name(last)}, but {alive}"
        if beat := shard.unread_heartbeat:
            advice = "make the file readable, or move it away once the task is known to be gone"
            return _await_file(replace(beat, problem=message), advice, judgement)
        return judgement(rule=6, state=State.UNKNOWN, message=message)
    if is_unknown and last.hidden:
        message = f"Slurm has no record of {task_name(last)}. {last.hidden}"
        return judgement(rule=6, state=State.UNKNOWN, message=message)
    if is_unknown and around.unseen:
        message = f"Slurm has no record of {task_name(last)}, nor of {around.unseen}"
        return judgement(rule=6, state=State.UNKNOWN, message=message)
    cause, message = why_ended(last)
    may_be_late = cause in _MAY_BE_LATE
    if shard.output.problem:
        message = f"{message}; its output was rejected: {shard.output.problem}"
    message += _describe_outage(cause, around.outage)
    used_up = _describe_used_up(shard, around)
    needs_a_person = remedy(cause) is Remedy.ASK or bool(used_up)
    rest = rest_of_grace(shard, observation, grace)
    if rest and (may_be_late or not needs_a_person):
        what = "a record of it" if is_unknown else "late files"
        message = f"{message}; waiting up to {format_duration(rest)} for {what}"
        known = None if may_be_late else cause
        return judgement(rule=7, state=State.ENDING, message=message, cause=known)
    if needs_a_person:
        return judgement(rule=8, state=State.BLOCKED, message=message + used_up, cause=cause)
    return judgement(rule=9, state=State.FAILED, message=message, cause=cause)


def rest_of_grace(shard: ShardFacts, observation: Observation, grace: timedelta) -> float:
    """Return for how many more seconds files of a shard's last attempt may show up late.

    0 once the grace time is over since the attempt ended, or since it was submitted if its end is
    not known. No attempt may follow before that, whatever the shard's state.
    """
    if not shard.attempts:
        return 0.0
    last = shard.attempts[-1]
    age = observation.observed_at - last.last_change
    if age < -_CLOCKS_MAY_DIFFER and last.record and last.record.ended_at:
        return 0.0
    # The clock that dated the end may be ahead of ours.
    return 0.0 if age >= grace else min(grace, grace - age).total_seconds()


def _describe_outage(cause: Cause, outage: Outage | None) -> str:
    """Return since when a service is down that ended a shard; empty if it is not."""
    if outage is None or cause is not Cause.UNAVAILABLE:
        return ""
    return f"; no task of the run got an answer since {outage.since:%Y-%m-%d %H:%M} UTC"


def _describe_used_up(shard: ShardFacts, around: _Around) -> str:
    """Return that no attempts are left, to follow a message; empty if some are."""
    cause, policy = cause_of(shard.attempts[-1]), around.policy
    if remedy(cause) is Remedy.ASK:
        return ""
    if cause is Cause.UNAVAILABLE:
        return _describe_too_long(around.outage, policy)
    count = counted_attempts(shard, policy)
    if count < policy.max_attempts:
        return ""
    excused = len(shard.attempts) - count
    others = f", and {excused} that did not count" if excused else ""
    return f"; no attempts left ({count} of {policy.max_attempts}{others})"


def _describe_too_long(outage: Outage | None, policy: RetryPolicy) -> str:
    """Return that a person should look at a service that is down; empty if it is asked again."""
    if outage is None or not outage.is_too_long(policy):
        return ""
    return f"; it was asked {outage.tries} times. hpc check shows when it answers again"


def counted_attempts(shard: ShardFacts, policy: RetryPolicy) -> int:
    """Count the attempts that count towards `max_attempts`.

    These do not count: attempts that were preempted, that a person ended or has to look at, and
    those that ran out of time but kept new rows, since each brings the shard nearer to its end.
    Attempts that met a service that is down are counted for the whole run (`Outage`).

    Nor do attempts that died at a post which they had alone, up to `max_poison` of them, and as
    many crashes before them that made the post a suspect: the post is skipped from then on.
    """
    causes = [(cause_of(attempt), attempt) for attempt in shard.attempts]
    excused = sum(
        cause in (Cause.PREEMPTED, Cause.UNAVAILABLE)
        or remedy(cause) is Remedy.ASK
        or (cause is Cause.TIMEOUT and attempt.rows > 0)
        for cause, attempt in causes
    )
    crashes = [attempt for cause, attempt in causes if cause is Cause.CRASHED]
    poisoned = min(sum(attempt.solo_attempts > 0 for attempt in crashes), policy.max_poison)
    return len(causes) - excused - min(2 * poisoned, len(crashes))


def _in_phase(shard: ShardFacts, phase: Phase) -> Attempt | None:
    return next((a for a in reversed(shard.attempts) if a.phase is phase), None)


def _sign_of_life(shard: ShardFacts, now: datetime, grace: timedelta) -> str:
    """Return how fresh a task's heartbeat is; empty if the task cannot be alive any more.

    A heartbeat that cannot be read now may be fresh.

    An empty answer of Slurm has many causes: PrivateData hides the jobs of others, a new controller
    has forgotten them. Without grace nothing lags, and no record means that there is no task.
    """
    if grace and shard.unread_heartbeat:
        return f"it may be alive: {shard.unread_heartbeat.problem}"
    if shard.heartbeat is None or not is_fresh(shard.heartbeat, now, grace):
        return ""
    age = now - shard.heartbeat.written_at
    return f"its heartbeat is {format_duration(max(age.total_seconds(), 0.0))} old"


def is_fresh(beat: Heartbeat, now: datetime, grace: timedelta) -> bool:
    """Tell whether the task of a heartbeat may still be alive."""
    return bool(grace) and now - beat.written_at <= grace + _MISSED_BEATS


def _describe_unseen(observation: Observation, grace: timedelta) -> str:
    """Return a task that works without a record in Slurm; empty if there is none.

    Whatever hides that task hides the pending ones too, which have no heartbeat.
    """
    for shard in observation.shards:
        is_unknown = bool(shard.attempts) and shard.attempts[-1].phase is Phase.UNKNOWN
        if is_unknown and (alive := _sign_of_life(shard, observation.observed_at, grace)):
            return f"{task_name(shard.attempts[-1])}, and {alive}"
    return ""


def _describe_wait_for_disk(shard: ShardFacts, active: Attempt) -> str:
    """Return why a running attempt cannot write its answers; empty if it can.

    It makes no progress until somebody makes room. It has answers in memory that are paid for, so
    this must not count as a stall, which may get a task requeued.
    """
    beat, started = shard.heartbeat, active.record.started_at if active.record else None
    is_its_own = beat is not None and (started is None or beat.written_at >= started)
    return f", but {beat.last_error}" if beat and beat.waits_for_disk and is_its_own else ""


def _describe_stall(shard: ShardFacts, active: Attempt, now: datetime, policy: RetryPolicy) -> str:
    """Return how long a running attempt has made no progress; empty if that is no stall."""
    beat, started = shard.heartbeat, active.record.started_at if active.record else None
    # A process that started after the last heartbeat has sent none of its own yet.
    since = max((t for t in (started, beat.progress_at if beat else None) if t), default=None)
    is_running = active.record is not None and active.record.slurm_state.upper() == "RUNNING"
    # A suspended or completing task makes no progress, and rightly so.
    if since is None or not is_running or active is not shard.attempts[-1]:
        return ""
    minutes = (now - since).total_seconds() / 60
    if minutes < policy.stall_minutes:
        return ""
    error = f"; its last error: {beat.last_error}" if beat and beat.last_error else ""
    return f" and has made no progress for {minutes:.0f} min{error}"


def _last_answer(observation: Observation) -> str:
    if observation.last_answer is None:
        return "no answer so far"
    ago = format_duration((observation.observed_at - observation.last_answer).total_seconds())
    return f"last answer {ago} ago, {observation.last_answer:%Y-%m-%d %H:%M:%S} UTC"
