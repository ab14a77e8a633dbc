"""Estimate how fast a run progresses, and how long it will still take. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.run_state import RunStatus, posts_done
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.text import MINUTE, estimated_duration

_WEEK = timedelta(days=7)
# What a task reports before that is mostly the time that its start took.
_SETTLING = timedelta(minutes=1)
# Older tasks may have had other settings, or shared their quota with more tasks.
_MOST_TASKS = 20


def posts_per_second(status: RunStatus) -> float:
    """Return how fast the tasks at work are, or else the mean so far.

    What a task reports counts once it has been at work for a minute. Until then it counts as one of
    the tasks that have published their shards lately, or else as the mean of the others.

    0 while none is at work, and while the rate is not known: posts with too little text are done
    before the first answer, and a server may have to start before that.
    """
    by_state = _by_state(status)
    working = [facts for facts in by_state.get(State.RUNNING, ()) if _is_at_work(facts)]
    if not working or not any(map(posts_done, status.observation.shards, status.judgements)):
        return 0.0
    now = status.observation.observed_at
    settled = [facts for facts in working if not _is_new(facts, now)]
    new = len(working) - len(settled)
    beats = [beat for facts in settled if (beat := own_heartbeat(facts)) is not None]
    reported = sum(beat.rate_per_minute for beat in beats) / 60
    rate = reported
    done, queued = by_state.get(State.DONE, ()), len(by_state.get(State.QUEUED, ()))
    if others := new + (min(queued, _count_free_places(done, now, new)) if queued else 0):
        pace = _published_pace(done)
        if pace is None:
            pace = reported / len(beats) if beats else 0.0
        rate += pace * others
    if rate or not settled:
        return rate
    return _mean_so_far(status, settled)


def _mean_so_far(status: RunStatus, working: Sequence[ShardFacts]) -> float:
    """Return the posts per second since the first task's start, for tasks that report no rate."""
    shards, now = status.observation.shards, status.observation.observed_at
    starts = [
        attempt.record.started_at
        for shard in shards
        for attempt in shard.attempts
        if attempt.record and attempt.record.started_at
    ]
    seconds = (now - min(starts, default=now)).total_seconds()
    if seconds < 1:
        return 0.0
    if any(len(shard.attempts) > 1 for shard in working):
        return 0.0  # the mean would count the time between the attempts
    has_beats = any(own_heartbeat(shard) is not None for shard in working)
    has_answers = not has_beats or any(shard.output.verified for shard in shards)
    return status.posts_done / seconds if has_answers else 0.0


def _is_new(facts: ShardFacts, now: datetime) -> bool:
    """Tell whether a task at work has only just begun, by its last sign of life.

    It first loads what it needs, and watches for some seconds who shares its quota. Slurm's
    accounting knows the start of a task some seconds after it; until then the heartbeat does.
    """
    record, beat = facts.attempts[-1].record, own_heartbeat(facts)
    started = (record.started_at if record else None) or (beat.began_at if beat else None)
    if started is None:
        return False
    return (beat.written_at if beat else now) - started < _SETTLING


def _published_pace(done: Sequence[ShardFacts]) -> float | None:
    """Return how many posts a second one task has done that published its shard lately.

    The time from its start to its end counts, as the next tasks have to start as well. None where
    no such task is known; a shard with several attempts does not say how much the last one did.
    """
    ended = sorted(
        (
            (record.ended_at, (record.ended_at - record.started_at).total_seconds(), facts.posts)
            for facts in done
            if len(facts.attempts) == 1
            if (record := facts.attempts[0].record) and record.started_at and record.ended_at
        ),
        reverse=True,
    )[:_MOST_TASKS]
    seconds = sum(each for _, each, _ in ended)
    return sum(posts for _, _, posts in ended) / seconds if seconds > 0 else None


def _count_free_places(done: Sequence[ShardFacts], now: datetime, new: int) -> int:
    """Return how many tasks have just ended whose places no other task has taken yet.

    Args:
        done: the shards that are done.
        now: when they were seen.
        new: how many tasks at work have just begun, which have taken such places already.
    """
    records = (facts.attempts[-1].record for facts in done if facts.attempts)
    ended = sum(
        bool(record and record.ended_at and now - record.ended_at < _SETTLING) for record in records
    )
    return max(0, ended - new)


def own_heartbeat(shard: ShardFacts) -> Heartbeat | None:
    """Return the heartbeat of a shard's running task; None before its first one."""
    record, beat = shard.attempts[-1].record if shard.attempts else None, shard.heartbeat
    started = record.started_at if record else None
    # An earlier attempt's heartbeat is there until the new task has written its own.
    if beat is None or (started and beat.written_at < started):
        return None
    return beat


def seconds_to_go(status: RunStatus, per_second: float) -> float | None:
    """Return how long the run will still take at a rate.

    None if nobody knows: no task is at work, or nothing is to come but what a person has to look
    at first.

    Args:
        status: the run.
        per_second: its `posts_per_second`, which goes through all shards.
    """
    if not per_second:
        return None
    # A blocked shard goes on only after somebody has looked at it: nobody knows when that is.
    blocked = sum(
        facts.posts - posts_done(facts, judgement)
        for facts, judgement in _pairs(status)
        if judgement.state is State.BLOCKED
    )
    to_come = status.run.manifest.posts - status.posts_done - blocked
    return to_come / per_second if to_come else None


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


def _is_at_work(facts: ShardFacts) -> bool:
    """Tell whether a task of a running shard is neither suspended nor completing."""
    return any(
        attempt.record and attempt.record.slurm_state.upper() == "RUNNING"
        for attempt in facts.attempts
    )


def _by_state(status: RunStatus) -> dict[State, list[ShardFacts]]:
    shards: dict[State, list[ShardFacts]] = {}
    for facts, judgement in _pairs(status):
        shards.setdefault(judgement.state, []).append(facts)
    return shards


def _pairs(status: RunStatus) -> Iterator[tuple[ShardFacts, Judgement]]:
    return zip(status.observation.shards, status.judgements, strict=True)
