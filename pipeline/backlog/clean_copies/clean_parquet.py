"""Write a copy of a Parquet file in which every string is text, with marks where some were not."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.backlog.clean_copies.marks import decode_marked
from pipeline.late_imports import arrow_parquet as pq

_ROWS_AT_ONCE = 10_000


def copy_parquet(source: Path, target: Path) -> None:
    """Copy a Parquet file, with marks for bytes of strings that are not UTF-8.

    Raises:
        OSError: a file cannot be read or written.
        pa.ArrowException: the file is damaged.
    """
    with pq.ParquetFile(source) as parquet:
        schema = parquet.schema_arrow
        with pq.ParquetWriter(target, schema) as writer:
            for batch in parquet.iter_batches(_ROWS_AT_ONCE):
                arrays = [_clean(column) for column in batch.columns]
                writer.write_batch(pa.record_batch(arrays, schema=schema))


def _clean(array: pa.Array) -> pa.Array:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raw = array.cast(_with_bytes(array.type))
        return pa.array([_decode(value, array.type) for value in raw.to_pylist()], array.type)
    return array


def _with_bytes(data_type: pa.DataType) -> pa.DataType:
    """Return a type with bytes in place of strings, at any depth."""
    if pa.types.is_string(data_type) or pa.types.is_large_string(data_type):
        return pa.binary() if pa.types.is_string(data_type) else pa.large_binary()
    if pa.types.is_string_view(data_type):
        return pa.binary_view()
    if pa.types.is_dictionary(data_type):
        return _with_bytes(data_type.value_type)
    if pa.types.is_struct(data_type):
        return pa.struct([field.with_type(_with_bytes(field.type)) for field in data_type.fields])
    if pa.types.is_list(data_type):
        return pa.list_(data_type.value_field.with_type(_with_bytes(data_type.value_type)))
    if pa.types.is_large_list(data_type):
        return pa.large_list(data_type.value_field.with_type(_with_bytes(data_type.value_type)))
    return data_type


def _decode(value: Any, data_type: pa.DataType) -> Any:
    if isinstance(value, bytes) and not _is_bytes(data_type):
        return decode_marked(value)
    if isinstance(value, dict):
        types = {field.name: field.type for field in data_type.fields}
        return {name: _decode(inner, types[name]) for name, inner in value.items()}
    if isinstance(value, list) and not pa.types.is_map(data_type):
        return [_decode(inner, data_type.value_type) for inner in value]
    return value


def _is_bytes(data_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(data_type)
        or pa.types.is_large_binary(data_type)
        or pa.types.is_binary_view(data_type)
        or pa.types.is_fixed_size_binary(data_type)
    )
