"""Choose the executor that a configuration names."""

from collections.abc import Mapping

from hpc.executors.base import Executor
from hpc.executors.local.executor import LocalExecutor
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.environment import apply_shell_defaults
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.run.model import Run
from hpc.run.resources import Cluster, ExecutorName


def create_executor(cluster: Cluster) -> Executor:
    """Return the executor that the section names."""
    match cluster.executor:
        case ExecutorName.SLURM:
            return SlurmExecutor(Slurm(cluster_name=cluster.cluster_name))
        case ExecutorName.LOCAL:
            return LocalExecutor()


def executor_of(run: Run) -> Executor:
    """Return the executor that a run was planned for."""
    return create_executor(run.cluster)


def apply_shell(cluster: Cluster, shell: Mapping[str, str]) -> tuple[Cluster, tuple[str, ...]]:
    """Return the section with what the user's shell decides, and lines that say so.

    Raises:
        InputError: the shell asks for what a run cannot have.
    """
    if cluster.executor is ExecutorName.LOCAL:
        return cluster, ()
    return apply_shell_defaults(cluster, shell)
