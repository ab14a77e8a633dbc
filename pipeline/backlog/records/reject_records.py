"""Reject a source whose texts are serialized records, before they are labeled as texts."""

from collections.abc import Sequence
from contextlib import closing

import duckdb

from pipeline.backlog.records.serialized_records import RecordSample, recognize_records
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.terminal import one_line

_SAMPLE_ROWS = 100
_SHOWN_CHARACTERS = 100


def reject_records(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """Raise InputError if every text of a sample is a JSON object or a Python dict literal.

    The sample is of the staged posts, and then of the whole source: a single new post may hold
    such a text by chance.

    Args:
        connection: a staging database with table `staged`.
        source: the backlog.
    """
    if not _recognize(connection.execute(_sample_of("staged")).fetchall()):
        return
    with closing(Scan(connection, source)) as scan:
        sample = _recognize(scan.read(lambda relation: _sample_of(f"({relation})")))
    if not sample:
        return
    record, example = sample
    column = source.backlog.columns.text
    raise InputError(
        f"backlog.columns: {source}: column {column!r} holds serialized records and not texts, "
        f"such as {one_line(example, _SHOWN_CHARACTERS)}: {record.advice(column)}"
    )


def _sample_of(posts: str) -> str:
    return (
        f"SELECT text FROM {posts} WHERE reason IS NULL AND trim(text) <> '' LIMIT {_SAMPLE_ROWS}"
    )


def _recognize(rows: Sequence[Sequence[str]]) -> tuple[RecordSample, str] | None:
    texts = [row[0] for row in rows]
    sample = recognize_records(texts)
    return (sample, texts[0]) if sample else None
