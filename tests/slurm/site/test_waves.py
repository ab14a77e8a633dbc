"""A run with more shards than may be submitted at a time goes out in waves, by itself."""

import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import ACCOUNT, SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

SHARDS = 25


@pytest.fixture(scope="module")
def tight_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """One large node, on which root may have 10 jobs, and 6 in the QOS `narrow`."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), nodes=1, cpus=16) as booted:
        limit_association(booted, 10)
        booted.run("sacctmgr", "-i", "add", "qos", "narrow", "set", "MaxSubmitJobsPerUser=6")
        booted.run("sacctmgr", "-i", "modify", "user", "root", "set", "qos+=narrow")
        yield booted


def limit_association(cluster: SlurmCluster, jobs: int) -> None:
    where = ("user", "root", "where", f"account={ACCOUNT}")
    cluster.run("sacctmgr", "-i", "modify", *where, "set", f"MaxSubmitJobs={jobs}")


def bench_of(cluster: SlurmCluster, folder: pathlib.Path, **keys: object) -> Bench:
    """A bench whose configuration makes 25 shards of a few posts."""
    bench = Bench(cluster, folder)
    bench.config(
        posts.json_lines(folder / "posts.jsonl", 2 * SHARDS),
        sharding={"shards": SHARDS},
        classifier={"type": "valence"},
        cluster={"max_parallel": 12, "mem_gb": 0.1, "grace_seconds": 1, **keys},
    )
    return bench


def submitted_jobs(cluster: SlurmCluster) -> int:
    return len(cluster.run("squeue", "-h", "-r", "-o", "%i").split())


def test_a_run_goes_out_in_waves_next_to_other_jobs(
    tight_cluster: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    bench = bench_of(tight_cluster, tmp_path)
    config = tmp_path / "run.yaml"
    assert bench.document("submit", "--config", config, "--dry-run")["waves"] == 3
    others = tight_cluster.run("sbatch", "--parsable", "--hold", "--array=0-8", "--wrap=true")
    assert bench.document("submit", "--config", config, "--dry-run")["waves"] == SHARDS
    bench.document("submit", "--config", config)
    assert submitted_jobs(tight_cluster) == 10
    states = [state for state, _ in bench.states().values()]
    assert states.count("planned") == SHARDS - 1
    tight_cluster.run("scancel", others.strip())
    end = bench.document("supervise")
    assert (end["state"], end["posts_done"]) == ("complete", 2 * SHARDS)
    assert {shard["attempts"] for shard in end["shards"]} == {1}


def test_failed_shards_go_out_in_parts_that_slurm_takes_where_it_hides_its_limits(
    tight_cluster: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    """The QOS allows six jobs. sbatch's refusal is all that shows it."""
    bench = Bench(tight_cluster, tmp_path)
    shards = 9
    for index in range(shards):
        bench.script(index, "fail")
    config = bench.config(
        posts.json_lines(tmp_path / "posts.jsonl", 2 * shards),
        sharding={"shards": shards},
        cluster={"qos": "narrow", "max_parallel": 12, "mem_gb": 0.1},
    )
    shown = bench.document("submit", "--config", config, "--dry-run")
    assert shown["waves"] == 2
    hidden = bench.shim("scontrol", '[ "$1" = show ] && [ "$2" = assoc_mgr ] && exit 1')
    sent = bench.hpc("submit", "--config", config, env=hidden)
    assert sent.returncode == 0, sent.stderr
    assert states(bench).count("planned") == 5  # half of nine went out
    wait_for(lambda: states(bench).count("failed") == 4, 90, "the first wave has failed")
    others = tight_cluster.run(
        "sbatch", "--parsable", "--hold", "--qos=narrow", "--array=0-5", "--wrap=true"
    )
    full = bench.hpc("resubmit")
    assert full.returncode == 3, full.stderr
    tight_cluster.run("scancel", others.strip())
    end = bench.hpc("supervise", "--json", env=hidden)
    assert end.returncode == 0, end.stderr
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(2 * shards))


def test_a_caretaker_waits_for_room_without_a_job_more(
    tight_cluster: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    """It needs two more jobs to hand over. Where they do not fit, it goes back into the queue."""
    bench = bench_of(tight_cluster, tmp_path)
    config = tmp_path / "run.yaml"
    others = tight_cluster.run("sbatch", "--parsable", "--hold", "--array=0-4", "--wrap=true")
    bench.document("submit", "--config", config, "--caretaker", "--set", "sharding.shards=6")
    assert submitted_jobs(tight_cluster) == 10  # three tasks, the caretaker and its understudy
    limit_association(tight_cluster, 2)
    waits = lambda: "Restarts=0" not in caretaker(tight_cluster)  # noqa: E731
    wait_for(waits, 90, "the caretaker was requeued")
    assert states(bench) == ["done"] * 3 + ["planned"] * 3
    tight_cluster.run("scancel", others.strip())
    limit_association(tight_cluster, 10)

    def is_complete() -> bool:
        # Slurm lets a requeued job wait two minutes.
        job = re.search(r"JobId=(\d+)", caretaker(tight_cluster))
        if job:
            tight_cluster.call("scontrol", "update", f"JobId={job[1]}", "StartTime=now")
        return states(bench) == ["done"] * 6

    wait_for(is_complete, 120, "the caretaker has sent the rest")
    wait_for(lambda: submitted_jobs(tight_cluster) == 0, 60, "the last caretaker has ended")


def caretaker(cluster: SlurmCluster) -> str:
    """What the controller shows of the caretaker that was submitted first and is alive."""
    listed = cluster.run("squeue", "-h", "-o", "%i %j", "-S", "i").splitlines()
    jobs = [line.split()[0] for line in listed if line.endswith("-caretaker")]
    return cluster.run("scontrol", "--oneliner", "show", "job", jobs[0]) if jobs else ""


def test_a_full_controller_keeps_shards_waiting_and_nobody_gives_up(
    tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At MaxJobCount, sbatch itself would try again for minutes."""
    folder = tmp_path_factory.mktemp("slurm")
    with SlurmCluster(folder, nodes=1, cpus=16, extra_conf=["MaxJobCount=12"]) as cluster:
        bench = Bench(cluster, tmp_path)
        config = bench.config(
            posts.json_lines(tmp_path / "posts.jsonl", 30),
            sharding={"shards": 15},
            classifier={"type": "valence"},
            cluster={"max_parallel": 15, "mem_gb": 0.1},
        )
        assert bench.document("submit", "--config", config, "--dry-run")["waves"] == 2
        # A site may hide the jobs of others, so that the room cannot be counted.
        cluster.run("sbatch", "--hold", "--array=0-8", "--wrap=true")
        unseen = bench.shim("squeue", 'case "$*" in *%U*) exit 0;; esac')
        sent = bench.hpc("submit", "--config", config, env=unseen)
        assert sent.returncode == 0, sent.stderr
        wait_for(lambda: "done" in states(bench), 60, "the first wave has ended")
        full = bench.hpc("supervise", "--once", env=unseen)
        assert full.returncode == 3, full.stderr
        assert set(states(bench)) == {"done", "planned"}
        cluster.allow_jobs(1000)
        assert bench.document("supervise")["state"] == "complete"


def states(bench: Bench) -> list[str]:
    return [state for state, _ in bench.states().values()]
