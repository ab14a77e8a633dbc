"""Record what an output held when it was gathered, so that an audit need not decode it again.

A proof is a digest of the file's bytes and a sum of hashes over its rows. While the bytes are the
same, the rows of the file have the same sum.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa

from pipeline import archive
from pipeline.database.duckdb_file import register_tables
from pipeline.errors import DamagedError
from pipeline.sql import literal, quoted
from pipeline.threads.share_work import share_work

# Where reading waits for the file system, this many files are read at a time.
READERS = 8
# Where it does not, more threads would only wait for each other: four take a sixth more CPU time
# than two, and are not done sooner [measured].
_READERS_WITHOUT_WAITS = 2
# This many files tell which of the two it is: whether they take this many times their CPU time.
_FIRST = 64
_FEW_WAITS = 4.0
# Most outputs are read by one call.
_BUFFER_BYTES = 1 << 16


class OutputProof(msgspec.Struct, frozen=True):
    """What an output held when it was gathered."""

    sha256: str
    """The SHA-256 of its bytes, in hexadecimal."""
    rows_hash: str
    """Its rows, as `describe_rows` returns them."""

    @property
    def is_comparable(self) -> bool:
        """Tell whether this version of DuckDB would describe the same rows in the same way."""
        return self.rows_hash.startswith(f"{duckdb.__version__} ")


def row_hash(types: Mapping[str, str]) -> str:
    """Return SQL for the hash of a row that has these columns, by name.

    Columns without a value do not count, so a column that the table got later changes nothing. The
    order of the columns does not count either.
    """
    values = (
        f"CASE WHEN {quoted(name)} IS NULL THEN 0::UBIGINT "
        f"ELSE hash({literal(name.lower())}, CAST({quoted(name)} AS {kind})) END"
        for name, kind in types.items()
    )
    combined = "0::UBIGINT"
    for value in values:
        combined = f"xor({combined}, {value})"
    # Hashed once more: a sum of what is only combined could not tell which row has which value.
    return f"hash({combined})"


def describe_rows(count: int, total: int | None) -> str:
    """Return a text that stands for rows: their number, and the sum of their hashes.

    It names the version of DuckDB, because another one may compute other hashes.
    """
    return f"{duckdb.__version__} {count} {total}"


def hash_shards(
    connection: duckdb.DuckDBPyConnection, outputs: Sequence[pa.Table]
) -> dict[int, str]:
    """Return the description of each shard's rows, by its index.

    Args:
        connection: any connection.
        outputs: the rows of outputs of one run; each shard's are in one table.
    """
    described: dict[int, str] = {}
    for table in outputs:
        with register_tables(connection, output=table):
            columns = connection.execute("DESCRIBE SELECT * FROM output").fetchall()
            rows = connection.execute(
                "SELECT shard_index, count(*), "
                f"sum({row_hash({row[0]: row[1] for row in columns})}::HUGEINT) "
                "FROM output GROUP BY shard_index"
            ).fetchall()
        described.update({index: describe_rows(count, total) for index, count, total in rows})
    return described


def find_unchanged(outputs: Mapping[int, tuple[str, str]]) -> set[int]:
    """Return the shards whose outputs can be read now and have the bytes that they had.

    Args:
        outputs: by shard, the path of its output and the SHA-256 of the bytes that it had, in
            hexadecimal.
    """

    def check(some: Iterable[int]) -> list[int]:
        buffer = bytearray(_BUFFER_BYTES)
        return [shard for shard in some if _has_sha256(*outputs[shard], buffer)]

    shards = list(outputs)
    began, cpu_began = time.perf_counter(), time.thread_time()
    first = check(shards[:_FIRST])
    cpu_s = time.thread_time() - cpu_began
    has_few_waits = time.perf_counter() - began < _FEW_WAITS * cpu_s
    readers = _READERS_WITHOUT_WAITS if has_few_waits else READERS
    return set(first).union(*share_work(shards[_FIRST:], check, threads=readers))


def _has_sha256(path: str, sha256: str, buffer: bytearray) -> bool:
    """Tell whether a file can be read now, and its content has this SHA-256.

    Args:
        path: the file.
        sha256: in hexadecimal.
        buffer: is overwritten.
    """
    try:
        return _digest(path, buffer) == sha256
    except (OSError, DamagedError):
        return False


def _digest(path: str, buffer: bytearray) -> str:
    """Return what `archive.digest` does, in two thirds of the time for a file of some kilobytes."""
    try:
        # Opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return archive.digest(Path(path))
    sha256, view = hashlib.sha256(), memoryview(buffer)
    try:
        # A read that gets less has met the end. Another one, to get nothing, would take a tenth
        # of the time. Should a read stop early, the digest is not that of the recorded bytes.
        count = len(buffer)
        while count == len(buffer):
            count = os.readv(descriptor, (buffer,))
            sha256.update(view[:count])
    finally:
        os.close(descriptor)
    return sha256.hexdigest()
