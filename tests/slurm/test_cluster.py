"""The private cluster is a real Slurm, and leaves nothing behind."""

import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.slurm.private_cluster import watchdog
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.daemons import reserve_ports

pytestmark = pytest.mark.slurm

OWNER = """
import pathlib, sys, time
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
cluster = SlurmCluster(pathlib.Path(sys.argv[1]), nodes=1)
cluster.start()
job = cluster.run("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "sleep 600").strip()
state = lambda: cluster.run("squeue", "-h", "-j", job, "-o", "%T").strip()
wait_for(lambda: state() == "RUNNING", 30, "the job runs")
print(cluster.name, *cluster.pids.values(), flush=True)
time.sleep(600)
"""


def submit(cluster: SlurmCluster, *options: str) -> str:
    """The job id."""
    return cluster.run("sbatch", "--parsable", "-o", "/dev/null", *options).strip()


def accounted(cluster: SlurmCluster, job: str) -> dict[str, str]:
    """The state of each of a job's tasks, as accounting has it by now."""
    table = cluster.run("sacct", "-n", "-P", "-X", "-j", job, "-o", "JobID,State")
    return dict(line.split("|") for line in table.splitlines())


def state(cluster: SlurmCluster, job: str) -> str:
    """The controller's word for one job, which is quicker than accounting's."""
    return cluster.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip()


