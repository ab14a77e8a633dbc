"""Choose the executor that a configuration names.

Each executor has a door, a module with the same functions. The door is imported when its executor
is chosen: Slurm's takes 30 ms, and a run of this machine does not need it.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from hpc.executors.base import Executor
from hpc.run.cluster.resources import Cluster, ExecutorName
from hpc.run.model.arrays import Submission
from hpc.run.model.run import Run

_DOORS: Mapping[ExecutorName, str] = {
    ExecutorName.SLURM: "hpc.executors.slurm.door",
    ExecutorName.LOCAL: "hpc.executors.local.door",
}


class _Door(Protocol):
    """What each door has."""

    def create(self, cluster: Cluster, *, patience_s: float | None) -> Executor:
        """Return the executor of a section; None for as long as Slurm may take."""

    def share(self, submissions: Sequence[Submission], cluster_name: str | None) -> Executor:
        """Return an executor that asks once about all of these submissions."""

    def apply_shell(
        self, cluster: Cluster, shell: Mapping[str, str]
    ) -> tuple[Cluster, tuple[str, ...]]:
        """Return the section with what the user's shell decides, and lines that say so."""


def _door(kind: ExecutorName) -> _Door:
    return cast(_Door, importlib.import_module(_DOORS[kind]))


def create_executor(cluster: Cluster, *, patience_s: float | None = None) -> Executor:
    """Return the executor that the section names.

    Args:
        cluster: the section.
        patience_s: how long to wait for each answer of Slurm's commands, in seconds; None for as
            long as Slurm may take.
    """
    return _door(cluster.executor).create(cluster, patience_s=patience_s)


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
        shared = _door(kind).share(every, cluster_name)
        executors |= {run.run_id: shared for run, _ in members}
    return executors


def apply_shell(cluster: Cluster, shell: Mapping[str, str]) -> tuple[Cluster, tuple[str, ...]]:
    """Return the section with what the user's shell decides, and lines that say so.

    Raises:
        InputError: the shell asks for what a run cannot have.
    """
    return _door(cluster.executor).apply_shell(cluster, shell)
