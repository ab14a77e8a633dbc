"""Choose the shards whose tasks' files may be packed once they are gathered. Pure."""

from collections.abc import Sequence
from datetime import timedelta

from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.shards import Judgement, Observation, State


def shards_of_ended_tasks(
    observation: Observation, judgements: Sequence[Judgement], *, grace: timedelta
) -> tuple[int, ...]:
    """Return the indices of shards that are done, and of which no task can be alive.

    Args:
        observation: what was observed of the run.
        judgements: what follows for each shard.
        grace: how long accounting and the file system may lag behind what happened.
    """
    if not observation.answered:
        return ()
    # As for a lost task: whatever hides a task that works hides other tasks too.
    is_silence_proof = all(judgement.state is not State.UNKNOWN for judgement in judgements)
    return tuple(
        judgement.index
        for judgement, shard in zip(judgements, observation.shards, strict=True)
        if judgement.state is State.DONE
        and all(
            _is_over(attempt, observation, grace, is_silence_proof=is_silence_proof)
            for attempt in shard.attempts
        )
    )


def _is_over(
    attempt: Attempt, observation: Observation, grace: timedelta, *, is_silence_proof: bool
) -> bool:
    """Tell whether an attempt has ended for good, and all that it left has shown up."""
    if attempt.packed is not None:
        return True
    if attempt.number not in observation.asked:
        return False
    is_ended = attempt.phase is Phase.ENDED
    is_lost = attempt.phase is Phase.UNKNOWN and is_silence_proof and not attempt.hidden
    return (is_ended or is_lost) and attempt.last_change + grace <= observation.observed_at
