"""Describe how much of a quota a run uses, from the heartbeats of its tasks. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hpc.display.live.remaining import own_heartbeat
from hpc.run.former_values import value_at
from hpc.run.model.attempts import Attempt
from hpc.run.model.run import Run
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.text import counted
from pipeline.usage import cost_options

_QUOTA = "classifier.requests_per_minute"
# The requests of the last minute of a task that has been silent for longer are over.
_LONGEST_AGE = timedelta(minutes=1)
# The other tasks count a killed task until its lease expires: it cannot say that it has left.
_LEASE_OF_KILLED = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotaUse:
    """What the running tasks of a run send to their service."""

    requests_per_minute: int
    """Requests within the last minute, summed over the tasks. Their minutes end some seconds apart,
    so the sum may be a little above the quota."""
    quota_per_minute: int | None
    """The requests per minute that all tasks of the key may send, as these tasks were submitted
    with it; the largest, if a correction gave some of them another one; None without a quota."""
    other_tasks: int | None
    """How many tasks of other runs share the key's quota; None if that is not known."""
    tasks_by_quota: Mapping[int | None, int]
    """How many of the tasks were submitted with which quota, the largest first."""
    next_quota_per_minute: int | None
    """The quota of tasks that are submitted from now on."""
    joining: int = 0
    """How many of the tasks send nothing yet, because they only watch who shares the quota."""


def quota_use(status: RunStatus) -> QuotaUse | None:
    """Return what a run's tasks send; None where no running task says it."""
    now = status.observation.observed_at
    speaking = [
        (shard.attempts[-1].number, beat)
        for shard, judgement in zip(status.observation.shards, status.judgements, strict=True)
        if judgement.state in (State.RUNNING, State.UNKNOWN) and (beat := own_heartbeat(shard))
        if now - beat.written_at <= _LONGEST_AGE
    ]
    beats = [beat for _, beat in speaking]
    requests = [
        beat.requests_last_minute for beat in beats if beat.requests_last_minute is not None
    ]
    if not requests:
        return None
    # The newest heartbeat counts: older ones still count tasks of this run that have ended since.
    sharing = max(
        ((beat.written_at, beat.quota_tasks) for beat in beats if beat.quota_tasks is not None),
        default=None,
    )
    tasks_by_quota = _count_quotas(
        status.run,
        [number for number, beat in speaking if beat.requests_last_minute is not None],
    )
    own = (
        len(requests)
        + _count_killed_lately(status)
        + _count_starting(status)
        + _done_lately(status)
    )
    return QuotaUse(
        requests_per_minute=sum(requests),
        quota_per_minute=None if None in tasks_by_quota else max(filter(None, tasks_by_quota)),
        other_tasks=max(0, sharing[1] - own) if sharing else None,
        tasks_by_quota=tasks_by_quota,
        next_quota_per_minute=_quota(status.run),
        joining=sum(_is_joining(status.run, number, beat) for number, beat in speaking),
    )


def _is_joining(run: Run, submission: int, beat: Heartbeat) -> bool:
    """Tell whether a task has no share of its quota yet: then it cannot say who shares it."""
    return beat.throttled and beat.quota_tasks is None and _quota_at(run, submission) is not None


def _count_quotas(run: Run, submissions: Sequence[int]) -> Mapping[int | None, int]:
    """Return how many tasks were submitted with which quota, by their submissions.

    A correction holds for later submissions only.
    """
    counts = Counter(_quota_at(run, number) for number in submissions)
    largest_first = sorted(counts, key=lambda quota: -(quota or math.inf))
    return {quota: counts[quota] for quota in largest_first}


def _quota_at(run: Run, submission: int) -> int | None:
    """Return the quota of the tasks of a submission."""
    quota = value_at(run, submission, _QUOTA, now=_quota(run))
    return quota if isinstance(quota, int) else None


def _quota(run: Run) -> int | None:
    return cost_options(run.manifest.classifier).requests_per_minute


