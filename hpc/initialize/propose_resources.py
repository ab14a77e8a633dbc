"""Propose account, partition, time, memory and GPUs for a classifier, and why. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpc.executors.slurm.survey.facts import ClusterSurvey, PartitionFacts
from hpc.run.cluster.slurm_time import format_slurm_time
from pipeline.text import counted

_SERVICE = "a task waits for a service most of the time"


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What one task of a classifier needs."""

    gpu: bool
    time_min: int
    cpus: int
    mem_gb: float
    mem_without_gpu_gb: float = 0.0
    """Where it computes on CPUs, because the cluster has no GPU; 0 for the same."""
    why: str


NEEDS: Mapping[str, Needs] = {
    "perspective": Needs(gpu=False, time_min=720, cpus=1, mem_gb=3, why=_SERVICE),
    "moderation": Needs(gpu=False, time_min=720, cpus=1, mem_gb=3, why=_SERVICE),
    "llm": Needs(gpu=False, time_min=720, cpus=1, mem_gb=3, why=_SERVICE),
    "guard": Needs(gpu=False, time_min=720, cpus=1, mem_gb=3, why=_SERVICE),
    "valence": Needs(
        gpu=False, time_min=60, cpus=1, mem_gb=2, why="a task labels thousands of posts per second"
    ),
    "transformers": Needs(
        gpu=True,
        time_min=240,
        cpus=4,
        mem_gb=32,
        mem_without_gpu_gb=16,
        why="a task loads a model of its own",
    ),
}
# Of a classifier that another package adds.
OTHER_NEEDS = Needs(
    gpu=False, time_min=240, cpus=1, mem_gb=4, why="this classifier is not one of the program's own"
)
_MEGABYTES = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A value that is proposed, and why."""

    value: str
    why: str


def propose_account(survey: ClusterSurvey, shell_account: str | None) -> Choice | None:
    """Return the account to charge; '' to leave it to Slurm; None if only a person can choose."""
    accounts = survey.accounts()
    if shell_account and (not accounts or shell_account.lower() in accounts):
        return _of_shell(shell_account, "SBATCH_ACCOUNT")
    if survey.default_account in accounts:
        return Choice(value=survey.default_account, why="it is your default account")
    if len(accounts) == 1:
        return Choice(value=accounts[0], why="it is your only account")
    if accounts:
        return None
    if survey.accounting_problem:
        return Choice(value="", why="sacctmgr does not answer, so Slurm uses its default")
    if survey.needs_account:
        return Choice(value="", why="you have no account on this cluster; ask its administrators")
    return Choice(value="", why="this cluster asks for no account")


def _of_shell(value: str, variable: str) -> Choice:
    return Choice(value=value, why=f"your shell names it in {variable}")


def describe_unknown(what: str, value: str | None, variable: str, known: Sequence[str]) -> str:
    """Return that a variable of the shell names what this cluster does not have; '' if it does.

    Args:
        what: what it names, such as "none of your accounts".
        value: the value of the variable; None where it is not set.
        variable: its name.
        known: what there is; empty if that is not known.
    """
    if not value or not known or value.lower() in [each.lower() for each in known]:
        return ""
    return f"{variable} of your shell names {value}, which is {what} on this cluster"


def usable_partitions(survey: ClusterSurvey, account: str | None) -> tuple[PartitionFacts, ...]:
    """Return the partitions that are up, have nodes, and admit an account."""
    named = survey.partitions_of(account)
    return tuple(
        each
        for each in survey.partitions
        if each.is_up
        and not each.is_hidden
        and each.nodes
        and each.admits(account)
        and (named is None or each.name in named)
    )


def propose_partition(
    partitions: Sequence[PartitionFacts], needs: Needs, shell_partition: str | None
) -> Choice | None:
    """Return the partition that fits a classifier; None if there is none to choose from.

    Args:
        partitions: those that can be used.
        needs: what a task needs.
        shell_partition: what the shell names, if the cluster has it.
    """
    if shell_partition:
        return _of_shell(shell_partition, "SBATCH_PARTITION")
    if not partitions:
        return None
    best = max(partitions, key=lambda each: _fitness(each, needs))
    reasons = ["it is Slurm's default"] if best.is_default else []
    if needs.gpu:
        reasons.append(f"it {_describe_gpus(best)}" if best.gpus else "no partition here has GPUs")
    elif not best.is_default and not best.gpus and any(each.gpus for each in partitions):
        reasons.append("a task needs no GPU")
    return Choice(value=best.name, why="; ".join([*reasons, describe_partition(best)]))


def _fitness(partition: PartitionFacts, needs: Needs) -> tuple[bool, bool, bool, bool, int]:
    """Return what makes a partition fit, the most important first."""
    has_gpu_if_needed = bool(partition.gpus) == needs.gpu
    memory_gb = needs.mem_gb if partition.gpus or not needs.gpu else needs.mem_without_gpu_gb
    has_memory = not partition.memory_mb or partition.memory_mb >= memory_gb * _MEGABYTES
    has_time = partition.time_min is None or partition.time_min >= needs.time_min
    return has_gpu_if_needed, has_memory, has_time, partition.is_default, partition.nodes


def propose_time(partition: PartitionFacts | None, needs: Needs) -> Choice:
    """Return the time limit of a task in Slurm's notation."""
    limit = partition.time_min if partition else None
    if limit is not None and limit < needs.time_min:
        return Choice(value=format_slurm_time(limit), why="the partition allows no longer time")
    return Choice(value=format_slurm_time(needs.time_min), why=needs.why)


