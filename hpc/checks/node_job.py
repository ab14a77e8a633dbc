"""Run a short job on a node that looks around there, and bring back what it found.

The job works in a folder of the run root. Whatever happens, the job is canceled and the folder
removed.
"""

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc.checks.judge_node import NodeOutcome
from hpc.executors.base import ExecutorError
from hpc.executors.node_jobs import LOG, NodeJob, NodeJobs, NodeJobState
from hpc.run.cluster.resources import Cluster
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Say
from pipeline import files
from pipeline.errors import InputError, UnreadableError
from pipeline.run_files.json_record import read_record
from pipeline.run_files.node_report import (
    FOLDER_PREFIX,
    LOCK,
    ORDER,
    REPORT,
    NodeOrder,
    NodeReport,
)
from pipeline.system.file_locks import take_lock
from pipeline.terminal import one_line, read_tail
from pipeline.text import format_duration

MODULE = "pipeline.worker.node_probe"
LIMIT_MIN = 1
# Slurm ends a job up to a minute after its limit, and needs some seconds before and after.
_LONGEST_RUN_S = 180.0
_LOOK_S = 0.5
_LONGEST_LINE = 300
_OF_SLURM = ("srun: ", "slurmstepd")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePatience:
    """How long to wait for a job."""

    start_s: float
    """Until it starts."""
    late_files_s: float
    """After its end, until its files appear here."""


def look_at_node(
    jobs: NodeJobs, cluster: Cluster, root: Path, order: NodeOrder, patience: NodePatience, say: Say
) -> NodeOutcome:
    """Submit the job, wait for it, and return what it found.

    Raises:
        OSError: the folder cannot be created.
        KeyboardInterrupt: somebody has lost patience. The job is canceled.
    """
    with _own_folder(root, say) as folder:
        files.write_json(folder / ORDER, order.to_json())
        job = NodeJob(
            name=f"hpc-check-{folder.name.removeprefix(FOLDER_PREFIX)}",
            folder=folder,
            module=MODULE,
            minutes=min(LIMIT_MIN, cluster.resources.time_min),
            resources=cluster.resources,
        )
        try:
            number = jobs.submit(job)
        except ExecutorError as error:
            return NodeOutcome(root=root, refused=error.words)
        say(f"job {number} checks a compute node; Ctrl-C cancels it")
        watch = _Watch(jobs, number, folder, patience, say)
        try:
            return watch.follow(root)
        finally:
            watch.end()


class _Watch:
    """Follows one job."""

    def __init__(
        self, jobs: NodeJobs, job: int, folder: Path, patience: NodePatience, say: Say
    ) -> None:
        self._jobs, self._job, self._folder = jobs, job, folder
        self._patience, self._say = patience, say
        self._state: NodeJobState | None = None
        self._trouble = ""
        self._has_reported = False

    def follow(self, root: Path) -> NodeOutcome:
        """Wait until the report is whole, or nothing more can come."""
        began = last_look = time.time()
        started: float | None = None
        deadline = began + self._patience.start_s
        between = (0.0, 0.0)
        report: NodeReport | None = None
        while True:
            now = time.time()
            if report is None and (report := self._read()):
                between = (last_look, now)
            elif report is not None:
                report = self._read() or report
            last_look = now
            if report is not None and not report.stage:
                self._has_reported = True
                break
            before, self._state = self._state, self._look()
            self._tell(before)
            if started is None and _has_begun(self._state):
                started, deadline = now, now + _LONGEST_RUN_S
            if self._state and self._state.phase is Phase.ENDED:
                deadline = min(deadline, now + self._patience.late_files_s)
            if now > deadline:
                break
            time.sleep(_LOOK_S)
        return NodeOutcome(
            root=root,
            job=self._job,
            state=self._state,
            waited_s=(started or last_look) - began,
            report=report,
            log_end=_last_line(self._folder / LOG),
            seen_between=between,
            trouble=self._trouble,
        )

    def end(self) -> None:
        """Cancel the job. One that has ended is left alone."""
        if self._state and self._state.phase is Phase.ENDED:
            return
        try:
            self._jobs.cancel(self._job)
        except ExecutorError as error:
            self._say(f"job {self._job} is not canceled ({error.words}): scancel {self._job}")
            return
        if not self._has_reported:  # else it was about to end
            self._say(f"job {self._job} canceled")

    def _look(self) -> NodeJobState | None:
        try:
            state = self._jobs.look(self._job)
        except ExecutorError as error:
            self._trouble = error.words
            return self._state
        self._trouble = ""
        return state

    def _read(self) -> NodeReport | None:
        try:
            # NFS looks for new files only when a folder is listed.
            if REPORT not in files.names_in(self._folder):
                return None
            return read_record(self._folder / REPORT, NodeReport)
        except (OSError, InputError, UnreadableError):
            return None

    def _tell(self, before: NodeJobState | None) -> None:
        state = self._state
        if state is None or (before and before.words == state.words):
            return
        if state.phase is not Phase.ENDED:
            why = f" ({state.reason})" if state.reason else ""
            where = f" on {state.node}" if state.node else ""
            wait = ""
            if not _has_begun(state):
                wait = f", waiting up to {format_duration(self._patience.start_s)}"
            self._say(f"job {self._job}: {state.words}{why}{where}{wait}")


def _has_begun(state: NodeJobState | None) -> bool:
    return state is not None and state.phase in (Phase.ACTIVE, Phase.ENDED)


@contextlib.contextmanager
def _own_folder(root: Path, say: Say) -> Iterator[Path]:
    """Yield a folder below the run root whose lock is held; remove what is created for it.

    Folders of processes that were killed are removed too: their locks are free.
    """
    created = [place for place in (root, *root.parents) if not place.exists()]
    root.mkdir(parents=True, exist_ok=True)
    for abandoned in root.glob(f"{FOLDER_PREFIX}*"):
        _remove_abandoned(abandoned)
    folder = root / f"{FOLDER_PREFIX}{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
        with (folder / LOCK).open("wb") as lock:
            with contextlib.suppress(OSError):  # the report says whether locks work
                take_lock(lock.fileno())
            yield folder
    finally:
        _remove(folder, say)
        for place in created:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                place.rmdir()


def _remove_abandoned(folder: Path) -> None:
    try:
        with (folder / LOCK).open("rb+") as lock:
            if take_lock(lock.fileno()):
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is in use, or another user's
        return


def _remove(folder: Path, say: Say) -> None:
    """Remove the folder; a job that was just canceled may still write to it for a moment."""
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_LOOK_S)
    say(f"{folder} could not be removed: rm -r {folder}")


def _last_line(log: Path) -> str:
    text = read_tail(log) or ""
    lines = [line for line in text.splitlines() if line.strip()]
    # Slurm's own lines at the end only say that something before them failed.
    own = [line for line in lines if not line.startswith(_OF_SLURM)]
    return one_line((own or lines)[-1], _LONGEST_LINE) if lines else ""
