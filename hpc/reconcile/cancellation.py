"""Ending what a run has alive: jobs of Slurm's, or the local executor's tasks.

What is ended is looked for again until nothing is left: Slurm takes its time (KillWait), and a
submitter elsewhere may just be submitting. The caretaker goes first: it is there to submit again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hpc.executors.local.executor import PATIENCE_S as KILL_WAIT_S
from hpc.executors.slurm.client import Slurm, SlurmError
from hpc.reconcile.caretaker import CARETAKER, UNDERSTUDY
from hpc.run import lock_owner, run_folder, submissions
from hpc.run.model import Phase, Run, Say, TaskRecord
from pipeline.errors import BusyError, RunError

PATIENCE_S = 120.0
PAUSE_S = 1.0
COMPLETING = "COMPLETING"
# Of one task: the array's job id and the task's index, None for what is no array.
Task = tuple[int, int | None]


@dataclass(slots=True)
class Cancelled:
    """What was found alive, as it was first seen, and what is left of it. `withdrawn`: shards that
    were to be submitted and never came to Slurm."""

    tasks: dict[Task, TaskRecord] = field(default_factory=dict)
    caretakers: set[int] = field(default_factory=set)
    left: dict[Task, TaskRecord] = field(default_factory=dict)
    withdrawn: tuple[int, ...] = ()

    @property
    def jobs(self) -> list[int]:
        return sorted({job for job, _ in self.tasks})

    @property
    def arrays(self) -> list[int]:
        return [job for job in self.jobs if job not in self.caretakers]

    def ran(self) -> int:
        return sum(
            record.phase is Phase.ACTIVE
            for (job, _), record in self.tasks.items()
            if job not in self.caretakers
        )

    def waited(self) -> int:
        return sum(job not in self.caretakers for job, _ in self.tasks) - self.ran()


def cancel_jobs(run: Run, slurm: Slurm, say: Say, *, patience_s: float = PATIENCE_S) -> Cancelled:
    """Ends every job of the run, with or without its lock: who holds it is said.

    Raises SlurmError where Slurm refuses or does not answer.
    """
    ending = _Ending(run, slurm, patience_s)
    ending.until_gone(ending.is_caretaker)
    try:
        with run_folder.lock_run(run):
            ending.until_gone(lambda name: True)
            ending.settle()
    except BusyError as error:
        say(
            f"{error}\nits jobs are ended all the same; a supervise there may submit others: end it"
        )
        ending.until_gone(lambda name: True)
        time.sleep(PAUSE_S)  # for an sbatch that was under way
        ending.until_gone(lambda name: True)
    return ending.ended


class _Ending:
    def __init__(self, run: Run, slurm: Slurm, patience_s: float) -> None:
        self._run = run
        self._slurm = slurm
        self._patience_s = patience_s
        self._prefix = submissions.job_prefix(run)
        self._names: dict[str, int] = {}
        self._refused: set[int] = set()
        self.ended = Cancelled()

    def is_caretaker(self, name: str) -> bool:
        return name in (self._prefix + CARETAKER, self._prefix + UNDERSTUDY)

    def until_gone(self, chosen: Callable[[str], bool]) -> None:
        """Cancels what is chosen by name until none of it is alive, or patience is at its end."""
        deadline = time.monotonic() + self._patience_s
        while True:
            self.ended.left = alive = self._alive(chosen)
            if not alive or time.monotonic() > deadline:
                return
            # One that is completing has its SIGTERM; a second might end its last flush.
            for job in sorted(
                {job for (job, _), one in alive.items() if one.slurm_state != COMPLETING}
            ):
                self._cancel(job)
            time.sleep(PAUSE_S)

    def settle(self) -> None:
        """Nothing may be taken up later as if nobody had cancelled: an array that was not released
        yet counts as submitted (and cancelled), and what never came to Slurm is forgotten.

        The caller holds the run's lock.
        """
        withdrawn: list[int] = []
        for one in submissions.read_submissions(self._run):
            if one.released_at:
                continue
            job = one.array_job_id or self._names.get(one.job_name)
            if job is None:
                submissions.withdraw_submission(self._run, one)
                withdrawn += one.plan.shards
            else:
                now = datetime.now(UTC)
                submissions.write_submission(
                    self._run, replace(one, array_job_id=job, released_at=now)
                )
        self.ended.withdrawn = tuple(withdrawn)

    def _alive(self, chosen: Callable[[str], bool]) -> dict[Task, TaskRecord]:
        alive: dict[Task, TaskRecord] = {}
        for name, identity, record in self._slurm.jobs(self._prefix):
            if record.phase is Phase.ENDED or not chosen(name):
                continue
            self._names[name] = identity.job
            if self.is_caretaker(name):
                self.ended.caretakers.add(identity.job)
            indices: Sequence[int | None] = identity.indices or (None,)
            alive.update({(identity.job, index): record for index in indices})
        self.ended.tasks = {**alive, **self.ended.tasks}
        return alive

    def _cancel(self, job: int) -> None:
        """A refusal counts the second time: the job may just have ended by itself."""
        try:
            self._slurm.cancel([job])
        except SlurmError:
            if job in self._refused:
                raise
            self._refused.add(job)


def stop_tasks(run: Run, say: Say, *, patience_s: float = 2 * KILL_WAIT_S) -> bool:
    """Tells the process that runs the tasks to stop, and waits until it has: it ends them in good
    order. Tasks whose parent is dead are told themselves. False where there was nobody.

    Raises RunError where the holder is not of this machine, or does not end in time.
    """
    lock = run.folder / run_folder.LOCK
    deadline = time.monotonic() + patience_s
    told: set[lock_owner.LockOwner] = set()
    looked = 0
    while run_folder.is_locked(run):
        looked += 1
        head = lock_owner.read_owner(lock)
        if head and not head.is_here:
            raise RunError(
                f"run {run.run_id} is worked on by {head}: type there: "
                f"python -m hpc.cancel {run.folder}"
            )
        for one in [head] if head else lock_owner.tasks_holding(lock):
            command = one.command
            if one not in told and lock_owner.send_sigterm(one, lock):
                say(f"told to stop: pid {one.pid} ({command})")
                told.add(one)
        if not told and looked > 2:
            raise RunError(
                f"run {run.run_id} is in the hands of a process that cannot be found, or be told "
                f"to stop, from here: on another machine, or another user's ({lock})"
            )
        if time.monotonic() > deadline:
            listed = ", ".join(str(one.pid) for one in told)
            raise RunError(f"pid {listed} was told to stop and still holds run {run.run_id}")
    return bool(told)
