"""All that can be known of a run at one moment: its folder first and last, Slurm in between.

Slurm is asked before the outputs are looked at for good: a task seen to have ended has published
by then, or never will.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hpc.executors.base import Executor
from hpc.run.model import Attempt, Observation, Phase, Records, Run, ShardFacts, Submission
from hpc.run.outputs import OutputFolder
from hpc.run.remedies import needs_limits
from hpc.run.submissions import read_submissions
from pipeline.run_files import heartbeat, last_words
from pipeline.run_files.checkpoint import rows_by_attempt
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import log_path, work_path
from pipeline.run_files.output import Verdict
from pipeline.worker.crash_journal import solo_attempts_by_attempt


def observe(
    run: Run, executor: Executor, *, include_done: bool = False, lock_is_ours: bool = False
) -> Observation:
    """Return what the run's folder and its executor show at this moment.

    Args:
        run: the run to look at.
        executor: what runs its tasks.
        include_done: whether to ask for the attempts of shards that are done, for the history.
        lock_is_ours: whether the caller holds the run's lock.
    """
    submissions = read_submissions(run)
    released = [submission for submission in submissions if submission.released_at]
    outputs = OutputFolder(run)
    verdicts = outputs.verify()
    asked = [
        submission
        for submission in released
        if include_done or not all(verdicts[shard].verified for shard in submission.plan.shards)
    ]
    now = datetime.now(UTC)
    query = executor.query(run, asked, lock_is_ours=lock_is_ours)
    if asked:
        verdicts = outputs.verify()
    outputs.remember()
    return Observation(
        at=now,
        shards=_facts(run, released, verdicts, query.records, include_done),
        answered=query.trouble is None,
        last_answer=query.last_answer,
        trouble=query.trouble,
        submissions=submissions,
    )


def with_limits(
    observation: Observation, run: Run, executor: Executor, shards: Sequence[int]
) -> Observation:
    """Return the observation with the limits that the remedies of these shards need, if any do.

    Raises:
        ExecutorError: the limits are needed, and the executor does not answer.
    """
    if observation.limits or not needs_limits([observation.shards[shard] for shard in shards]):
        return observation
    return replace(observation, limits=executor.limits(run))


def _facts(
    run: Run,
    released: list[Submission],
    verdicts: tuple[Verdict, ...],
    found: Records,
    include_done: bool,
) -> tuple[ShardFacts, ...]:
    worked_on = _names(run.folder / "work")
    traces = {
        shard.index: _trace(run, shard.index)
        for shard, verdict in zip(run.manifest.shards, verdicts, strict=True)
        if not verdict.verified and f"{shard.index:05d}" in worked_on
    }
    attempts: dict[int, list[Attempt]] = {}
    for one in released:
        spoken = _names(log_path(run.folder, one.number))
        for index in one.plan.indices:
            at = one.plan.offset + index
            words: LastWords | None = None
            if last_words.path_of(run.folder, one.number, at).name in spoken and (
                include_done or not verdicts[at].verified
            ):
                words = last_words.read(run.folder, one.number, at)
            assert one.released_at
            trace = traces.get(at, _NO_TRACE)
            attempts.setdefault(at, []).append(
                Attempt(
                    number=one.number,
                    array_job_id=one.array_job_id,
                    array_task_index=index,
                    submitted_at=one.released_at,
                    record=found.get((one.number, index)),
                    words=words,
                    ask=one.plan.ask,
                    rows=trace.rows.get(one.number, 0),
                    trials=trace.trials.get(one.number, 0),
                    restarted=index in one.restarted,
                    forced=one.forced,
                )
            )
    facts = []
    for shard, verdict in zip(run.manifest.shards, verdicts, strict=True):
        own = attempts.get(shard.index, [])
        trace = traces.get(shard.index, _NO_TRACE)
        beat = _heartbeat(run, shard.index, own)
        facts.append(
            ShardFacts(
                index=shard.index,
                posts=shard.posts,
                output=verdict,
                attempts=tuple(own),
                rows=min(sum(trace.rows.values()), shard.posts),
                heartbeat=beat,
                left_behind=None if beat else _left_behind(run, shard.index, trace),
            )
        )
    return tuple(facts)


@dataclass(frozen=True, slots=True)
class _Trace:
    """What a shard's attempts left in its work folder, by their numbers."""

    rows: dict[int, int]
    trials: dict[int, int]


_NO_TRACE = _Trace({}, {})


def _trace(run: Run, index: int) -> _Trace:
    folder = work_path(run.folder, index)
    return _Trace(rows_by_attempt(folder), solo_attempts_by_attempt(folder))


def _heartbeat(run: Run, index: int, attempts: list[Attempt]) -> Heartbeat | None:
    """Only of a task that runs: no more files are opened than that."""
    if not attempts or attempts[-1].phase is not Phase.ACTIVE:
        return None
    return heartbeat.read(work_path(run.folder, index), attempts[-1].number)


def _left_behind(run: Run, index: int, trace: _Trace) -> Heartbeat | None:
    """Of the newest attempt that kept rows and left one: what is paid for stays counted while a
    shard waits for its next attempt."""
    beats = (heartbeat.read(work_path(run.folder, index), n) for n in sorted(trace.rows)[::-1])
    return next((beat for beat in beats if beat), None)


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return frozenset()
