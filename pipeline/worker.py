"""One task of a run on a compute node: a shard in, one published output out.

Re-entrant: Slurm may requeue it under the same id, and an old attempt may still be running.
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import files, manifest, output
from pipeline.checkpoint import Checkpoint
from pipeline.classifiers.base import Classifier, TaskShare, create
from pipeline.errors import Cause, TaskError
from pipeline.last_words import Dying
from pipeline.manifest import Manifest
from pipeline.model import Answer, Post, WorkOrder
from pipeline.pump import answers

ENDED_BY_SIGNAL = 128 + signal.SIGTERM
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
# In one set: blanks and invisible characters may alternate. U+3000 is Unicode's last white space.
BLANK = INVISIBLE + "".join(filter(str.isspace, map(chr, range(0x3001))))


def run_task(order: WorkOrder) -> None:
    """Labels one shard. Ends the process, with SystemExit after an error and at once when told to
    stop, unless the shard's output is there and verifies."""
    run_dir = Path(order.run_dir)
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    with Dying(run_dir, order.attempt, order.shard_index, node) as dying:
        _check_place(order)
        run = manifest.read(run_dir)
        if output.verify(run_dir, run, order.shard_index).verified:
            _say(f"shard {order.shard_index} has its output already: nothing to do")
            return
        share = TaskShare(parallel_tasks=order.parallel_tasks)
        classifier = create(run.classifier, share)
        dying.redact = classifier.secret.redact
        stopping = _stop_on_sigterm()
        if not _Task(order, run, classifier, stopping).label():
            _end_at_once(ENDED_BY_SIGNAL)


class _Task:
    def __init__(
        self, order: WorkOrder, run: Manifest, classifier: Classifier, stopping: threading.Event
    ) -> None:
        self._run_dir = Path(order.run_dir)
        self._order = order
        self._run = run
        self._classifier = classifier
        self._stopping = stopping
        self._checkpoint = Checkpoint(
            manifest.work_path(self._run_dir, order.shard_index),
            receipt=run.receipt(order.shard_index),
            question=run.config_hash,
            columns=classifier.columns,
            attempt=order.attempt,
        )

    def label(self) -> bool:
        """True when the output is there; False when the task was told to stop before that."""
        index = self._order.shard_index
        posts = _read_shard(self._run_dir, self._run, index)
        self._checkpoint.load()
        known = set(self._checkpoint.answered()["uri"].to_pylist())
        _say(f"shard {index}: {posts.num_rows} posts, {len(known)} of them from checkpoints")
        to_ask = []
        for uri, text in zip(posts["uri"].to_pylist(), posts["text"].to_pylist(), strict=True):
            if uri in known:
                continue
            if len(text.strip(BLANK)) < self._run.min_text_length:
                self._checkpoint.add(Answer(uri, reason="text_too_short"))
            else:
                to_ask.append(Post(uri, text))
        try:
            published_by_another = self._collect(to_ask)
        finally:
            self._checkpoint.flush()
        if self._stopping.is_set() and not published_by_another:
            _say(f"told to stop; shard {index} goes on from its checkpoint parts next time")
            return False
        if not published_by_another:
            output.publish(
                self._run_dir,
                self._run,
                index,
                posts=posts,
                answers=self._checkpoint.answered(),
                columns=self._classifier.columns,
                model=self._classifier.model,
                attempt=self._order.attempt,
            )
        self._checkpoint.discard()
        _say(f"shard {index}: published")
        return True

    def _collect(self, to_ask: list[Post]) -> bool:
        """Takes answers into the checkpoint; True where another attempt published meanwhile."""
        awaited = {post.uri for post in to_ask}
        last_part = time.monotonic()
        for answer in answers(self._classifier, to_ask, self._stopping):
            if answer is not None:
                if answer.uri not in awaited:
                    raise TaskError(
                        Cause.REFUSED,
                        f"the classifier answered for {answer.uri!r}, which was not asked or was "
                        "answered before: it breaks its own protocol",
                    )
                awaited.discard(answer.uri)
                self._checkpoint.add(answer)
            since = time.monotonic() - last_part
            if (
                self._checkpoint.pending >= self._run.checkpoint_rows
                or since >= self._run.checkpoint_seconds
            ):
                self._checkpoint.flush()
                last_part = time.monotonic()
                if output.verify(self._run_dir, self._run, self._order.shard_index).verified:
                    _say("another attempt has published this shard: leaving")
                    return True
        if awaited and not self._stopping.is_set():
            raise TaskError(
                Cause.CRASHED,
                f"the classifier left {len(awaited)} posts without an answer, "
                f"such as {min(awaited)}",
            )
        return False


def _say(line: str) -> None:
    print(line, flush=True)


def _read_shard(run_dir: Path, run: Manifest, index: int) -> pa.Table:
    path = manifest.shard_path(run_dir, index)
    found = files.sha256_of(path)
    if found != run.shards[index].sha256:
        raise TaskError(
            Cause.REFUSED,
            f"{path} is not the file that was planned: sha256 {found}, "
            f"in the manifest {run.shards[index].sha256}",
        )
    return pq.read_table(path, partitioning=None)


def _check_place(order: WorkOrder) -> None:
    """submitit finds a task's order by array index: another shard's must never be worked on."""
    actual = os.environ.get("SLURM_ARRAY_TASK_ID", str(order.array_task_index))
    if actual != str(order.array_task_index):
        raise TaskError(
            Cause.REFUSED,
            f"array task {actual} was given the order of array task {order.array_task_index}",
        )


def _stop_on_sigterm() -> threading.Event:
    """Set by SIGTERM (time limit, scancel, preemption). USR2, submitit's warning before the time
    limit, is left aside: parts are written often enough, and the time is better spent labelling."""
    stopping = threading.Event()

    def stop(number: int, frame: Any) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    return stopping


def _end_at_once(code: int) -> NoReturn:
    """Python's own exit joins the threads that wait for a service that hangs: minutes, by its
    retries, where SIGKILL, an end that looks like a crash, comes after Slurm's KillWait."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str]) -> None:
    """`python -m pipeline.worker`: how `executor: local` starts a task."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.worker")
    parser.add_argument("--run-dir", required=True)
    for name in ("--shard-index", "--array-task-index", "--attempt", "--parallel-tasks"):
        parser.add_argument(name, type=int, required=True)
    run_task(WorkOrder(**vars(parser.parse_args(arguments))))


if __name__ == "__main__":
    main(sys.argv[1:])
