"""Whether the service of a run answers nobody, and how long to wait before it is asked again. Pure.

A thousand shards that all ask a service that is down learn no more than one does. So one shard asks
again, and the others follow once it gets answers.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.shards import Observation, ShardFacts
from hpc.run.retry_policy import RetryPolicy
from pipeline.errors import Cause

_LONGEST_PAUSE_MIN = 60.0


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A service that answers nobody, as far as a run has seen it."""

    since: datetime
    """When the first task of the run ended because of it (UTC)."""
    tries: int
    """How many submissions have met it."""
    was_answered: bool
    """Whether the run has ever got an answer, so that its configuration is right."""

    def pause_min(self, policy: RetryPolicy) -> float:
        """Return how many minutes to wait before the service is asked again.

        The pause doubles with each try, up to an hour. There is none while the service has never
        answered, so that a person soon learns of a wrong address.
        """
        if not self.was_answered:
            return 0.0
        first = policy.throttled_minutes
        longest = max(first, _LONGEST_PAUSE_MIN)
        return min(first * 2.0 ** min(self.tries - 1, 16), longest)

    def is_too_long(self, policy: RetryPolicy) -> bool:
        """Tell whether a person should look.

        That is soon if the service has never answered: then the address may be wrong.
        """
        most = policy.max_unavailable if self.was_answered else policy.max_attempts
        return self.tries >= most


def find_outage(observation: Observation) -> Outage | None:
    """Return the outage that a run is in; None if its service answers, or nothing is known.

    The numbers of the attempts decide what came after what, because clocks differ from node to
    node. Only the answers that a task gets at the moment have no number of their own.
    """
    shards = observation.shards
    attempts = [each for shard in shards if not shard.output.verified for each in shard.attempts]
    met = [each for each in attempts if _met_outage(each)]
    if not met:
        return None
    last_forced = max((each.number for each in attempts if each.forced), default=0)
    first = max(_newest_that_got_further(shards), last_forced)
    met = [each for each in met if each.number >= first]
    if not met:
        return None
    newest = max(each.last_change for each in met)
    if any(_gets_answers(shard, newest) for shard in shards):
        return None
    return Outage(
        since=min(each.last_change for each in met),
        tries=len({each.number for each in met}),
        was_answered=any(shard.output.verified or shard.rows for shard in shards),
    )


def _met_outage(attempt: Attempt) -> bool:
    words = attempt.words
    return bool(words and words.cause is Cause.UNAVAILABLE) and attempt.phase is Phase.ENDED


def _newest_that_got_further(shards: Sequence[ShardFacts]) -> int:
    """Return the newest attempt that published, or that ended for a reason of its own."""
    return max(
        (
            each.number
            for shard in shards
            for each in shard.attempts
            if shard.has_published(each)
            or (each.phase is Phase.ENDED and each.words and not _met_outage(each))
        ),
        default=0,
    )


def _gets_answers(shard: ShardFacts, since: datetime) -> bool:
    """Tell whether a running task has got an answer after a time.

    Its heartbeat counts the start of its process as progress, too, but not in its rate.
    """
    beat = shard.heartbeat
    if beat is None or shard.attempts[-1].phase is not Phase.ACTIVE:
        return False
    return beat.progress_at > since and beat.rate_per_minute > 0
