"""cancel on one machine: tasks end in good order, and nobody else is told to."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.run import run_folder
from pipeline.run_files.manifest import work_path
from tests.hpc.cli_bench import Bench, ended, once, said, valence_run
from tests.hpc.conftest import Here
from tests.hpc.processes import started, tasks_of, until
from tests.pipeline.task_processes import rows_in

HERE = socket.gethostname()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path)
    for task in tasks_of(tmp_path):
        os.kill(task, signal.SIGKILL)


def test_the_process_that_runs_the_tasks_ends_them_and_resubmit_goes_on(
    bench: Bench, here: Here
) -> None:
    bench.config(
        posts=90, sharding={"shards": 3}, classifier={"seconds": 0.3}, cluster={"max_parallel": 2}
    )
    driver = started(bench, 2)
    until(lambda: len(bench.asked()) >= 6, "some posts were asked")
    cancelled = here("cancel")
    assert ended(driver).returncode == 130
    assert tasks_of(bench.folder) == {}
    (run,) = bench.runs()
    kept = sum(rows_in(work_path(run, shard)) for shard in range(3))
    assert 6 <= len(bench.asked()) == kept < 90
    assert said(cancelled) == (0, "")
    assert cancelled.stdout == (
        f"told to stop: pid {driver.pid} "
        f"({sys.executable} -m hpc.submit --config {bench.path})\n"
        "cancelled on this machine: 2 tasks ran, 1 waited\n"
        f"kept: 0 of 3 shards done (0 posts), {kept} posts in checkpoint parts\n"
        f"go on with: python -m hpc.resubmit {run}\n"
    )
    assert bench.states() == [("failed", "preempted", 1)] * 3
    bench.hurry()
    assert said(bench.hpc("resubmit")) == (0, "")
    assert bench.states() == [("done", None, 2)] * 3
    assert bench.asked() == once(90)


def test_what_a_program_reads_of_it(bench: Bench, here: Here) -> None:
    bench.config(posts=90, sharding={"shards": 1}, classifier={"seconds": 0.3})
    driver = started(bench, 1)
    (run,) = bench.runs()
    cancelled = here("cancel", "--json", run.name)
    assert ended(driver).returncode == 130
    kept = rows_in(work_path(run, 0))
    assert json.loads(cancelled.stdout) == {
        "run_id": run.name, "cancelled_jobs": [], "shards_done": 0, "posts_kept": kept,
    }  # fmt: skip
    assert cancelled.stderr.startswith(f"told to stop: pid {driver.pid} (")


def test_tasks_that_outlived_their_killed_parent_are_told_to_stop(bench: Bench, here: Here) -> None:
    bench.config(posts=200, checkpoint={"rows": 3}, classifier={"seconds": 0.3})
    driver = started(bench, 2)
    (run,) = bench.runs()
    until(lambda: all(rows_in(work_path(run, shard)) for shard in (0, 1)), "a part each")
    driver.kill()
    assert ended(driver).returncode == -signal.SIGKILL
    orphans = tasks_of(bench.folder)
    cancelled = here("cancel")
    assert said(cancelled) == (0, "")
    told = [
        f"told to stop: pid {pid} ({' '.join(words).strip()})"
        for pid, words in sorted(orphans.items())
    ]
    lines = cancelled.stdout.splitlines()
    assert sorted(lines[:2]) == sorted(told)
    assert lines[2:] == [
        "cancelled on this machine: 2 tasks ran, 0 waited",
        f"kept: 0 of 2 shards done (0 posts), {len(bench.asked())} posts in checkpoint parts",
        f"go on with: python -m hpc.resubmit {run}",
    ]
    assert tasks_of(bench.folder) == {}
    assert not run_folder.is_locked(run_folder.load(run))


def test_where_nothing_is_alive_it_says_so(bench: Bench, here: Here) -> None:
    run = valence_run(bench.folder, 4)
    done = here("cancel")
    assert said(done) == (0, "")
    assert done.stdout == (
        f"no task of run {run.run_id} is alive: nothing to cancel\n"
        "kept: 0 of 2 shards done (0 posts), 0 posts in checkpoint parts\n"
        f"go on with: python -m hpc.supervise {run.folder}\n"
    )
    assert json.loads(here("cancel", "--json").stdout) == {
        "run_id": run.run_id, "cancelled_jobs": [], "shards_done": 0, "posts_kept": 0,
    }  # fmt: skip


def test_a_run_that_is_complete_stays_so(bench: Bench, here: Here) -> None:
    bench.config(posts=4)
    assert said(bench.submit()) == (0, "")
    (run,) = bench.runs()
    assert here("cancel").stdout == (
        f"no task of run {run.name} is alive: nothing to cancel\n"
        "kept: 2 of 2 shards done (4 posts), 0 posts in checkpoint parts\n"
        f"nothing is left to do: every post has its row in {bench.folder}/labels.duckdb\n"
    )
    assert json.loads(here("cancel", "--json").stdout) == {
        "run_id": run.name, "cancelled_jobs": [], "shards_done": 2, "posts_kept": 4,
    }  # fmt: skip


def test_on_another_machine_it_says_where_to_type_it(bench: Bench, here: Here) -> None:
    run = valence_run(bench.folder, 4)
    with run_folder.locked(run.folder, "", noted=False):
        (run.folder / run_folder.LOCK).write_text("4711 login2 99\n")
        assert said(here("cancel")) == (
            1,
            f"error: run {run.run_id} is worked on by pid 4711 on login2: type there: "
            f"python -m hpc.cancel {run.folder}\n",
        )


def test_a_process_that_is_not_the_holder_is_left_alone(bench: Bench, here: Here) -> None:
    """As where the holder's pid went to somebody else, and what it left behind holds the lock."""
    run = valence_run(bench.folder, 4)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = Path(f"/proc/{bystander.pid}/stat").read_text().split()[21]
    lock = run.folder / run_folder.LOCK
    with run_folder.locked(run.folder, "", noted=False):
        lock.write_text(f"{bystander.pid} {HERE} {born}\n")
        refused = here("cancel")
    alive = bystander.poll() is None
    bystander.communicate(b"\n")
    assert alive
    assert bystander.returncode == 0
    assert said(refused) == (
        1,
        f"error: run {run.run_id} is in the hands of a process that cannot be found, or be told "
        f"to stop, from here: on another machine, or another user's ({lock})\n",
    )
    assert refused.stdout == ""


STUBBORN = """
import pathlib, signal, sys
from hpc.run import run_folder
signal.signal(signal.SIGTERM, lambda number, frame: print("no", flush=True))
with run_folder.locked(pathlib.Path(sys.argv[1]), ""):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_holder_that_does_not_end_is_said_to_live_on(
    bench: Bench, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.reconcile.cancellation.stop_tasks.__kwdefaults__", {"patience_s": 0.5})
    run = valence_run(bench.folder, 4)
    stubborn = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(run.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=bench.env,
    )  # fmt: skip
    assert stubborn.stdout
    assert stubborn.stdout.readline() == "held\n"
    refused = here("cancel")
    assert stubborn.communicate()[0] == "no\n"
    assert said(refused) == (
        1, f"error: pid {stubborn.pid} was told to stop and still holds run {run.run_id}\n",
    )  # fmt: skip
