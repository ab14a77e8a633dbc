"""Label one shard: ask the classifier, keep its answers in parts, publish the output."""

import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import files
from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, TaskError
from pipeline.model import TOO_SHORT, Answer, Post, WorkOrder
from pipeline.run_files import heartbeat, manifest, output
from pipeline.run_files.checkpoint import Checkpoint
from pipeline.run_files.heartbeat import HeartbeatWriter
from pipeline.run_files.last_words import blames_post
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.output import ShardLabels
from pipeline.text import counted
from pipeline.worker import crash_journal
from pipeline.worker.classifier_thread import stream_answers
from pipeline.worker.crash_journal import CrashJournal

INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
# One set, because blanks and invisible characters may alternate. U+3000 is the last white space
# character of Unicode.
BLANK = INVISIBLE + "".join(filter(str.isspace, map(chr, range(0x3001))))


class TaskOutcome(Enum):
    """How a task's work ended, except by an error."""

    PUBLISHED = "published"
    PUBLISHED_BY_ANOTHER = "published by another attempt"
    STOPPED = "stopped on request"


class Task:
    """One attempt at one shard. After `label()` the answers of `kept` posts are on the disk."""

    def __init__(
        self,
        order: WorkOrder,
        run: Manifest,
        classifier: Classifier[Options],
        stopping: threading.Event,
        node: str,
        done_asking: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to label.

        Args:
            order: which shard, and which attempt.
            run: the run's manifest.
            classifier: labels the posts.
            stopping: is set when the task is to stop.
            node: the node's name, for the heartbeat.
            done_asking: called once all answers are on the disk, before the output is published.
        """
        self._run_dir = Path(order.run_dir)
        self._order = order
        self._run = run
        self._classifier = classifier
        self._stopping = stopping
        self._node = node
        self._done_asking = done_asking
        self._folder = manifest.work_path(self._run_dir, order.shard_index)
        self._keep_raw = run.classifier.get("keep_raw", False)
        self._checkpoint = Checkpoint(
            self._folder,
            metadata=run.part_metadata(order.shard_index),
            columns=classifier.columns,
            attempt=order.attempt,
            keep_raw=self._keep_raw,
        )
        self._last_part = time.monotonic()
        self.kept = 0

    def label(self) -> TaskOutcome:
        """Label the shard and publish its output, unless the task is to stop before that.

        Raises:
            TaskError: the shard's file is not the planned one, or the classifier breaks its
                protocol.
            Exception: whatever the classifier raised. The answers that came before are on the disk.
        """
        index = self._order.shard_index
        posts = _read_shard(self._run_dir, self._run, index)
        self._checkpoint.load()
        uris = posts["uri"].to_pylist()
        with crash_journal.open_journal(
            self._folder, attempt=self._order.attempt, uris=uris
        ) as journal:
            outcome = self._ask_all(posts, journal)
            # What is paid for is on the disk. Others may use its share of a quota from now on.
            self._done_asking()
            if outcome is TaskOutcome.STOPPED:
                say(f"stopping on request; the next attempt resumes shard {index}")
                return outcome
            if outcome is None:
                self._publish(posts)
        self._checkpoint.discard()
        crash_journal.clear(self._folder)
        heartbeat.clear(self._folder)
        say(f"shard {index}: published")
        return outcome or TaskOutcome.PUBLISHED

    def _ask_all(self, posts: pa.Table, journal: CrashJournal) -> TaskOutcome | None:
        """Ask about all posts without an answer; None once every post has one."""
        together, suspects = self._unanswered(posts, journal)
        heart = self._start_heartbeat(posts.num_rows)
        try:
            return self._ask(together, suspects, journal, heart)
        finally:
            self._checkpoint.flush()
            heart.beat(time.monotonic())

    def _unanswered(self, posts: pa.Table, journal: CrashJournal) -> tuple[list[Post], list[Post]]:
        """Return the posts to ask about together, and the suspects to ask about one at a time.

        Posts that need no asking are answered here: texts that are too short, and posts at which a
        task died during a solo attempt.
        """
        answered = set(self._checkpoint.answered()["uri"].to_pylist())
        self.kept = len(answered)
        say(
            f"shard {self._order.shard_index}: {counted(posts.num_rows, 'post')}, "
            f"{len(answered)} already answered"
        )
        crashed = map(int, filter(None, self._order.crashed.split(",")))
        evidence = crash_journal.read_evidence(self._folder, crashed)
        together: list[Post] = []
        suspects: list[Post] = []
        rows = zip(posts["uri"].to_pylist(), posts["text"].to_pylist(), strict=True)
        for row, (uri, text) in enumerate(rows):
            if uri in answered:
                continue
            if len(text.strip(BLANK)) < self._run.min_text_length:
                self._keep(Answer(uri, reason=TOO_SHORT))
            elif row in evidence.died_alone:
                self._keep(Answer(uri, reason=evidence.reason(row)))
            elif row in evidence.suspects:
                suspects.append(Post(uri, text))
            else:
                together.append(Post(uri, text))
                journal.will_be_asked(row)
        if evidence.suspects:
            say(
                f"after crashes: {counted(len(evidence.died_alone), 'post')} set aside, "
                f"{len(suspects)} to be asked one at a time"
            )
        return together, suspects

    def _start_heartbeat(self, posts: int) -> HeartbeatWriter:
        return HeartbeatWriter(
            heartbeat.path_of(self._folder, self._order.attempt),
            posts=posts,
            rows=self.kept,
            node=self._node,
            trouble=lambda: self._classifier.secret.redact(self._classifier.trouble),
            spent=self._checkpoint.counts,
        )

    def _ask(
        self,
        together: list[Post],
        suspects: list[Post],
        journal: CrashJournal,
        heart: HeartbeatWriter,
    ) -> TaskOutcome | None:
        """Ask about the suspects last: by then the answers of all other posts are on the disk."""
        outcome = self._collect(together, journal, heart)
        if suspects and outcome is None:
            self._checkpoint.flush()
            journal.solo = True
        for post in suspects:
            if outcome is not None:
                break
            outcome = self._collect([post], journal, heart)
        return outcome

    def _collect(
        self, to_ask: list[Post], journal: CrashJournal, heart: HeartbeatWriter
    ) -> TaskOutcome | None:
        """Keep the answers about these posts; None once each has one."""
        awaited = {post.uri for post in to_ask}
        for answer in self._answers(to_ask, journal):
            if answer is not None:
                if answer.uri not in awaited:
                    raise TaskError(
                        Cause.REFUSED,
                        f"the classifier answered for {answer.uri!r}, which does not wait for an "
                        "answer: this breaks the classifier protocol",
                    )
                awaited.discard(answer.uri)
                self._keep(answer)
            heart.tick(time.monotonic(), self.kept)
            if self._is_part_due() and self._write_part_and_check_output():
                say("another attempt has published this shard: leaving")
                return TaskOutcome.PUBLISHED_BY_ANOTHER
        if awaited and self._stopping.is_set():
            return TaskOutcome.STOPPED
        if awaited:
            journal.blamed = True
            raise TaskError(
                Cause.CRASHED,
                f"the classifier left {counted(len(awaited), 'post')} without an answer, "
                f"such as {min(awaited)}",
                blames_post=True,
            )
        return None

    def _answers(self, to_ask: list[Post], journal: CrashJournal) -> Iterator[Answer | None]:
        """Yield the classifier's answers; blame the post in flight if the classifier raises."""
        try:
            yield from stream_answers(self._classifier, to_ask, self._stopping, journal)
        except GeneratorExit:
            raise
        except BaseException as error:
            journal.blamed = blames_post(error)
            raise

    def _is_part_due(self) -> bool:
        return (
            self._checkpoint.pending >= self._run.checkpoint_rows
            or time.monotonic() - self._last_part >= self._run.checkpoint_seconds
        )

    def _write_part_and_check_output(self) -> bool:
        """Write a part; return whether the shard's output is there by now."""
        self._checkpoint.flush()
        self._last_part = time.monotonic()
        return output.is_published(self._run_dir, self._run, self._order.shard_index)

    def _keep(self, answer: Answer) -> None:
        self._checkpoint.add(answer)
        self.kept += 1

    def _publish(self, posts: pa.Table) -> None:
        labels = ShardLabels(
            posts=posts,
            answers=self._checkpoint.answered(),
            columns=self._classifier.columns,
            model=self._classifier.model,
            attempt=self._order.attempt,
            responses=self._checkpoint.responses() if self._keep_raw else None,
        )
        output.publish(self._run_dir, self._run, self._order.shard_index, labels)


def say(line: str) -> None:
    """Print a line to the task's log at once."""
    print(line, flush=True)


def _read_shard(run_dir: Path, run: Manifest, index: int) -> pa.Table:
    path = manifest.shard_path(run_dir, index)
    sha256 = files.sha256_of(path)
    planned = run.shards[index].sha256
    if sha256 != planned:
        raise TaskError(
            Cause.REFUSED,
            f"{path} has changed since the run was planned: its sha256 is {sha256}, "
            f"the manifest has {planned}",
            stops_run=False,
        )
    return pq.read_table(path, partitioning=None)
