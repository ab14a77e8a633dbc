"""Create the executor of a Slurm cluster for `hpc.executors.factory`."""

from collections.abc import Mapping, Sequence

from hpc.executors.base import Executor
from hpc.executors.slurm import environment
from hpc.executors.slurm.client import PATIENCE_S, Slurm
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.executors.slurm.shared_answers import SharedAnswers
from hpc.run.cluster.resources import Cluster
from hpc.run.model.arrays import Submission


def create(cluster: Cluster, *, patience_s: float | None) -> Executor:
    """Return the executor of a section."""
    patience_s = PATIENCE_S if patience_s is None else patience_s
    return SlurmExecutor(Slurm(patience_s, cluster_name=cluster.cluster_name))


def share(submissions: Sequence[Submission], cluster_name: str | None) -> Executor:
    """Return an executor that asks Slurm once about all of these submissions."""
    return SlurmExecutor(SharedAnswers(submissions, cluster_name=cluster_name))


def apply_shell(cluster: Cluster, shell: Mapping[str, str]) -> tuple[Cluster, tuple[str, ...]]:
    """Return the section with what the user's shell decides, and lines that say so.

    Raises:
        InputError: the shell asks for what a run cannot have.
    """
    return environment.apply_shell_defaults(cluster, shell)
