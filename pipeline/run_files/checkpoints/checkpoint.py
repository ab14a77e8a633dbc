"""Keep what a task has paid for, so that the next attempt resumes from there.

A part is an immutable file with many answers; it survives a power failure. A journal of the answers
since the last part survives the end of the process.

The name of each says which process of which attempt wrote it, so that two tasks of one shard at
once never write the same file. A part's name also says how many rows the part holds, so that
progress can be read from a listing.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipeline import files, usage
from pipeline.errors import TaskError
from pipeline.late_imports import arrow_compute as pc
from pipeline.model import RAW, RAW_SCHEMA, Answer, Column
from pipeline.run_files import reason_counts
from pipeline.run_files.answer_row import AnswerRows, Row, part_schema, sum_columns
from pipeline.run_files.checkpoints import answer_journal
from pipeline.run_files.checkpoints.answer_journal import AnswerJournal, JournalReader
from pipeline.run_files.checkpoints.answer_reader import AnswerReader
from pipeline.run_files.checkpoints.parts import new_prefix, write_numbered_part
from pipeline.run_files.heartbeat import AnswerSums
from pipeline.run_files.read_parquet import read_table


class Checkpoint:
    """Collects a shard's answers, and writes them as a part whenever `flush` is called.

    One thread may add answers while another writes parts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        metadata: Mapping[str, str],
        columns: tuple[Column, ...],
        attempt: int,
        keep_raw: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(tzinfo=None),
    ) -> None:
        """Begin without answers; `load` reads those of earlier attempts.

        Args:
            folder: the shard's work folder; created if missing.
            metadata: `Manifest.part_metadata`; a part with other metadata is not read.
            columns: the classifier's columns.
            attempt: the attempt's number.
            keep_raw: whether parts hold the responses too.
            now: tells the time of an answer, in UTC without a time zone.
        """
        self._folder = folder
        self._metadata = dict(metadata)
        self._columns = columns
        self._keep_raw = keep_raw
        self._schema = part_schema(columns, keep_raw=keep_raw)
        self._answers = part_schema(columns)
        self._rows = AnswerRows(columns, keep_raw=keep_raw)
        self._counted = usage.count_columns(columns)
        self._reader = AnswerReader(metadata=self._metadata, columns=columns, keep_raw=keep_raw)
        self._prefix = new_prefix(attempt)
        self._now = now
        self._lock = threading.Lock()
        self._pending: list[Row] = []
        self._unsaved = 0
        self._reasons: Counter[str] = Counter()
        self._copies: Mapping[str, int] = {}
        self._number = 0
        self._journal = self._new_journal()
        self._journals: list[Path] = []
        """The former journals of this process that are not deleted yet."""
        self._is_discarded = False
        # Parts and journals, without the responses: those of a whole shard may need more than a
        # task's memory.
        self._saved: dict[Path, pa.Table] = {}
        self._known_files: list[Path] = []

    @property
    def pending(self) -> int:
        """How many answers are in no part yet."""
        return len(self._pending)

    @property
    def unsaved(self) -> int:
        """How many answers are in memory only: they could not be written to the journal."""
        return self._unsaved + self._journal.unwritten

    def load(self, copies: Mapping[str, int] | None = None) -> bool:
        """Read the answers of earlier attempts; what is damaged is named on stderr and left out.

        Returns whether a file disappeared meanwhile: another attempt has published the shard.

        Args:
            copies: by uri, how many further posts get the answer of a post. The files do not hold
                them, but the sums count them.

        Raises:
            UnreadableError: a file cannot be read now. Its answers must not be paid for again.
        """
        self._copies = copies or {}
        kept = self._reader.read(self._folder)
        self._saved.update(kept.tables)
        self._known_files += kept.files
        self._reasons = reason_counts.count_reasons(self.all_answers(), self._copies)
        return kept.has_disappeared

    def posts_of(self, uri: str) -> int:
        """Return how many posts get the answer of this post, itself included."""
        return 1 + self._copies.get(uri, 0)

    def all_answers(self) -> pa.Table:
        """Return all answers so far without responses, in `part_schema`.

        One row per uri: the first answer counts.
        """
        return self._read_columns(self._answers)

    def responses(self) -> Iterator[pa.Table]:
        """Yield the responses of the same rows, in RAW_SCHEMA, part by part.

        A response is null where it was not kept, because `keep_raw` was not set yet.

        Raises:
            OSError: another attempt has published and deleted a part.
            UnreadableError: a part cannot be read now.
        """
        seen: set[str] = set()
        for path in list(self._saved):
            if path.suffix == answer_journal.SUFFIX:
                for table in JournalReader(path).tables():
                    yield _unseen_rows(_responses_in(table), seen)
            else:
                part = read_table(path, columns=RAW_SCHEMA.names)
                yield _unseen_rows(_responses_in(part), seen)
        if self._pending:
            pending = self._rows.table(list(self._pending))
            yield _unseen_rows(_responses_in(pending), seen)

    def counts(self) -> dict[str, int]:
        """Return what all answers so far cost, by cost column, as the output's footer will say."""
        if not self._counted:
            return {}
        columns = [self._schema.field(name) for name in ("uri", *self._counted)]
        return sum_columns(self._read_columns(pa.schema(columns)), self._counted)

    def sums(self) -> AnswerSums:
        """Return what all answers so far cost, and for how many posts they are reasons."""
        with self._lock:
            unlabelable = reason_counts.most_frequent(self._reasons)
        return AnswerSums(costs=self.counts(), unlabelable=unlabelable)

    def add(self, answer: Answer, *, is_free: bool = False) -> OSError | None:
        """Keep an answer, as `add_together` does."""
        return self.add_together([answer], is_free=is_free)

    def add_together(self, answers: Sequence[Answer], *, is_free: bool = False) -> OSError | None:
        """Keep answers in memory and, unless they cost nothing, in the journal, by one write.

        Returns why they could not be written to the journal; then they are in memory only. Does not
        raise this error, because the answers are kept all the same.

        Raises:
            TaskError: the values are not what the classifier's columns declare. The answers before
                are kept.
        """
        rows: list[Row] = []
        now = self._now()
        try:
            for answer in answers:
                rows.append(self._rows.build(answer, now))
        except TaskError:
            self._keep(answers[: len(rows)], rows, is_free=is_free)
            raise
        return self._keep(answers, rows, is_free=is_free)

    def _keep(
        self, answers: Sequence[Answer], rows: Sequence[Row], *, is_free: bool
    ) -> OSError | None:
        with self._lock:
            if self._is_discarded or not rows:
                return None
            self._pending.extend(rows)
            for answer in answers:
                if answer.values is None:
                    posts = self.posts_of(answer.uri)
                    self._reasons[reason_counts.word_of(answer.reason)] += posts
            if is_free:
                return None
            try:
                self._journal.append(rows)
            except OSError as error:
                return error
        return None

    def flush(self) -> None:
        """Write the pending answers as a part.

        Raises:
            OSError: the disk is full, or the run's folder is not there any more. The answers stay
                in memory, and in the journals that hold them.
            MemoryError: there is no memory to write a part.
        """
        with self._lock:
            rows = list(self._pending)
            if not rows:
                return
            number = self._begin_journal()
            unsaved = self._unsaved
        table = self._rows.table(rows)
        # An attempt that published may have deleted the folder.
        files.make_folder_of_run(self._folder)
        path = write_numbered_part(self._folder, self._prefix, number, table, self._metadata)
        self._known_files.append(path)
        with self._lock:
            self._saved[path] = table.select(self._answers.names)
            del self._pending[: len(rows)]
            self._unsaved -= unsaved
        self._journals = [path for path in self._journals if not files.delete(path)]

    def discard(self) -> None:
        """Delete the files that this process read or wrote: the output holds their answers now."""
        with self._lock:
            self._is_discarded = True
            self._begin_journal()
        for path in (*self._known_files, *self._journals):
            files.delete(path)

    def _begin_journal(self) -> int:
        """Let the next answers go to a journal of their own; return the number of the former."""
        self._journal.close()
        self._unsaved += self._journal.unwritten
        if self._journal.is_begun:
            self._journals.append(self._journal.path)
        self._number += 1
        self._journal = self._new_journal()
        return self._number - 1

    def _new_journal(self) -> AnswerJournal:
        return AnswerJournal(
            self._folder / f"{self._prefix}-{self._number:05d}{answer_journal.SUFFIX}",
            metadata=self._metadata,
            columns=self._columns,
            keep_raw=self._keep_raw,
        )

    def _read_columns(self, columns: pa.Schema) -> pa.Table:
        with self._lock:
            saved, pending = list(self._saved.values()), list(self._pending)
        parts = [part.select(columns.names) for part in saved]
        table = pa.concat_tables([*parts, self._rows.table(pending).select(columns.names)])
        uris = table["uri"].combine_chunks()
        is_first = pc.equal(
            pc.index_in(uris, value_set=uris), pa.array(range(len(uris)), pa.int32())
        )
        return table if pc.all(is_first).as_py() else table.filter(is_first)


def _responses_in(table: pa.Table) -> pa.Table:
    """Return the responses of some answers in RAW_SCHEMA; null if the table has none."""
    if RAW.name not in table.column_names:
        table = table.append_column(RAW, pa.nulls(table.num_rows, RAW.type))
    return table.select(RAW_SCHEMA.names)


def _unseen_rows(table: pa.Table, seen: set[str]) -> pa.Table:
    """Return the rows whose uri is not in `seen`, and add their uris to it."""
    is_first = []
    for uri in table["uri"].to_pylist():
        is_first.append(uri not in seen)
        seen.add(uri)
    return table if all(is_first) else table.filter(pa.array(is_first))
