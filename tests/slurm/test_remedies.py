"""Every cause on a real Slurm: what the next attempt was really given, as sacct shows it."""

import json
import pathlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import duckdb
import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import ACCOUNT, wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

CLOSED = "closed"


def one_shard(bench: Bench, rows: int = 10, **sections: Any) -> pathlib.Path:
    source = posts.json_lines(bench.folder / "p.jsonl", rows)
    return bench.config(source, **{"sharding": {"shards": 1}, **sections})


def asked(bench: Bench, job: int, index: int, field: str) -> str:
    """What accounting says that a task asked for, or got."""
    value = bench.cluster.run("sacct", "-n", "-P", "-X", "-j", f"{job}_{index}", "-o", field)
    return value.strip()


def gathered(bench: Bench) -> int:
    """How many posts have their row, while somebody else may be writing the database."""
    try:
        with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
            return int(labels.execute("SELECT count(*) FROM labels_test").fetchall()[0][0])
    except (duckdb.IOException, duckdb.CatalogException):
        return 0


def test_out_of_memory_gets_more_memory_up_to_the_largest_node(bench: Bench) -> None:
    bench.script(0, "memory")
    bench.script(2, "fail")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 30),
        sharding={"shards": 3},
        retry={"memory_factor": 64.0},
    )
    bench.document("submit", "--config", config)
    wanted = {0: ("failed", "out_of_memory"), 1: ("done", None), 2: ("failed", "crashed")}
    wait_for(lambda: bench.states() == wanted, 90, "two shards failed, for two reasons")
    end = bench.document("supervise")
    assert end["state"] == "complete"
    jobs = {shard["index"]: shard["array_job_id"] for shard in end["shards"]}
    assert jobs[0] != jobs[2]
    for index, memory in ((0, "4000M"), (2, "409M")):
        got = partial(asked, bench, jobs[index], index, "ReqMem")
        wait_for(lambda got=got, memory=memory: got() == memory, 60, f"shard {index}: {memory}")  # type: ignore[misc]


def test_a_node_that_was_lost_is_excluded_from_the_next_attempt(bench: Bench) -> None:
    bench.script(0, "wait")
    config = one_shard(bench, cluster={"extra": {"no-requeue": True}})
    job = bench.document("submit", "--config", config)["array_jobs"][0]
    wait_for(lambda: bench.has_begun(0), 60, "it runs")
    node = bench.cluster.run("squeue", "-h", "-j", str(job), "-o", "%N").strip()
    bench.cluster.kill_slurmd(node)
    try:
        wait_for(lambda: bench.states() == {0: ("failed", "node")}, 120, "its node is lost")
        (again,) = bench.document("resubmit")["array_jobs"]
        excluded = bench.cluster.run("squeue", "-h", "-t", "all", "-j", str(again), "-o", "%x")
        assert excluded.strip() == node
        assert bench.document("supervise")["state"] == "complete"
    finally:
        bench.cluster.start_slurmd(node)


def test_a_refusal_stops_the_whole_run_and_force_resumes_it(bench: Bench) -> None:
    """Shard 0 is refused while others wait: none of them is asked for anything any more."""
    bench.script(0, "refuse")
    for index in range(1, 6):
        bench.script(index, "wait")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 60),
        sharding={"shards": 6},
        cluster={"max_parallel": 2},
    )
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states()[0] == ("blocked", "refused"), 90, "shard 0 is refused")
    (bench.scripts / "go").touch()
    assert bench.document("supervise", code=1)["state"] == "blocked"
    states = set(bench.states().values())
    assert states <= {("done", None), ("blocked", "refused"), ("blocked", "cancelled")}
    assert len(bench.asked()) < 60
    assert bench.hpc("resubmit").returncode == 1
    bench.document("resubmit", "--force")
    assert bench.document("supervise")["state"] == "complete"
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(60))


