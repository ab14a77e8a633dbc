"""Decide what partitions can give, and which part of a request none of them can. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from hpc.executors.base import ResourceCheck
from hpc.run.cluster.resources import Resources
from hpc.run.cluster.slurm_time import format_slurm_time, parse_slurm_time
from hpc.run.model.arrays import Limits
from pipeline.text import did_you_mean

SINFO_FORMAT = "%P|%l|%m|%N|%c"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """What one node has."""

    memory_mb: float
    cpus: int
    """0 if it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A partition as sinfo shows it."""

    name: str
    is_default: bool
    time_min: int | None
    """The longest time limit of a job in minutes; None for no limit."""
    nodes: dict[str, Node] = field(default_factory=dict)


def parse_partitions(printed: str) -> dict[str, Partition]:
    """Return the partitions by name, from `sinfo -N -h -a -o SINFO_FORMAT`."""
    partitions: dict[str, Partition] = {}
    for line in printed.splitlines():
        name, limit, megabytes, node, cpus = (line.split("|") + [""] * 5)[:5]
        bare = name.rstrip("*")
        partition = partitions.setdefault(
            bare,
            Partition(name=bare, is_default=name.endswith("*"), time_min=_minutes(limit)),
        )
        partition.nodes[node] = Node(
            memory_mb=float(megabytes.rstrip("+") or 0), cpus=int(cpus.rstrip("+") or 0)
        )
    return partitions


def limits_of(partitions: Mapping[str, Partition], wanted: str | None) -> Limits:
    """Return how far tasks may grow.

    Args:
        partitions: all partitions by name.
        wanted: a name, or a comma list, for limits that hold in each of its partitions; None for
            the default partition.
    """
    chosen = _chosen(partitions, wanted)
    if not chosen:
        return Limits()
    largest = [max(node.memory_mb for node in partition.nodes.values()) for partition in chosen]
    minutes = [partition.time_min for partition in chosen if partition.time_min is not None]
    return Limits(
        mem_gb=min(largest) / 1024 or None,
        time_min=min(minutes, default=None),
        nodes=frozenset(node for partition in chosen for node in partition.nodes),
    )


def check_resources(resources: Resources, partitions: Mapping[str, Partition]) -> ResourceCheck:
    """Compare a request with what its partitions can give.

    Of several partitions the most generous one counts, because Slurm starts a job where it fits.
    """
    chosen = _chosen(partitions, resources.partition)
    if not chosen:
        return ResourceCheck(note=_describe_unknown(partitions, resources.partition))
    excluded = set((resources.exclude or "").split(","))
    nodes = [
        node
        for partition in chosen
        for name, node in partition.nodes.items()
        if name not in excluded
    ]
    where = f"partition {','.join(partition.name for partition in chosen)}"
    problems = {}
    longest = max(inf if partition.time_min is None else partition.time_min for partition in chosen)
    if resources.time_min > longest:
        problems["time"] = (
            f"{format_slurm_time(resources.time_min)} is more than {where} allows "
            f"({format_slurm_time(int(longest))})"
        )
    memory_gb = max((node.memory_mb for node in nodes), default=0.0) / 1024
    if memory_gb and (resources.task_mem_gb or 0.0) > memory_gb:
        key = "mem_gb" if resources.mem_per_cpu is None else "mem_per_cpu"
        problems[key] = (
            f"{resources.task_mem_gb:.4g} GiB for a task is more than any node of {where} has "
            f"({memory_gb:.4g} GiB)"
        )
    cpus = max((node.cpus for node in nodes), default=0)
    if cpus and resources.cpus > cpus:
        problems["cpus"] = (
            f"{resources.cpus:,} CPUs is more than any node of {where} has ({cpus:,})"
        )
    return ResourceCheck(problems=problems)


def _chosen(partitions: Mapping[str, Partition], wanted: str | None) -> list[Partition]:
    names = set(wanted.split(",")) if wanted else set()
    return [
        partition
        for name, partition in partitions.items()
        if name in names or (not names and partition.is_default)
    ]


def _describe_unknown(partitions: Mapping[str, Partition], wanted: str | None) -> str:
    """Return that there is no such partition; '' where the cluster has no default one."""
    if wanted is None or not partitions:
        return ""
    return (
        f"sinfo shows no partition {wanted}{did_you_mean(wanted, list(partitions))}; it shows "
        f"{', '.join(sorted(partitions))}"
    )


def _minutes(limit: str) -> int | None:
    """Return a partition's time limit in minutes; None for `infinite`."""
    try:
        return parse_slurm_time(limit)
    except ValueError:
        return None
