"""End a run's jobs."""

from dataclasses import dataclass, field

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.place import HERE, Place
from hpc.api.call.surroundings import library_call
from hpc.executors.factory import executor_of
from hpc.planning.handed_over.take_back import take_back
from hpc.reconcile.look import look
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelResult:
    """What was canceled, and what is kept."""

    run: Run = field(repr=False)
    """The run."""
    cancelled_jobs: tuple[int, ...]
    """The ids of everything that was alive, caretakers included."""
    unreached_jobs: tuple[int, ...]
    """The ids of jobs that may still be alive."""
    hidden_jobs: tuple[int, ...] = field(repr=False)
    """Those of them that Slurm shows no record of."""
    shards_done: int
    """How many shards have their output."""
    posts_kept: int
    """How many posts have an answer that is kept."""
    exit_code: int
    """What `hpc cancel` exits with: 0 done, 1 jobs may still be alive."""
    look: RunStatus = field(repr=False)
    """The run after that."""


@check_argument_types
def cancel(run: RunChoice = None, *, at: Place = HERE, say: Say | None = None) -> CancelResult:
    """End a run's pending and running jobs. Answers are kept, and `resubmit` continues the run.

    A run that another engine labels has no jobs. If none of its answers was adopted, it is moved
    aside, and its posts are free again.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where to look for runs.
        say: receives each message.

    Raises:
        InputError: there is no such run.
        RunError: the run cannot be read, Slurm does not answer, or answers of another engine were
            adopted.
    """
    with library_call():
        chosen = find_run(run, at=at)
        if chosen.manifest.is_labeled_elsewhere:
            return _take_back(chosen, screen_of(say))
        executor = executor_of(chosen)
        screen = screen_of(say)
        cancellation = executor.cancel(chosen, screen)
        now = look(chosen, executor)
    hidden = _hidden_jobs(now)
    return CancelResult(
        run=chosen,
        cancelled_jobs=tuple(cancellation.jobs),
        unreached_jobs=tuple(sorted({*cancellation.unreached, *hidden})),
        hidden_jobs=tuple(hidden),
        shards_done=sum(shard.output.verified for shard in now.observation.shards),
        posts_kept=now.posts_kept,
        exit_code=0 if cancellation.is_complete and not hidden else FAILED,
        look=now,
    )


def _take_back(run: Run, say: Say) -> CancelResult:
    """Free the posts of a run that another engine was to label."""
    before = look(run, executor_of(run))
    take_back(run, say)
    return CancelResult(
        run=run,
        cancelled_jobs=(),
        unreached_jobs=(),
        hidden_jobs=(),
        shards_done=0,
        posts_kept=0,
        exit_code=0,
        look=before,
    )


def _hidden_jobs(now: RunStatus) -> list[int]:
    """Return the arrays of shards that work, or may do so, without any record in Slurm."""
    last = [
        shard.attempts[-1].array_job_id
        for shard, judgement in zip(now.observation.shards, now.judgements, strict=True)
        if judgement.state is State.UNKNOWN and shard.attempts
    ]
    return sorted({job for job in last if job is not None})
