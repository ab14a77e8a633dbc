"""Recognize texts that are serialized records, and say how to read the texts inside them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.backlog.column_path import join_parts
from pipeline.backlog.records.python_literals import parse_literals
from pipeline.config.sections import JSON_RECORDS, PYTHON_RECORDS

# The keys under which posts are known to have a value, in the order of preference.
_KNOWN_KEYS = {
    "uri": ("uri", "id", "cid"),
    "text": ("text", "full_text", "body", "content", "message"),
    "preprocessing_timestamp": (
        *("preprocessing_timestamp", "synctimestamp", "indexedAt", "indexed_at"),
        *("createdAt", "created_at", "timestamp"),
    ),
}
_MOST_PATHS = 3
_DEEPEST_PATH = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordSample:
    """What some texts have in common that are all serialized records."""

    record_format: str
    """The value of `backlog.record_format` that reads them."""
    paths: tuple[tuple[str, ...], ...]
    """The keys that lead to texts in the first record."""

    def advice(self, column: str, key: str) -> str:
        """Return what to set, so that the values inside the records of a column are read.

        Args:
            column: the column with the records.
            key: the key of `backlog.columns` that names it, such as `text`.
        """
        likeliest = sorted(self.paths, key=lambda keys: _rank(keys, _KNOWN_KEYS[key]))
        paths = (join_parts((column, *keys)) for keys in likeliest[:_MOST_PATHS])
        setting = (
            f"set backlog.columns.{key} to the path of the value inside them, such as "
            f"{' or '.join(paths)}"
        )
        if self.record_format == PYTHON_RECORDS:
            setting += f", and backlog.record_format to {PYTHON_RECORDS}"
        return setting


def recognize_records(texts: Sequence[str]) -> RecordSample | None:
    """Return what texts have in common if each of them is a serialized record with a text.

    Args:
        texts: some texts of posts.

    Returns:
        None if there are none, or if one of them is a plain text.
    """
    if not texts or not all(map(_looks_like_record, texts)):
        return None
    for record_format, parse in ((JSON_RECORDS, _parse_json), (PYTHON_RECORDS, parse_literals)):
        records = list(parse(texts))
        if all(isinstance(record, Mapping) and any(_walk(record, ())) for record in records):
            paths = tuple(_walk(records[0], ()))
            return RecordSample(record_format=record_format, paths=paths)
    return None


def _looks_like_record(text: str) -> bool:
    return text.lstrip().startswith("{") and text.rstrip().endswith("}")


def _parse_json(texts: Sequence[str]) -> Iterator[object]:
    for text in texts:
        try:
            yield json.loads(text)
        except (ValueError, RecursionError):
            yield None


def _walk(value: object, keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the keys to each text in a record."""
    if isinstance(value, str) and keys:
        yield keys
    elif isinstance(value, Mapping) and len(keys) < _DEEPEST_PATH:
        for key, inner in value.items():
            yield from _walk(inner, (*keys, str(key)))


def _rank(keys: tuple[str, ...], known: Sequence[str]) -> tuple[int, int]:
    place = known.index(keys[-1]) if keys[-1] in known else len(known)
    return place, len(keys)