def test_a_slow_task_does_not_delay_the_next_attempt_of_a_failed_shard(
    bench: Bench,
) -> None:
    """While there is no room nothing is submitted that would wait for a whole array to end."""
    bench.script(0, "wait")
    for index in range(1, 4):
        bench.script(index, "fail")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 40), cluster={"max_parallel": 2}
    )
    bench.document("submit", "--config", config)
    with bench.started("supervise") as supervisor:
        done = {0: ("running", None)} | dict.fromkeys(range(1, 4), ("done", None))
        wait_for(lambda: bench.states() == done, 90, "all others are done beside it")
        (bench.scripts / "go").touch()
        assert supervisor.wait(120) == 0


def test_a_stalled_task_is_requeued_even_where_slurm_forbids_requeueing(bench: Bench) -> None:
    bench.script(0, "wait")
    config = one_shard(
        bench,
        cluster={"extra": {"no-requeue": True}},
        retry={"stall_minutes": 0.1, "restart_stalled": True},
    )
    job = bench.document("submit", "--config", config)["array_jobs"][0]
    reason = lambda: bench.cluster.run("squeue", "-h", "-j", f"{job}_0", "-o", "%r").strip()  # noqa: E731
    with bench.started("supervise") as supervisor:
        wait_for(lambda: bench.states() == {0: ("running", None)}, 60, "it runs")
        wait_for(lambda: reason() == "BeginTime", 60, "it is back in the queue")
        bench.cluster.run("scontrol", "update", f"JobId={job}_0", "StartTime=now")
        assert supervisor.wait(120) == 0
    assert bench.document("status")["shards"][0]["attempts"] == 1


def test_the_caretaker_completes_a_run_by_itself(bench: Bench) -> None:
    bench.script(1, "fail")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 40))
    run = bench.document("submit", "--config", config, "--caretaker")["run_id"]
    wait_for(lambda: gathered(bench) == 40, 180, "the second caretaker has gathered all posts")
    shards = bench.document("status")["shards"]
    assert [shard["attempts"] for shard in shards] == [1, 2, 1, 1]
    names = lambda: bench.cluster.run("squeue", "-h", "-o", "%j")  # noqa: E731
    wait_for(lambda: run not in names(), 60, "nothing of the run is left in the queue")


def test_when_a_caretaker_dies_its_successor_takes_over(bench: Bench) -> None:
    """It is killed when it asks accounting, once it has its understudy."""
    once = bench.folder / "once"
    shim = bench.shim("sacct", f"[ -e {once} ] || {{ touch {once}; kill -9 $PPID; }}")
    lines = f"case $SLURM_JOB_NAME in *-caretaker) export PATH={shim['PATH']};; esac"
    bench.script(0, "fail")
    config = one_shard(bench, cluster={"setup": [lines]})
    bench.document("submit", "--config", config, "--caretaker")
    wait_for(once.exists, 90, "the first caretaker is killed")
    wait_for(lambda: gathered(bench) == 10, 180, "a later one brings the run to its end")
    assert bench.states() == {0: ("done", None)}


def test_preempted_attempts_are_resubmitted_and_not_counted(bench: Bench) -> None:
    bench.script(0, "wait")
    config = one_shard(bench, retry={"max_attempts": 1})
    job = bench.document("submit", "--config", config)["array_jobs"][0]
    wait_for(lambda: bench.has_begun(0), 60, "it runs")
    node = bench.cluster.run("squeue", "-h", "-j", str(job), "-o", "%N").strip()
    urgent = ("-p", "high", "--exclusive", "-w", node, "-o", "/dev/null", "--wrap", "true")
    bench.cluster.run("sbatch", *urgent)
    wait_for(lambda: bench.states() == {0: ("failed", "preempted")}, 90, "it was preempted")
    end = bench.document("supervise")
    assert (end["state"], end["shards"][0]["attempts"]) == ("complete", 2)


def test_a_task_warned_of_its_time_limit_stops_and_the_next_attempt_gets_more_time(
    bench: Bench,
) -> None:
    bench.script(0, "wait")
    config = one_shard(bench, cluster={"time_min": 1})
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states() == {0: ("failed", "timeout")}, 120, "it left in time")
    (bench.scripts / "go").touch()
    end = bench.document("supervise")
    assert end["state"] == "complete"
    limit = partial(asked, bench, end["shards"][0]["array_job_id"], 0, "Timelimit")
    wait_for(lambda: limit() == "00:02:00", 60, "the second attempt had two minutes")


