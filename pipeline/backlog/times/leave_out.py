"""Find a condition that leaves out the rows of a source whose timestamps cannot be read."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import duckdb
from msgspec import structs

from pipeline.backlog.file_formats import SourceKind
from pipeline.backlog.scan import Scan, with_times
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.sql import literal, quoted

# More values than these are no placeholders, and nobody wants to read them.
_MOST_VALUES = 10
_LONGEST_VALUE = 40


def condition_without_bad_times(
    connection: duckdb.DuckDBPyConnection, source: Source, joins: str
) -> str:
    """Return a `backlog.where` that keeps exactly the rows with a time; '' if none is known.

    The condition has been tried: it reads the source once or twice more.

    Args:
        connection: a DuckDB connection.
        source: the backlog, with rows whose time cannot be read.
        joins: SQL that follows the rows, and leaves out those that are not to be labeled.
    """
    values = _bad_values(connection, source, joins)
    good = _count(connection, source, joins)[0]
    if not good:
        return ""  # no time can be read, so the column or its format is wrong
    own = f"({source.backlog.where}) AND " if source.backlog.where else ""
    for condition in _candidates(source, values):
        tried = _with_where(source, own + condition)
        try:
            if _count(connection, tried, joins) == (good, 0):
                return own + condition
        except (InputError, duckdb.Error):  # the name means something else there
            continue
    return ""


def _with_where(source: Source, where: str) -> Source:
    """Return a source with another condition."""
    return Source(
        source_files=source.source_files,
        backlog=structs.replace(source.backlog, where=where),
        left_out=source.left_out,
        notes=source.notes,
    )


def _candidates(source: Source, values: Sequence[str | None]) -> Iterator[str]:
    """Yield conditions: first as people write them, then with quotes around the column's name."""
    is_sqlite = source.kinds == (SourceKind.SQLITE,)
    texts = [value for value in values if value is not None]
    is_short = len(values) <= _MOST_VALUES and all(len(text) <= _LONGEST_VALUE for text in texts)
    name = source.backlog.columns.preprocessing_timestamp
    plain = [name] if all(part.isidentifier() for part in name.split(".")) else []
    for column in (*plain, quoted(name)):
        if not is_short:
            yield (
                f"datetime({column}) IS NOT NULL"
                if is_sqlite
                else f"TRY_CAST({column} AS TIMESTAMPTZ) IS NOT NULL"
            )
        elif texts:  # which NULL is not equal to either
            text = f"CAST({column} AS {'TEXT' if is_sqlite else 'VARCHAR'})"
            yield f"{text} NOT IN ({', '.join(map(literal, texts))})"
        else:
            yield f"{column} IS NOT NULL"


def _bad_values(
    connection: duckdb.DuckDBPyConnection, source: Source, joins: str
) -> list[str | None]:
    """Return the different values that are no time, up to one more than are shown."""
    with closing(Scan(connection, source)) as scan:
        rows = scan.read(
            lambda relation: (
                f"SELECT DISTINCT raw_timestamp FROM ({with_times(relation)}){joins} "
                "WHERE preprocessing_timestamp IS NULL ORDER BY 1 NULLS LAST "
                f"LIMIT {_MOST_VALUES + 1}"
            )
        )
    return [row[0] for row in rows]


def _count(connection: duckdb.DuckDBPyConnection, source: Source, joins: str) -> tuple[int, int]:
    """Return how many rows have a readable time, and how many have none."""
    with closing(Scan(connection, source)) as scan:
        ((good, bad),) = scan.read(
            lambda relation: (
                "SELECT count(preprocessing_timestamp), "
                "count(*) - count(preprocessing_timestamp) "
                f"FROM ({with_times(relation)}){joins}"
            )
        )
    return good, bad
