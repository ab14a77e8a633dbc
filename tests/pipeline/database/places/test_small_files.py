"""The posts of small files are read, and a file that cannot be read is left to the caller."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.database.places.small_files import read_uris


def test_files_without_readable_uris_are_left(tmp_path: Path) -> None:
    contents = {
        "first": pa.table({"text": ["a", "b"], "uri": ["at://1", "at://2"]}),
        "numbers": pa.table({"uri": [1, 2]}),
        "other": pa.table({"text": ["a"]}),
        "none": pa.table({"uri": pa.array([], pa.string())}),
        "second": pa.table({"uri": ["at://3"]}),
    }
    paths = {name: str(tmp_path / f"{name}.parquet") for name in (*contents, "damaged", "missing")}
    for name, table in contents.items():
        pq.write_table(table, paths[name], write_page_checksum=True)
    content = bytearray(Path(paths["first"]).read_bytes())
    content[content.index(b"at://2")] ^= 1
    Path(paths["damaged"]).write_bytes(content)
    uris, left = read_uris(paths.values())
    assert uris.to_pydict() == {"uri": ["at://1", "at://2", "at://3"]}
    assert left == [paths[name] for name in ("numbers", "other", "damaged", "missing")]


def test_no_file_yields_no_uri() -> None:
    uris, left = read_uris(())
    assert uris.schema == pa.schema([("uri", pa.string())])
    assert (uris.num_rows, left) == (0, [])
