"""Compute a digest of a table's values, so that an output proves its rows.

The digest depends on names, types, values and the order of rows alone. It is the same however the
values are compressed, split into chunks or row groups, or laid out in memory, and whichever version
of PyArrow reads them.

It is the SHA-256 of these lines, in the order of the columns, each as UTF-8 with a line feed:
`name type rows presence lengths values`. `name` is a JSON text. The last three are SHA-256 digests
in hexadecimal, of one byte per row (1 for a value, 0 for null), of the lengths of texts in bytes
(32 bits each; of nothing in other columns), and of the values one after another. Numbers are
little-endian, a flag is one byte, a timestamp is its 64-bit number of microseconds, a text is its
UTF-8, and a null counts as 0 or as an empty text.
"""

import hashlib
import json

import pyarrow as pa

from pipeline.late_imports import arrow_compute as pc

# How the values of a column are hashed, by their type. The names are part of the digest.
_TYPES = {
    pa.string(): "text",
    pa.bool_(): "flag",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.uint32(): "uint32",
    pa.float64(): "float64",
    pa.timestamp("us"): "timestamp_us",
}


def digest_rows(table: pa.Table) -> str:
    """Return the digest of a table, in hexadecimal.

    Raises:
        ValueError: a column has a type that outputs do not have.
    """
    whole = hashlib.sha256()
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.type not in _TYPES:
            raise ValueError(f"column {field.name} is {field.type}, which no output has")
        words = [json.dumps(field.name), _TYPES[field.type], str(table.num_rows)]
        whole.update(f"{' '.join([*words, *_digest_column(column)])}\n".encode())
    return whole.hexdigest()


def _digest_column(column: pa.ChunkedArray) -> list[str]:
    """Return the digests of a column's presence, lengths and values."""
    presence, lengths, values = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks:
        has_nulls = bool(chunk.null_count)
        valid = _numbers(pc.is_valid(chunk).cast(pa.uint8())) if has_nulls else b"\1" * len(chunk)
        presence.update(valid)
        if pa.types.is_string(chunk.type):
            texts = chunk.fill_null("") if has_nulls else chunk
            lengths.update(_numbers(pc.binary_length(texts)))
            values.update(_letters(texts))
        else:
            values.update(_numbers(_as_numbers(chunk)))
    return [presence.hexdigest(), lengths.hexdigest(), values.hexdigest()]


def _as_numbers(chunk: pa.Array) -> pa.Array:
    if pa.types.is_boolean(chunk.type):
        chunk = pc.cast(chunk, pa.uint8())
    elif pa.types.is_timestamp(chunk.type):
        chunk = chunk.view(pa.int64())
    return chunk.fill_null(0) if chunk.null_count else chunk


def _numbers(array: pa.Array) -> memoryview:
    """Return the bytes of an array of numbers without nulls."""
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    view = memoryview(data) if data else memoryview(b"")
    return view[array.offset * width : (array.offset + len(array)) * width]


def _letters(texts: pa.Array) -> memoryview:
    """Return the bytes of an array of texts without nulls."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return memoryview(b"")
    bounds = memoryview(offsets).cast("i")
    return memoryview(data)[bounds[texts.offset] : bounds[texts.offset + len(texts)]]
