"""Run one task as a process on a compute node: its order, its signals, and how it ends.

A task must be re-entrant: Slurm may requeue it under the same id, and an old attempt may still be
running.
"""

import argparse
import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.arrow.skip_pandas import skip_pandas
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.errors import ENDED_BY_SIGNAL, Cause, TaskError
from pipeline.model import WorkOrder
from pipeline.run_files import amendments, heartbeat, last_words, manifest, output
from pipeline.run_files.last_words import LastWordsWriter
from pipeline.run_files.manifest import Manifest
from pipeline.service.descriptors import describe_lack, raise_limit
from pipeline.system import processes
from pipeline.terminal import flush_streams, use_clean_streams
from pipeline.worker.shard_task import Task, TaskOutcome, say

_VALUES_PER_COLLECTION = 100_000


def run_task(order: WorkOrder, *, requeue: bool = False) -> None:
    """Label one shard, and return once its output is there.

    Args:
        order: which shard of which run, and which attempt.
        requeue: after the warning of the time limit, call the handler that was installed before
            (submitit's), which puts the task back into Slurm's queue. Last words are written only
            if it does not.

    Raises:
        SystemExit: 0 if another attempt published the shard meanwhile, 143 after SIGTERM, 1 after
            an error or the warning of the time limit, which leave last words.
    """
    # Posts and answers are many and last. By default the collector looks at all of them again and
    # again, which took a tenth of the time that a task spends beside its classifier.
    gc.set_threshold(_VALUES_PER_COLLECTION, 20, 20)
    run_dir = Path(order.run_dir)
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    signals = StopSignals()
    with last_words.recorded(run_dir, order.attempt, order.shard_index, node) as words:
        _check_array_task(order)
        run = _read_run(run_dir, order.amendments)
        if output.is_published(run_dir, run, order.shard_index):
            say(f"shard {order.shard_index} is already published: nothing to do")
            return
        if rejection := last_words.earlier_rejection(run_dir, order.attempt, order.shard_index):
            raise TaskError(Cause.REFUSED, rejection)
        outcome, kept = _label(order, run, node, signals, words)
        if outcome is TaskOutcome.PUBLISHED_BY_ANOTHER:
            raise SystemExit(0)
        if outcome is TaskOutcome.STOPPED:
            if signals.terminated:
                raise SystemExit(ENDED_BY_SIGNAL)
            not_requeued = signals.requeue() if requeue else ""
            posts = run.shards[order.shard_index].posts
            raise TaskError(
                Cause.TIMEOUT,
                f"stopped before the time limit; {kept:,} of {posts:,} posts saved{not_requeued}",
            )


def _read_run(run_dir: Path, amendments_due: int) -> Manifest:
    """Return the manifest with the amendments that hold for this attempt, and no later ones."""
    made = manifest.read(run_dir)
    return amendments.apply(made, amendments.read_first(run_dir, amendments_due), run_dir)


def _label(
    order: WorkOrder, run: Manifest, node: str, signals: "StopSignals", words: LastWordsWriter
) -> tuple[TaskOutcome, int]:
    """Return how the work ended, and how many posts have an answer on the disk."""
    run_dir = Path(order.run_dir)
    source = str(run_dir / manifest.FILE_NAME)
    requests = run.classifier.get("max_in_flight", 1)
    raise_limit(requests)
    if lack := describe_lack(requests):
        say(lack)
    share = TaskShare(
        parallel_tasks=order.parallel_tasks,
        notes=run_dir / "notes",
        server_log=manifest.server_log_path(run_dir, order.attempt, order.shard_index),
        stopping=signals.stopping,
    )
    with contextlib.ExitStack() as resources:
        classifier = resources.enter_context(
            contextlib.closing(create(run.classifier, share, source=source))
        )
        # After this, because a classifier that imports pandas may give its objects to PyArrow.
        skip_pandas()
        words.redact = classifier.secret.redact
        words.replaceable = heartbeat.path_of(
            manifest.work_path(run_dir, order.shard_index), order.attempt
        )
        if classifier.secret.reveal():
            processes.forbid_core_dumps()
        task = Task(order, run, classifier, signals.stopping, node, resources.close)
        return task.label(), task.kept


def run_process(order: WorkOrder, *, requeue: bool = False) -> None:
    """Call `run_task` where the whole process belongs to the task, and end the process."""
    use_clean_streams()
    try:
        run_task(order, requeue=requeue)
    except SystemExit as end:
        end_at_once(end.code)
    flush_streams()


class StopSignals:
    """Turns the signals that end a task into an event.

    SIGTERM asks it to end (scancel, preemption, the time limit); SIGKILL follows after KillWait,
    30 s by default. USR2 warns that the time limit is near; submitit has Slurm send it. The task
    obeys both between two answers, never in the middle of a write. submitit's own handler would
    leave from there.
    """

    def __init__(self) -> None:
        """Install the handlers."""
        self.stopping = threading.Event()
        self.terminated = False
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._former_handler: Any = signal.signal(signal.SIGUSR2, self._on_warning)

    def requeue(self) -> str:
        """Call the handler that was installed before, which ends the process if it requeues.

        Returns why it did not requeue, to follow a message; '' if there is no such handler.
        """
        if not callable(self._former_handler):
            return ""
        try:
            self._former_handler(signal.SIGUSR2, None)
        except Exception as error:  # noqa: BLE001 - any error of submitit or scontrol is reported
            return f"; {error}"
        return ""

    def _on_terminate(self, number: int, frame: Any) -> None:
        self.terminated = True
        self.stopping.set()

    def _on_warning(self, number: int, frame: Any) -> None:
        self.stopping.set()


def _check_array_task(order: WorkOrder) -> None:
    """Make sure that the order is this array task's: submitit finds it by the array index."""
    actual = os.environ.get("SLURM_ARRAY_TASK_ID", str(order.array_task_index))
    if actual != str(order.array_task_index):
        raise TaskError(
            Cause.REFUSED,
            f"array task {actual} received the order of array task {order.array_task_index}",
            stops_run=False,
        )


def end_at_once(code: Any) -> NoReturn:
    """End the process without joining its threads.

    Python's own exit joins threads that wait for a hanging service, with its retries for minutes.
    Slurm sends SIGKILL after KillWait, and such an end looks like a crash.
    """
    flush_streams()  # a log without room must not change the exit code
    os._exit(code if isinstance(code, int) else int(code is not None))


def main(arguments: Sequence[str]) -> None:
    """Run the task that the command line describes, as `executor: local` starts it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.worker")
    parser.add_argument("--run-dir", required=True)
    for name in ("--shard-index", "--array-task-index", "--attempt", "--parallel-tasks"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--crashed", default="")
    parser.add_argument("--amendments", type=int, default=0)
    run_process(WorkOrder(**vars(parser.parse_args(arguments))))