def life(pid: int) -> str | None:
    """When the process began, None where there is none: numbers are used again, on a busy machine
    within seconds. A zombie is dead: only its parent has not looked yet."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def alive(lives: dict[int, str | None]) -> list[int]:
    """Those of the processes (their beginnings by pid) that have not ended."""
    return [pid for pid, began in lives.items() if began and life(pid) == began]


def can_bind(address: tuple[str, int]) -> bool:
    with socket.socket() as other:
        try:
            other.bind(address)
        except OSError:
            return False
    return True


def job_pids(cluster_name: str) -> list[int]:
    return [
        pid
        for cgroup in watchdog.cgroups(f"{cluster_name}n*")
        for pid in watchdog.processes(cgroup)
    ]


def test_every_task_of_an_array_runs_and_is_accounted_as_completed(cluster: SlurmCluster) -> None:
    job = submit(cluster, "--array=0-11%8", "--wrap", "true")
    expected = {f"{job}_{index}": "COMPLETED" for index in range(12)}
    wait_for(lambda: accounted(cluster, job) == expected, 90, f"job {job} is accounted")


def test_a_task_over_its_memory_ends_as_out_of_memory(cluster: SlurmCluster) -> None:
    greedy = f"exec {sys.executable} -c 'x = bytearray(300 << 20)'"
    job = submit(cluster, "--mem=50", "--wrap", greedy)
    wait_for(lambda: accounted(cluster, job) == {job: "OUT_OF_MEMORY"}, 60, f"job {job} has ended")


def test_sbatch_rejects_a_partition_that_does_not_exist(cluster: SlurmCluster) -> None:
    done = cluster.call("sbatch", "-p", "nowhere", "--wrap", "true")
    assert done.returncode == 1
    assert "sbatch: error: invalid partition specified: nowhere" in done.stderr


def test_sbatch_rejects_an_account_of_which_the_user_is_not_a_member(cluster: SlurmCluster) -> None:
    done = cluster.call("sbatch", "-A", "nobody", "--wrap", "true")
    assert done.returncode == 1
    assert "Invalid account or account/partition combination specified" in done.stderr


def test_a_job_belongs_to_account_kellogg_unless_it_says_otherwise(cluster: SlurmCluster) -> None:
    job = submit(cluster, "--hold", "--wrap", "true")
    account = cluster.run("squeue", "-h", "-j", job, "-o", "%a %P").split()
    cluster.run("scancel", job)
    assert account == ["kellogg", "normal"]


def test_a_small_array_limit_is_shown_and_enforced(
    small_array_cluster: SlurmCluster,
) -> None:
    limits = small_array_cluster.run("scontrol", "show", "config")
    assert re.search(r"^MaxArraySize\s+= 6$", limits, re.MULTILINE)
    done = small_array_cluster.call("sbatch", "--array=0-6", "--wrap", "true")
    assert done.returncode == 1
    assert "Invalid job array specification" in done.stderr
    job = submit(small_array_cluster, "--array=5", "--wrap", "true")
    ended = {f"{job}_5": "COMPLETED"}
    wait_for(lambda: accounted(small_array_cluster, job) == ended, 60, "index 5 has run")


def test_two_clusters_share_neither_node_names_nor_job_ids(
    cluster: SlurmCluster, small_array_cluster: SlurmCluster
) -> None:
    assert not {*cluster.node_names} & {*small_array_cluster.node_names}
    job = submit(cluster, "--wrap", "true")
    assert "Invalid job id" in small_array_cluster.call("squeue", "-j", job).stderr


def test_a_stopped_cluster_leaves_no_process_and_no_cgroup(lone_cluster: SlurmCluster) -> None:
    lone_cluster.start()
    job = submit(lone_cluster, "--wrap", "sleep 600")
    wait_for(lambda: state(lone_cluster, job) == "RUNNING", 30, f"job {job} runs")
    # The controller says RUNNING before the node has started a process of it.
    wait_for(lambda: job_pids(lone_cluster.name), 30, f"job {job} has a process")
    pids = [*lone_cluster.pids.values(), *job_pids(lone_cluster.name)]
    assert len(lone_cluster.pids) == 6
    lives = {pid: life(pid) for pid in pids}
    lone_cluster.stop()
    assert alive(lives) == []
    assert list(watchdog.cgroups(f"{lone_cluster.name}n*")) == []
    lone_cluster.stop()  # again does nothing


@pytest.mark.usefixtures("cluster")  # its programs are there, and it is not to be disturbed
def test_a_cluster_ends_when_its_owner_is_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("slurm")  # a socket's path has 108 characters at most
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        cwd=pathlib.Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    name, *numbers = owner.stdout.readline().split()
    lives = {pid: life(pid) for pid in [*map(int, numbers), *job_pids(name)]}
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    wait_for(lambda: not alive(lives), 30, "all processes have ended")
    assert list(watchdog.cgroups(f"{name}n*")) == []
    assert (folder / "log" / "watchdog.log").read_text() == ""


def test_sacct_fails_without_slurmdbd_and_no_record_is_lost(cluster: SlurmCluster) -> None:
    cluster.stop_slurmdbd()
    job = submit(cluster, "--wrap", "true")
    wait_for(lambda: state(cluster, job) == "COMPLETED", 30, f"job {job} has run")
    assert cluster.call("sacct", "-j", job).returncode == 1
    cluster.start_slurmdbd()
    wait_for(lambda: accounted(cluster, job) == {job: "COMPLETED"}, 60, f"{job} is accounted")


@pytest.mark.usefixtures("cluster")
def test_a_daemon_that_cannot_start_shows_the_end_of_its_log(tmp_path: pathlib.Path) -> None:
    broken = SlurmCluster(tmp_path, nodes=1, extra_conf=["SelectType=select/nonsense"])
    with pytest.raises(RuntimeError, match=r"(?s)slurmctld has ended.*select/nonsense"):
        broken.start()
    assert broken.pids == {}


def test_nobody_but_a_daemon_can_bind_a_reserved_port_before_between_and_after() -> None:
    (reserved,) = reserve_ports(1)
    address = ("", reserved.getsockname()[1])

    with reserved:
        for _ in range(2):
            assert not can_bind(address)
            with socket.create_server(address):  # with SO_REUSEADDR, as Slurm's daemons bind
                assert not can_bind(address)
        assert not can_bind(address)
    assert can_bind(address)
