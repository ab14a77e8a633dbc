"""Hold a run's lock, and see the run as it is from then on."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from hpc.locks.run_lock import lock_run
from hpc.run.model.run import Run
from hpc.run.run_folder import reload


@dataclass(frozen=True, slots=True)
class LockedRun:
    """A run whose lock this process holds, with the lock's file descriptor."""

    run: Run
    lock: int


@contextlib.contextmanager
def hold_run(run: Run) -> Iterator[LockedRun]:
    """Hold a run's lock; yield the run as its folder says it then.

    Whoever held the lock before may have corrected or finished the run. What was judged without
    the lock has to be judged again.

    Raises:
        BusyError: another process holds it.
        RunError: the run's folder was moved or removed.
        InputError: another version has amended the run.
    """
    with lock_run(run) as lock:
        yield LockedRun(reload(run), lock)
