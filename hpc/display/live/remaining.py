"""How fast a run goes, and how long it will still take. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.run_state import RunStatus, posts_done
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.text import MINUTE, estimated_duration

_WEEK = timedelta(days=7)


def posts_per_second(status: RunStatus) -> float:
    """Return the rate that the tasks at work report, or else the mean so far.

    0 while none is at work, and while the rate is not known: posts with too little text are done
    before the first answer, and a server may have to start before that.
    """
    shards, done = status.observation.shards, status.posts_done
    working = [facts for facts, judgement in _pairs(status) if _is_working(facts, judgement)]
    starts = [
        attempt.record.started_at
        for shard in shards
        for attempt in shard.attempts
        if attempt.record and attempt.record.started_at
    ]
    first = min(starts, default=status.observation.observed_at)
    seconds = (status.observation.observed_at - first).total_seconds()
    if not working or not done or seconds < 1:
        return 0.0
    beats = [beat for shard in working if (beat := own_heartbeat(shard)) is not None]
    if any(beat.rate_per_minute for beat in beats):
        return sum(beat.rate_per_minute for beat in beats) / 60
    if any(len(shard.attempts) > 1 for shard in working):
        return 0.0  # the mean would count the time between the attempts
    has_answers = not beats or any(shard.output.verified for shard in shards)
    return done / seconds if has_answers else 0.0


def own_heartbeat(shard: ShardFacts) -> Heartbeat | None:
    """Return the heartbeat of a shard's running task; None before its first one."""
    record, beat = shard.attempts[-1].record if shard.attempts else None, shard.heartbeat
    started = record.started_at if record else None
    # An earlier attempt's heartbeat is there until the new task has written its own.
    if beat is None or (started and beat.written_at < started):
        return None
    return beat


def seconds_to_go(status: RunStatus) -> float | None:
    """Return how long the run will still take at its rate.

    None if nobody knows: no task is at work, or nothing is to come but what a person has to look
    at first.
    """
    # A blocked shard goes on only after somebody has looked at it: nobody knows when that is.
    blocked = sum(
        facts.posts - posts_done(facts, judgement)
        for facts, judgement in _pairs(status)
        if judgement.state is State.BLOCKED
    )
    to_come = status.run.manifest.posts - status.posts_done - blocked
    per_second = posts_per_second(status)
    return to_come / per_second if per_second and to_come else None


def describe_to_go(seconds: float, now: datetime) -> str:
    """Return how long it will take, and when that is: `about 2 h to go, done at 16:40`.

    Args:
        seconds: the time to go.
        now: the moment from which it counts, in the time zone to show.
    """
    to_go = f"{estimated_duration(seconds)} to go"
    if seconds < MINUTE:
        return to_go
    try:
        end = now + timedelta(seconds=seconds)
    except OverflowError:  # at this rate, after the year 9999
        return to_go
    if end.date() == now.date():
        return f"{to_go}, done at {end:%H:%M}"
    day = f"{end:%a %H:%M}" if end - now < _WEEK else f"{end:%Y-%m-%d}"
    return f"{to_go}, done on {day}"


def _is_working(facts: ShardFacts, judgement: Judgement) -> bool:
    """Tell whether a task of a shard is at work, and neither suspended nor completing."""
    return judgement.state is State.RUNNING and any(
        attempt.record and attempt.record.slurm_state.upper() == "RUNNING"
        for attempt in facts.attempts
    )


def _pairs(status: RunStatus) -> Iterator[tuple[ShardFacts, Judgement]]:
    return zip(status.observation.shards, status.judgements, strict=True)
