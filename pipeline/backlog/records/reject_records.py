"""Reject a source whose texts are serialized records, before they are labeled as texts."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import duckdb

from pipeline.backlog.records.serialized_records import RecordSample, recognize_records
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.terminal import one_line

_SAMPLE_ROWS = 100
_SHOWN_CHARACTERS = 100


def reject_records(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """Raise InputError if all texts or uris of a sample are JSON objects or Python dict literals.

    The sample is of the staged posts, and then of the whole source: a single new post may hold
    such a text by chance.

    Args:
        connection: a staging database with table `staged`.
        source: the backlog.
    """
    names = source.backlog.columns
    for key, column in (("uri", names.uri), ("text", names.text)):
        query = partial(_sample_query, key)
        if not _recognize(connection.execute(query("FROM staged")).fetchall()):
            continue
        with closing(Scan(connection, source)) as scan:
            sample = _recognize(scan.read(query))
        if sample:
            record, example = sample
            raise InputError(
                f"backlog.columns: {source}: column {column!r} holds serialized records, such as "
                f"{one_line(example, _SHOWN_CHARACTERS)}: {record.advice(column, key)}"
            )


def advice_for_time(value: str, source: Source) -> str:
    """Return what to set if a value that is no timestamp is a record; '' if it is none."""
    record = recognize_records([value])
    if record is None:
        return ""
    key = "preprocessing_timestamp"
    return f"; {record.advice(source.backlog.columns.preprocessing_timestamp, key)}"


def _sample_query(column: str, posts: str) -> str:
    return (
        f"SELECT {column} FROM ({posts}) WHERE reason IS NULL AND trim({column}) <> '' "
        f"LIMIT {_SAMPLE_ROWS}"
    )


def _recognize(rows: Sequence[Sequence[str]]) -> tuple[RecordSample, str] | None:
    texts = [row[0] for row in rows]
    sample = recognize_records(texts)
    return (sample, texts[0]) if sample else None
