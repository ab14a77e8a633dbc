"""The digest of rows depends on their values and order, and on nothing else."""

import hashlib
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.run_files.rows_digest import digest_rows

VALUES: dict[pa.DataType, st.SearchStrategy[object]] = {
    pa.string(): st.text(max_size=9),
    pa.bool_(): st.booleans(),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.timestamp("us"): st.integers(0, 2**50),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 12))
    columns = {
        f"column {number}": pa.array(
            draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)), kind
        )
        for number, kind in enumerate(draw(st.lists(st.sampled_from([*VALUES]), min_size=1)))
    }
    return pa.table(columns)


@given(tables(), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_slices_and_a_file_change_nothing(
    tmp_path: Path, table: pa.Table, data: st.DataObject
) -> None:
    expected = digest_rows(table)
    cut = data.draw(st.integers(0, table.num_rows))
    assert digest_rows(pa.concat_tables([table.slice(0, cut), table.slice(cut)])) == expected
    twice = pa.concat_tables([table, table]).combine_chunks()
    assert digest_rows(twice.slice(table.num_rows)) == expected
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path, row_group_size=max(cut, 1))
    assert digest_rows(pq.read_table(path)) == expected


@given(tables().filter(lambda table: table.num_rows), st.data())
def test_any_other_value_or_order_or_name_changes_it(table: pa.Table, data: st.DataObject) -> None:
    column = data.draw(st.integers(0, table.num_columns - 1))
    row = data.draw(st.integers(0, table.num_rows - 1))
    kind = table.schema.field(column).type
    values = table[column].cast(pa.int64() if pa.types.is_timestamp(kind) else kind).to_pylist()
    other = data.draw((st.none() | VALUES[kind]).filter(lambda value: not same(value, values[row])))
    changed = [*values[:row], other, *values[row + 1 :]]
    names = table.column_names
    expected = digest_rows(table)
    assert digest_rows(table.set_column(column, names[column], pa.array(changed, kind))) != expected
    assert digest_rows(table.rename_columns(["other", *names[1:]])) != expected
    backwards = table.take(list(range(table.num_rows))[::-1])
    assert (digest_rows(backwards) == expected) == backwards.equals(table)


def same(one: object, other: object) -> bool:
    """Zero and minus zero are two values."""
    return repr(one) == repr(other)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_digest_is_the_one_that_is_documented() -> None:
    """Outputs are checked by later versions, and other programs can check them."""
    table = pa.table(
        {
            "uri": pa.array(["a", None, "ü"]),
            "score": pa.array([0.5, None, -0.0]),
            "sure": pa.array([True, False, None]),
            "at": pa.array([0, 1, None], pa.timestamp("us")),
            "tokens": pa.array([7, None, 0], pa.uint32()),
        }
    )
    nothing = sha256(b"")
    lines = [
        f'"uri" text 3 {sha256(bytes([1, 0, 1]))} {sha256(struct.pack("<3i", 1, 0, 2))} '
        f"{sha256('aü'.encode())}\n",
        f'"score" float64 3 {sha256(bytes([1, 0, 1]))} {nothing} '
        f"{sha256(struct.pack('<3d', 0.5, 0.0, -0.0))}\n",
        f'"sure" flag 3 {sha256(bytes([1, 1, 0]))} {nothing} {sha256(bytes([1, 0, 0]))}\n',
        f'"at" timestamp_us 3 {sha256(bytes([1, 1, 0]))} {nothing} '
        f"{sha256(struct.pack('<3q', 0, 1, 0))}\n",
        f'"tokens" uint32 3 {sha256(bytes([1, 0, 1]))} {nothing} '
        f"{sha256(struct.pack('<3I', 7, 0, 0))}\n",
    ]
    assert digest_rows(table) == sha256("".join(lines).encode())


def test_a_type_that_no_output_has_is_named() -> None:
    with pytest.raises(ValueError, match="column days is date32"):
        digest_rows(pa.table({"days": pa.array([1], pa.date32())}))
