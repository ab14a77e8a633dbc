"""One task of a run as a process on a compute node: its order, the signals it is told to stop by,
and how it ends.

Re-entrant: Slurm may requeue it under the same id, and an old attempt may still be running.
"""

import argparse
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.classifiers.base import TaskShare, create
from pipeline.errors import Cause, TaskError
from pipeline.model import WorkOrder
from pipeline.run_files import last_words, manifest, output
from pipeline.run_files.last_words import LastWordsWriter
from pipeline.worker.shard_task import End, Task, say

ENDED_BY_SIGNAL = 128 + signal.SIGTERM


def run_task(order: WorkOrder, *, requeue: bool = False) -> None:
    """Labels one shard, and returns when its output is there.

    Ends with SystemExit otherwise: 0 where another attempt published it meanwhile, 143 after
    SIGTERM, 1 after an error or the warning of the time limit, which leave last words.

    Args:
        requeue: after that warning, let the handler that was installed for it before (submitit's)
            put the task back into Slurm's queue; only if it doesn't, there are last words.
    """
    run_dir = Path(order.run_dir)
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    told = _Told()
    with LastWordsWriter(run_dir, order.attempt, order.shard_index, node) as dying:
        _check_place(order)
        run = manifest.read(run_dir)
        if output.verify(run_dir, run, order.shard_index).verified:
            say(f"shard {order.shard_index} has its output already: nothing to do")
            return
        if refusal := last_words.earlier_rejection(run_dir, order.attempt, order.shard_index):
            raise TaskError(Cause.REFUSED, refusal)
        share = TaskShare(
            parallel_tasks=order.parallel_tasks,
            notes=run_dir / "notes",
            server_log=manifest.server_log_path(run_dir, order.attempt, order.shard_index),
            stopping=told.to_stop,
        )
        with contextlib.ExitStack() as held:
            classifier = held.enter_context(contextlib.closing(create(run.classifier, share)))
            dying.redact = classifier.secret.redact
            task = Task(order, run, classifier, told.to_stop, node, held.close)
            end = task.label()
        if end is End.PUBLISHED_BY_ANOTHER:
            raise SystemExit(0)
        if end is End.TOLD_TO_STOP:
            if told.to_end:
                raise SystemExit(ENDED_BY_SIGNAL)
            not_requeued = told.requeue() if requeue else ""
            posts = run.shards[order.shard_index].posts
            raise TaskError(
                Cause.TIMEOUT,
                f"told that the time limit is near: {task.kept:,} of {posts:,} posts are kept"
                + not_requeued,
            )


def run_process(order: WorkOrder, *, requeue: bool = False) -> None:
    """`run_task` where the process is the task's own, as submitit's and our local ones are."""
    try:
        run_task(order, requeue=requeue)
    except SystemExit as end:
        _end_at_once(end.code)


class _Told:
    """What signals have told the task.

    SIGTERM: to end (scancel, preemption, the time limit); SIGKILL comes KillWait later, 30 s by
    default. USR2: that the time limit is near; submitit has Slurm send it. Both are obeyed between
    two answers, never in the middle of a write: submitit's own handler would leave from there.
    """

    def __init__(self) -> None:
        self.to_stop = threading.Event()
        self.to_end = False
        signal.signal(signal.SIGTERM, self._end)
        self._before: Any = signal.signal(signal.SIGUSR2, self._stop)

    def requeue(self) -> str:
        """Ends the process if the task goes back into the queue; why it doesn't otherwise."""
        if not callable(self._before):
            return ""
        try:
            self._before(signal.SIGUSR2, None)
        except Exception as error:  # noqa: BLE001 - whatever submitit or scontrol say is told
            return f"; {error}"
        return ""

    def _end(self, number: int, frame: Any) -> None:
        self.to_end = True
        self.to_stop.set()

    def _stop(self, number: int, frame: Any) -> None:
        self.to_stop.set()


def _check_place(order: WorkOrder) -> None:
    """submitit finds a task's order by array index: another shard's must never be worked on."""
    actual = os.environ.get("SLURM_ARRAY_TASK_ID", str(order.array_task_index))
    if actual != str(order.array_task_index):
        raise TaskError(
            Cause.REFUSED,
            f"array task {actual} was given the order of array task {order.array_task_index}",
            stops_run=False,
        )


def _end_at_once(code: Any) -> NoReturn:
    """Python's own exit joins the threads that wait for a service that hangs: minutes, by its
    retries, where SIGKILL, an end that looks like a crash, comes after Slurm's KillWait."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main(arguments: Sequence[str]) -> None:
    """`python -m pipeline.worker`: how `executor: local` starts a task."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.worker")
    parser.add_argument("--run-dir", required=True)
    for name in ("--shard-index", "--array-task-index", "--attempt", "--parallel-tasks"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--crashed", default="")
    run_process(WorkOrder(**vars(parser.parse_args(arguments))))
