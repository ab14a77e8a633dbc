"""cancel on one machine: tasks stop after their answers are kept, and nobody else is stopped."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hpc.executors.local.stop import stop_tasks
from hpc.locks import run_lock
from hpc.run import run_folder
from pipeline.errors import RunError
from pipeline.run_files.manifest import work_path
from tests.hpc.cli_bench import Bench, ended, exit_code, once, outcome, valence_run
from tests.hpc.processes import started, tasks_of
from tests.pipeline import run_builders
from tests.pipeline.task_processes import rows_in
from tests.waiting import wait_until

HERE = socket.gethostname()


def test_cancel_ends_the_tasks_of_a_submit_and_resubmit_resumes_them(bench: Bench) -> None:
    bench.config(
        posts=90, sharding={"shards": 3}, classifier={"seconds": 0.3}, cluster={"max_parallel": 2}
    )
    driver = started(bench, 2)
    wait_until(lambda: len(bench.asked()) >= 6, "some posts were asked")
    (run,) = bench.runs()
    cancelled = bench.document("cancel", run.name)
    assert ended(driver).returncode == 130
    assert tasks_of(bench.folder) == {}
    kept = sum(rows_in(work_path(run, shard)) for shard in range(3))
    assert 6 <= len(bench.asked()) == kept < 90
    assert cancelled == {
        "run_id": run.name, "cancelled_jobs": [], "unreached_jobs": [],
        "shards_done": 0, "posts_kept": kept,
    }  # fmt: skip
    assert bench.states() == [("failed", "preempted", 1)] * 3
    bench.hurry()
    assert outcome(bench.hpc("resubmit")) == (0, "")
    assert bench.states() == [("done", None, 2)] * 3
    assert bench.asked() == once(90)


def test_cancel_ends_tasks_that_outlived_their_killed_parent(bench: Bench) -> None:
    bench.config(posts=200, checkpoint={"rows": 3}, classifier={"seconds": 0.3})
    driver = started(bench, 2)
    (run,) = bench.runs()
    wait_until(lambda: all(rows_in(work_path(run, shard)) for shard in (0, 1)), "a part each")
    driver.kill()
    assert ended(driver).returncode == -signal.SIGKILL
    assert len(tasks_of(bench.folder)) == 2
    assert bench.document("cancel")["posts_kept"] == len(bench.asked())
    assert tasks_of(bench.folder) == {}
    assert bench.states() == [("failed", "lost", 1)] * 2  # nobody saw how they ended
    assert not run_lock.is_locked(run_folder.load(run))


def test_a_run_without_a_living_task_has_nothing_to_cancel(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    assert bench.document("cancel") == {
        "run_id": run.run_id, "cancelled_jobs": [], "unreached_jobs": [],
        "shards_done": 0, "posts_kept": 0,
    }  # fmt: skip


def test_a_complete_run_has_nothing_to_cancel_and_stays_complete(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    for shard in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, shard)
    assert bench.document("cancel") == {
        "run_id": run.run_id, "cancelled_jobs": [], "unreached_jobs": [],
        "shards_done": 2, "posts_kept": 4,
    }  # fmt: skip
    assert bench.document("status")["state"] == "complete"


def test_cancel_leaves_a_process_alone_that_does_not_hold_the_run(bench: Bench) -> None:
    """As where the holder's pid went to somebody else, and what it left behind holds the lock."""
    run = valence_run(bench.folder, 4)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = Path(f"/proc/{bystander.pid}/stat").read_text().split()[21]
    lock = run.folder / run_lock.LOCK
    with run_lock.locked(run.folder, "", noted=False):
        lock.write_text(f"{bystander.pid} {HERE} {born}\n")
        refused = bench.hpc("cancel")
    alive = bystander.poll() is None
    bystander.communicate(b"\n")
    assert alive
    assert bystander.returncode == 0
    assert (exit_code(refused), refused.stdout) == (1, "")


STUBBORN = """
import pathlib, signal, sys
from hpc.locks import run_lock
signal.signal(signal.SIGTERM, lambda number, frame: print("no", flush=True))
with run_lock.locked(pathlib.Path(sys.argv[1]), ""):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_ignores_sigterm_is_reported_after_some_patience(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    stubborn = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(run.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=bench.env,
    )  # fmt: skip
    assert stubborn.stdout
    assert stubborn.stdout.readline() == "held\n"
    with pytest.raises(RunError, match=f"pid {stubborn.pid} "):
        stop_tasks(run, print, patience_s=0.5)
    assert stubborn.communicate()[0] == "no\n"
