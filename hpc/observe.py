"""All that can be known of a run at one moment: its folder first and last, Slurm in between.

Slurm is asked before the outputs are looked at for good: a task seen to have ended has published
by then, or never will.
"""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hpc import local, outputs, rundir
from hpc.answers import newer
from hpc.arrays import TaskId
from hpc.model import Attempt, Observation, Phase, Records, Run, ShardFacts, Submission, TaskRecord
from hpc.slurm import Slurm, SlurmError
from pipeline import files, last_words
from pipeline.checkpoint import rows_in
from pipeline.errors import Cause
from pipeline.last_words import LastWords
from pipeline.manifest import log_path
from pipeline.output import Verdict

ANSWERED = ".slurm-answered"
_PUT_BACK = (Cause.NODE, Cause.PREEMPTED)


def observe(
    run: Run, slurm: Slurm | None, *, whole: bool = False, lock_is_ours: bool = False
) -> Observation:
    """Looks at folder and Slurm.

    Args:
        slurm: None for a run of the local executor.
        whole: also ask for the attempts of shards that are done, for the history.
        lock_is_ours: the caller holds the run's lock, and so no task of the local executor lives.
    """
    released = [one for one in rundir.submissions(run) if one.released_at]
    verdicts = outputs.look(run)
    asked = [
        one
        for one in released
        if whole or not all(verdicts[shard].verified for shard in one.plan.shards)
    ]
    now = datetime.now(UTC)
    if slurm is None:
        in_use = not lock_is_ours and rundir.is_locked(run)
        records, trouble = local.records(run, asked, in_use=in_use), None
    else:
        records, trouble = _ask(slurm, asked)
        if asked and trouble is None:
            _remember_answer(run.folder, now)
    if asked:
        verdicts = outputs.look(run)
    return Observation(
        at=now,
        shards=_facts(run, released, verdicts, records, whole),
        answered=trouble is None,
        last_answer=_last_answer(run.folder),
        trouble=trouble,
    )


def _facts(
    run: Run,
    released: list[Submission],
    verdicts: tuple[Verdict, ...],
    records: Records,
    whole: bool,
) -> tuple[ShardFacts, ...]:
    attempts: dict[int, list[Attempt]] = {}
    for one in released:
        spoken = _names(log_path(run.folder, one.number))
        for index in one.plan.indices:
            at = one.plan.offset + index
            words: LastWords | None = None
            if last_words.path_of(run.folder, one.number, at).name in spoken and (
                whole or not verdicts[at].verified
            ):
                words = last_words.read(run.folder, one.number, at)
            assert one.released_at
            attempts.setdefault(at, []).append(
                Attempt(
                    number=one.number,
                    array_job_id=one.array_job_id,
                    array_task_index=index,
                    submitted_at=one.released_at,
                    record=records.get((one.number, index)),
                    words=words,
                )
            )
    worked_on = _names(run.folder / "work")
    facts = []
    for shard, verdict in zip(run.manifest.shards, verdicts, strict=True):
        name = f"{shard.index:05d}"
        rows = 0
        if not verdict.verified and name in worked_on:
            rows = min(rows_in(run.folder / "work" / name), shard.posts)
        facts.append(
            ShardFacts(
                index=shard.index,
                posts=shard.posts,
                output=verdict,
                attempts=tuple(attempts.get(shard.index, ())),
                rows=rows,
            )
        )
    return tuple(facts)


def _ask(slurm: Slurm, asked: list[Submission]) -> tuple[Records, str | None]:
    """One squeue and one sacct call; what either said, and what kept one of them from answering.

    The controller is asked first: a task that ends between the two is then seen by accounting.
    """
    if not asked:
        return {}, None
    jobs = {one.array_job_id: one for one in asked if one.array_job_id is not None}
    troubles: list[str] = []
    queued: Records = {}
    accounted: Records = {}
    queue_silent = False
    try:
        queued = _by_task(jobs, slurm.queue([one.job_name for one in asked]).records)
    except SlurmError as error:
        queue_silent = True
        troubles.append(error.words)
    try:
        since = min(one.intended_at for one in asked)
        accounted = _by_task(jobs, slurm.accounting(sorted(jobs), since).records, bare=True)
    except SlurmError as error:
        troubles.append(error.words)
    merged = {**accounted}
    for task, seen in queued.items():
        merged[task] = _current(seen, accounted.get(task))
    if queue_silent:
        # Slurm puts such tasks back under the same id, and accounting shows the former life only.
        merged = {task: one for task, one in merged.items() if one.cause not in _PUT_BACK}
    return merged, "; ".join(troubles) or None


def _current(queued: TaskRecord, accounted: TaskRecord | None) -> TaskRecord:
    """The controller knows better how far a task is (accounting lags, and keeps the former life of
    a requeued one); accounting knows more of one that has ended."""
    if accounted is None:
        return queued
    same_end = accounted.slurm_state.partition(" ")[0] == queued.slurm_state
    if queued.phase is Phase.ENDED and same_end:
        return accounted
    return replace(
        queued, submitted_at=accounted.submitted_at, started_at=accounted.started_at,
        elapsed_s=accounted.elapsed_s, max_rss_mb=accounted.max_rss_mb,
        req_mem_gb=accounted.req_mem_gb,
    )  # fmt: skip


def _by_task(
    jobs: dict[int, Submission],
    records: tuple[tuple[TaskId, TaskRecord], ...],
    *,
    bare: bool = False,
) -> Records:
    """By submission and index.

    Args:
        bare: a row of the array's id alone speaks for all tasks without a row. Accounting shows
            one for an array whose tasks were cancelled by index before it had heard of any. The
            controller's says less: it has forgotten the tasks that ended some minutes before.
    """
    found: Records = {}
    cut: list[tuple[Submission, int, TaskRecord]] = []
    for identity, record in records:
        submission = jobs.get(identity.job)
        if submission is None:
            continue
        if identity.indices is None:
            if bare:
                cut.append((submission, -1, record))
            continue
        for index in identity.indices:
            if newer(record, found.get((submission.number, index))):
                found[submission.number, index] = record
        if identity.truncated:
            cut.append((submission, max(identity.indices, default=-1), record))
    for submission, last, record in cut:
        for index in submission.plan.indices:
            if index > last:
                found.setdefault((submission.number, index), record)
    return found


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return frozenset()


def _remember_answer(folder: Path, at: datetime) -> None:
    with contextlib.suppress(OSError):  # only a memory, as in `outputs`
        files.write_text(folder / ANSWERED, at.isoformat())


def _last_answer(folder: Path) -> datetime | None:
    try:
        return datetime.fromisoformat((folder / ANSWERED).read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None
