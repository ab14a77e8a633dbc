"""Which limits of submitted jobs are in force, and how far they are used, from Slurm's output."""

from pathlib import Path

import pytest

from hpc.executors.slurm.answers.controller_settings import parse_config
from hpc.executors.slurm.limits.submit_limits import (
    Association,
    Owner,
    Qos,
    QosUsage,
    QueuedJobs,
    Usage,
    count_jobs,
    find_association,
    is_submit_limit,
    limits_in_force,
    may_be_submit_limit,
    parse_default_qos,
    parse_partition_qos,
    parse_qos,
    parse_usage,
)
from hpc.run.model.arrays import SubmitLimit

RECORDED = Path(__file__).parents[2] / "data" / "assoc_mgr"
KIM = Owner(user="kim", uid=1001, account="lab", partition="normal", qos=None)
NO_LIMITS = Qos(per_user=None, per_account=None, group=None, overrides_partition=False)


@pytest.mark.parametrize("version", ["22.05", "24.11"])
def test_usage_is_read_as_slurm_prints_it(version: str) -> None:
    """Eight jobs in the QOS `normal` and two in `tight`, all in the account `kellogg`."""
    usage = parse_usage((RECORDED / f"{version}.txt").read_text())
    assert usage.qos == {
        "normal": QosUsage(submitted=8, by_account={"kellogg": 8}, by_user={0: 8}),
        "tight": QosUsage(submitted=2, by_account={"kellogg": 2}, by_user={0: 2}),
    }
    owner = Owner(user="root", uid=0, account=None, partition=None, qos=None)
    assert find_association(usage.associations, owner) == Association(
        account="kellogg", user="root", partition="", is_default=True, limit=10, submitted=10
    )
    accounts = {each.account: each for each in usage.associations if not each.user}
    assert accounts["kellogg"].parent == "root"
    assert accounts["root"].submitted == 10


def in_force(usage: Usage, **qos: Qos) -> dict[str, tuple[int, int]]:
    own = find_association(usage.associations, KIM)
    assert own is not None
    limits = limits_in_force(KIM, own, usage, qos)
    return {limit.name: (limit.most, limit.used) for limit in limits}


def association(user: str = "kim", **more: object) -> Association:
    return Association(**{"account": "lab", "user": user, "partition": "", **more})  # type: ignore[arg-type]


def test_accounts_above_limit_all_their_users_together() -> None:
    usage = Usage(
        associations=(
            association(limit=100, submitted=7),
            association(user="", parent="school", group_limit=50, submitted=40),
            association(user="", account="school", group_limit=500, submitted=499),
        )
    )
    assert in_force(usage, normal=NO_LIMITS) == {
        "MaxSubmitJobs of user kim in account lab": (100, 7),
        "GrpSubmitJobs of account lab": (50, 40),
        "GrpSubmitJobs of account school": (500, 499),
    }


def test_a_limit_of_a_qos_replaces_that_of_the_association() -> None:
    usage = Usage(
        associations=(
            association(limit=100, submitted=7),
            association(user="", group_limit=50, submitted=40),
        ),
        qos={"wide": QosUsage(submitted=30, by_account={"lab": 20}, by_user={1001: 3})},
    )
    wide = Qos(per_user=200, per_account=None, group=300, overrides_partition=False)
    assert in_force(usage, wide=wide) == {
        "GrpSubmitJobs of QOS wide": (300, 30),
        "MaxSubmitJobsPerUser of QOS wide": (200, 3),
    }


def test_the_first_qos_that_has_a_limit_counts() -> None:
    """The QOS of the partition, then that of the job, limit by limit."""
    usage = Usage(associations=(association(),))
    partition = Qos(per_user=5, per_account=None, group=None, overrides_partition=False)
    job = Qos(per_user=9, per_account=20, group=None, overrides_partition=False)
    assert in_force(usage, partition=partition, job=job) == {
        "MaxSubmitJobsPerUser of QOS partition": (5, 0),
        "MaxSubmitJobsPerAccount of QOS job": (20, 0),
    }


def test_an_association_of_the_partition_comes_before_one_of_all_partitions() -> None:
    narrow = association(partition="normal", limit=3)
    assert find_association((association(limit=9), narrow), KIM) == narrow
    assert find_association((association(user="lee"),), KIM) is None


@pytest.mark.parametrize(
    ("rows", "qos"),
    [
        ("|gold|normal,gold\n", "gold"),
        ("||silver\n", "silver"),
        ("||normal,silver\n", "normal"),
        ("other|gold|gold\n", "normal"),
        ("", "normal"),
    ],
)
def test_a_job_without_a_qos_gets_the_one_that_slurmctld_chooses(rows: str, qos: str) -> None:
    assert parse_default_qos(rows, "") == qos


def test_qos_and_partitions_are_read_as_slurm_prints_them() -> None:
    assert parse_qos("normal||||\nflex|5|60|70|DenyOnLimit,OverPartQOS\n") == {
        "normal": NO_LIMITS,
        "flex": Qos(per_user=5, per_account=60, group=70, overrides_partition=True),
    }
    lines = "PartitionName=a Default=NO QoS=part\nPartitionName=b Default=YES QoS=N/A\n"
    assert (parse_partition_qos(lines, "a"), parse_partition_qos(lines, None)) == ("part", "")
    assert parse_partition_qos(lines, "a,b") == ""
    assert parse_config("MaxJobCount             = 40\nrest\n") == {"MaxJobCount": "40"}


def test_array_tasks_count_one_by_one() -> None:
    printed = "12_[0-3,7%2]|1001|PENDING\n12_4|1001|RUNNING\n12_5|1001|COMPLETED\n13|7|RUNNING\n?"
    assert count_jobs(printed, 1001) == QueuedJobs(all=8, own=6)


@pytest.mark.parametrize(
    "name",
    [
        "AssocMaxSubmitJobLimit",
        "AssocGrpSubmitJobsLimit",
        "QOSMaxSubmitJobPerUserLimit",
        "QOSGrpSubmitJobsLimit",
        "MaxSubmitJobsPerAccount",
    ],
)
def test_every_name_of_a_submit_limit_is_known(name: str) -> None:
    policy = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit)"
    assert is_submit_limit(f"sbatch: error: {name}\nsbatch: error: {policy}")
    assert not is_submit_limit(policy)
    assert may_be_submit_limit(policy)


@pytest.mark.parametrize("name", ["QOSMaxCpuPerJobLimit", "AssocMaxWallDurationPerJobLimit"])
def test_a_limit_that_waiting_does_not_change_is_no_submit_limit(name: str) -> None:
    words = f"sbatch: error: {name}\nsbatch: error: Job violates accounting/QOS policy"
    assert not is_submit_limit(words)
    assert not may_be_submit_limit(words)
    assert not may_be_submit_limit("Invalid account or account/partition combination specified")


@pytest.mark.parametrize(
    "words",
    [
        "Slurm temporarily unable to accept job, sleeping and retrying",
        "Slurm job queue full, sleeping and retrying",
        "Job creation temporarily disabled, retrying",
    ],
)
def test_a_full_controller_is_a_submit_limit(words: str) -> None:
    assert is_submit_limit(f"sbatch: error: {words}")


def test_room_is_never_negative() -> None:
    assert SubmitLimit(name="lowered meanwhile", most=3, used=9).room == 0
