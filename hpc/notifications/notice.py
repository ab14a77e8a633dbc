"""Decide which event a run has come to. Pure.

A notice has a key, and everybody who sees the same event finds the same key. So a run that was done
once is not reported again by the next round of cron, but one that needs a person again after a
resubmission or a correction is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.next_step import next_command
from hpc.run.outage import find_outage
from hpc.run.run_state import RunState, RunStatus
from hpc.run.selection import find_rejection
from pipeline.config.keys import Section
from pipeline.config.notify_settings import Event
from pipeline.errors import Cause
from pipeline.run_files.heartbeat import UtcTime
from pipeline.text import counted, without_numbers

MOST_MESSAGES = 3
_LETS_NOTHING_THROUGH = (Cause.THROTTLED, Cause.UNAVAILABLE)
_NEEDS_PERSON = (State.BLOCKED, State.FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One event of a run."""

    event: Event
    """What happened."""
    key: tuple[str, ...]
    """The same for everybody who sees this event, and for no other one."""
    message: str
    """What happened, in words."""
    next: tuple[str, ...] = ()
    """The verb to type next, and its options; empty where nothing is left to do."""


class Throttling(Section, frozen=True, kw_only=True):
    """Since when no post of a run was answered because of a quota or a service's limit."""

    since: UtcTime
    """When that was first seen, or when a task made its last progress before (UTC)."""
    posts_done: int
    """How many posts had an answer then."""


def ending_notice(status: RunStatus) -> Notice | None:
    """Return what to report of a run as a supervising process leaves it; None while it goes on."""
    if status.is_under_way or status.waits_for_room or status.awaits_database:
        return None
    is_complete = status.state is RunState.COMPLETE
    is_stopped = status.state is RunState.BLOCKED or find_rejection(status.observation)
    if not (is_complete or is_stopped):
        return None  # another round resubmits what failed
    number = _last_submission(status)
    if is_complete and not status.exit_code:
        return Notice(
            event=Event.DONE,
            key=(Event.DONE, f"{number}"),
            message=f"every post of the run has a row in {status.run.manifest.database}",
        )
    blocked = [shard for shard in status.judgements if shard.state in _NEEDS_PERSON]
    causes = sorted({f"{shard.state} {shard.cause} {shard.rule}" for shard in blocked})
    step = next_command(status)
    return Notice(
        event=Event.NEEDS_PERSON,
        key=_person_key(status.run, number, causes),
        message=_describe_blocked(blocked) or "no post got a label",
        next=(step.verb or "status", *step.options),
    )


def error_notice(run: Run, last_submission: int, error: Exception, message: str) -> Notice:
    """Return what to report if supervision ended with an error, so that nobody supervises the run.

    Args:
        run: the run.
        last_submission: the number of its last submission.
        error: what ended the supervision.
        message: the same in words, without any key.
    """
    # Times, ports and job ids differ from round to round.
    same = without_numbers(message)
    return Notice(
        event=Event.NEEDS_PERSON,
        key=_person_key(run, last_submission, [type(error).__name__, same]),
        message=message,
        next=("status",),
    )


def throttling_now(status: RunStatus, before: Throttling | None) -> Throttling | None:
    """Return since when a run gets no answers because it is throttled; None if it gets some.

    Args:
        status: the run as it is now.
        before: what this returned for the look before.
    """
    done = status.posts_done
    if before and before.posts_done == done and status.is_under_way:
        # A task that has just started, or waits for its turn, shows nothing yet.
        return before
    seen = _throttled_since(status)
    return None if seen is None else Throttling(since=seen, posts_done=done)


def throttled_notice(
    status: RunStatus, throttling: Throttling, *, after: timedelta
) -> Notice | None:
    """Return what to report of a run that gets no answers; None before that has lasted so long."""
    lasted = status.observation.observed_at - throttling.since
    if lasted < after or _throttled_since(status) is None:
        return None
    minutes = int(lasted.total_seconds() // 60)
    is_down = find_outage(status.observation) is not None
    why = (
        "the service does not answer"
        if is_down
        else "the quota is used up, or the service throttles its requests"
    )
    return Notice(
        event=Event.THROTTLED,
        key=(Event.THROTTLED, throttling.since.isoformat()),
        message=(
            f"{why}: no post was answered for {minutes:,} min. The run goes on by itself once it "
            "gets answers"
        ),
        next=("status",),
    )


def _throttled_since(status: RunStatus) -> datetime | None:
    """Return since when what runs, or waits, is throttled; None if nothing shows that it is."""
    pairs = list(zip(status.observation.shards, status.judgements, strict=True))
    at_work = [facts for facts, judgement in pairs if judgement.state is State.RUNNING]
    if not at_work:
        waits = any(_waits_after_throttling(facts, judgement) for facts, judgement in pairs)
        return status.observation.observed_at if waits else None
    beats = [facts.heartbeat for facts in at_work]
    if not all(beat and beat.throttled for beat in beats):
        return None
    return max(beat.progress_at for beat in beats if beat)


def _waits_after_throttling(facts: ShardFacts, judgement: Judgement) -> bool:
    """Tell whether a shard that is to be resubmitted, or waits for that, was throttled last."""
    if judgement.state in (State.FAILED, State.ENDING):
        return judgement.cause in _LETS_NOTHING_THROUGH
    ended = [attempt for attempt in facts.attempts if attempt.phase is Phase.ENDED]
    is_queued = judgement.state is State.QUEUED and bool(ended)
    return is_queued and bool(ended[-1].words and ended[-1].words.cause in _LETS_NOTHING_THROUGH)


def _describe_blocked(blocked: Sequence[Judgement]) -> str:
    """Return the most frequent messages, with how many shards each is about."""
    groups: dict[str, list[Judgement]] = {}
    for shard in blocked:
        groups.setdefault(re.sub(r"\btask \d+_\d+", "task", shard.message), []).append(shard)
    largest = sorted(groups.values(), key=len, reverse=True)
    lines = [
        f"shard {group[0].index}: {group[0].message}"
        + (f" (and {counted(len(group) - 1, 'more shard')})" if len(group) > 1 else "")
        for group in largest[:MOST_MESSAGES]
    ]
    if hidden := sum(map(len, largest[MOST_MESSAGES:])):
        lines.append(f"and {counted(hidden, 'more shard')}")
    return "\n".join(lines)


def _person_key(run: Run, last_submission: int, what: Sequence[str]) -> tuple[str, ...]:
    return Event.NEEDS_PERSON, f"{last_submission}", f"{len(run.amendments)}", *what


def _last_submission(status: RunStatus) -> int:
    return max((each.number for each in status.observation.submissions), default=0)
