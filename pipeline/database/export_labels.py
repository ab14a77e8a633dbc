"""Write the labels of a name to a file for R, pandas and polars.

The query runs in a session that can write this one file and nothing else: a condition is SQL that a
person wrote, maybe copied from somewhere.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import duckdb

from pipeline import files
from pipeline.backlog import select
from pipeline.backlog.sources import Source
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database import duckdb_file, label_condition
from pipeline.database.label_tables import labels_table, with_copied_from
from pipeline.database.source_columns import (
    SourceColumn,
    count_missing,
    stage_source_columns,
)
from pipeline.errors import InputError
from pipeline.messages.options import COLUMNS, TO, WHERE, WITH_SOURCE
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.sql import literal, quoted, share_done
from pipeline.text import did_you_mean

_LABELS, _POSTS, _CHOSEN = "labels", "posts", "chosen_posts"
_LABELED = "was_successfully_labeled"


class ExportFormat(StrEnum):
    """The formats of an exported file, by the end of its name."""

    PARQUET = ".parquet"
    CSV = ".csv"
    CSV_GZ = ".csv.gz"
    JSON_LINES = ".jsonl"
    JSON_LINES_GZ = ".jsonl.gz"


_OPTIONS = {
    ExportFormat.PARQUET: "FORMAT parquet, COMPRESSION zstd",
    ExportFormat.CSV: "FORMAT csv, HEADER true, COMPRESSION none",
    ExportFormat.CSV_GZ: "FORMAT csv, HEADER true, COMPRESSION gzip",
    ExportFormat.JSON_LINES: "FORMAT json, COMPRESSION none",
    ExportFormat.JSON_LINES_GZ: "FORMAT json, COMPRESSION gzip",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """Which labels to write."""

    name: str
    columns: tuple[str, ...] = ()
    """The columns to write, in this order; empty for all."""
    where: str = ""
    """A condition on the rows, in SQL; empty for all rows."""
    labeled_only: bool = False
    """Whether to leave out posts without labels."""
    source: Source | None = None
    """The source of the posts; None if none of its columns is wanted."""
    source_columns: tuple[str, ...] = ()
    """Columns of the source, which are joined by uri."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What a file holds."""

    rows: int
    labeled: int
    """How many of these rows have labels; the others have a reason."""
    columns: tuple[str, ...]
    with_nul: int
    """How many texts hold the character NUL, at which R cuts a text of a CSV file."""
    not_in_source: int = 0
    """How many posts of the name the source does not have."""


def format_of(target: Path) -> ExportFormat:
    """Return the format of a file by its name.

    Raises:
        InputError: the name ends like no format.
    """
    name = target.name.lower()
    for file_format in ExportFormat:
        if name.endswith(file_format) and name != file_format:
            return file_format
    suffixes = ", ".join(ExportFormat)
    raise InputError(f"{TO.set_to(target)}: the name should end in one of: {suffixes}")


def copy_options(file_format: ExportFormat) -> str:
    """Return the options of DuckDB's COPY for a format."""
    return _OPTIONS[file_format]


def export(
    database: Path,
    request: ExportRequest,
    target: Path,
    progress: Progress = NO_PROGRESS,
    *,
    limits: SessionLimits = LOGIN_NODE,
) -> Exported:
    """Write the labels of a name to a file, which appears whole or not at all.

    Times are written as UTC. The order of rows is that of the table.

    Args:
        database: the database.
        request: which labels.
        target: the file; an existing one is replaced.
        progress: shows how far reading and writing are.
        limits: how much of the machine DuckDB may take.

    Raises:
        InputError: a column does not exist, or the condition is wrong.
        HeldDatabaseError: another process has the database open.
        OSError: the disk is full.
    """
    file_format = format_of(target)
    with (
        files.appearing_whole(target) as temporary,
        tempfile.TemporaryDirectory(prefix=".tmp-export-", dir=target.parent) as folder,
        select.staging(Path(folder), limits) as connection,
        progress.step(f"writing {target.name}", measure=partial(share_done, connection)),
    ):
        duckdb_file.attach(connection, database, _LABELS)
        not_in_source = _create_view(connection, request)
        types = _column_types(connection)
        columns = _choose_columns(request, types)
        label_condition.lock_down(connection, temporary, _LABELS)
        rows = f"FROM {_POSTS}{_conditions(connection, request, tuple(types))}"
        try:
            if _may_change(connection, request.where):
                connection.execute(f"CREATE TEMPORARY TABLE {_CHOSEN} AS {rows}")
                rows = f"FROM {_CHOSEN}"
            counts = connection.execute(
                f"SELECT count(*) FILTER ({_LABELED}), count(*) FILTER (contains(text, chr(0))) "
                f"{rows}"
            ).fetchall()[0]
            expressions = ", ".join(
                f"{as_written(column, types[column], file_format)} AS {quoted(column)}"
                for column in columns
            )
            written = connection.execute(
                f"COPY (SELECT {expressions} {rows}) TO {literal(str(temporary))} "
                f"({copy_options(file_format)})"
            ).fetchall()[0][0]
        except duckdb.Error as error:
            duckdb_file.raise_system_error(target, error)
            raise _wrong_condition(connection, request, error, tuple(types)) from None
    return Exported(
        rows=int(written),
        labeled=counts[0],
        columns=columns,
        with_nul=counts[1],
        not_in_source=not_in_source,
    )


