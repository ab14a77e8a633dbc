"""List every reason that Slurm gives for a pending job, and what follows from each. Pure.

The names are those of job_state_reason.c in Slurm 22.05 to 25.11. tests/hpc/executors and
tests/slurm compare the table with the names that the installed Slurm knows.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum


class Outlook(StrEnum):
    """What will become of a pending job."""

    STARTS = "starts"  # by itself: its turn comes, or other jobs have to end first
    BUDGET = "budget"  # by itself, once the account's budget of CPU time is renewed or raised
    SITE = "site"  # once a partition, a node, a reservation or a license is available
    HELD = "held"  # once a person releases it
    NEVER = "never"  # never, as it was submitted
    ENDED = "ended"  # not a reason to wait: why a job ended


_RESOURCES = [
    "Cpu",
    "Memory",
    "Mem",
    "Node",
    "Energy",
    "GRES",
    "License",
    "BB",
    "Billing",
    "Unknown",
]

_STARTS = """
    None Prolog Priority Dependency Resources BeginTime SchedDefer Cleaning JobArrayTaskLimit
    BurstBufferResources BurstBufferStageIn FedJobLock MpiPortsBusy NvidiaImexChannels
    MaxPoweredUpNodes QOSJobLimit QOSResourceLimit AssociationJobLimit AssociationResourceLimit
    AccountingPolicy QOSUsageThreshold
    QOSGrpCpuLimit QOSGrpJobsLimit QOSGrpMemLimit QOSGrpNodeLimit QOSGrpSubmitJobsLimit
    QOSMaxCpuPerUserLimit QOSMaxJobsPerUserLimit QOSMaxNodePerUserLimit QOSMaxSubmitJobPerUserLimit
    AssocGrpCpuLimit AssocGrpJobsLimit AssocGrpMemLimit AssocGrpNodeLimit AssocGrpSubmitJobsLimit
    AssocMaxJobsLimit AssocMaxSubmitJobLimit MaxJobsPerAccount MaxSubmitJobsPerAccount
"""
_BUDGET = """
    QOSGrpCPUMinutesLimit QOSGrpCPURunMinutesLimit QOSGrpWallLimit
    AssocGrpCPUMinutesLimit AssocGrpCPURunMinutesLimit AssocGrpWallLimit
"""
_SITE = """
    PartitionDown PartitionInactive NodeDown ReqNodeNotAvail Reservation Licenses Constraints
    FrontEndDown BlockMaxError BlockFreeAction PowerNotAvail PowerReserved
"""
_HELD = """
    JobHeldAdmin JobHeldUser JobHoldMaxRequeue SystemFailure JobLaunchFailure BurstBufferOperation
"""
_NEVER = """
    PartitionNodeLimit PartitionTimeLimit PartitionConfig BadConstraints DependencyNeverSatisfied
    InvalidAccount AccountNotAllowed InvalidQOS QOSNotAllowed ReservationDeleted ReservationInvalid
    MaxMemPerLimit DeadLine AssociationTimeLimit QOSTimeLimit QOSMinCpuNotSatisfied
    QOSMaxCpuPerJobLimit QOSMaxCpuMinutesPerJobLimit QOSMaxNodePerJobLimit
    QOSMaxWallDurationPerJobLimit AssocMaxCpuPerJobLimit AssocMaxCpuMinutesPerJobLimit
    AssocMaxNodePerJobLimit AssocMaxWallDurationPerJobLimit
