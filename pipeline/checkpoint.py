"""What a task has paid for, kept in immutable parts: after any death the next life goes on here.

A part's name says which attempt and which life of it wrote it, so two lives of one shard that run
at once never write the same file, and how many rows it holds, so progress is read off a listing.
"""

import math
import re
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import counts, files
from pipeline.errors import Cause, TaskError
from pipeline.model import (
    COUNT,
    ENVELOPE,
    LARGEST_COUNT,
    RAW,
    SHARD_SCHEMA,
    Answer,
    Column,
    LabelValue,
    Receipt,
)

_PART = re.compile(r"(\d+)-.*-(\d+)\.parquet")

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "integer": (int,),
    "flag": (bool,),
    COUNT: (int,),
}

_LARGEST = {"number": sys.float_info.max, "integer": 2**63, "flag": 2, COUNT: LARGEST_COUNT + 1}


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
        self._kinds = {column.name: column.kind for column in columns}
        self._counted = counts.counted(columns)
        self._facts = {*self._counted, *(column.name for column in columns if column.fact)}
        self._life = f"{attempt:04d}-{uuid.uuid4().hex[:8]}"
        self._now = now
        self._pending: list[dict[str, object]] = []
        self._parts: list[pa.Table] = []
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
                self._parts.append(table)

    def answered(self) -> pa.Table:
        """All answers so far, one row a uri (the first), in `part_schema`.

        Responses stay in the parts' own arrays: one of all may be longer than a `string` array
        can be, 2 GiB, and a copy more than the task's memory.
        """
        return self._answered(self._schema)

    def counts(self) -> dict[str, int]:
        """What all answers so far cost, as their output's footer will say."""
        if not self._counted:
            return {}
        # At every heartbeat: not with the responses.
        columns = [self._schema.field(name) for name in ("uri", *self._counted)]
        return counts.summed(self._answered(pa.schema(columns)), self._counted)

    def add(self, answer: Answer) -> None:
        """Raises TaskError where the values are not what the classifier's columns declare."""
        row: dict[str, object] = {
            "uri": answer.uri,
            "was_successfully_labeled": answer.values is not None,
            "reason": answer.reason,
            "label_timestamp": self._now(),
        }
        if answer.reason is not None and not _is_utf8(answer.reason):
            raise _broken(f"gave the reason {answer.reason!r} for {answer.uri}")
        if answer.values is None and not answer.reason:
            raise _broken(f"gave neither a label nor a reason for {answer.uri}")
        values = {**answer.facts, **(answer.values or {})}
        undeclared = values.keys() - self._kinds.keys()
        left_out = self._kinds.keys() - values.keys() - set(self._counted)
        if undeclared or (answer.values is not None and left_out):
            raise _broken(
                f"declares the columns {', '.join(self._kinds)} "
                f"but answered {', '.join(values)} for {answer.uri}"
            )
        for name, value in values.items():
            if not _fits(value, self._kinds[name]):
                raise _broken(f"answered {name} = {value!r} for {answer.uri}")
            row[name] = _stored(value, self._kinds[name])
        if RAW.name in self._schema.names and answer.raw is not None:
            if not _is_utf8(answer.raw):
                raise _broken(f"gave a raw response that is no text for {answer.uri}")
            row[RAW.name] = answer.raw
        self._pending.append(row)

    def flush(self) -> None:
        """Writes the pending answers as a part. Raises OSError where the disk is full."""
        if not self._pending:
            return
        table = pa.Table.from_pylist(self._pending, schema=self._schema)
        # An attempt that published may have cleared the folder away.
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._life}-{len(self._parts):05d}-{table.num_rows}.parquet"
        files.write_parquet(self._folder / name, table.replace_schema_metadata(self._metadata))
        self._read.append(self._folder / name)
        self._parts.append(table)
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
        parts = [part.select(columns.names) for part in self._parts]
        table = pa.concat_tables([*parts, pa.Table.from_pylist(self._pending, schema=columns)])
        uris = table["uri"].combine_chunks()
        first = pc.equal(pc.index_in(uris, value_set=uris), pa.array(range(len(uris)), pa.int32()))
        return table if pc.all(first).as_py() else table.filter(first)

    def _is_ours(self, table: pa.Table) -> bool:
        found = {
            key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()
        }
        return all(found.get(key) == value for key, value in self._metadata.items())


def _fits(value: LabelValue, kind: str) -> bool:
    """Whether a part can hold it: what fails when a part is written takes all others along."""
    if value is None:
        return True
    if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "flag"):
        return False
    if isinstance(value, str):
        return _is_utf8(value)
    if kind == COUNT and value < 0:
        return False
    return not math.isnan(value) if isinstance(value, float) else abs(value) < _LARGEST[kind]


def _stored(value: LabelValue, kind: str) -> LabelValue:
    """Arrow takes no whole number past 2**53 for a float64."""
    return value if value is None or kind != "number" else float(value)


def _is_utf8(text: str) -> bool:
    """A model's JSON may hold half a surrogate pair, which no Parquet file can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken(what: str) -> TaskError:
    return TaskError(Cause.REFUSED, f"the classifier {what}: it breaks its own protocol")
