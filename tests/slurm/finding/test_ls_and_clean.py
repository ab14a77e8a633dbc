"""`ls` and `clean` on a real Slurm: one question for all runs, and no run with live jobs goes."""

import json
import pathlib
import signal

import pytest

from hpc.naming.job_names import earlier_prefix, new_prefix
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def runs(bench: Bench) -> list[pathlib.Path]:
    return sorted((bench.folder / "runs").glob("[0-9]*"))


def test_ls_asks_slurm_once_and_clean_leaves_a_run_with_live_jobs_alone(bench: Bench) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 60)
    config = bench.config(source, sharding={"shards": 2}, cluster={"grace_seconds": 1})
    assert bench.document("submit", "--config", config, "--limit", "20")["posts"] == 20
    assert bench.document("supervise")["state"] == "complete"
    for index in (0, 1):
        bench.script(index, "wait wait")  # of either run
    for limit in ("20", "10"):
        assert bench.hpc("submit", "--config", config, "--limit", limit).returncode == 0
    complete, *working = runs(bench)
    calls = bench.folder / "calls"
    counted = bench.shim("squeue", f"echo squeue >>{calls}")
    (listed,) = [bench.hpc("ls", "--json", env=counted)]
    assert listed.returncode == 0, listed
    states = {row["run_id"]: row["state"] for row in json.loads(listed.stdout)["runs"]}
    assert states == {complete.name: "complete", **{run.name: "running" for run in working}}
    assert calls.read_text() == "squeue\n"

    caretaker = bench.cluster.run(
        "sbatch", "--parsable", "-A", "kellogg", "--mem=100M", "-o", "/dev/null", "-J",
        f"{new_prefix(complete.name, '')}caretaker", "--wrap", "sleep 300",
    ).strip()  # fmt: skip
    kept = bench.document("clean", "--yes")
    assert {row["decision"] for row in kept["runs"]} == {"keep"}
    bench.cluster.run("scancel", caretaker)
    wait_for(lambda: caretaker not in bench.cluster.run("squeue", "-h", "-o", "%A"), 60, "it ended")
    cleaned = bench.document("clean", "--yes")
    decisions = {row["run_id"]: row["decision"] for row in cleaned["runs"]}
    assert decisions == {
        complete.name: "archive",
        **dict.fromkeys((r.name for r in working), "keep"),
    }
    assert (complete / "archive.zip").is_file()

    (bench.scripts / "go").touch()
    for run in working:
        assert bench.document("supervise", run)["state"] == "complete"
    (bench.folder / "labels.duckdb").unlink()
    assert bench.document("gather", "--rebuild", complete)["rows_after"] == 50
    assert bench.hpc("supervise", complete).returncode == 0
    assert len(bench.document("logs", complete, "0")["shards"][0]["attempts"]) == 1
    assert bench.document("submit", "--config", config)["posts"] == 10


def test_a_submission_that_an_earlier_version_began_is_finished(bench: Bench) -> None:
    """Its record and its array have the names that this version gave to jobs."""
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20))
    dead = bench.hpc("submit", "--config", config, env=bench.shim("sbatch", "", "kill -9 $PPID"))
    assert dead.returncode == -signal.SIGKILL
    (run,) = runs(bench)
    new, earlier = f"{new_prefix(run.name, '')}0001", f"{earlier_prefix(run.name, '')}0001"
    job = bench.cluster.run("squeue", "-h", "-n", new, "-o", "%F").split()[0]
    bench.cluster.run("scontrol", "update", f"JobId={job}", f"JobName={earlier}")
    record = run / "submissions" / "0001.json"
    record.write_text(record.read_text().replace(new, earlier))
    end = bench.document("supervise", run)
    assert (end["state"], end["posts_done"]) == ("complete", 20)
    assert {shard["array_job_id"] for shard in end["shards"]} == {int(job)}
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))


def test_an_array_of_an_earlier_version_that_no_record_names_is_not_submitted_again(
    bench: Bench,
) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20))
    bench.script(0, "wait")
    submitted = bench.document("submit", "--config", config)
    (run,), (job,) = runs(bench), submitted["array_jobs"]
    name = f"{earlier_prefix(run.name, '')}0001"
    wait_for(lambda: len(bench.asked()) >= 15, 60, "three tasks have ended, one waits")
    # It fails for the tasks that have ended, and renames the one that waits.
    bench.cluster.run("scontrol", "update", f"JobId={job}", f"JobName={name}", check=False)
    (run / "submissions" / "0001.json").rename(bench.folder / "record.json")
    refused = bench.hpc("supervise", run, "--once")
    assert refused.returncode == 1
    assert str(job) in refused.stderr
    assert bench.hpc("cancel", run).returncode == 0
    wait_for(lambda: not bench.cluster.run("squeue", "-h", "-n", name, "-o", "%F"), 90, "it ended")
