"""Every kind of column has one Python, Arrow and DuckDB type, and they fit one another."""

import duckdb
import pyarrow as pa
import pytest

from pipeline.analysis.overlap import label_columns
from pipeline.database.label_tables import labels_table
from pipeline.model import KIND_TYPES, Column, ColumnKind
from pipeline.sql import quoted

EXAMPLES = {
    ColumnKind.TEXT: "words",
    ColumnKind.NUMBER: 0.5,
    ColumnKind.INTEGER: -3,
    ColumnKind.FLAG: True,
    ColumnKind.COUNT: 3,
}
WHOLE_NUMBERS = [ColumnKind.INTEGER, ColumnKind.COUNT]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """A database with a column of each kind, such as a_number, under the name `all`."""
    made = duckdb.connect()
    columns = [Column(f"a_{kind}", kind) for kind in ColumnKind]
    row = {f"a_{kind}": [EXAMPLES[kind]] for kind in ColumnKind}
    made.register("example", pa.table(row, pa.schema([column.arrow() for column in columns])))
    made.execute(f"CREATE TABLE {quoted(labels_table('all'))} AS FROM example")
    return made


def test_every_kind_has_its_types() -> None:
    assert set(KIND_TYPES) == set(EXAMPLES) == set(ColumnKind)


@pytest.mark.parametrize("kind", ColumnKind)
def test_a_value_of_the_python_type_is_stored_in_a_column_of_the_database_type(
    kind: ColumnKind, connection: duckdb.DuckDBPyConnection
) -> None:
    assert isinstance(EXAMPLES[kind], KIND_TYPES[kind].python)
    types = {row[0]: row[1] for row in connection.execute("DESCRIBE labels_all").fetchall()}
    assert types[f"a_{kind}"] == KIND_TYPES[kind].duckdb


@pytest.mark.parametrize("kind", WHOLE_NUMBERS)
def test_the_arrow_type_holds_every_whole_number_below_the_limit(kind: ColumnKind) -> None:
    limit, arrow = int(KIND_TYPES[kind].limit), KIND_TYPES[kind].arrow
    assert pa.array([limit - 1], arrow).to_pylist() == [limit - 1]
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        pa.array([limit], arrow)


def test_a_column_of_the_database_has_the_kind_it_was_made_of_and_a_cost_is_no_label(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    columns = label_columns(connection, "all", "memory")
    assert {name: column.kind for name, column in columns.items()} == {
        f"a_{kind}": kind for kind in ColumnKind if kind is not ColumnKind.COUNT
    }
