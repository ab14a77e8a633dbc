"""Write real backlog files of every kind, and stage their posts."""

import csv
import gzip
import json
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.backlog import select, sources
from pipeline.backlog.select import BacklogCounts
from pipeline.backlog.sources import Source
from pipeline.config.sections import SOURCE_COLUMNS, Backlog, SourceColumns
from pipeline.errors import InputError

Row = tuple[Any, Any, Any]
Staged = tuple[str, str, datetime]

STAMP = "2024-05-31-13:00:00"
NOON = datetime(2024, 5, 31, 12, 0, 0)
ONE = datetime(2024, 5, 31, 13, 0, 0)


def sqlite_file(path: Path, rows: Sequence[Row], *, types: str = "TEXT") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        declared = ", ".join(f"{name} {types}" for name in SOURCE_COLUMNS)
        connection.execute(f"CREATE TABLE preprocessed_posts ({declared})")
        connection.executemany("INSERT INTO preprocessed_posts VALUES (?, ?, ?)", rows)
        connection.commit()
    return path


def duckdb_file(path: Path, rows: Sequence[Row], *, stamp: str = "VARCHAR") -> Path:
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"CREATE TABLE posts (uri VARCHAR, text VARCHAR, preprocessing_timestamp {stamp})"
        )
        if rows:
            connection.executemany("INSERT INTO posts VALUES (?, ?, ?)", [list(r) for r in rows])
    return path


def parquet_file(path: Path, rows: Sequence[Row], *, stamp: pa.DataType | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    types = (pa.string(), pa.string(), stamp or pa.string())
    arrays = [pa.array(c, t) for c, t in zip(columns, types, strict=True)]
    pq.write_table(pa.table(arrays, names=list(SOURCE_COLUMNS)), path)
    return path


def csv_file(path: Path, rows: Sequence[Row], *, delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(SOURCE_COLUMNS)
        writer.writerows(rows)
    return path


def json_lines_file(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(dict(zip(SOURCE_COLUMNS, row, strict=True))) + "\n")
    return path


WRITERS: dict[str, Callable[[Path, Sequence[Row]], Path]] = {
    "posts.db": sqlite_file,
    "posts.duckdb": duckdb_file,
    "posts.parquet": parquet_file,
    "posts.csv": csv_file,
    "posts.csv.gz": csv_file,
    "posts.jsonl": json_lines_file,
    "posts.jsonl.gz": json_lines_file,
}


def configured(
    source: Path | str,
    *,
    table: str | None = None,
    where: str | None = None,
    columns: dict[str, str] | None = None,
    ignore: tuple[str, ...] = (),
) -> Backlog:
    return Backlog(
        source=str(source),
        ignore=ignore,
        table=table,
        columns=SourceColumns(**(columns or {})),
        where=where,
        min_text_length=5,
    )


def find(
    source: Path | str,
    *,
    table: str | None = None,
    where: str | None = None,
    columns: dict[str, str] | None = None,
    folders: tuple[Path, ...] = (),
    ignore: tuple[str, ...] = (),
    database: Path | None = None,
) -> Source:
    """The source as a configuration finds it, from the working folder or from `folders`."""
    backlog = configured(source, table=table, where=where, columns=columns, ignore=ignore)
    return sources.find_source(backlog, folders or (Path.cwd(),), database=database)


def stage(
    source: Source,
    *,
    exclude: Sequence[str] = (),
    limit: int | None = None,
    since: datetime | None = None,
) -> tuple[BacklogCounts, list[Staged]]:
    """What a run would take of a source, in its order."""
    with (
        tempfile.TemporaryDirectory() as folder,
        select.staging(Path(folder)) as connection,
    ):
        connection.execute("CREATE TABLE labeled (uri VARCHAR)")
        if exclude:
            connection.execute("INSERT INTO labeled SELECT unnest(?)", [list(exclude)])
        excluded_uris = "SELECT uri FROM labeled" if exclude else None
        counts = select.stage_posts(
            connection, source, exclude=excluded_uris, limit=limit, since=since
        )
        table = select.oldest_first(connection, counts, 1000).read_all()
    names = list(SOURCE_COLUMNS)
    return counts, [tuple(row.values()) for row in table.select(names).to_pylist()]


def stage_reasons(source: Source) -> dict[str, tuple[str, str | None]]:
    """The text and the reason with which a run would freeze each post of a source."""
    with (
        tempfile.TemporaryDirectory() as folder,
        select.staging(Path(folder)) as connection,
    ):
        counts = select.stage_posts(connection, source, exclude=None)
        rows = select.oldest_first(connection, counts, 1000).read_all().to_pylist()
    return {row["uri"]: (row["text"], row["reason"]) for row in rows}


def rejection(
    source: Path | str,
    *,
    table: str | None = None,
    where: str | None = None,
    columns: dict[str, str] | None = None,
    exclude: Sequence[str] = (),
) -> str:
    """The message with which this source is rejected."""
    with pytest.raises(InputError) as rejected:
        stage(find(source, table=table, where=where, columns=columns), exclude=exclude)
    return str(rejected.value)
