"""Label one shard: ask the classifier, keep its answers in parts, publish the output."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, DamagedError, TaskError, UnreadableError
from pipeline.model import REASON, TOO_SHORT, Answer, Post, WorkOrder
from pipeline.run_files import heartbeat, manifest, output
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.heartbeat import HeartbeatWriter, TaskActivity
from pipeline.run_files.last_words import blames_post
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.output import ShardLabels
from pipeline.run_files.read_parquet import read_table
from pipeline.short_text import is_too_short
from pipeline.text import counted
from pipeline.worker import crash_journal
from pipeline.worker.answer_keeper import AnswerKeeper, begin_with_room
from pipeline.worker.classifier_thread import classify_in_thread
from pipeline.worker.crash_journal import CrashJournal
from pipeline.worker.pace_clock import PaceClock
from pipeline.worker.same_texts import find_copies

# A part for each `checkpoint.rows` answers of an instant classifier would mean dozens a second.
_INSTANT_ROWS = 10_000
_OVERTAKEN = "another attempt has published this shard: leaving"


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
        self._copied_from: Mapping[str, str] = {}
        self._keeper: AnswerKeeper | None = None
        self._clock: PaceClock | None = None
        self._kept_before = 0

    @property
    def kept(self) -> int:
        """How many posts have an answer on the disk, their own or one to be copied."""
        return self._kept_before + (self._keeper.saved if self._keeper else 0)

    def label(self) -> TaskOutcome:
        """Label the shard and publish its output, unless the task is to stop before that.

        Raises:
            TaskError: the shard's file is not the planned one, or the classifier breaks its
                protocol.
            UnreadableError: a file cannot be read now.
            Exception: whatever the classifier raised. The answers that came before are on the disk.
        """
        index = self._order.shard_index
        posts = _read_shard(self._run_dir, self._run, index)
        if self._run.ask_each_text_once:
            self._copied_from = find_copies(_rows(posts), self._run.min_text_length)
        copies = Counter(self._copied_from.values())
        if self._checkpoint.load(copies) and self._verify_output():
            say(_OVERTAKEN)
            return TaskOutcome.PUBLISHED_BY_ANOTHER
        outcome = self._label_with_journal(posts)
        if outcome is TaskOutcome.STOPPED:
            say(f"stopping on request; the next attempt resumes shard {index}")
            return outcome
        self._checkpoint.discard()
        crash_journal.clear(self._folder)
        heartbeat.clear(self._folder)
        say(f"shard {index}: published")
        return outcome

    def _label_with_journal(self, posts: pa.Table) -> TaskOutcome:
        uris = posts["uri"].to_pylist()
        new_journal = partial(CrashJournal, self._folder, attempt=self._order.attempt, uris=uris)
        journal = begin_with_room(new_journal, self._stopping, say)
        if journal is None:
            return TaskOutcome.STOPPED
        with crash_journal.closing_journal(journal):
            return self._ask_and_publish(posts, journal)

    def _ask_and_publish(self, posts: pa.Table, journal: CrashJournal) -> TaskOutcome:
        together, suspects = self._find_unanswered(posts, journal)
        keeper = self._keeper = AnswerKeeper(
            self._checkpoint,
            journal,
            self._stopping,
            rows=max(
                self._run.checkpoint_rows, _INSTANT_ROWS if self._classifier.is_instant else 0
            ),
            seconds=self._run.checkpoint_seconds,
            say=say,
        )
        self._clock = PaceClock(keeper)
        with contextlib.closing(keeper):
            heart = self._start_heartbeat(posts.num_rows, keeper)
            tick = partial(self._tick, heart, keeper)
            try:
                outcome = self._ask(together, suspects, journal, keeper, tick)
            finally:
                keeper.write_all(tick)
                tick()
                heart.beat(time.monotonic())
            # What is paid for is on the disk. Others may use its share of a quota from now on.
            self._done_asking()
            if outcome is None:
                is_published = keeper.retry_until_written(partial(self._publish, posts), tick)
                outcome = TaskOutcome.PUBLISHED if is_published else TaskOutcome.STOPPED
            return outcome

    def _tick(self, heart: HeartbeatWriter, keeper: AnswerKeeper) -> None:
        heart.waits_for_disk = bool(keeper.trouble)
        heart.tick(time.monotonic(), self.kept)

    def _find_unanswered(
        self, posts: pa.Table, journal: CrashJournal
    ) -> tuple[list[Post], list[Post]]:
        """Return the posts to ask about together, and the suspects to ask about one at a time.

        Posts that need no asking are answered here: those without a text that can be sent, texts
        that are too short, and posts at which a task died during a solo attempt. Copies are left
        out: they get their answer when the output is published.
        """
        answered = set(self._checkpoint.all_answers()["uri"].to_pylist())
        self._kept_before = sum(map(self._checkpoint.posts_of, answered))
        # What was paid for counts, whoever asked for it.
        self._copied_from = {
            uri: origin for uri, origin in self._copied_from.items() if uri not in answered
        }
        copied = self._copied_from
        copies = len(copied)
        say(
            f"shard {self._order.shard_index}: {counted(posts.num_rows, 'post')}, "
            + (f"{copies} with the text of an earlier one, " if copies else "")
            + f"{len(answered)} already answered"
        )
        crashed = map(int, filter(None, self._order.crashed.split(",")))
        evidence = crash_journal.read_evidence(self._folder, crashed)
        together: list[Post] = []
        suspects: list[Post] = []
        for row, (uri, text, reason) in enumerate(_rows(posts)):
            if uri in answered or uri in copied:
                continue
            if reason is not None:
                self._keep_free(Answer(uri, reason=reason))
            elif is_too_short(text, self._run.min_text_length):
                self._keep_free(Answer(uri, reason=TOO_SHORT))
            elif row in evidence.died_alone:
                self._keep_free(Answer(uri, reason=evidence.reason(row)))
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

    def _keep_free(self, answer: Answer) -> None:
        self._checkpoint.add(answer, is_free=True)
        self._kept_before += self._checkpoint.posts_of(answer.uri)

    def _start_heartbeat(self, posts: int, keeper: AnswerKeeper) -> HeartbeatWriter:
        return HeartbeatWriter(
            heartbeat.path_of(self._folder, self._order.attempt),
            posts=posts,
            rows=self.kept,
            node=self._node,
            activity=partial(self._activity, keeper),
            sums=self._checkpoint.sums,
        )

    def _activity(self, keeper: AnswerKeeper) -> TaskActivity:
        """Return what the task is doing at the moment."""
        classifier = self._classifier
        activity = classifier.activity
        return TaskActivity(
            trouble=keeper.trouble or classifier.secret.redact(classifier.trouble),
            memory_mb=self._clock.look_at_memory() if self._clock else None,
            requests_last_minute=activity.requests_last_minute if activity else None,
            faults={str(fault): count for fault, count in activity.faults.items()}
            if activity
            else {},
            quota_tasks=activity.quota_tasks if activity else None,
            throttled=activity.is_throttled if activity else False,
        )

    def _ask(
        self,
        together: list[Post],
        suspects: list[Post],
        journal: CrashJournal,
        keeper: AnswerKeeper,
        tick: Callable[[], None],
    ) -> TaskOutcome | None:
        """Ask about all posts without an answer; None once every post has one.

        The suspects come last: by then the answers of all other posts are on the disk.
        """
        outcome = self._collect(together, journal, keeper, tick)
        if suspects and outcome is None:
            keeper.write_all(tick)
            journal.solo = True
        for post in suspects:
            if outcome is not None:
                break
            outcome = self._collect([post], journal, keeper, tick)
        return outcome

    def _collect(
        self,
        to_ask: list[Post],
        journal: CrashJournal,
        keeper: AnswerKeeper,
        tick: Callable[[], None],
    ) -> TaskOutcome | None:
        """Keep the answers about these posts; None once each has one."""
        keeper.ask_about(to_ask)
        for _ in self._asking(to_ask, journal, keeper):
            tick()
            is_written = keeper.is_part_due(time.monotonic()) and keeper.write_part()
            if is_written and self._is_published():
                say(_OVERTAKEN)
                return TaskOutcome.PUBLISHED_BY_ANOTHER
        missing = keeper.awaited
        if missing and self._stopping.is_set():
            return TaskOutcome.STOPPED
        if missing:
            journal.blamed = True
            raise TaskError(
                Cause.CRASHED,
                f"the classifier left {counted(len(missing), 'post')} without an answer, "
                f"such as {min(missing)}",
                blames_post=True,
            )
        return None

    def _asking(
        self, to_ask: list[Post], journal: CrashJournal, keeper: AnswerKeeper
    ) -> Iterator[None]:
        """Yield until the classifier has ended; blame the post in flight if it raises."""
        try:
            yield from classify_in_thread(
                self._classifier, to_ask, self._stopping, self._clock or keeper, keeper.wake
            )
        except GeneratorExit:
            raise
        except BaseException as error:
            journal.blamed = blames_post(error)
            raise

    def _is_published(self) -> bool:
        """Return whether another attempt has published the shard.

        Raises:
            UnreadableError: there is an output, and it cannot be read now.
        """
        try:
            return self._verify_output()
        except UnreadableError:
            # Without a descriptor nothing can be opened, whether or not it is there.
            path = manifest.output_path(self._run_dir, self._order.shard_index)
            if path.is_symlink() or path.exists():
                raise
            return False

    def _verify_output(self) -> bool:
        return output.is_published(self._run_dir, self._run, self._order.shard_index)

    def _publish(self, posts: pa.Table) -> None:
        labels = ShardLabels(
            posts=posts,
            answers=self._checkpoint.all_answers(),
            columns=self._classifier.columns,
            model=self._classifier.model,
            attempt=self._order.attempt,
            copied_from=self._copied_from,
            responses=self._checkpoint.responses() if self._keep_raw else None,
            pace=self._clock.pace() if self._clock else None,
        )
        output.publish(self._run_dir, self._run, self._order.shard_index, labels)


def say(line: str) -> None:
    """Print a line to the task's log at once, or with a later one if the log has no room."""
    with contextlib.suppress(OSError):  # no line is worth the answers of a task
        print(line, flush=True)


def _rows(posts: pa.Table) -> Iterator[tuple[str, str, str | None]]:
    """Yield uri, text and reason of a shard's posts. Shards of older versions have no reasons."""
    has_reasons = REASON.name in posts.column_names
    reasons = posts[REASON.name].to_pylist() if has_reasons else [None] * posts.num_rows
    yield from zip(posts["uri"].to_pylist(), posts["text"].to_pylist(), reasons, strict=True)


def _read_shard(run_dir: Path, run: Manifest, index: int) -> pa.Table:
    """Return the shard's posts, proven by their checksum.

    Raises:
        TaskError: the file has changed.
        UnreadableError: the file cannot be read now.
    """
    path = manifest.shard_path(run_dir, index)
    planned = run.shards[index].sha256
    try:
        return read_table(path, sha256=planned)
    except FileNotFoundError:
        problem = f"{path} is missing"
    except DamagedError as error:
        problem = f"{path} has changed since the run was planned: {error.problem}"
    raise TaskError(Cause.REFUSED, problem, stops_run=False)
