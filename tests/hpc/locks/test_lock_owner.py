"""The holder of a lock is named where it is known, and no other process is asked to stop."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.locks import lock_owner, run_lock
from hpc.locks.lock_owner import LockOwner
from pipeline.errors import BusyError
from tests.hpc.cli_bench import ROOT

HERE = socket.gethostname()
HOLDS = """
import pathlib, sys
from hpc.locks import run_lock
with run_lock.locked(pathlib.Path(sys.argv[1]), ""):
    print("held", flush=True)
    sys.stdin.read()
"""
IDLES = "import sys; print('idle', flush=True); sys.stdin.read()"
Process = subprocess.Popen[str]


def started(code: str, *arguments: object) -> Process:
    """Return a process that has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline()
    return process


def gone(process: Process) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Process]:
    """Yield a process that holds the lock of `tmp_path`."""
    process = started(HOLDS, tmp_path)
    yield process
    gone(process)


@pytest.fixture
def idle() -> Iterator[Process]:
    """Yield a process that has nothing to do with the lock."""
    process = started(IDLES)
    yield process
    gone(process)


def started_at(pid: int) -> str:
    """Return field 22 of proc(5); no command in these tests has a space in its name."""
    return Path(f"/proc/{pid}/stat").read_text().split()[21]


def note(folder: Path, pid: int, host: str = HERE, started: str | None = None) -> Path:
    lock = folder / run_lock.LOCK
    lock.write_text(f"{pid} {host} {started or started_at(pid)}\n")
    return lock


def test_the_note_and_the_error_name_the_lock_holder(tmp_path: Path, held: Process) -> None:
    lock = tmp_path / run_lock.LOCK
    owner = LockOwner(held.pid, HERE, started_at(held.pid))
    assert lock.read_text() == f"{held.pid} {HERE} {owner.started}\n"
    assert lock_owner.read_owner(lock) == owner
    with pytest.raises(BusyError) as busy, run_lock.locked(tmp_path, "somebody is at it"):
        pass
    assert str(busy.value) == f"somebody is at it (pid {held.pid} on {HERE})"


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (["/usr/bin/python3", "/home/ana/.venv/bin/hpc", "supervise", "runs/x"], "supervise"),
        (["hpc", "--debug", "submit", "--wait"], "submit"),
        (["python", "-u", "-m", "hpc.resubmit", "--force"], "resubmit"),
        (["python", "-m", "hpc", "gather"], "gather"),
        (["python", "-m", "ipykernel_launcher", "-f", "hpc.json"], ""),
        (["hpc"], ""),
        ([], ""),
    ],
)
def test_the_verb_of_a_lock_holder_is_read_off_its_command_line(
    arguments: list[str], verb: str
) -> None:
    assert lock_owner.verb_of(arguments) == verb


def test_a_new_note_replaces_a_longer_one_completely(tmp_path: Path) -> None:
    lock = note(tmp_path, 4194304, "a-host-of-a-much-longer-name.example.org", "1" * 30)
    with run_lock.locked(tmp_path, ""):
        assert lock.read_text() == f"{os.getpid()} {HERE} {started_at(os.getpid())}\n"


def test_a_lock_taken_without_a_note_keeps_the_old_note(tmp_path: Path) -> None:
    lock = note(tmp_path, 7, "n3", "9")
    with run_lock.locked(tmp_path, "", noted=False):
        pass
    assert lock.read_text() == "7 n3 9\n"


def test_a_killed_lock_holder_is_not_named_although_its_note_stays(
    tmp_path: Path, held: Process
) -> None:
    gone(held)
    lock = tmp_path / run_lock.LOCK
    assert lock.read_text().startswith(f"{held.pid} ")
    assert lock_owner.read_owner(lock) is None


def test_the_note_of_a_lock_holder_on_another_machine_is_trusted(tmp_path: Path) -> None:
    lock = note(tmp_path, 4711, "login2", "12")
    assert lock_owner.read_owner(lock) == LockOwner(4711, "login2", "12")
    assert str(lock_owner.read_owner(lock)) == "pid 4711 on login2"


@pytest.mark.parametrize("text", ["", "4711", "a b c", "1 2 3 4", "\udcff 1 1"])
def test_an_unreadable_note_names_nobody(tmp_path: Path, text: str) -> None:
    lock = tmp_path / run_lock.LOCK
    lock.write_bytes(text.encode(errors="surrogateescape"))
    assert lock_owner.read_owner(lock) is None


def test_a_process_without_the_file_open_is_not_asked_to_stop(
    tmp_path: Path, idle: Process
) -> None:
    """It may have held the lock once and do something else now."""
    lock = note(tmp_path, idle.pid)
    owner = LockOwner(idle.pid, HERE, started_at(idle.pid))
    assert lock_owner.read_owner(lock) is None
    assert not lock_owner.send_sigterm(owner, lock)
    assert idle.poll() is None


def test_a_process_that_reuses_the_pid_of_a_dead_holder_is_not_asked_to_stop(
    tmp_path: Path, held: Process
) -> None:
    """Not even with the file open, such as while it waits for the lock itself."""
    lock = note(tmp_path, held.pid, started="1")
    assert lock_owner.read_owner(lock) is None
    assert not lock_owner.send_sigterm(LockOwner(held.pid, HERE, "1"), lock)
    assert held.poll() is None


def test_the_lock_holder_is_asked_to_stop(tmp_path: Path, held: Process) -> None:
    lock = tmp_path / run_lock.LOCK
    owner = lock_owner.read_owner(lock)
    assert owner is not None
    assert lock_owner.send_sigterm(owner, lock)
    assert held.wait(30) == -signal.SIGTERM
    assert not lock_owner.send_sigterm(owner, lock)


def test_only_tasks_that_have_the_lock_open_count_as_holding_it(
    tmp_path: Path, held: Process
) -> None:
    """Tasks are known by their command line."""
    lock, other = tmp_path / run_lock.LOCK, tmp_path / "other"
    task = "import sys; print('up', flush=True); sys.stdin.read() # pipeline.worker"
    for inherited in (lock, other):
        inherited.touch()
    assert lock_owner.tasks_holding(lock) == []
    with lock.open() as ours, other.open() as another:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", task, word],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                pass_fds=[stream.fileno()],
            )
            for word, stream in (
                ("pipeline.worker", ours), ("pipeline.worker", another), ("status", ours),
            )
        ]  # fmt: skip
    for process in processes:
        assert process.stdout and process.stdout.readline()
    holders = lock_owner.tasks_holding(lock)
    for process in processes:
        gone(process)
    assert holders == [LockOwner(processes[0].pid, HERE, holders[0].started)]