def test_a_throttled_shard_starts_later(bench: Bench) -> None:
    bench.script(0, "throttle")
    config = one_shard(bench, retry={"throttled_minutes": 0.5})
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states() == {0: ("failed", "throttled")}, 90, "it was throttled")
    job = bench.document("resubmit")["array_jobs"][0]
    why = partial(bench.cluster.run, "squeue", "-h", "-j", str(job), "-o", "%T %r")
    # The scheduler finds a reason when it next looks.
    wait_for(lambda: why().strip() == "PENDING BeginTime", 10, "it waits for its time")
    assert bench.document("supervise")["state"] == "complete"


def test_a_person_starts_a_shard_that_waits_for_its_time(bench: Bench) -> None:
    bench.script(0, "throttle")
    config = one_shard(bench, retry={"throttled_minutes": 600.0})
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states() == {0: ("failed", "throttled")}, 90, "it was throttled")
    bench.document("resubmit")
    assert bench.states() == {0: ("queued", None)}
    bench.document("resubmit", "--indices", "0")
    assert bench.document("supervise")["state"] == "complete"


def test_a_post_that_kills_its_task_twice_is_set_aside_and_the_others_are_labeled(
    bench: Bench,
) -> None:
    deadly = posts.rows(10)[4][0]
    (bench.scripts / "deadly").write_text(deadly)
    bench.document("submit", "--config", one_shard(bench, retry={"max_attempts": 2}))
    end = bench.document("supervise")
    assert (end["state"], end["shards"][0]["attempts"]) == ("complete", 3)
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        rows = labels.execute("SELECT uri, reason FROM labels_test WHERE reason IS NOT NULL")
        ((uri, reason),) = rows.fetchall()
        assert labels.execute("SELECT count(*) FROM labels_test").fetchall() == [(10,)]
    assert uri == deadly
    assert reason.startswith("poison: ")


def test_a_stalled_task_is_requeued_once_if_configured(bench: Bench) -> None:
    bench.script(0, "wait wait")
    config = one_shard(bench, retry={"stall_minutes": 0.05, "restart_stalled": True})
    job = bench.document("submit", "--config", config)["array_jobs"][0]

    def stalled() -> bool:
        (shard,) = bench.document("status", code=3)["shards"]
        return bool(shard["stalled"])

    wait_for(stalled, 60, "it is reported as stalled")
    assert bench.hpc("supervise", "--once").returncode == 3
    wait_for(lambda: bench.states() == {0: ("queued", None)}, 60, "it is in the queue again")
    # Slurm itself would let it wait for two minutes.
    bench.cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    wait_for(stalled, 90, "it is stalled again")
    assert bench.hpc("supervise", "--once").returncode == 3
    assert bench.states() == {0: ("running", None)}
    (bench.scripts / "go").touch()
    end = bench.document("supervise")
    assert (end["state"], end["shards"][0]["attempts"]) == ("complete", 1)


@pytest.fixture
def account(bench: Bench) -> Iterator[str]:
    """An account that somebody is about to close."""
    run = bench.cluster.run
    run("sacctmgr", "-i", "add", "account", CLOSED, f"Cluster={bench.cluster.name}")
    # Another cluster may be registered with the same slurmdbd.
    here = f"Cluster={bench.cluster.name}"
    run("sacctmgr", "-i", "add", "user", "root", f"Account={CLOSED}", here)
    yield CLOSED
    run("sacctmgr", "-i", "delete", "account", CLOSED, check=False)


