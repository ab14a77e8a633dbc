"""What a task has paid for, kept in immutable parts: after any death the next life goes on here.

A part's name says which attempt and which life of it wrote it, so two lives of one shard that run
at once never write the same file, and how many rows it holds, so progress is read off a listing.
"""

import re
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import cost_columns, files
from pipeline.model import ENVELOPE, RAW, RAW_SCHEMA, SHARD_SCHEMA, Answer, Column, Receipt
from pipeline.worker.answer_row import Rows

_PART = re.compile(r"(\d+)-.*-(\d+)\.parquet")


def part_schema(columns: tuple[Column, ...], *, keep_raw: bool = False) -> pa.Schema:
    """A part's columns: the uri and the answer; text and timestamp stay in the shard."""
    answer = ENVELOPE[len(SHARD_SCHEMA) :]
    raw = [RAW] if keep_raw else []
    return pa.schema([SHARD_SCHEMA.field("uri"), *answer, *(c.arrow() for c in columns), *raw])


def rows_by_attempt(folder: Path) -> dict[int, int]:
    """Rows in a shard's parts by their names; two lives may have counted a post twice."""
    rows: dict[int, int] = {}
    for path in folder.glob("[0-9]*-*.parquet"):
        if found := _PART.fullmatch(path.name):
            attempt = int(found[1])
            rows[attempt] = rows.get(attempt, 0) + int(found[2])
    return rows


class Checkpoint:
    """Takes answers, and writes a part of those since the last one whenever `flush` is called.

    Args:
        folder: the shard's work folder; made where missing.
        receipt: a part for another input or run is not read.
        question: the configuration's hash: a part that answers another question is not read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        receipt: Receipt,
        question: str,
        columns: tuple[Column, ...],
        attempt: int,
        keep_raw: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(tzinfo=None),
    ) -> None:
        self._folder = folder
        self._metadata = {**receipt.metadata(), "hpc.config_hash": question}
        self._schema = part_schema(columns, keep_raw=keep_raw)
        self._answers = part_schema(columns)
        self._rows = Rows(columns, keep_raw=keep_raw)
        self._counted = cost_columns.counted(columns)
        self._facts = {*self._counted, *(column.name for column in columns if column.fact)}
        self._life = f"{attempt:04d}-{uuid.uuid4().hex[:8]}"
        self._now = now
        self._pending: list[dict[str, object]] = []
        # Without the responses: those of a whole shard may be more than a task's memory.
        self._parts: dict[Path, pa.Table] = {}
        self._read: list[Path] = []

    @property
    def pending(self) -> int:
        """Answers that are in memory only."""
        return len(self._pending)

    def load(self) -> None:
        """Reads the parts of earlier lives. One that cannot be read is named on stderr."""
        for path in sorted(self._folder.glob("*.parquet")):
            try:
                table = self._with_facts(
                    pq.read_table(path, page_checksum_verification=True, partitioning=None)
                )
                ours, same_columns = self._is_ours(table), table.schema.equals(self._schema)
            except (OSError, ValueError, pa.ArrowException) as error:
                print(f"{path}: left out, it cannot be read: {error}", file=sys.stderr)
                continue
            self._read.append(path)
            if not ours:
                print(f"{path}: left out, it is of another run or input", file=sys.stderr)
            elif not same_columns:
                print(f"{path}: left out, it has other label columns", file=sys.stderr)
            else:
                self._parts[path] = table.select(self._answers.names)

    def answered(self) -> pa.Table:
        """All answers so far, one row a uri (the first), in `part_schema` without responses."""
        return self._answered(self._answers)

    def responses(self) -> Iterator[pa.Table]:
        """Of the same rows, in RAW_SCHEMA, part by part as they lie on the disk.

        Raises OSError where an attempt that published has cleared a part away.
        """
        told: set[str] = set()
        for path in self._parts:
            table = pq.read_table(
                path, columns=RAW_SCHEMA.names, page_checksum_verification=True, partitioning=None
            )
            yield _first_told(table, told)
        if self._pending:
            yield _first_told(pa.Table.from_pylist(self._pending, schema=RAW_SCHEMA), told)

    def counts(self) -> dict[str, int]:
        """What all answers so far cost, as their output's footer will say."""
        if not self._counted:
            return {}
        columns = [self._schema.field(name) for name in ("uri", *self._counted)]
        return cost_columns.summed(self._answered(pa.schema(columns)), self._counted)

    def add(self, answer: Answer) -> None:
        """Raises TaskError where the values are not what the classifier's columns declare."""
        self._pending.append(self._rows.of(answer, self._now()))

    def flush(self) -> None:
        """Writes the pending answers as a part. Raises OSError where the disk is full."""
        if not self._pending:
            return
        table = pa.Table.from_pylist(self._pending, schema=self._schema)
        # An attempt that published may have cleared the folder away.
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._life}-{len(self._parts):05d}-{table.num_rows}.parquet"
        path = self._folder / name
        files.write_parquet(path, table.replace_schema_metadata(self._metadata))
        self._read.append(path)
        self._parts[path] = table.select(self._answers.names)
        self._pending = []

    def discard(self) -> None:
        """Removes the parts that this life read or wrote: the output holds them now."""
        for path in self._read:
            path.unlink(missing_ok=True)

    def _with_facts(self, table: pa.Table) -> pa.Table:
        """With those that an older version of the classifier did not keep: unknown, not unpaid."""
        for at, field in enumerate(self._schema):
            if field.name in self._facts and field.name not in table.column_names:
                unknown = pa.nulls(table.num_rows, field.type)
                table = table.add_column(min(at, table.num_columns), field, unknown)
        return table

    def _answered(self, columns: pa.Schema) -> pa.Table:
        parts = [part.select(columns.names) for part in self._parts.values()]
        table = pa.concat_tables([*parts, pa.Table.from_pylist(self._pending, schema=columns)])
        uris = table["uri"].combine_chunks()
        first = pc.equal(pc.index_in(uris, value_set=uris), pa.array(range(len(uris)), pa.int32()))
        return table if pc.all(first).as_py() else table.filter(first)

    def _is_ours(self, table: pa.Table) -> bool:
        found = {
            key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()
        }
        return all(found.get(key) == value for key, value in self._metadata.items())


def _first_told(table: pa.Table, told: set[str]) -> pa.Table:
    """Its rows of a uri that is not in `told`, which has it from then on."""
    first = []
    for uri in table["uri"].to_pylist():
        first.append(uri not in told)
        told.add(uri)
    return table if all(first) else table.filter(pa.array(first))
