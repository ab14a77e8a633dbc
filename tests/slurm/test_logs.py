"""logs on a real Slurm: every attempt of a shard with Slurm's words, the task's, and its log."""

import pathlib
import re

import pytest

from pipeline.system.ownership import user_name
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

State = tuple[str, str | None]
# The tests' cluster runs as this user.
CANCELED = f"CANCELLED by {user_name(0)}"


def grouped(bench: Bench, run: pathlib.Path) -> list[str]:
    """The blocks that `logs --failed` prints, one for the shards that ended alike."""
    blocks = bench.hpc("logs", "--failed", "--lines", 1, run).stdout.split("\n\n")
    return [block for block in blocks if block.startswith("attempt ")]


def test_logs_shows_every_attempt_of_a_shard_and_groups_identical_failures(bench: Bench) -> None:
    bench.script(1, "fail die")
    bench.script(2, "fail die")
    bench.script(3, "fail fail")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 40), retry={"max_attempts": 2})
    submitted = bench.document("submit", "--config", config)
    run, first = pathlib.Path(submitted["run_dir"]), submitted["array_jobs"][0]
    done: State = ("done", None)
    failed = {0: done, **dict.fromkeys((1, 2, 3), ("failed", "crashed"))}
    wait_for(lambda: bench.states() == failed, 60, "three shards failed")
    second = bench.document("resubmit")["array_jobs"][0]
    tasks = {f"{second}_{index}": "FAILED" for index in (1, 2, 3)}
    wait_for(lambda: bench.accounted([second]) == tasks, 60, "accounting knows the ends")
    blocked = {0: done, **dict.fromkeys((1, 2, 3), ("blocked", "crashed"))}
    wait_for(lambda: bench.states() == blocked, 60, "their attempts are used up")
    logs = run / "logs"
    log = logs / "0002" / f"{second}_1_0_log.out"

    (shard,) = bench.document("logs", 1, "--lines", 2)["shards"]
    crashed, killed = shard["attempts"]
    assert (shard["index"], shard["state"], shard["cause"]) == (1, "blocked", "crashed")
    assert {crashed.pop("node"), killed.pop("node")} <= {*bench.cluster.node_names}
    assert crashed.pop("traceback").endswith("\nRuntimeError: this was scripted\n")
    assert re.fullmatch(r"srun: error: \S+: task 0: Exited .*", crashed.pop("tail")[-1])
    assert crashed == {
        "attempt": 1, "task": f"{first}_1", "slurm_state": "FAILED", "exit_code": "1:0",
        "mem_gb": 0.4, "max_rss_mb": None,
        "words": {"cause": "crashed", "message": "this was scripted"}, "server_log": None,
        "log": f"{logs}/0001/{first}_1_0_log.out",
    }  # fmt: skip
    assert re.fullmatch(r"srun: error: \S+: task 0: Killed", killed.pop("tail")[0])
    assert killed == {
        "attempt": 2, "task": f"{second}_1", "slurm_state": "FAILED", "exit_code": "9:0",
        "mem_gb": 0.4, "max_rss_mb": None,
        "words": None, "traceback": None, "log": str(log), "server_log": None,
    }  # fmt: skip
    failed_now = bench.document("logs", "--failed", "--lines", 1)
    assert failed_now["run_id"] == run.name
    ends = [(shard["index"], [at["attempt"] for at in shard["attempts"]])
            for shard in failed_now["shards"]]  # fmt: skip
    assert ends == [(1, [2]), (2, [2]), (3, [2])]
    # Two were killed alike, though task and step differ; one has last words.
    assert len(grouped(bench, run)) == 2


def test_logs_shows_running_waiting_and_canceled_tasks(bench: Bench) -> None:
    bench.script(0, "slow")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 200),
        sharding={"shards": 2}, cluster={"max_parallel": 1},
    )  # fmt: skip
    submitted = bench.document("submit", "--config", config)
    run, job = pathlib.Path(submitted["run_dir"]), submitted["array_jobs"][0]
    logs = run / "logs" / "0001"
    wait_for(lambda: bench.asked(), 60, "the task is at work")
    ((running,), (waiting,)) = (
        shard["attempts"] for shard in bench.document("logs", run, "0-1")["shards"]
    )
    assert (running["slurm_state"], running["task"]) == ("RUNNING", f"{job}_0")
    assert "shard 0: 100 posts, 0 already answered" in running["tail"]
    assert (waiting["slurm_state"], waiting["tail"]) == ("PENDING", None)
    assert waiting["log"] == f"{logs}/{job}_1_0_log.out"
    assert bench.document("cancel")["cancelled_jobs"] == [job]
    states = {0: ("blocked", "cancelled"), 1: ("blocked", "cancelled")}
    wait_for(lambda: bench.states() == states, 60, "both were cancelled")
    tasks = {f"{job}_{index}": "CANCELLED by 0" for index in (0, 1)}
    wait_for(lambda: bench.accounted([job]) == tasks, 60, "accounting knows which one has run")
    shards = bench.document("logs", "0-1")["shards"]
    (ended,), (never,) = (shard["attempts"] for shard in shards)
    assert (ended["slurm_state"], never["slurm_state"]) == (CANCELED, CANCELED)
    # What ran and what never started have not ended alike.
    assert len(grouped(bench, run)) == 2
    assert ended["tail"]
    assert never == {
        "attempt": 1, "task": f"{job}_1", "slurm_state": CANCELED, "exit_code": "0:0",
        "mem_gb": 0.4, "max_rss_mb": None,
        "node": None, "words": None, "traceback": None, "log": f"{logs}/{job}_1_0_log.out",
        "tail": None, "server_log": None,
    }  # fmt: skip
