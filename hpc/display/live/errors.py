"""Count what goes wrong in a run, by kind: in requests, in posts and in tasks. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hpc.display.live.remaining import own_heartbeat
from hpc.run.causes import cause_of
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.run_state import RunStatus
from pipeline.errors import Cause
from pipeline.service.activity import RequestFault

FAULT_WORDS: Mapping[str, str] = {
    RequestFault.THROTTLED: "too many requests (HTTP 429)",
    RequestFault.REJECTED: "rejected (HTTP 3xx, 4xx)",
    RequestFault.SERVER_ERROR: "server errors (HTTP 5xx)",
    RequestFault.BAD_ANSWER: "unusable answers",
    RequestFault.TIMED_OUT: "no answer in time",
    RequestFault.NO_CONNECTION: "no connection",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorCounts:
    """What went wrong so far, by kind, the most frequent first."""

    requests: Mapping[str, int]
    """Requests of the running tasks that brought no answer. Most of them are sent again."""
    posts: Mapping[str, int]
    """Posts with a reason instead of labels."""
    tasks: Mapping[Cause, int]
    """The failed attempts of shards that are not done. A shard that is done takes its own away: the
    records of all are looked up for `--efficiency`, the report and the history only."""
    never_started: int = 0
    """How many of these ended before their task ran, as if canceled while pending."""


def count_errors(status: RunStatus) -> ErrorCounts:
    """Return what went wrong in a run so far."""
    requests: Counter[str] = Counter()
    tasks: Counter[Cause] = Counter()
    never_started = 0
    for shard, judgement in zip(status.observation.shards, status.judgements, strict=True):
        if shard.output.verified:
            continue
        if (beat := own_heartbeat(shard)) and beat.faults:
            requests.update(beat.faults)
        ended = _find_ended(shard, judgement)
        tasks.update(cause_of(attempt) for attempt in ended)
        never_started += sum(attempt.never_started for attempt in ended)
    return ErrorCounts(
        requests=dict(requests.most_common()),
        posts=dict(status.labels.unlabelable),
        tasks=dict(tasks.most_common()),
        never_started=never_started,
    )


def _find_ended(shard: ShardFacts, judgement: Judgement) -> list[Attempt]:
    """Return the attempts that are known to have ended.

    How the last one ended is open while late files may still show it.
    """
    *earlier, last = shard.attempts or (None,)
    attempts = [attempt for attempt in earlier if attempt]
    if last and judgement.has_ended and judgement.state is not State.ENDING:
        attempts.append(last)
    return [attempt for attempt in attempts if attempt.phase is Phase.ENDED]


def describe_errors(errors: ErrorCounts) -> list[str]:
    """Return a line on requests and one on tasks. Posts have a line of their own elsewhere."""
    lines = []
    if errors.requests:
        kinds = (
            f"{count:,} {FAULT_WORDS.get(kind, kind)}" for kind, count in errors.requests.items()
        )
        lines.append(f"requests without an answer: {', '.join(kinds)}")
    if errors.tasks:
        causes = (f"{count:,} {cause}" for cause, count in errors.tasks.items())
        rest = f" ({errors.never_started:,} never started)" if errors.never_started else ""
        lines.append(f"failed attempts of unfinished shards: {', '.join(causes)}{rest}")
    return lines


def errors_document(errors: ErrorCounts) -> dict[str, dict[str, int]]:
    """Return the counts as `status --json` has them."""
    return {
        "requests": dict(errors.requests),
        "posts": dict(errors.posts),
        "tasks": {str(cause): count for cause, count in errors.tasks.items()},
    }
