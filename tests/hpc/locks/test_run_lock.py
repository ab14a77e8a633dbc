"""The lock of a run: one process at a time."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.locks import run_lock
from hpc.run import run_folder
from hpc.run.model.run import Run
from pipeline.errors import BusyError, RunError
from tests.hpc.cli_bench import ROOT
from tests.pipeline import run_builders


@pytest.fixture
def run_of_two_shards(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=2)
    return run_folder.load(folder)


def test_one_process_at_a_time_locks_a_run_and_a_dead_process_frees_it(
    run_of_two_shards: Run,
) -> None:
    assert not run_lock.is_locked(run_of_two_shards)
    with run_lock.lock_run(run_of_two_shards):
        assert run_lock.is_locked(run_of_two_shards)
        with pytest.raises(
            BusyError, match=rf"^run {run_of_two_shards.run_id} is locked by another"
        ):
            run_lock.lock_run(run_of_two_shards).__enter__()
    assert not run_lock.is_locked(run_of_two_shards)
    holder = (
        "import os, pathlib, sys; from hpc.locks import run_lock\n"
        "with run_lock.locked(pathlib.Path(sys.argv[1]), ''): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", holder, str(run_of_two_shards.folder)], check=False
    )
    assert killed.returncode == -9
    assert not run_lock.is_locked(run_of_two_shards)


@pytest.mark.parametrize(
    ("verb", "advice"),
    [
        (
            "supervise",
            "press Ctrl-C in its terminal (tasks in Slurm keep running). Then run this command "
            "again, and hpc supervise after it",
        ),
        (
            "submit",
            "wait for it, or press Ctrl-C in its terminal (tasks in Slurm keep running). Then run "
            "this command again",
        ),
    ],
)
def test_the_command_that_works_on_a_run_is_named(
    run_of_two_shards: Run, verb: str, advice: str
) -> None:
    """A command line of two words is enough to be one."""
    script = run_of_two_shards.folder.parent / "hpc"
    script.write_text(
        "import pathlib, sys\n"
        "from hpc.locks import run_lock\n"
        "with run_lock.locked(pathlib.Path(sys.argv[-1]), ''):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, str(script), verb, str(run_of_two_shards.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with holder:
        assert holder.stdout and holder.stdout.readline()
        with pytest.raises(BusyError) as busy:
            run_lock.lock_run(run_of_two_shards).__enter__()
        holder.kill()
    who = f"(pid {holder.pid} on {socket.gethostname()})"
    assert str(busy.value) == (
        f"hpc {verb} is working on run {run_of_two_shards.run_id} {who}: {advice}"
    )


def test_the_lock_of_a_file_that_was_removed_or_replaced_is_lost(run_of_two_shards: Run) -> None:
    path = run_of_two_shards.folder / run_lock.LOCK
    with run_lock.lock_run(run_of_two_shards) as first:
        run_lock.check_lock(run_of_two_shards, first)
        path.unlink()
        with pytest.raises(run_lock.LockLostError):
            run_lock.check_lock(run_of_two_shards, first)
        with run_lock.lock_run(run_of_two_shards) as second:
            run_lock.check_lock(run_of_two_shards, second)
            with pytest.raises(run_lock.LockLostError):
                run_lock.check_lock(run_of_two_shards, first)


@pytest.mark.parametrize(
    "put",
    [
        lambda path, other: path.symlink_to(other),
        lambda path, other: path.symlink_to(path),
        lambda path, other: path.mkdir(),
        lambda path, other: os.mkfifo(path),
    ],
    ids=["a link", "a link to itself", "a folder", "a pipe"],
)
def test_only_a_file_is_locked_and_written_to(
    run_of_two_shards: Run, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    """Who holds a lock is noted in it, and a link may lead to a file that somebody needs."""
    other = tmp_path / "other"
    other.write_text("precious")
    path = run_of_two_shards.folder / run_lock.LOCK
    put(path, other)
    with (
        pytest.raises(RunError, match=f"^{path} should be a file"),
        run_lock.lock_run(run_of_two_shards),
    ):
        pass
    assert other.read_text() == "precious"


def test_a_lock_whose_file_is_removed_before_it_is_taken_is_taken_anew(
    run_of_two_shards: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two processes could hold it: nobody can open the removed file any more."""
    path, flock = run_of_two_shards.folder / run_lock.LOCK, fcntl.flock
    removed: list[int] = []

    def remove_and_lock(descriptor: int, kind: int) -> None:
        if not removed:
            removed.append(path.stat().st_ino)
            path.unlink()
        flock(descriptor, kind)

    monkeypatch.setattr("hpc.locks.run_lock.fcntl.flock", remove_and_lock)
    with run_lock.lock_run(run_of_two_shards) as descriptor:
        assert removed
        run_lock.check_lock(run_of_two_shards, descriptor)
        assert run_lock.is_locked(run_of_two_shards)


def test_the_lock_is_held_as_long_as_a_child_that_inherited_it_lives(
    run_of_two_shards: Run,
) -> None:
    with run_lock.lock_run(run_of_two_shards) as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
        )
    assert run_lock.is_locked(run_of_two_shards)
    child.communicate()
    assert not run_lock.is_locked(run_of_two_shards)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_with_the_key_that_moves_the_runs(
    tmp_path: Path, number: int
) -> None:
    lock = tmp_path / ".lock"
    problem = run_lock.describe_lock_failure(OSError(number, os.strerror(number)), lock)
    assert isinstance(problem, RunError)
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    named = [
        kind for place, kind in mounts if f"the {kind} file system at {place} " in str(problem)
    ]
    assert named
    assert str(problem).startswith(f"{lock}: ")
    assert "storage.run_root" in str(problem)


def test_another_failure_to_lock_names_the_file(tmp_path: Path) -> None:
    problem = run_lock.describe_lock_failure(OSError(errno.EIO, "Input/output error"), tmp_path)
    assert isinstance(problem, OSError)
    assert (problem.errno, problem.filename) == (errno.EIO, str(tmp_path))
