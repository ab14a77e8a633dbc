"""Choose the executor that a configuration names."""

from collections.abc import Mapping, Sequence

from hpc.executors.base import Executor
from hpc.executors.local.executor import LocalExecutor
from hpc.executors.slurm.client import PATIENCE_S, Slurm
from hpc.executors.slurm.environment import apply_shell_defaults
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.executors.slurm.shared_answers import SharedAnswers
from hpc.run.model import Run, Submission
from hpc.run.resources import Cluster, ExecutorName


def create_executor(cluster: Cluster, *, patience_s: float = PATIENCE_S) -> Executor:
    """Return the executor that the section names.

    Args:
        cluster: the section.
        patience_s: how long to wait for each answer of Slurm's commands, in seconds.
    """
    match cluster.executor:
        case ExecutorName.SLURM:
            return SlurmExecutor(Slurm(patience_s, cluster_name=cluster.cluster_name))
        case ExecutorName.LOCAL:
            return LocalExecutor()


def executor_of(run: Run) -> Executor:
    """Return the executor that a run was planned for."""
    return create_executor(run.cluster)


def shared_executors(
    submissions: Sequence[tuple[Run, Sequence[Submission]]],
) -> dict[str, Executor]:
    """Return by run id what looks at the run's cluster, which is asked once for all of its runs.

    Args:
        submissions: the runs, each with the submissions that anybody will ask about.
    """
    groups: dict[tuple[ExecutorName, str | None], list[tuple[Run, Sequence[Submission]]]] = {}
    for run, recorded in submissions:
        key = run.cluster.executor, run.cluster.cluster_name
        groups.setdefault(key, []).append((run, recorded))
    executors: dict[str, Executor] = {}
    for (kind, cluster_name), members in groups.items():
        every = [each for _, recorded in members for each in recorded]
        shared: Executor = LocalExecutor()
        if kind is ExecutorName.SLURM:
            shared = SlurmExecutor(SharedAnswers(every, cluster_name=cluster_name))
        executors |= {run.run_id: shared for run, _ in members}
    return executors


def apply_shell(cluster: Cluster, shell: Mapping[str, str]) -> tuple[Cluster, tuple[str, ...]]:
    """Return the section with what the user's shell decides, and lines that say so.

    Raises:
        InputError: the shell asks for what a run cannot have.
    """
    if cluster.executor is ExecutorName.LOCAL:
        return cluster, ()
    return apply_shell_defaults(cluster, shell)