def test_a_run_whose_account_was_closed_goes_on_with_another_one(
    bench: Bench, account: str
) -> None:
    bench.script(0, "fail wait")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 20),
        sharding={"shards": 2},
        cluster={"account": account},
    )
    # More time than the partition allows would be pending for ever.
    too_long = ("--set", "cluster.partition=short", "--set", "cluster.time=1-0")
    for more in (("--dry-run",), ()):
        rejected = bench.hpc("submit", "--config", config, *too_long, *more)
        assert rejected.returncode == 2, rejected.stderr
        printed = rejected.stdout + rejected.stderr  # a dry run shows it among its checks
        assert "cluster.time: 1-00:00:00 " in printed
        assert "partition short" in printed
    assert not list((bench.folder / "runs").glob("[0-9]*"))
    (first,) = bench.document("submit", "--config", config)["array_jobs"]
    wanted = {0: ("failed", "crashed"), 1: ("done", None)}
    wait_for(lambda: bench.states() == wanted, 90, "one shard failed")
    user = ("delete", "user", "root", "where", f"account={account}")
    wait_for(
        lambda: bench.cluster.call("sacctmgr", "-i", *user).returncode == 0, 60, "it is closed"
    )
    probe = ("sbatch", "--test-only", f"--account={account}", "--wrap", "true")
    wait_for(lambda: bench.cluster.call(*probe).returncode != 0, 60, "the controller knows it")
    assert bench.hpc("resubmit").returncode == 1
    assert bench.hpc("resubmit", *too_long).returncode == 2
    for wrong in ("cluster.account=p999", "cluster.qos=no-such-qos"):
        assert bench.hpc("resubmit", "--set", wrong).returncode == 1
        assert bench.hpc("resubmit", "--set", wrong, "--dry-run").returncode == 1
    assert bench.document("status", code=1)["amendments"] == []

    correction = ("--set", f"cluster.account={ACCOUNT}", "--set", "cluster.partition=short",
                  "--set", "cluster.time=0:07:00")  # fmt: skip
    (second,) = bench.document("resubmit", *correction)["array_jobs"]
    wait_for(lambda: bench.has_begun(0), 60, "the second attempt runs")
    # A caretaker can be added to a run that runs, and only one.
    for _ in range(2):
        assert bench.hpc("resubmit", "--caretaker").returncode == 0
    names = bench.cluster.run("squeue", "-h", "-t", "PENDING", "-o", "%j").split()
    assert len([name for name in names if name.endswith("-caretaker")]) == 1
    (bench.scripts / "go").touch()
    wait_for(lambda: gathered(bench) == 20, 120, "the caretaker has gathered all posts")

    end = bench.document("status")
    assert [shard["attempts"] for shard in end["shards"]] == [2, 1]
    changed = {change["key"] for change in end["amendments"][0]["changes"]}
    assert {"cluster.account", "cluster.partition", "cluster.time_min"} < changed
    fields = "Account,Partition,Timelimit"
    wait_for(
        lambda: asked(bench, second, 0, fields) == f"{ACCOUNT}|short|00:07:00", 60, "as corrected"
    )
    assert asked(bench, first, 1, fields) == f"{account}|normal|00:05:00"
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))


def test_killed_tasks_are_ending_until_the_grace_time_is_over(bench: Bench) -> None:
    for index in range(3):
        bench.script(index, "die")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 30),
        sharding={"shards": 3},
        cluster={"max_parallel": 3, "grace_seconds": 60, "poll_seconds": 1},
        retry={"max_attempts": 2},
    )
    bench.document("submit", "--config", config)
    ending = dict.fromkeys(range(3), ("ending", "crashed"))
    wait_for(lambda: bench.states() == ending, 60, "all three are ending, with their cause")

    shown = bench.hpc("status")
    assert shown.returncode == 3
    assert " to go" not in shown.stdout
    assert "posts/min" not in shown.stdout
    failed = json.loads(bench.hpc("logs", "--failed", "--json").stdout)["shards"]
    assert [shard["index"] for shard in failed] == [0, 1, 2]
    # Nothing acts on them yet, and no command calls that a success.
    assert bench.document("resubmit", code=3)["shards"] == []
    assert bench.document("resubmit", "--indices", "1", code=3)["shards"] == []
    assert bench.states() == ending

    # By force it waits for the rest of the grace time, and then submits.
    assert bench.document("resubmit", "--force")["shards"] == [0, 1, 2]
    assert bench.document("supervise")["state"] == "complete"
    assert len(bench.asked()) == 30
