"""What a partition can never give is known before anything is submitted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.executors.base import ExecutorError, ResourceCheck
from hpc.executors.local.executor import LocalExecutor
from hpc.executors.slurm.limits.partitions import check_resources, parse_partitions
from hpc.reconcile.checks.check_resources import check_resources as check_cluster
from hpc.run.cluster.resources import Cluster, ExecutorName, Resources
from hpc.run.cluster.slurm_time import format_slurm_time, parse_slurm_time
from pipeline.errors import InputError

SINFO = """\
normal*|2-00:00:00|4096|n1|8
normal*|2-00:00:00|4096|n2|8
normal*|2-00:00:00|16384|n3|16
short|4:00:00|8192|n1|8
short|4:00:00|4096|n2|8
forever|infinite|2048|n1|4
"""
PARTITIONS = parse_partitions(SINFO)


def wrong(**request: object) -> set[str]:
    resources = Resources(**{"time_min": 60, **request})  # type: ignore[arg-type]
    return set(check_resources(resources, PARTITIONS).problems)


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        ({"time_min": 2880}, set()),
        ({"time_min": 2881}, {"time"}),
        ({"time_min": 241, "partition": "short"}, {"time"}),
        # Slurm starts the job where it fits.
        ({"time_min": 241, "partition": "short,normal"}, set()),
        ({"time_min": 2881, "partition": "short,normal"}, {"time"}),
        ({"time_min": 10**6, "partition": "short,forever"}, set()),
        ({"mem_gb": 16.0}, set()),
        ({"mem_gb": 16.1}, {"mem_gb"}),
        ({"mem_gb": 8.1, "partition": "short"}, {"mem_gb"}),
        ({"mem_gb": 8.0, "partition": "short"}, set()),
        ({"mem_gb": 8.0, "partition": "short", "exclude": "n1"}, {"mem_gb"}),
        ({"mem_per_cpu": 2.0, "cpus": 9}, {"mem_per_cpu"}),
        ({"cpus": 17}, {"cpus"}),
        ({"cpus": 16, "mem_gb": 1.0}, set()),
        ({"cpus": 9, "mem_gb": 99.0, "time_min": 999, "partition": "short"},
         {"cpus", "mem_gb", "time"}),
    ],
)  # fmt: skip
def test_a_request_is_compared_with_the_most_generous_of_its_partitions(
    request_: dict[str, object], keys: set[str]
) -> None:
    assert wrong(**request_) == keys


def test_a_problem_names_the_limit_and_the_partition() -> None:
    resources = Resources(time_min=14_400, partition="short")
    assert check_resources(resources, PARTITIONS).problems == {
        "time": "10-00:00:00 is more than partition short allows (4:00:00)"
    }


@pytest.mark.parametrize("partition", ["nromal", "nromal,other"])
def test_a_partition_that_sinfo_does_not_show_is_left_to_slurm(partition: str) -> None:
    """A site's plugin may know names that sinfo does not."""
    check = check_resources(Resources(partition=partition, time_min=10**6), PARTITIONS)
    assert check.problems == {}
    assert "normal" in check.note


def test_without_a_default_partition_and_on_this_machine_nothing_is_compared() -> None:
    request = Resources(time_min=10**6, mem_gb=10.0**6, cpus=10**6)
    assert check_resources(request, parse_partitions("")) == ResourceCheck()
    assert LocalExecutor().check_resources(request) == ResourceCheck()


class _Cluster(LocalExecutor):
    """A cluster that answers, or does not."""

    def __init__(self, answers: bool) -> None:
        self._answers = answers

    def check_resources(self, resources: Resources) -> ResourceCheck:
        if not self._answers:
            raise ExecutorError("there is no sinfo here", "no sinfo")
        return check_resources(resources, PARTITIONS)


CLUSTER = Cluster(
    executor=ExecutorName.SLURM, max_parallel=1, grace_seconds=1.0, poll_seconds=1.0,
    resources=Resources(time_min=2881), caretaker=Resources(mem_gb=99.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("caretaker", "keys"),
    [(False, {"cluster.time"}), (True, {"cluster.time", "cluster.caretaker.mem_gb"})],
)
def test_a_caretaker_is_checked_where_one_is_wanted(caretaker: bool, keys: set[str]) -> None:
    with pytest.raises(InputError) as raised:
        check_cluster(_Cluster(True), CLUSTER, source="a.yaml", caretaker=caretaker, say=print)
    assert {key for key in ("cluster.time", "cluster.caretaker.mem_gb")
            if key in str(raised.value)} == keys  # fmt: skip
    assert "a.yaml" in str(raised.value)


def test_where_slurm_does_not_answer_nothing_is_rejected() -> None:
    said: list[str] = []
    check_cluster(_Cluster(False), CLUSTER, source="a.yaml", caretaker=False, say=said.append)
    assert ["no sinfo" in line for line in said] == [True]


@given(st.integers(1, 10**6))
def test_a_time_is_shown_as_slurm_reads_it(minutes: int) -> None:
    assert parse_slurm_time(format_slurm_time(minutes)) == minutes
