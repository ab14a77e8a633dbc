"""A task of a Slurm array reads its order from a file of numbers; one process labels a shard."""

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.run_files import array_orders, output
from pipeline.run_files.array_orders import ArrayOrders
from pipeline.run_files.manifest import log_path
from pipeline.worker.array_task import requeue_handler, why_not_to_label
from tests.pipeline.run_builders import make_run, posts

ORDERS: dict[str, Any] = {
    "offset": 0, "indices": [0, 1], "parallel_tasks": 2, "amendments": 0, "requeues": 0,
    "crashed": {},
}  # fmt: skip


def run_task(folder: Path, index: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point as the batch script does, but wait for no orders."""
    program = (
        "import sys; from pathlib import Path; from pipeline.worker import array_task; import os; "
        "wait = array_task.wait_for_orders; "
        "array_task.wait_for_orders = lambda folder: wait(folder, wait_s=0); "
        "array_task.main(Path(sys.argv[1]), os.environ)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env={**os.environ, "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": str(index)}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def log_folder(run_dir: Path, orders: object = None) -> Path:
    """The attempt's log folder, with orders in it."""
    folder = log_path(run_dir, 1)
    folder.mkdir(parents=True)
    (folder / "orders.json").write_text(json.dumps(orders or ORDERS))
    return folder


def test_a_task_labels_the_shard_of_its_array_index_and_says_last_that_it_returned(
    tmp_path: Path,
) -> None:
    run_dir, run = make_run(tmp_path, posts(4), shards=2)
    folder = log_folder(run_dir)
    done = run_task(folder, 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == array_orders.END_LINE
    assert [output.verify(run_dir, run, shard).verified for shard in (0, 1)] == [False, True]
    # An attempt that finds the shard published has returned as well.
    again = run_task(folder, 1)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, array_orders.END_LINE)


def test_a_pickle_in_the_folder_is_not_read(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    run_dir, _ = make_run(tmp_path, posts(4), shards=2)
    folder = log_folder(run_dir)
    for name in ("4711_0_submitted.pkl", "orders.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    assert run_task(folder).returncode == 0
    assert not (tmp_path / "executed").exists()


WRONG: list[object] = [
    [], 3, {}, {**ORDERS, "offset": "0"}, {**ORDERS, "offset": -1}, {**ORDERS, "indices": None},
    {**ORDERS, "run_dir": "/elsewhere"}, {**ORDERS, "crashed": {"0": "1"}},
    {**ORDERS, "indices": [1]},
]  # fmt: skip


@pytest.mark.parametrize("orders", WRONG)
def test_orders_that_are_wrong_end_the_task_before_anything_is_paid(
    tmp_path: Path, orders: object
) -> None:
    run_dir, _ = make_run(tmp_path, posts(4), shards=2)
    folder = log_folder(run_dir)
    (folder / "orders.json").write_text(json.dumps(orders))
    done = run_task(folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert str(folder / "orders.json") in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((run_dir / "outputs").glob("*"))


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_orders_that_are_missing_or_damaged_are_named(
    tmp_path: Path, content: bytes | None
) -> None:
    run_dir, _ = make_run(tmp_path, posts(4), shards=2)
    folder = log_folder(run_dir)
    path = folder / "orders.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = run_task(folder)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_shard_that_the_run_does_not_have_ends_the_task(tmp_path: Path) -> None:
    run_dir, _ = make_run(tmp_path, posts(4), shards=2)
    done = run_task(log_folder(run_dir, {**ORDERS, "offset": 5}))
    assert done.returncode == 1
    assert not list((run_dir / "outputs").glob("*"))


@pytest.mark.parametrize("environment", [{}, {"SLURM_PROCID": "0"}, {"SLURM_NTASKS": "4"}])
def test_the_first_process_of_a_step_labels_its_shard(environment: dict[str, str]) -> None:
    assert why_not_to_label(environment) == ""


def test_a_further_copy_ends_at_once_and_writes_nothing(tmp_path: Path) -> None:
    run_dir, _ = make_run(tmp_path, posts(4), shards=2)
    folder = log_folder(run_dir)
    before = sorted(run_dir.rglob("*"))
    done = run_task(folder, SLURM_PROCID="1", SLURM_NTASKS="2")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(run_dir.rglob("*")) == before


def scontrol(folder: Path, ending: str) -> Path:
    """Install a scontrol that writes down what it is asked; return that file."""
    asked = folder / "asked"
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n{ending}\n')
    program.chmod(0o755)
    return asked


@pytest.mark.parametrize(("restarts", "is_requeued"), [("0", True), ("1", True), ("2", False)])
def test_a_task_may_requeue_itself_as_often_as_its_orders_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: str, is_requeued: bool
) -> None:
    asked = scontrol(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    slurm = {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "7"}
    handler = requeue_handler(2, {**slurm, "SLURM_RESTART_COUNT": restarts})
    with pytest.raises(SystemExit if is_requeued else RuntimeError):
        handler(signal.SIGUSR2, None)
    assert asked.exists() == is_requeued
    assert not is_requeued or asked.read_text() == "requeue 4711_7\n"


def test_a_requeue_that_slurm_refuses_is_an_error_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol(tmp_path, "echo Job requeue is disabled >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    slurm = {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "7"}
    with pytest.raises(RuntimeError, match="Job requeue is disabled"):
        requeue_handler(1, slurm)(signal.SIGUSR2, None)


def test_orders_are_read_as_they_were_written(tmp_path: Path) -> None:
    orders = ArrayOrders(
        offset=20, indices=(3, 7), parallel_tasks=2, amendments=1, requeues=0, crashed={7: (1, 3)}
    )
    array_orders.write(tmp_path, orders)
    assert array_orders.read(tmp_path) == orders
