"""Read another engine's files into a staging table, a row for each of theirs, with its problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from hpc.adoption.answer_files import AnswerFile, Layout
from hpc.adoption.read_columns import (
    PROBLEM,
    REASON,
    URI,
    JsonRows,
    ParquetRows,
    Rows,
    problem_sql,
    read_label,
    read_text,
)
from pipeline.classifiers.external import ExternalLabel
from pipeline.errors import InputError
from pipeline.model import KIND_TYPES
from pipeline.sql import fetch_number, files_table, parquet_rows, quoted, raise_lack_of_space
from pipeline.terminal import one_line
from pipeline.text import counted

ANSWERS = "answers"
"""The table: FILE and ROW (from 1), uri, reason, the labels, and what is WRONG with the row."""
FILE, ROW, WRONG = '"its file"', '"its row"', '"what is wrong"'
"""Columns beside the labels, as SQL. Each name has a blank, so no label is called so."""
_LONGEST_MESSAGE = 300
_MOST_NAMES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedFiles:
    """What was read."""

    rows: tuple[int, ...]
    """How many rows each file has."""
    ignored_columns: tuple[str, ...]
    """The names of columns that are no labels of the run, sorted."""


def stage_answers(
    connection: duckdb.DuckDBPyConnection,
    answer_files: Sequence[AnswerFile],
    labels: Sequence[ExternalLabel],
) -> StagedFiles:
    """Create the table ANSWERS with the rows of all files.

    Args:
        connection: a staging database.
        answer_files: the files.
        labels: the labels that the run declares.

    Raises:
        InputError: a file cannot be decoded, or lacks a column; the message names it.
        OSError: the disk is full.
    """
    typed = "".join(
        f", {quoted(label.name)} {KIND_TYPES[label.column.kind].duckdb}" for label in labels
    )
    connection.execute(
        f"CREATE TABLE {ANSWERS} ({FILE} INTEGER, {ROW} BIGINT, uri VARCHAR, reason VARCHAR"
        f"{typed}, {WRONG} {PROBLEM})"
    )
    rows: list[int] = []
    ignored: set[str] = set()
    unusable: dict[str, list[str]] = {}
    known = {URI, REASON, *(label.name for label in labels)}
    for number, file in enumerate(answer_files):
        try:
            ignored |= _stage(connection, number, file, labels) - known
        except duckdb.Error as error:
            raise_lack_of_space(error, "adopting")
            problem = str(error).partition(": ")[2] or str(error)
            same = problem.replace(str(file.path), "it")
            unusable.setdefault(f"cannot be read: {one_line(same, _LONGEST_MESSAGE)}", []).append(
                str(file.path)
            )
        except _NoColumn as error:
            unusable.setdefault(str(error), []).append(str(file.path))
        if unusable:
            continue
        count = f"SELECT count(*) FROM {ANSWERS} WHERE {FILE} = {number}"
        rows.append(fetch_number(connection, count))
    if unusable:
        raise InputError(_describe_unusable(unusable))
    return StagedFiles(rows=tuple(rows), ignored_columns=tuple(sorted(ignored)))


def _describe_unusable(unusable: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with files that cannot be used, by problem."""
    lines = ["nothing was adopted:"]
    for problem, paths in unusable.items():
        lines += [f"  {path} {problem}" for path in paths[:1]]
        if len(paths) > 1:
            shown = ", ".join(path.rpartition("/")[2] for path in paths[1:_MOST_NAMES])
            rest = len(paths) - _MOST_NAMES
            more = f" and {counted(rest, 'more file')}" if rest > 0 else ""
            lines.append(f"    the same: {shown}{more}")
    return "\n".join(lines)


class _NoColumn(Exception):
    """A file lacks a column; the message says which, and what it has."""


def _stage(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    file: AnswerFile,
    labels: Sequence[ExternalLabel],
) -> set[str]:
    """Insert the rows of one file; return the names of its columns."""
    if file.layout is Layout.PARQUET:
        source = parquet_rows([file.path])
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        types = {name: kind for name, kind, *_ in described}
        if missing := [
            name
            for name in (URI, *(label.name for label in labels if not label.may_be_null))
            if name not in types
        ]:
            columns = one_line(", ".join(types), _LONGEST_MESSAGE)
            raise _NoColumn(f"has no column {', '.join(missing)}; it has: {columns or 'none'}")
        _insert(connection, number, ParquetRows(types), source, labels)
        return set(types)
    compression = "gzip" if file.layout is Layout.JSON_LINES_GZIP else "none"
    layout = ("format = 'newline_delimited'", f"compression = '{compression}'")
    source = files_table("read_json_objects", [file.path], *layout)
    _insert(connection, number, JsonRows(), source, labels)
    keys = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(json)) FROM {source} WHERE json_type(json) = 'OBJECT'"
    ).fetchall()
    return {key for (key,) in keys}


def _insert(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    rows: Rows,
    source: str,
    labels: Sequence[ExternalLabel],
) -> None:
    uri_field = rows.field(URI)
    uri, reason = read_text(uri_field, URI), read_text(rows.field(REASON), REASON)
    readings = {label.name: read_label(rows.field(label.name), label) for label in labels}
    no_uri = f"CASE WHEN {uri_field.is_null} THEN {problem_sql('it has no uri')} END"
    problems = [rows.broken, no_uri, uri.problem, reason.problem]
    problems += [reading.problem for reading in readings.values()]
    values = "".join(f", {reading.value}" for reading in readings.values())
    connection.execute(
        f"INSERT INTO {ANSWERS} SELECT {number}, row_number() OVER (), {uri.value}, "
        f"nullif(trim({reason.value}), ''){values}, "
        f"coalesce({', '.join(problems)}) FROM {source}"
    )
