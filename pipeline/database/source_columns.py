"""Stage columns of the source beside the labels, joined by uri."""

import re
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import duckdb
import msgspec

from pipeline.backlog.catalog import LacksPostsError
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source, SourceFile
from pipeline.errors import InputError
from pipeline.messages.option import Option
from pipeline.messages.options import WITH_SOURCE
from pipeline.sql import fetch_number, literal, quoted

# Whole numbers and decimals that a column of numbers holds without loss. `007` is a text, and so is
# a number with more digits than a DOUBLE has.
_WHOLE = "-?(0|[1-9][0-9]{0,17})"
_DECIMAL = "-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]{1,2})?"
_MOST_DIGITS = 15
_CLASHING = "source_"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceColumn:
    """A column of the source that was staged."""

    column: str
    """Its name in the result. One that the labels have already begins with `source_`."""
    table: str
    """The staged table, with one row for each post of the labels that the source has."""
    alias: str
    """Its name within a query."""
    value: str
    """The expression for the value, by the alias."""


def stage_source_columns(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    names: Sequence[str],
    posts: str,
    taken: Collection[str],
    *,
    asked_by: Option = WITH_SOURCE,
) -> tuple[SourceColumn, ...]:
    """Read columns of the source, for the posts of a relation.

    Each column is read in the way in which the columns of a post are, so that paths such as
    `record.likes` work too. If the source has a uri several times, the row with the labeled text
    counts. A column that some of its files lack is null there. An empty text is null, because CSV
    and SQLite do not tell them apart.

    Args:
        connection: the session; its time zone must be UTC.
        source: the backlog.
        names: the columns of the source, or paths into nested values.
        posts: the labels, with columns `uri` and `text`.
        taken: the names of the columns that the result has already.
        asked_by: the option that named the columns.

    Raises:
        InputError: the source cannot be read, or has no such column.
    """
    rows = connection.execute("SELECT current_database()").fetchall()
    catalog = quoted(rows[0][0])
    staged: list[SourceColumn] = []
    used = {name.lower() for name in taken}
    for number, name in enumerate(names):
        column = _free_name(name, used)
        used.add(column.lower())
        alias = f"source_column_{number}"
        table = f"{catalog}.main.{alias}"
        try:
            _stage(connection, source, name, posts, table)
        except InputError as error:
            raise InputError(f"{asked_by.set_to(name)}: {_problem(error, asked_by)}") from None
        value = _value(connection, table, alias)
        staged.append(SourceColumn(column=column, table=table, alias=alias, value=value))
    return tuple(staged)


def count_missing(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[SourceColumn], posts: str
) -> int:
    """Count the rows of a relation whose posts the source does not have."""
    if not columns:
        return 0
    return fetch_number(
        connection, f"SELECT count(*) FROM {posts} ANTI JOIN {columns[0].table} USING (uri)"
    )


def _free_name(name: str, used: Collection[str]) -> str:
    for column in (name, f"{_CLASHING}{name}"):
        if column.lower() not in used:
            return column
    raise InputError(
        f"{WITH_SOURCE.set_to(name)}: there is a column {name} already, and a column "
        f"{_CLASHING}{name} too: name each column once"
    )


def _stage(
    connection: duckdb.DuckDBPyConnection, source: Source, name: str, posts: str, table: str
) -> None:
    # Of the three columns of a post, only the time may be of any type.
    columns = msgspec.structs.replace(source.backlog.columns, preprocessing_timestamp=name)
    backlog = msgspec.structs.replace(source.backlog, columns=columns)
    wanted = replace(source, backlog=backlog)
    try:
        _stage_files(connection, wanted, posts, table)
    except LacksPostsError:
        _stage_some_files(connection, source, wanted, posts, table)


def _problem(error: InputError, asked_by: Option) -> str:
    """Return an error's words without what they say about a configuration: it need not change."""
    return re.sub(r"^backlog\.[a-z_.]+: ", "", str(error)).replace(
        "set backlog.columns.preprocessing_timestamp to", asked_by.flag.removeprefix("--")
    )


def _stage_files(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    posts: str,
    table: str,
    value: str = "raw_timestamp",
) -> None:
    def statement(relation: str) -> str:
        return (
            f"CREATE OR REPLACE TABLE {table} AS SELECT uri, "
            "coalesce(min(value) FILTER (is_labeled_text), min(value)) AS value FROM "
            f"(SELECT uri, nullif({value}, '') AS value, source.text = labeled.text "
            f"AS is_labeled_text FROM ({relation}) AS source JOIN {posts} AS labeled USING (uri)) "
            "GROUP BY uri"
        )

    with closing(Scan(connection, source)) as scan:
        scan.read(statement)


def _stage_some_files(
    connection: duckdb.DuckDBPyConnection, source: Source, wanted: Source, posts: str, table: str
) -> None:
    """Stage a column that some files lack, perhaps because it came later: it is null there.

    Raises:
        InputError: no file has it.
    """
    having: list[SourceFile] = []
    lacking: list[SourceFile] = []
    failures: list[LacksPostsError] = []
    for file in source.source_files:
        try:
            with closing(Scan(connection, replace(wanted, source_files=(file,)))) as scan:
                scan.relation()
        except LacksPostsError as error:
            lacking.append(file)
            failures.append(error)
        else:
            having.append(file)
    if not having:
        raise failures[0]
    without = f"{table}_without"
    _stage_files(connection, replace(wanted, source_files=tuple(having)), posts, table)
    others = replace(source, source_files=tuple(lacking))
    _stage_files(connection, others, posts, without, value="NULL::VARCHAR")
    connection.execute(f"INSERT INTO {table} FROM {without} ANTI JOIN {table} USING (uri)")
    connection.execute(f"DROP TABLE {without}")


def _value(connection: duckdb.DuckDBPyConnection, table: str, alias: str) -> str:
    """Return the expression for the values: numbers or flags if all of them are, else texts."""
    digits = "length(regexp_replace(value, '[eE].*|[^0-9]', '', 'g'))"
    tests = {
        "BIGINT": f"regexp_full_match(value, {literal(_WHOLE)})",
        "DOUBLE": f"regexp_full_match(value, {literal(_DECIMAL)}) AND {digits} <= {_MOST_DIGITS}",
        "BOOLEAN": "value IN ('true', 'false')",
    }
    checks = ", ".join(f"coalesce(bool_and({test}), false)" for test in tests.values())
    fits = connection.execute(f"SELECT {checks} FROM {table} WHERE value IS NOT NULL").fetchall()[0]
    for kind, all_fit in zip(tests, fits, strict=True):
        if all_fit:
            return f"CAST({alias}.value AS {kind})"
    return f"{alias}.value"
