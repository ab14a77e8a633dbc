"""Choose the executor that a configuration names."""

from hpc.executors.base import Executor
from hpc.executors.local.executor import LocalExecutor
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.run.model import Run
from hpc.run.resources import ExecutorName


def create_executor(name: ExecutorName) -> Executor:
    """Return the executor of this name."""
    match name:
        case ExecutorName.SLURM:
            return SlurmExecutor(Slurm())
        case ExecutorName.LOCAL:
            return LocalExecutor()


def executor_of(run: Run) -> Executor:
    """Return the executor that a run was planned for."""
    return create_executor(run.executor)
