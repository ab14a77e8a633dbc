"""Where users work from, and what administrators do to their jobs: every post is labeled once."""

import json
import os
import subprocess
import sys

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def asked_once_each(bench: Bench, count: int) -> bool:
    return sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(count))


def test_an_administrators_acts_cost_no_post(bench: Bench) -> None:
    for index in (0, 1):
        bench.script(index, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", 80)
    config = bench.config(source, sharding={"shards": 8}, cluster={"max_parallel": 2})
    (job,) = bench.document("submit", "--config", config)["array_jobs"]
    wait_for(lambda: bench.has_begun(0) and bench.has_begun(1), 60, "two tasks wait")

    scontrol = lambda *words: bench.cluster.run("scontrol", *words)  # noqa: E731
    scontrol("suspend", f"{job}_0")
    scontrol("update", f"JobId={job}", "ArrayTaskThrottle=3")
    scontrol("update", f"JobId={job}_2", "JobName=renamed", "Nice=100")
    scontrol("update", f"JobId={job}_3", "Partition=short", "TimeLimit=4")
    scontrol("hold", f"{job}_4")
    bench.cluster.run("scancel", f"{job}_5")
    scontrol("requeue", f"{job}_1")
    state_of = ("squeue", "-h", "-j", f"{job}_1", "-o", "%T")
    wait_for(lambda: bench.cluster.run(*state_of) == "PENDING\n", 60, "one task is requeued")
    scontrol("update", f"JobId={job}_1", "StartTime=now")  # or Slurm waits two minutes
    with bench.started("supervise"):
        (bench.scripts / "go").touch()
        wait_for(lambda: bench.states()[4][0] == "blocked", 60, "the held task is seen")
        scontrol("release", f"{job}_4")
        scontrol("resume", f"{job}_0")
        done = dict.fromkeys(range(8), ("done", None))
        wait_for(lambda: bench.states() == done, 120, "every shard is done")
    assert asked_once_each(bench, 80)


def test_a_run_is_submitted_from_within_a_job(bench: Bench) -> None:
    """The job's own memory, CPUs and binding are not passed on."""
    source = posts.json_lines(bench.folder / "p.jsonl", 10)
    config = bench.config(source, sharding={"shards": 1})
    submitted = subprocess.run(
        ["srun", "-A", "kellogg", "--mem-per-cpu=300", "--cpus-per-task=2", "--cpu-bind=cores",
         sys.executable, "-m", "hpc.submit", "--config", str(config), "--json"],
        cwd=bench.folder, env=bench.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    (job,) = json.loads(submitted.stdout)["array_jobs"]
    assert bench.document("supervise")["state"] == "complete"
    asked = ("-n", "-P", "-X", "-j", str(job), "-o", "AllocCPUS,ReqMem")
    # 0.4 GiB, as 22.05 and 24.11 write it.
    wait_for(
        lambda: bench.cluster.run("sacct", *asked).split()[:1] in (["1|409M"], ["1|409Mn"]),
        30,
        "the task is accounted with its own memory and CPUs",
    )
    assert asked_once_each(bench, 10)


def test_odd_folders_locales_and_configurations_change_nothing(bench: Bench) -> None:
    """A name with spaces and quotes behind a symbolic link, CRLF, a missing TMPDIR, a comment."""
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    odd = bench.folder / 'ann\'s "runs" $HOME; #50% é'
    odd.mkdir()
    link = bench.folder / "link"
    link.symlink_to(odd)
    config = bench.config(
        source,
        sharding={"shards": 2},
        cluster={"extra": {"comment": 'it\'s "50 %" $HOME'}},
        storage={"run_root": str(link / "runs"), "database": str(link / "labels.duckdb")},
    )
    config.write_bytes(config.read_bytes().replace(b"\n", b"\r\n"))
    shell = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "xx_XX", "TMPDIR": "/nowhere"}
    submitted = bench.hpc("submit", "--config", config, env=shell)
    assert submitted.returncode == 0, submitted.stderr
    supervised = bench.hpc("supervise", "--config", config, env=shell)
    assert supervised.returncode == 0, supervised.stdout + supervised.stderr
    assert asked_once_each(bench, 20)

    subprocess.run(["mount", "--bind", "-o", "ro", odd, odd], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", odd], check=True)
    try:
        assert not os.access(odd, os.W_OK)
        for words in (("status",), ("logs", "0"), ("audit",)):
            looked = bench.hpc(*words, "--config", config)
            assert (looked.returncode, "Traceback" in looked.stderr) == (0, False), words
    finally:
        subprocess.run(["umount", odd], check=True)
