"""Stop the process that runs a local run's tasks, or tasks that it left behind."""

import time
from pathlib import Path

from hpc.executors.local.tasks import KILL_WAIT_S
from hpc.locks import lock_owner, run_lock
from hpc.locks.lock_owner import LockOwner
from hpc.run.model.run import Run, Say
from pipeline.errors import RunError

# A stopped task may take until SIGKILL, and its parent as long again.
PATIENCE_S = 2 * KILL_WAIT_S


def stop_tasks(run: Run, say: Say, *, patience_s: float = PATIENCE_S) -> bool:
    """Ask the process that runs the tasks to stop, and wait until it has.

    That process stops its tasks in good order. Tasks whose parent is dead are asked themselves.

    Returns:
        Whether any process held the run.

    Raises:
        RunError: the holder is on another machine, cannot be found, or does not end in time.
    """
    lock = run.folder / run_lock.LOCK
    deadline = time.monotonic() + patience_s
    stopped: set[LockOwner] = set()
    looks = 0
    while run_lock.is_locked(run):
        looks += 1
        holder = lock_owner.read_owner(lock)
        if holder and not holder.is_here:
            raise RunError(
                f"run {run.run_id} is running on another machine ({holder}); there, type: "
                f"hpc cancel {run.folder}"
            )
        for owner in [holder] if holder else lock_owner.tasks_holding(lock):
            command = owner.command.strip()
            if owner not in stopped and _stop(owner, run, lock):
                say(f"stopping pid {owner.pid} ({command})")
                stopped.add(owner)
        if not stopped and looks > 2:
            raise RunError(
                f"run {run.run_id} is locked by a process on another machine or of another user "
                f"({lock})"
            )
        if time.monotonic() > deadline:
            pids = ", ".join(str(owner.pid) for owner in stopped)
            raise RunError(f"pid {pids} was asked to stop and still holds run {run.run_id}")
    return bool(stopped)


def _stop(owner: LockOwner, run: Run, lock: Path) -> bool:
    try:
        return lock_owner.send_sigterm(owner, lock)
    except PermissionError:
        raise RunError(
            f"run {run.run_id} is running as {owner}: only {owner.other_user} or an administrator "
            f"can stop it, with hpc cancel {run.folder}"
        ) from None
