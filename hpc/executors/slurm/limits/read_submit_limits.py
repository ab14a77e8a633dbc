"""Ask Slurm how many jobs a user may submit, and how many are submitted now."""

import os
from collections.abc import Callable

from hpc.executors.slurm.answers.controller_settings import parse_config
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.executors.slurm.limits import submit_limits
from hpc.executors.slurm.limits.submit_limits import Association, Owner, Qos
from hpc.run.cluster.resources import Cluster
from hpc.run.model.arrays import SubmitLimit
from pipeline.system.ownership import user_name

_QOS_FORMAT = "format=Name,MaxSubmitPU,MaxSubmitPA,GrpSubmit,Flags"
_DEFAULT_QOS_FORMAT = "format=Partition,DefaultQOS,QOS"


def read_submit_limits(slurm: Slurm, cluster: Cluster) -> tuple[SubmitLimit, ...]:
    """Return the limits that the next sbatch of a run has to keep.

    What Slurm does not show is left out: a site may keep it from its users, or have no accounting.
    sbatch then refuses what is too much.
    """
    config = parse_config(_ask(lambda: slurm.show("config")))
    limits = _count_limits(slurm, cluster, int(config.get("MaxJobCount", "0")))
    if {"limits", "safe"} & set(config.get("AccountingStorageEnforce", "").split(",")):
        limits += _accounting_limits(slurm, cluster, config.get("ClusterName", ""))
    return tuple(limits)


def _count_limits(slurm: Slurm, cluster: Cluster, most_jobs: int) -> list[SubmitLimit]:
    """Return the limits that the queue is counted for: the configuration's and MaxJobCount."""
    most_own = cluster.max_submitted
    if most_own is None and not most_jobs:
        return []
    queued = submit_limits.count_jobs(_ask(slurm.every_job), os.getuid())
    limits = []
    if most_own is not None:
        limits.append(SubmitLimit(name="cluster.max_submitted", most=most_own, used=queued.own))
    if most_jobs:
        # slurmctld accepts a job only as long as the count stays below the limit.
        limits.append(SubmitLimit(name="MaxJobCount", most=most_jobs - 1, used=queued.all))
    return limits


def _accounting_limits(slurm: Slurm, cluster: Cluster, name: str) -> list[SubmitLimit]:
    resources = cluster.resources
    owner = Owner(
        user=user_name(os.getuid()),
        uid=os.getuid(),
        account=resources.account,
        partition=resources.partition,
        qos=resources.qos,
    )
    shown = _ask(lambda: slurm.show("assoc_mgr", f"users={owner.user}", "flags=assoc,qos"))
    usage = submit_limits.parse_usage(shown)
    own = submit_limits.find_association(usage.associations, owner)
    if own is None:
        return []
    qos = _qos_in_order(slurm, owner, own, name)
    return list(submit_limits.limits_in_force(owner, own, usage, qos))


def _qos_in_order(slurm: Slurm, owner: Owner, own: Association, cluster: str) -> dict[str, Qos]:
    """Return the QOS of the partition and of the job, in the order in which their limits count."""
    known = submit_limits.parse_qos(_ask(lambda: slurm.accounts("qos", _QOS_FORMAT)))
    partitions = _ask(lambda: slurm.show("partition", "--oneliner"))
    of_partition = submit_limits.parse_partition_qos(partitions, owner.partition)
    of_job = owner.qos
    if of_job is None:
        choice = (f"user={owner.user}", f"account={own.account}", f"cluster={cluster}")
        rows = _ask(lambda: slurm.accounts("assoc", *choice, _DEFAULT_QOS_FORMAT))
        of_job = submit_limits.parse_default_qos(rows, own.partition)
    names = [of_partition, of_job]
    if of_job in known and known[of_job].overrides_partition:
        names.reverse()
    return {name: known[name] for name in names if name in known}


def _ask(command: Callable[[], str]) -> str:
    """Return what a command of Slurm printed; '' if it failed."""
    try:
        return command()
    except SlurmError:
        return ""
