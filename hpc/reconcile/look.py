"""Look at a run: observe it and judge every shard."""

from datetime import timedelta

from hpc.executors.base import Executor
from hpc.reconcile.observe import observe
from hpc.run.judge import judge_all
from hpc.run.model import Run
from hpc.run.run_state import RunStatus


def look(
    run: Run, executor: Executor, *, include_done: bool = False, lock_is_ours: bool = False
) -> RunStatus:
    """Return the run as it is now. The arguments are those of `observe`."""
    observation = observe(run, executor, include_done=include_done, lock_is_ours=lock_is_ours)
    grace = timedelta(seconds=run.cluster.grace_seconds)
    policy = run.retry
    return RunStatus(
        run=run,
        observation=observation,
        judgements=judge_all(observation, grace=grace, policy=policy),
    )
