"""Write small files of posts, and stage them with their reasons."""

import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.backlog import select
from tests.pipeline.backlog.source_files import STAMP, find

HEADER = b"uri,text,preprocessing_timestamp\n"

Outcome = dict[str, tuple[str, str | None]]
"""The text and the reason of each post, by its uri."""


def line(uri: str = "u1", **values: Any) -> bytes:
    """A line of JSON with a uri, a time and further values."""
    return json.dumps({"uri": uri, "preprocessing_timestamp": STAMP, **values}).encode() + b"\n"


def csv_row(uri: bytes = b"u1", text: bytes = b"hello") -> bytes:
    """A row of CSV."""
    return b",".join([uri, text, STAMP.encode()]) + b"\n"


def parquet(path: Path, **columns: Any) -> Path:
    """A Parquet file with a time for each post."""
    table = pa.table(columns)
    times = pa.array([STAMP] * table.num_rows)
    pq.write_table(table.append_column("preprocessing_timestamp", times), path)
    return path


def duckdb_table(path: Path, select_rows: str) -> Path:
    """A DuckDB file with the table `posts`, whose rows get a time."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"CREATE TABLE posts AS SELECT *, '{STAMP}' AS preprocessing_timestamp "
            f"FROM ({select_rows})"
        )
    return path


def strings(values: list[bytes], data_type: pa.DataType | None = None) -> pa.Array:
    """A column of strings with any bytes, as some writers produce them."""
    large = data_type == pa.large_string()
    raw = pa.array(values, pa.large_binary() if large else pa.binary())
    return pa.Array.from_buffers(data_type or pa.string(), len(values), raw.buffers())


def outcome(
    path: Path, *, where: str | None = None, columns: dict[str, str] | None = None
) -> Outcome:
    """What a run would take of a source."""
    with (
        tempfile.TemporaryDirectory() as folder,
        select.staging(Path(folder)) as connection,
    ):
        select.stage_posts(connection, find(path, where=where, columns=columns), exclude=None)
        rows = connection.execute("SELECT uri, text, reason FROM staged ORDER BY uri").fetchall()
        assert [each.name for each in Path(folder).iterdir() if each.is_dir()] in ([], ["spill"])
    return {uri: (text, reason) for uri, text, reason in rows}
