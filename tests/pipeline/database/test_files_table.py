"""Rows that DuckDB reads from files are the files' own, wherever the files lie."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.model import ENVELOPE, PROVENANCE
from pipeline.sql import files_table, parquet_rows

COLUMNS = [field.name for field in (*ENVELOPE, *PROVENANCE)] + ["toxic", "post", "json"]


@pytest.fixture(params=[*COLUMNS, "of nobody"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder that DuckDB takes for a partition of a table."""
    made = tmp_path / f"{request.param}=7" / "[1]*"
    made.mkdir(parents=True)
    return made


def test_a_path_is_no_column_of_parquet_files(folder: Path) -> None:
    rows = pa.table({name: [f"own {name}", None] for name in COLUMNS}).cast(
        pa.schema([(name, pa.string()) for name in COLUMNS])
    )
    pq.write_table(rows, folder / "a.parquet")
    with duckdb.connect() as connection:
        read = connection.sql(f"SELECT * FROM {parquet_rows([folder / 'a.parquet'])}")
        assert read.to_arrow_table().to_pylist() == rows.to_pylist()
        placed = parquet_rows([folder / "a.parquet"], path_column="where it is")
        ((place,),) = connection.sql(f'SELECT DISTINCT "where it is" FROM {placed}').fetchall()
        assert place == str(folder / "a.parquet")


def test_a_path_is_no_column_of_json_lines(folder: Path) -> None:
    line = json.dumps(dict.fromkeys(COLUMNS, "own"))
    (folder / "a.jsonl").write_text(f"{line}\n")
    table = files_table("read_json_objects", [folder / "a.jsonl"], "format = 'newline_delimited'")
    with duckdb.connect() as connection:
        assert connection.sql(f"SELECT * FROM {table}").fetchall() == [(line,)]
