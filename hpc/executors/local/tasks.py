"""Run an array's tasks as processes of this machine.

Each task inherits the run's lock. As long as one of them lives, however its parent died, nobody
submits the run's shards again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from hpc.executors.local import task_record
from hpc.locks import run_lock
from hpc.run.model.arrays import Submission
from hpc.run.model.run import Run, Say
from hpc.run.submissions import work_order
from pipeline import files
from pipeline.errors import UnreadableError
from pipeline.model import WorkOrder
from pipeline.run_files.manifest import log_path
from pipeline.text import counted

TICK_S = 0.05
KILL_WAIT_S = 30.0  # between SIGTERM and SIGKILL, as Slurm's KillWait


def run_array(
    run: Run,
    submission: Submission,
    lock: int,
    say: Say,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Run an array's tasks, in the order of their indices, until all have ended.

    A task that cannot be started or recorded, as on a full disk, ends nothing else: what runs goes
    on to its end, and nothing more is started.

    If interrupted, ask the running tasks to stop, say so, and wait: they keep what they have. If
    interrupted again, leave at once: the tasks stop by themselves, and hold the lock until then.

    Args:
        run: the run of the submission.
        submission: the array.
        lock: file descriptor of the run's lock.
        say: shows a message.
        meanwhile: called again and again while tasks run.

    Raises:
        LockLostError: the run's lock is not this process's any more. Its tasks are stopped.
        OSError: a task could not be started, or its end not be recorded.
        UnreadableError: a task's record cannot be read now.
    """
    files.make_folder_of_run(log_path(run.folder, submission.number))
    pending = list(submission.plan.indices)
    alive: dict[int, subprocess.Popen[bytes]] = {}
    failure: OSError | UnreadableError | None = None
    try:
        while alive or (pending and failure is None):
            if failure is None:
                failure = _start_some(run, submission, pending, alive, lock)
            before = len(alive)
            trouble = _record_ends(run, submission, alive)
            failure = failure or trouble
            if trouble and all(_exit_code(process) is not None for process in alive.values()):
                break
            if len(alive) == before:
                meanwhile()
                time.sleep(TICK_S)
    finally:
        _stop_all(run, submission, alive, say)
    if failure is not None and (pending or alive):
        raise failure


def _start_some(
    run: Run,
    submission: Submission,
    pending: list[int],
    alive: dict[int, subprocess.Popen[bytes]],
    lock: int,
) -> OSError | None:
    """Start as many tasks as may run at a time, and return what kept one from starting."""
    while pending and len(alive) < submission.plan.throttle:
        run_lock.check_lock(run, lock)
        try:
            alive[pending[0]] = _start(_order(run, submission, pending[0]), lock)
        except OSError as error:
            return error
        pending.pop(0)
    return None


def _record_ends(
    run: Run, submission: Submission, alive: dict[int, subprocess.Popen[bytes]]
) -> OSError | UnreadableError | None:
    """Record and forget the tasks that have ended, and return what kept one from being recorded."""
    trouble: OSError | UnreadableError | None = None
    for index, process in list(alive.items()):
        code = _exit_code(process)
        if code is None:
            continue
        try:
            task_record.record_end(_order(run, submission, index), code)
        except (OSError, UnreadableError) as error:
            trouble = error
        else:
            _reap(alive.pop(index), code)
    return trouble


def log_file(run: Run, shard: int, attempt: int) -> Path:
    """Return where a task's stdout and stderr go."""
    return log_path(run.folder, attempt) / f"{shard:05d}.log"


def _order(run: Run, submission: Submission, index: int) -> WorkOrder:
    return work_order(submission, index, run.folder, amendments=len(run.amendments))


def _start(order: WorkOrder, lock: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline.worker"]
    for name, value in asdict(order).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    # First: nobody would ever stop a task that runs without a record.
    task_record.record_start(order)
    folder = log_path(Path(order.run_dir), order.attempt)
    try:
        with (folder / f"{order.shard_index:05d}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the parent, which then stops its tasks in good order.
                start_new_session=True,
                pass_fds=(lock,),
            )
    except OSError:
        task_record.forget_start(order)
        raise


def _stop_all(
    run: Run, submission: Submission, alive: dict[int, subprocess.Popen[bytes]], say: Say
) -> None:
    running = {index for index, process in alive.items() if _exit_code(process) is None}
    for index in running:
        os.kill(alive[index].pid, signal.SIGTERM)
    if running:
        with contextlib.suppress(BrokenPipeError):  # `| tee` goes with the same Ctrl-C
            say(
                f"stopping {counted(len(running), 'task')}, which takes up to {KILL_WAIT_S:.0f} s, "
                "because they save their answers first. Ctrl-C again leaves at once, and the tasks "
                "stop by themselves"
            )
    for index in running:
        task_record.record_stop_request(_order(run, submission, index))
    deadline = time.monotonic() + KILL_WAIT_S
    for index, process in alive.items():
        code = _wait(process, deadline)
        order = _order(run, submission, index)
        with contextlib.suppress(OSError, UnreadableError):  # every other task has to be stopped
            task_record.record_end(order, code, stop_requested=index in running)
        _reap(process, code)


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return how a task ended, as Popen has it, but leave it to be reaped; None while it runs.

    Not `Popen.poll`: Ctrl-C raises wherever it comes. If that is right after Popen has taken its
    lock, nobody releases it, and `Popen.wait` waits for it without end.
    """
    try:
        result = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0  # a shell that ignores SIGCHLD leaves nobody to ask; the output tells
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _wait(process: subprocess.Popen[bytes], deadline: float) -> int:
    """Wait for a task, kill it if it is still alive at the deadline, and return how it ended."""
    while (code := _exit_code(process)) is None:
        if time.monotonic() > deadline:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(TICK_S)
    return code


def _reap(process: subprocess.Popen[bytes], code: int) -> None:
    process.returncode = code  # Popen asks no more from here on
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, 0)
