"""cancel on a real Slurm: everything is ended, nothing paid for is lost, and the run can go on."""

import pathlib
import signal
import subprocess
import sys

import pytest

from hpc.locks import run_lock
from hpc.naming.job_names import new_prefix, parse_job_name
from hpc.run import run_folder
from pipeline.run_files.manifest import work_path
from tests.pipeline.task_processes import rows_in
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

KILL = "kill -9 $PPID"
State = tuple[str, str | None]


def names_in_queue(bench: Bench, run: pathlib.Path) -> list[str]:
    names = bench.cluster.run("squeue", "-h", "-o", "%j").split()
    return [name for name in names if (job := parse_job_name(name)) and job.run_id == run.name]


def cancelled(bench: Bench, shards: int, **others: State) -> bool:
    """All shards but `others` are blocked by a person's hand."""
    expected: dict[int, State] = dict.fromkeys(range(shards), ("blocked", "cancelled"))
    expected |= {int(name[1:]): state for name, state in others.items()}
    return bench.states() == expected


def test_cancel_ends_the_caretaker_and_all_tasks_and_the_run_can_be_resumed(
    bench: Bench,
) -> None:
    """The caretaker is a real `supervise`, which holds the run's lock and would submit again."""
    for index in (1, 2, 3):
        bench.script(index, "slow")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 900),
        sharding={"shards": 6}, cluster={"max_parallel": 3},
    )  # fmt: skip
    submitted = bench.document("submit", "--config", config)
    (job,), run = submitted["array_jobs"], pathlib.Path(submitted["run_dir"])
    caretaker = subprocess.run(
        ["sbatch", "--parsable", "-J", f"{new_prefix(run.name, '')}caretaker", "-A", "kellogg",
         "--mem=400M", "-o", str(bench.folder / "caretaker.log"),
         "--wrap", f"exec {sys.executable} -m hpc.supervise {run}"],
        cwd=bench.folder, env=bench.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    begun = {0: ("done", None), **dict.fromkeys((1, 2, 3), ("running", None))}
    begun |= dict.fromkeys((4, 5), ("queued", None))
    wait_for(lambda: bench.states() == begun, 60, "three tasks run, two wait")
    wait_for(lambda: run_lock.is_locked(run_folder.load(run)), 60, "the caretaker holds the run")
    wait_for(lambda: len(bench.asked()) > 160, 60, "the tasks are at work")

    cancelled_now = bench.document("cancel")
    kept = sum(rows_in(work_path(run, index)) for index in range(6))
    assert kept == len(bench.asked()) - 150 > 10
    assert cancelled_now == {
        "run_id": run.name, "cancelled_jobs": [job, int(caretaker)], "unreached_jobs": [],
        "shards_done": 1,
        "posts_kept": 150 + kept,
    }  # fmt: skip
    assert names_in_queue(bench, run) == []
    seen_at_once = bench.hpc("status")
    assert seen_at_once.returncode == 1, "nothing runs or is queued any more"
    assert " to go" not in seen_at_once.stdout
    assert cancelled(bench, 6, _0=("done", None))
    assert bench.document("supervise", code=1)["state"] == "blocked"
    assert bench.document("cancel") == {
        "run_id": run.name, "cancelled_jobs": [], "unreached_jobs": [], "shards_done": 1,
        "posts_kept": 150 + kept,
    }  # fmt: skip

    (bench.scripts / "go").touch()
    assert bench.document("resubmit", "--force")["shards"] == [1, 2, 3, 4, 5]
    assert bench.document("supervise")["state"] == "complete"
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(900))


def test_cancel_ends_the_jobs_while_supervise_holds_the_run(bench: Bench) -> None:
    bench.script(0, "slow")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 300), sharding={"shards": 1}
    )  # fmt: skip
    submitted = bench.document("submit", "--config", config)
    run = pathlib.Path(submitted["run_dir"])
    with subprocess.Popen(
        [sys.executable, "-m", "hpc.supervise"], cwd=bench.folder, env=bench.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as supervise:  # fmt: skip
        wait_for(lambda: run_lock.is_locked(run_folder.load(run)), 60, "supervise holds the run")
        wait_for(lambda: bench.asked(), 60, "the task is at work")
        cancelled_now = bench.document("cancel")
        printed, _ = supervise.communicate(timeout=90)
    assert supervise.returncode == 1, printed
    assert cancelled_now["cancelled_jobs"] == submitted["array_jobs"]
    assert names_in_queue(bench, run) == []
    assert cancelled(bench, 1)


def died(bench: Bench, program: str, before: str, after: str, *, count: int) -> pathlib.Path:
    """The run of a submit that was killed around a program of Slurm's."""
    source = posts.json_lines(bench.folder / "p.jsonl", count)
    config = bench.config(source)
    dead = bench.hpc("submit", "--config", config, env=bench.shim(program, before, after))
    assert dead.returncode == -signal.SIGKILL
    return next((bench.folder / "runs").glob("[0-9]*"))


@pytest.mark.parametrize(
    ("program", "before", "after"),
    [("sbatch", "", KILL), ("scontrol", f"if [ $1 = update ]; then {KILL}; exit; fi", "")],
    ids=["before its answer is recorded", "before the release"],
)
def test_an_array_of_a_dead_submitter_that_was_canceled_is_not_resumed_later(
    bench: Bench, program: str, before: str, after: str
) -> None:
    run = died(bench, program, before, after, count=20)
    wait_for(lambda: names_in_queue(bench, run), 60, "the array waits")
    assert len(bench.document("cancel")["cancelled_jobs"]) == 1
    assert names_in_queue(bench, run) == []
    wait_for(lambda: cancelled(bench, 4), 60, "all shards were cancelled")
    assert bench.document("submit", "--config", bench.folder / "run.yaml", code=1)["run_id"] is None
    assert bench.document("supervise", run, code=1)["state"] == "blocked"
    assert names_in_queue(bench, run) == []
    assert bench.asked() == []


def test_an_array_that_was_released_unrecorded_keeps_its_attempt(bench: Bench) -> None:
    for index in range(4):
        bench.script(index, "slow")
    run = died(bench, "scontrol", "", f"if [ $1 = update ]; then {KILL}; fi", count=400)
    wait_for(lambda: len(bench.asked()) > 8, 60, "the tasks are at work")
    assert bench.states() == dict.fromkeys(range(4), ("planned", None))
    kept = bench.document("cancel")["posts_kept"]
    wait_for(lambda: cancelled(bench, 4), 60, "all shards were cancelled")
    shards = bench.document("status", run, code=1)["shards"]
    assert [shard["attempts"] for shard in shards] == [1, 1, 1, 1]
    assert sum(shard["posts_done"] for shard in shards) == len(bench.asked()) == kept


def test_a_submission_that_never_reached_slurm_is_withdrawn_once_slurm_confirms_it(
    bench: Bench,
) -> None:
    run = died(bench, "sbatch", f"{KILL}; exit", "", count=20)
    silent = bench.shim("squeue", "echo 'slurm_load_jobs error: down' >&2; exit 1")
    refused = bench.hpc("cancel", env=silent)
    assert (refused.returncode, "slurm_load_jobs error: down" in refused.stderr) == (1, True)
    assert bench.document("cancel") == {
        "run_id": run.name, "cancelled_jobs": [], "unreached_jobs": [],
        "shards_done": 0, "posts_kept": 0,
    }  # fmt: skip
    assert list((run / "submissions").iterdir()) == []
    assert bench.states() == dict.fromkeys(range(4), ("planned", None))
