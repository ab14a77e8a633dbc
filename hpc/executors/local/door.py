"""Create the executor of this machine for `hpc.executors.factory`."""

from collections.abc import Mapping, Sequence

from hpc.executors.base import Executor
from hpc.executors.local.executor import LocalExecutor
from hpc.run.cluster.resources import Cluster
from hpc.run.model.arrays import Submission


def create(cluster: Cluster, *, patience_s: float | None) -> Executor:
    """Return the executor of a section, which waits for nobody."""
    return LocalExecutor()


def share(submissions: Sequence[Submission], cluster_name: str | None) -> Executor:
    """Return an executor: each run has records of its own, so there is nothing to share."""
    return LocalExecutor()


def apply_shell(cluster: Cluster, shell: Mapping[str, str]) -> tuple[Cluster, tuple[str, ...]]:
    """Return the section as it is: the shell decides nothing."""
    return cluster, ()