def _count_starting(status: RunStatus) -> int:
    """Return how many running tasks have no heartbeat yet, and may share the quota already."""
    return sum(
        judgement.state is State.RUNNING and own_heartbeat(shard) is None
        for shard, judgement in zip(status.observation.shards, status.judgements, strict=True)
    )


def _done_lately(status: RunStatus) -> int:
    """Return how many done tasks the last heartbeats of the others may still count."""
    now = status.observation.observed_at
    return sum(
        judgement.state is State.DONE
        and any(_has_ended_within(_LONGEST_AGE, attempt, now) for attempt in shard.attempts[-1:])
        for shard, judgement in zip(status.observation.shards, status.judgements, strict=True)
    )


def _count_killed_lately(status: RunStatus) -> int:
    """Return how many tasks of the run the others may still count, although they were killed.

    Each attempt counts, also where the shard's next one is under way or done.
    """
    now = status.observation.observed_at
    count = 0
    for shard, judgement in zip(status.observation.shards, status.judgements, strict=True):
        *earlier, last = shard.attempts or (None,)
        count += sum(_has_ended_within(_LEASE_OF_KILLED, attempt, now) for attempt in earlier)
        if judgement.state in (State.RUNNING, State.UNKNOWN, State.DONE):
            continue
        beat = shard.heartbeat or shard.left_behind
        if beat is not None:
            count += beat.quota_tasks is not None and now - beat.written_at <= _LEASE_OF_KILLED
        else:  # one that kept no answer
            count += _has_ended_within(_LEASE_OF_KILLED, last, now)
    return count


def _has_ended_within(age: timedelta, attempt: Attempt | None, now: datetime) -> bool:
    """Tell whether a task that had started has ended at most so long ago."""
    record = attempt.record if attempt else None
    if record is None or record.ended_at is None or record.started_at is None:
        return False
    return now - record.ended_at <= age


def describe_quota(use: QuotaUse) -> str:
    """Return one line, such as `2,952 of 3,000 requests in the last minute (98 %)`.

    Return '' where no task has a quota, now or later. Tasks that have ended since do not count:
    they say no more.
    """
    quotas = {*use.tasks_by_quota, use.next_quota_per_minute}
    if quotas == {None}:
        return ""
    sent = f"{use.requests_per_minute:,}"
    if len(use.tasks_by_quota) == 1 and use.quota_per_minute:
        share = use.requests_per_minute * 100 // max(1, use.quota_per_minute)
        line = f"{sent} of {use.quota_per_minute:,} requests in the last minute ({share} %)"
    else:
        line = f"{sent} requests in the last minute"
    if use.other_tasks:
        line += f", shared with {counted(use.other_tasks, 'task')} of other runs"
    if use.joining:
        have = "has" if use.joining == 1 else "have"
        line += f"; {counted(use.joining, 'task')} {have} no share of it yet"
    return line + _describe_correction(use)


def _describe_correction(use: QuotaUse) -> str:
    """Return which tasks have which quota, to follow the line; '' if all have the same."""
    line = ""
    if len(use.tasks_by_quota) > 1:
        each = (
            f"{counted(count, 'task')} with {_words(quota)}"
            for quota, count in use.tasks_by_quota.items()
        )
        line = f"; {', '.join(each)}"
    if [*use.tasks_by_quota] != [use.next_quota_per_minute]:
        line += f"; the next tasks get {_words(use.next_quota_per_minute)}"
    return line


def _words(quota: int | None) -> str:
    return "no quota" if quota is None else f"a quota of {quota:,}"


def quota_document(use: QuotaUse | None) -> dict[str, int | None] | None:
    """Return the use as `status --json` has it; None where it is not known."""
    if use is None:
        return None
    return {
        "requests_per_minute": use.requests_per_minute,
        "quota_per_minute": use.quota_per_minute,
        "other_tasks": use.other_tasks,
        "next_quota_per_minute": use.next_quota_per_minute,
        "tasks_without_share": use.joining,
    }