"""
_ENDED = "NonZeroExitCode RaisedSignal TimeLimit InactiveLimit OutOfMemory InvalidReason"


def _limits_by_resource() -> Iterator[tuple[str, Outlook]]:
    """Yield the reasons that Slurm spells for every resource: QOSMaxMemoryPerJob and its kin."""
    for resource in _RESOURCES:
        for owner in ("QOS", "Assoc"):
            yield f"{owner}Grp{resource}", Outlook.STARTS
            yield f"{owner}Grp{resource}Minutes", Outlook.BUDGET
            yield f"{owner}Grp{resource}RunMinutes", Outlook.BUDGET
            yield f"{owner}Max{resource}PerJob", Outlook.NEVER
            yield f"{owner}Max{resource}PerNode", Outlook.NEVER
            yield f"{owner}Max{resource}MinutesPerJob", Outlook.NEVER
        yield f"QOSMax{resource}PerUser", Outlook.STARTS
        yield f"QOSMin{resource}", Outlook.NEVER
        yield f"Max{resource}PerAccount", Outlook.STARTS
        yield f"Max{resource}RunMinsPerAccount", Outlook.STARTS
        yield f"Max{resource}RunMinsPerUser", Outlook.STARTS


OUTLOOK: dict[str, Outlook] = {
    **dict(_limits_by_resource()),
    **dict.fromkeys(_STARTS.split(), Outlook.STARTS),
    **dict.fromkeys(_BUDGET.split(), Outlook.BUDGET),
    **dict.fromkeys(_SITE.split(), Outlook.SITE),
    **dict.fromkeys(_HELD.split(), Outlook.HELD),
    **dict.fromkeys(_NEVER.split(), Outlook.NEVER),
    **dict.fromkeys(_ENDED.split(), Outlook.ENDED),
}

# slurmctld also writes whole sentences (state_desc), with blanks or underscores.
_HELD_SENTENCES = ("requeued held", "requeued in held state")

_ADVICE = (
    # The first pattern that matches the reason. A site's own limits differ, so no figures here.
    (r"PartitionTimeLimit|WallDuration|TimeLimit$", "the partition or QOS allows less time: set "
     "cluster.time_min to at most its limit (sinfo -o '%P %l')"),
    (r"MinutesPerJob", "time × size of one task exceeds the account's limit: lower "
     "cluster.time_min, or ask for fewer CPUs or GPUs per task"),
    (r"Mem", "the account, QOS or partition allows less memory per task: lower cluster.mem_gb"),
    (r"Cpu", "the account or QOS allows fewer or demands more CPUs per task: change cluster.cpus"),
    (r"GRES", "the account or QOS allows fewer GPUs per task: change cluster.gres"),
    (r"Node", "the partition, account or QOS allows a different number of nodes"),
    (r"Constraints", "no node of the partition has what cluster.constraint, cluster.gres, "
     "cluster.cpus or cluster.mem_gb ask for"),
    (r"Account", "set cluster.account to an account that you may charge (sacctmgr show assoc "
     "user=$USER)"),
    (r"QOS", "set cluster.qos to a QOS that your account may use"),
    (r"Reservation", "the reservation is gone: remove it from cluster.extra"),
    (r"Partition", "set cluster.partition to a partition that takes such jobs (sinfo)"),
    (r"DependencyNeverSatisfied", "the job that it waits for has failed: run hpc cancel, then hpc "
     "resubmit --force, which no longer waits for it"),
)  # fmt: skip

# What the run itself asked for. Such tasks start without anybody's help.
_OWN_ADVICE = (
    (r"^JobArrayTaskLimit", "the run's own limit (cluster.max_parallel)"),
    (r"^BeginTime", "it was submitted for later, as after a used-up quota"),
    (r"^Dependency$", "it starts once other jobs have ended"),
)

_SITE_ADVICE = (
    (r"^Partition", "the partition starts no jobs now: they start when it is up again (sinfo)"),
    (r"Node", "nodes that it needs are down, drained or reserved (sinfo -R, scontrol show "
     "reservation)"),
    (r"^Reservation", "its reservation has not begun or is full (scontrol show reservation)"),
    (r"^Licenses", "it starts when enough of its licenses are free (scontrol show license)"),
    (r"^Constraints", "no node that is available has what it asks for (sinfo -o '%n %f %T')"),
)  # fmt: skip


def outlook(reason: str) -> Outlook:
    """Return what will become of a job that waits for `reason`, as squeue prints it.

    A reason that the table does not know counts as one that passes: nothing is canceled or
    submitted again on a guess.
    """
    words = reason.replace("_", " ")
    if any(sentence in words for sentence in _HELD_SENTENCES):
        return Outlook.HELD
    # "ReqNodeNotAvail, UnavailableNodes:n3" and "(Resources)"
    name = re.match(r"\(?(\w*)", reason.strip())
    return OUTLOOK.get(name[1] if name else "", Outlook.STARTS)


def advice(reason: str) -> str:
    """Return what a person can do about `reason`, or what the run itself has asked for.

    Empty where others decide, and there is nothing to do but wait.
    """
    match outlook(reason):
        case Outlook.NEVER:
            return _look_up(reason, _ADVICE) or "as it was submitted, it can never start"
        case Outlook.HELD:
            return "scontrol release lets it start"
        case Outlook.BUDGET:
            return "the budget of the account is used up: it starts when the budget is renewed"
        case Outlook.SITE:
            what = "the site has taken something that it needs out of service"
            return _look_up(reason, _SITE_ADVICE) or what
        case Outlook.STARTS:
            return _look_up(reason, _OWN_ADVICE)
        case Outlook.ENDED:
            return ""


def _look_up(reason: str, table: Iterable[tuple[str, str]]) -> str:
    """Return the text of the first pattern that matches a reason; '' if none does."""
    return next((text for pattern, text in table if re.search(pattern, reason)), "")
