"""One shard's labelling: posts in, answers kept in parts as they come, one output out."""

import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import files
from pipeline.classifiers.base import KEEP_RAW, Classifier
from pipeline.errors import Cause, TaskError
from pipeline.model import TOO_SHORT, Answer, Post, WorkOrder
from pipeline.run_files import heartbeat, manifest, output
from pipeline.run_files.checkpoint import Checkpoint
from pipeline.run_files.heartbeat import HeartbeatWriter
from pipeline.run_files.last_words import blames_post
from pipeline.run_files.manifest import Manifest
from pipeline.text import counted
from pipeline.worker import crash_journal
from pipeline.worker.classifier_thread import answers
from pipeline.worker.crash_journal import CrashJournal

INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
# In one set: blanks and invisible characters may alternate. U+3000 is Unicode's last white space.
BLANK = INVISIBLE + "".join(filter(str.isspace, map(chr, range(0x3001))))


class End(Enum):
    """How a task's work ended, errors apart."""

    PUBLISHED = "published"
    PUBLISHED_BY_ANOTHER = "published by another"
    TOLD_TO_STOP = "told to stop"


class Task:
    """One life at one shard: `label()`, after which the answers of `kept` posts are on the disk."""

    def __init__(
        self,
        order: WorkOrder,
        run: Manifest,
        classifier: Classifier,
        stopping: threading.Event,
        node: str,
        done_asking: Callable[[], None] = lambda: None,
    ) -> None:
        self._run_dir = Path(order.run_dir)
        self._order = order
        self._run = run
        self._classifier = classifier
        self._stopping = stopping
        self._node = node
        self._done_asking = done_asking
        self._folder = manifest.work_path(self._run_dir, order.shard_index)
        self._keep_raw = run.classifier.get(KEEP_RAW, False)
        self._checkpoint = Checkpoint(
            self._folder,
            receipt=run.receipt(order.shard_index),
            question=run.config_hash,
            columns=classifier.columns,
            attempt=order.attempt,
            keep_raw=self._keep_raw,
        )
        self._last_part = time.monotonic()
        self.kept = 0

    def label(self) -> End:
        """The output is there, unless the task was told to stop before all had its answer."""
        index = self._order.shard_index
        posts = _read_shard(self._run_dir, self._run, index)
        self._checkpoint.load()
        uris = posts["uri"].to_pylist()
        with CrashJournal(self._folder, attempt=self._order.attempt, uris=uris) as self._in_hand:
            at_once, alone = self._to_ask(posts)
            try:
                end = self._ask(at_once, alone)
            finally:
                self._checkpoint.flush()
                self._heart.beat(time.monotonic())
            # What is paid for is on the disk. Others may use its share of a quota from now on.
            self._done_asking()
            if end is End.TOLD_TO_STOP:
                say(f"told to stop; shard {index} goes on from its checkpoint parts next time")
                return end
            if end is End.PUBLISHED:
                output.publish(
                    self._run_dir,
                    self._run,
                    index,
                    posts=posts,
                    answers=self._checkpoint.answered(),
                    columns=self._classifier.columns,
                    model=self._classifier.model,
                    attempt=self._order.attempt,
                    responses=self._checkpoint.responses() if self._keep_raw else None,
                )
        self._checkpoint.discard()
        crash_journal.clear(self._folder)
        heartbeat.clear(self._folder)
        say(f"shard {index}: published")
        return end

    def _to_ask(self, posts: pa.Table) -> tuple[list[Post], list[Post]]:
        """The posts without an answer, and of those the suspects. What needs no asking is answered
        here: texts that are too short, and posts at which a task died when it asked them alone."""
        known = set(self._checkpoint.answered()["uri"].to_pylist())
        say(
            f"shard {self._order.shard_index}: {posts.num_rows} "
            f"{'post' if posts.num_rows == 1 else 'posts'}, "
            f"{len(known)} of them from checkpoints"
        )
        crashed = map(int, filter(None, self._order.crashed.split(",")))
        evidence = crash_journal.evidence(self._folder, crashed)
        at_once: list[Post] = []
        alone: list[Post] = []
        self.kept = len(known)
        rows = zip(posts["uri"].to_pylist(), posts["text"].to_pylist(), strict=True)
        for row, (uri, text) in enumerate(rows):
            if uri in known:
                continue
            if len(text.strip(BLANK)) < self._run.min_text_length:
                self._take(Answer(uri, reason=TOO_SHORT))
            elif row in evidence.alone:
                self._take(Answer(uri, reason=evidence.verdict(row)))
            elif row in evidence.held:
                alone.append(Post(uri, text))
            else:
                at_once.append(Post(uri, text))
                self._in_hand.will_be_asked(row)
        if evidence.held:
            say(
                f"after crashes: {counted(len(evidence.alone), 'post')} set aside, "
                f"{len(alone)} to be asked one at a time"
            )
        self._heart = HeartbeatWriter(
            self._folder,
            attempt=self._order.attempt,
            posts=posts.num_rows,
            rows=self.kept,
            node=self._node,
            trouble=lambda: self._classifier.secret.redact(self._classifier.trouble),
            spent=self._checkpoint.counts,
        )
        return at_once, alone

    def _ask(self, at_once: list[Post], alone: list[Post]) -> End:
        """The suspects last: what all other posts cost is on the disk by then."""
        end = self._collect(at_once)
        if alone and end is End.PUBLISHED:
            self._checkpoint.flush()
            self._in_hand.alone = True
        for post in alone:
            if end is not End.PUBLISHED:
                break
            end = self._collect([post])
        return end

    def _collect(self, to_ask: list[Post]) -> End:
        """Takes answers into the checkpoint; PUBLISHED where all have come and it can be done."""
        awaited = {post.uri for post in to_ask}
        for answer in self._answers(to_ask):
            if answer is not None:
                if answer.uri not in awaited:
                    raise TaskError(
                        Cause.REFUSED,
                        f"the classifier answered for {answer.uri!r}, which was not asked or was "
                        "answered before: it breaks its own protocol",
                    )
                awaited.discard(answer.uri)
                self._take(answer)
            now = time.monotonic()
            self._heart.tick(now, self.kept)
            if (
                self._checkpoint.pending >= self._run.checkpoint_rows
                or now - self._last_part >= self._run.checkpoint_seconds
            ):
                self._checkpoint.flush()
                self._last_part = time.monotonic()
                if output.verify(self._run_dir, self._run, self._order.shard_index).verified:
                    say("another attempt has published this shard: leaving")
                    return End.PUBLISHED_BY_ANOTHER
        if awaited and self._stopping.is_set():
            return End.TOLD_TO_STOP
        if awaited:
            self._in_hand.blamed = True
            raise TaskError(
                Cause.CRASHED,
                f"the classifier left {counted(len(awaited), 'post')} without an answer, "
                f"such as {min(awaited)}",
                blames_post=True,
            )
        return End.PUBLISHED

    def _answers(self, to_ask: list[Post]) -> Iterator[Answer | None]:
        """An error that passes here is the classifier's, never one of its consumer's."""
        try:
            yield from answers(self._classifier, to_ask, self._stopping, self._in_hand)
        except GeneratorExit:
            raise
        except BaseException as error:
            self._in_hand.blamed = blames_post(error)
            raise

    def _take(self, answer: Answer) -> None:
        self._checkpoint.add(answer)
        self.kept += 1


def say(line: str) -> None:
    print(line, flush=True)


def _read_shard(run_dir: Path, run: Manifest, index: int) -> pa.Table:
    path = manifest.shard_path(run_dir, index)
    found = files.sha256_of(path)
    if found != run.shards[index].sha256:
        raise TaskError(
            Cause.REFUSED,
            f"{path} is not the file that was planned: sha256 {found}, "
            f"in the manifest {run.shards[index].sha256}",
            stops_run=False,
        )
    return pq.read_table(path, partitioning=None)