def propose_memory(partition: PartitionFacts | None, needs: Needs) -> Choice:
    """Return the memory of a task in GiB."""
    has_gpu = bool(partition and partition.gpus)
    wanted = needs.mem_gb if has_gpu or not needs.mem_without_gpu_gb else needs.mem_without_gpu_gb
    largest = partition.memory_mb / _MEGABYTES if partition else 0.0
    if largest and largest < wanted:
        # Slurm keeps some of a node for itself at many sites, so not all of it.
        return Choice(
            value=f"{max(largest * 0.9, 0.1):.2g}", why="it is nearly all of a node's memory"
        )
    return Choice(value=f"{wanted:g}", why=needs.why)


def propose_cpus(partition: PartitionFacts | None, needs: Needs) -> int:
    """Return the CPUs of a task."""
    return min(needs.cpus, partition.cpus) if partition and partition.cpus else needs.cpus


def propose_gres(partition: PartitionFacts | None, needs: Needs) -> Choice:
    """Return the generic resources of a task; '' for none."""
    if not needs.gpu:
        return Choice(value="", why="a task needs no GPU")
    if partition is None or not partition.gpus:
        return Choice(value="", why="this partition has no GPU, so the model computes on CPUs")
    kinds = ", ".join(partition.gpus)
    if len(partition.gpus) == 1:
        return Choice(value=f"{partition.gpus[0]}:1", why="each task gets a GPU")
    return Choice(value="gpu:1", why=f"each task gets a GPU of any kind; the partition has {kinds}")


def propose_qos(
    survey: ClusterSurvey, account: str | None, partition: PartitionFacts | None
) -> Choice | None:
    """Return the QOS; '' to leave it to Slurm; None if only a person can choose."""
    own = survey.qos_of(account, partition.name if partition else None)
    allowed = qos_choices(survey, account, partition)
    if own is None or not own.qos:
        return Choice(value="", why="Slurm's default")
    usual = own.default_qos or ("normal" if "normal" in own.qos else "")
    if usual and (not allowed or usual in allowed):
        return Choice(value="", why=f"Slurm's default for you is {usual}")
    if len(allowed) == 1:
        return Choice(value=allowed[0], why="it is the only one that you may use there")
    return None if allowed else Choice(value="", why="Slurm's default")


def qos_choices(
    survey: ClusterSurvey, account: str | None, partition: PartitionFacts | None
) -> tuple[str, ...]:
    """Return the QOS that the user may use in a partition, in Slurm's order."""
    own = survey.qos_of(account, partition.name if partition else None)
    mine = own.qos if own else ()
    admitted = partition.qos if partition else None
    return tuple(qos for qos in mine if admitted is None or qos.lower() in admitted)


def describe_partition(partition: PartitionFacts) -> str:
    """Return a partition's nodes and time limit in words."""
    size = [f"{partition.cpus} CPUs"] if partition.cpus else []
    if partition.memory_mb:
        size.append(f"{partition.memory_mb / _MEGABYTES:.3g} GiB")
    of = f" of up to {' and '.join(size)}" if size else ""
    limit = (
        "no time limit"
        if partition.time_min is None
        else f"at most {format_slurm_time(partition.time_min)}"
    )
    return f"{counted(partition.nodes, 'node')}{of}, {limit}"


def _describe_gpus(partition: PartitionFacts) -> str:
    return f"has {', '.join(partition.gpus)}"
