"""Keep what a task has paid for in immutable parts, so that the next attempt resumes from there.

A part's name says which process of which attempt wrote it, so that two tasks of one shard at once
never write the same file. It also says how many rows the part holds, so that progress can be read
from a listing.
"""

import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import files, usage
from pipeline.model import ENVELOPE, RAW, RAW_SCHEMA, SHARD_SCHEMA, TOO_SHORT, Answer, Column
from pipeline.run_files.answer_row import AnswerRows, sum_columns

_PART = re.compile(r"(\d+)-.*-(\d+)\.parquet")


def part_schema(columns: tuple[Column, ...], *, keep_raw: bool = False) -> pa.Schema:
    """Return a part's columns: the uri and the answer; text and timestamp stay in the shard."""
    answer = ENVELOPE[len(SHARD_SCHEMA) :]
    raw = [RAW] if keep_raw else []
    return pa.schema([SHARD_SCHEMA.field("uri"), *answer, *(c.arrow() for c in columns), *raw])


def rows_by_attempt(names: Iterable[str]) -> dict[int, int]:
    """Return how many rows each attempt's parts hold, from the names in a shard's work folder.

    A post counts twice if two attempts at once have asked about it.
    """
    rows: dict[int, int] = {}
    for name in names:
        if match := _PART.fullmatch(name):
            attempt = int(match[1])
            rows[attempt] = rows.get(attempt, 0) + int(match[2])
    return rows


def holds_answers(folder: Path) -> bool:
    """Return whether any part below a folder holds an answer that was asked for.

    Texts that are too short are answered without asking. A part that cannot be read counts as
    holding answers.
    """
    for part in folder.rglob("*.parquet"):
        try:
            reasons = pq.read_table(part, columns=["reason"], partitioning=None)["reason"]
        except (OSError, pa.ArrowInvalid):
            return True
        if not pc.all(pc.fill_null(pc.equal(reasons, TOO_SHORT), False)).as_py():
            return True
    return False


class Checkpoint:
    """Collects a shard's answers and writes them as a part whenever `flush` is called."""

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
        self._schema = part_schema(columns, keep_raw=keep_raw)
        self._answers = part_schema(columns)
        self._rows = AnswerRows(columns, keep_raw=keep_raw)
        self._counted = usage.count_columns(columns)
        self._facts = {*self._counted, *(column.name for column in columns if column.fact)}
        self._prefix = f"{attempt:04d}-{uuid.uuid4().hex[:8]}"
        self._now = now
        self._pending: list[dict[str, object]] = []
        # Without the responses: those of a whole shard may need more than a task's memory.
        self._parts: dict[Path, pa.Table] = {}
        self._known_files: list[Path] = []

    @property
    def pending(self) -> int:
        """How many answers are in memory only."""
        return len(self._pending)

    def load(self) -> None:
        """Read the parts of earlier attempts; one that cannot be used is named on stderr."""
        for path in sorted(self._folder.glob("*.parquet")):
            try:
                table = self._with_missing_facts(
                    pq.read_table(path, page_checksum_verification=True, partitioning=None)
                )
                problem = self._problem(table)
            except (OSError, ValueError, pa.ArrowException) as error:
                print(f"{path}: ignored, it cannot be read: {error}", file=sys.stderr)
                if path.name.startswith(files.TEMPORARY_PREFIX):
                    self._known_files.append(path)  # a killed process had begun to write it
                continue
            self._known_files.append(path)
            if problem:
                print(f"{path}: ignored, {problem}", file=sys.stderr)
            else:
                self._parts[path] = table.select(self._answers.names)

    def answered(self) -> pa.Table:
        """Return all answers so far without responses, in `part_schema`.

        One row per uri: the first answer counts.
        """
        return self._answered(self._answers)

    def responses(self) -> Iterator[pa.Table]:
        """Yield the responses of the same rows, in RAW_SCHEMA, part by part.

        Raises:
            OSError: another attempt has published and deleted a part.
        """
        seen: set[str] = set()
        for path in self._parts:
            table = pq.read_table(
                path, columns=RAW_SCHEMA.names, page_checksum_verification=True, partitioning=None
            )
            yield _unseen_rows(table, seen)
        if self._pending:
            yield _unseen_rows(pa.Table.from_pylist(self._pending, schema=RAW_SCHEMA), seen)

    def counts(self) -> dict[str, int]:
        """Return what all answers so far cost, by cost column, as the output's footer will say."""
        if not self._counted:
            return {}
        columns = [self._schema.field(name) for name in ("uri", *self._counted)]
        return sum_columns(self._answered(pa.schema(columns)), self._counted)

    def add(self, answer: Answer) -> None:
        """Keep an answer in memory.

        Raises:
            TaskError: the values are not what the classifier's columns declare.
        """
        self._pending.append(self._rows.build(answer, self._now()))

    def flush(self) -> None:
        """Write the pending answers as a part.

        Raises:
            OSError: the disk is full, or the run's folder is not there any more.
        """
        if not self._pending:
            return
        table = pa.Table.from_pylist(self._pending, schema=self._schema)
        # An attempt that published may have deleted the folder.
        files.make_folder_of_run(self._folder)
        path = self._folder / f"{self._prefix}-{len(self._parts):05d}-{table.num_rows}.parquet"
        files.write_parquet(path, table.replace_schema_metadata(self._metadata))
        self._known_files.append(path)
        self._parts[path] = table.select(self._answers.names)
        self._pending = []

    def discard(self) -> None:
        """Delete the parts that this process read or wrote: the output holds them now."""
        for path in self._known_files:
            path.unlink(missing_ok=True)

    def _with_missing_facts(self, table: pa.Table) -> pa.Table:
        """Add the facts that an older version of the classifier did not keep, as unknown."""
        for position, field in enumerate(self._schema):
            if field.name in self._facts and field.name not in table.column_names:
                unknown = pa.nulls(table.num_rows, field.type)
                table = table.add_column(min(position, table.num_columns), field, unknown)
        return table

    def _answered(self, columns: pa.Schema) -> pa.Table:
        parts = [part.select(columns.names) for part in self._parts.values()]
        table = pa.concat_tables([*parts, pa.Table.from_pylist(self._pending, schema=columns)])
        uris = table["uri"].combine_chunks()
        is_first = pc.equal(
            pc.index_in(uris, value_set=uris), pa.array(range(len(uris)), pa.int32())
        )
        return table if pc.all(is_first).as_py() else table.filter(is_first)

    def _problem(self, table: pa.Table) -> str:
        metadata = {
            key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()
        }
        if any(metadata.get(key) != value for key, value in self._metadata.items()):
            return "it belongs to another run, input or configuration"
        if not table.schema.equals(self._schema):
            return "it has other label columns"
        return ""


def _unseen_rows(table: pa.Table, seen: set[str]) -> pa.Table:
    """Return the rows whose uri is not in `seen`, and add their uris to it."""
    is_first = []
    for uri in table["uri"].to_pylist():
        is_first.append(uri not in seen)
        seen.add(uri)
    return table if all(is_first) else table.filter(pa.array(is_first))
