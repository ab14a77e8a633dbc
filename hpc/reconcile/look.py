"""Look at a run: observe it and judge every shard."""

import contextlib
import time
from collections.abc import Collection, Sequence
from datetime import timedelta

from msgspec.structs import replace

from hpc.display.next_step import describe_left_blocked
from hpc.executors.base import Executor
from hpc.reconcile.observe import observe
from hpc.run.judge import judge_all
from hpc.run.model.arrays import Submission
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Observation
from hpc.run.run_state import RunStatus
from hpc.run.run_view import RunView, Sight
from pipeline.errors import InputError, RunError

# Looks take at most this share of the time while tasks of this process run.
_LARGEST_SHARE = 0.05


def look(
    run: Run,
    executor: Executor,
    *,
    include_done: bool = False,
    open_only: bool = False,
    verified: Collection[int] = (),
    lock_is_ours: bool = False,
) -> RunStatus:
    """Return the run as it is now. The arguments are those of `observe`."""
    observation = observe(
        run,
        executor,
        include_done=include_done,
        open_only=open_only,
        verified=verified,
        lock_is_ours=lock_is_ours,
    )
    return _judged(run, observation)


def add_submissions(status: RunStatus, submitted: Sequence[Submission]) -> RunStatus:
    """Return a run as it is after these submissions, without another look at it.

    Their tasks count as pending. The next look, which asks the executor, may be a minute away.
    """
    shards = list(status.observation.shards)
    for submission in submitted:
        assert submission.released_at
        for index in submission.plan.indices:
            attempt = Attempt(
                number=submission.number,
                array_job_id=submission.array_job_id,
                array_task_index=index,
                submitted_at=submission.released_at,
                record=TaskRecord(phase=Phase.WAITING, slurm_state="PENDING"),
                request=submission.plan.request,
                starts_at=submission.begin_of(index),
            )
            facts = shards[submission.plan.offset + index]
            shards[facts.index] = replace(facts, attempts=(*facts.attempts, attempt))
    recorded = (*status.observation.submissions, *submitted)
    after = replace(status.observation, shards=tuple(shards), submissions=recorded)
    return _judged(status.run, after)


def _judged(run: Run, observation: Observation) -> RunStatus:
    grace = timedelta(seconds=run.cluster.grace_seconds)
    return RunStatus(
        run=run,
        observation=observation,
        judgements=judge_all(observation, grace=grace, policy=run.retry),
    )


def supervised_sight(status: RunStatus, trouble: str | None = None, later: int = 0) -> Sight:
    """Return a look of the process that supervises the run. The arguments are those of `Sight`."""
    blocked = describe_left_blocked(status)
    return Sight(status=status, trouble=trouble, later=later, blocked=blocked)


class OccasionalLooks:
    """Looks at a run whose tasks this process runs, now and then, and shows what it has seen."""

    def __init__(self, run: Run, executor: Executor, view: RunView) -> None:
        """Look at nothing yet.

        Args:
            run: the run, whose lock this process holds.
            executor: what runs its tasks.
            view: shows the run.
        """
        self._run = run
        self._executor = executor
        self._view = view
        self._due = time.monotonic() + view.poll_interval_s
        view.expect_look(view.poll_interval_s)

    def __call__(self) -> None:
        """Look if it is time to; called often, so it costs next to nothing otherwise.

        Nothing that goes wrong here may end the tasks, and the next round meets it again.
        """
        began = time.monotonic()
        if began < self._due:
            return
        with contextlib.suppress(InputError, RunError, OSError):
            # The lock shows that tasks may be alive, as it does to other processes.
            self._view.show(supervised_sight(look(self._run, self._executor)))
        took_s = time.monotonic() - began
        pause_s = max(self._view.poll_interval_s, took_s / _LARGEST_SHARE)
        self._due = began + took_s + pause_s
        self._view.expect_look(pause_s)
