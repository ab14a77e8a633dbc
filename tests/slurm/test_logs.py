"""logs on a real Slurm: every attempt of a shard with Slurm's words, the task's, and its log."""

import pathlib
import re

import pytest

from tests.slurm import posts
from tests.slurm.cluster import wait_for
from tests.slurm.commands import Bench

pytestmark = pytest.mark.slurm

State = tuple[str, str | None]
STAMP = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def test_the_attempts_of_a_shard_are_told_one_after_the_other(bench: Bench) -> None:
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

    told = bench.hpc("logs", 1, "--lines", 2)
    assert (told.returncode, told.stderr) == (0, "")
    task = rf"on {bench.cluster.node_names[0][:-1]}\d+, submitted {STAMP}, ran \d+ s"
    memory = r"(, MaxRSS \d+ MB)?"  # none where Slurm had no time for a sample
    assert re.fullmatch(
        rf"shard 1: blocked \(crashed\): task {second}_1 ended as FAILED "
        rf"\(exit code 9:0, on \S+\); attempts used up: 2\n"
        rf"\n"
        rf"attempt 1: task {first}_1 {task}\n"
        rf"  Slurm: FAILED, exit code 1:0{memory}\n"
        rf"  crashed: this was scripted\n"
        rf'  \|     raise RuntimeError\("this was scripted"\)\n'
        rf"  \| RuntimeError: this was scripted\n"
        rf"  log: {logs}/0001/{first}_1_0_log\.out\n"
        rf"\n"
        rf"attempt 2: task {second}_1 {task}\n"
        rf"  Slurm: FAILED, exit code 9:0{memory}\n"
        rf"  the end of {re.escape(str(log))}:\n"
        rf"  \| srun: error: \S+: task 0: Killed\n"
        rf"  \| srun: .*\n",
        told.stdout,
    ), told.stdout

    # Two were killed alike, though task and step differ; one has last words.
    parts = bench.hpc("logs", "--failed", "--lines", 1).stdout.split("\n\n")
    assert [part.splitlines()[0].partition(":")[0] for part in parts] == [
        "shard 1", "attempt 2", "shard 2", "shard 3", "attempt 2",
    ]  # fmt: skip
    assert parts[2] == "shard 2: the same"
    assert parts[4].endswith(
        "\n  crashed: this was scripted\n  | RuntimeError: this was scripted\n"
        f"  log: {logs}/0002/{second}_3_0_log.out\n"
    )
    document = bench.document("logs", "--failed", "--lines", 1)
    assert document["run_id"] == run.name
    assert [shard["index"] for shard in document["shards"]] == [1, 2, 3]
    (killed,) = document["shards"][0]["attempts"]
    assert (killed["attempt"], killed["task"], killed["words"]) == (2, f"{second}_1", None)
    assert (killed["slurm_state"], killed["log"]) == ("FAILED", str(log))
    assert killed["tail"][0].startswith("srun: ")


def test_a_task_that_runs_or_waits_or_was_cancelled_shows_what_there_is(bench: Bench) -> None:
    bench.script(0, "slow")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 200),
        sharding={"shards": 2}, cluster={"max_parallel": 1, "grace_seconds": 3},
    )  # fmt: skip
    submitted = bench.document("submit", "--config", config)
    run, job = pathlib.Path(submitted["run_dir"]), submitted["array_jobs"][0]
    logs = run / "logs" / "0001"
    wait_for(lambda: bench.asked(), 60, "the task is at work")
    running = bench.hpc("logs", run, 0).stdout
    assert f"shard 0: running: task {job}_0 is RUNNING\n\nattempt 1: task {job}_0 on " in running
    assert "\n  Slurm: RUNNING" in running
    assert "\n  | shard 0: 100 posts, 0 already answered\n" in running
    waiting = bench.hpc("logs", "--run", run, 1).stdout
    assert re.search(r"\n  Slurm: PENDING, .*reason JobArrayTaskLimit\n", waiting), waiting
    assert waiting.endswith(f"\n  no log to read: {logs}/{job}_1_0_log.out\n")
    assert bench.document("cancel")["cancelled_jobs"] == [job]
    states = {0: ("blocked", "cancelled"), 1: ("blocked", "cancelled")}
    wait_for(lambda: bench.states() == states, 60, "both were cancelled")
    told = bench.document("logs", "0-1")["shards"]
    (ended,), (never,) = (shard["attempts"] for shard in told)
    assert (ended["slurm_state"], never["slurm_state"]) == ("CANCELLED by 0", "CANCELLED by 0")
    # What ran and what never started have not ended alike.
    assert "the same" not in bench.hpc("logs", "--failed").stdout
    stopped = "stopping on request; the next attempt resumes shard 0"
    assert stopped in ended["tail"]
    assert never == {
        "attempt": 1, "task": f"{job}_1", "slurm_state": "CANCELLED by 0", "exit_code": "0:0",
        "node": None, "words": None, "traceback": None, "log": f"{logs}/{job}_1_0_log.out",
        "tail": None, "server_log": None,
    }  # fmt: skip