def _create_view(connection: duckdb.DuckDBPyConnection, request: ExportRequest) -> int:
    """Create a view of the labels and the columns of the source.

    Returns:
        How many posts the source does not have.
    """
    table = with_copied_from(connection, f"{_LABELS}.{quoted(labels_table(request.name))}")
    taken = [row[0] for row in connection.execute(f"DESCRIBE FROM {table}").fetchall()]
    columns: tuple[SourceColumn, ...] = ()
    if request.source is not None:
        columns = stage_source_columns(
            connection, request.source, request.source_columns, table, taken
        )
    values = "".join(f", {each.value} AS {quoted(each.column)}" for each in columns)
    joins = "".join(
        f" LEFT JOIN {each.table} AS {each.alias} ON {each.alias}.uri = labeled.uri"
        for each in columns
    )
    connection.execute(
        f"CREATE TEMPORARY VIEW {_POSTS} AS SELECT labeled.*{values} FROM {table} AS labeled{joins}"
    )
    return count_missing(connection, columns, table)


def _column_types(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE {_POSTS}").fetchall()
    return {row[0]: row[1] for row in rows}


def _choose_columns(request: ExportRequest, types: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns to write, spelled as the table has them."""
    by_name = {column.lower(): column for column in types}
    chosen = []
    for column in dict.fromkeys(request.columns or types):
        if column.lower() not in by_name:
            raise InputError(
                f"{COLUMNS.set_to(column)}: {labels_table(request.name)} has no such column"
                f"{did_you_mean(column, tuple(types))}; it has: {', '.join(types)}"
            )
        chosen.append(by_name[column.lower()])
    return tuple(dict.fromkeys(chosen))


def _conditions(
    connection: duckdb.DuckDBPyConnection, request: ExportRequest, columns: Sequence[str]
) -> str:
    """Return a WHERE clause for the rows that are wanted; empty for all.

    The condition may end in a comment, so it has a line of its own.
    """
    conditions = [_LABELED] if request.labeled_only else []
    if request.where.strip():
        conditions.append(f"({request.where}\n)")
        # A condition such as `a) OR (b` can be read between parentheses, and not between brackets.
        for opening, closing in ("[]", "()"):
            try:
                statements = connection.extract_statements(
                    f"SELECT 1 FROM {_POSTS} WHERE {opening}{request.where}\n{closing}"
                )
            except duckdb.Error as error:
                raise _wrong_condition(connection, request, error, columns) from None
            if len(statements) != 1:
                raise InputError(f"{WHERE}: should be a single condition, without a semicolon")
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _may_change(connection: duckdb.DuckDBPyConnection, condition: str) -> bool:
    """Report whether a condition may choose other rows the next time, as `random() < 0.1` does."""
    words = set(re.findall(r"\w+", condition.lower()))
    if not words:
        return False
    changing = label_condition.volatile_functions(connection)
    return not words.isdisjoint({"sample", "tablesample", *changing})


def _wrong_condition(
    connection: duckdb.DuckDBPyConnection,
    request: ExportRequest,
    error: duckdb.Error,
    columns: Sequence[str],
) -> Exception:
    advice = f", and add a column of the source with {WITH_SOURCE}"
    return label_condition.wrong_condition(connection, request.where, error, columns, advice)


def as_written(column: str, kind: str, file_format: ExportFormat) -> str:
    """Return the expression for a column: times say that they are UTC.

    A Parquet time without a zone is local time to R. Text formats get ISO 8601.
    """
    name = quoted(column)
    if kind not in ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        return name
    if file_format is ExportFormat.PARQUET:
        return f"CAST({name} AS TIMESTAMPTZ)"
    moment = name if kind == "TIMESTAMP" else f"({name} AT TIME ZONE 'UTC')"
    return f"strftime({moment}, '%Y-%m-%dT%H:%M:%S.%fZ')"
