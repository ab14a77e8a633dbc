"""Compressed files of every kind are read, and damaged ones are named."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.backlog import sources
from pipeline.backlog.file_formats import Compression, SourceKind
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import (
    STAMP,
    Row,
    configured,
    csv_file,
    duckdb_file,
    find,
    json_lines_file,
    parquet_file,
    sqlite_file,
    stage,
)


def compressed_by_pyarrow(content: bytes, codec: str) -> bytes:
    target = pa.BufferOutputStream()
    with pa.CompressedOutputStream(target, codec) as stream:
        stream.write(content)
    return bytes(target.getvalue())


COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: gzip.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
    Compression.ZSTD: lambda content: compressed_by_pyarrow(content, "zstd"),
    Compression.LZ4: lambda content: compressed_by_pyarrow(content, "lz4"),
}
WRITERS = {
    SourceKind.PARQUET: parquet_file,
    SourceKind.CSV: csv_file,
    SourceKind.JSON_LINES: json_lines_file,
}
ROWS = [(f"u{number:04}", f"text {number}, \u00e9\n", STAMP) for number in range(2_000)]


def uris(path: Path) -> list[str]:
    return [uri for uri, _, _ in stage(find(path))[1]]


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("kind", WRITERS)
def test_a_compressed_file_is_read_whatever_it_is_called(
    tmp_path: Path, kind: SourceKind, compression: Compression
) -> None:
    plain = WRITERS[kind](tmp_path / "plain", ROWS)
    path = tmp_path / "folder" / "posts"
    path.parent.mkdir()
    path.write_bytes(COMPRESS[compression](plain.read_bytes()))
    source = find(path.parent)
    assert [(file.kind, file.format.compression) for file in source.source_files] == [
        (kind, compression)
    ]
    assert uris(path) == [uri for uri, _, _ in ROWS]


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("write", [sqlite_file, duckdb_file])
def test_a_compressed_database_is_named_and_not_copied(
    tmp_path: Path, write: Callable[[Path, Sequence[Row]], Path], compression: Compression
) -> None:
    plain = write(tmp_path / "plain", ROWS[:1])
    path = tmp_path / "posts.db.gz"
    path.write_bytes(COMPRESS[compression](plain.read_bytes()))
    with pytest.raises(InputError, match=str(path)):
        find(path)


@pytest.mark.parametrize("compression", COMPRESS)
def test_all_parts_of_a_file_that_was_compressed_in_parts_are_read(
    tmp_path: Path, compression: Compression
) -> None:
    compress = COMPRESS[compression]
    first, second = (
        json_lines_file(tmp_path / name, ROWS[at : at + 2]) for at, name in enumerate("ab")
    )
    path = tmp_path / "posts.jsonl"
    path.write_bytes(compress(first.read_bytes()) + compress(second.read_bytes()))
    assert uris(path) == ["u0000", "u0001", "u0002"]


def test_a_name_that_says_compressed_does_not_make_a_file_compressed(tmp_path: Path) -> None:
    plain = json_lines_file(tmp_path / "plain", ROWS[:2])
    path = plain.rename(tmp_path / "posts.jsonl.gz")
    assert uris(path) == ["u0000", "u0001"]


@pytest.mark.parametrize("compression", COMPRESS)
def test_nothing_compressed_is_an_empty_file(tmp_path: Path, compression: Compression) -> None:
    (tmp_path / "posts.jsonl").write_bytes(COMPRESS[compression](b""))
    assert find(tmp_path).files == ()


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_truncated_compressed_file_is_rejected(tmp_path: Path, compression: Compression) -> None:
    plain = json_lines_file(tmp_path / "plain", ROWS)
    path = tmp_path / "posts.jsonl"
    content = COMPRESS[compression](plain.read_bytes())
    plain.unlink()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(path)):
        stage(find(path))


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_compressed_file_of_which_only_the_beginning_is_left_is_rejected(
    tmp_path: Path, compression: Compression
) -> None:
    content = COMPRESS[compression](b"uri,text,preprocessing_timestamp\n")
    (tmp_path / "posts.jsonl").write_bytes(content[:12])
    with pytest.raises(InputError, match=str(tmp_path / "posts.jsonl")):
        sources.find_source(configured(tmp_path), (tmp_path,))


def test_a_file_that_was_compressed_twice_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl.gz.gz"
    path.write_bytes(gzip.compress(gzip.compress(b'{"uri": "a"}\n')))
    with pytest.raises(InputError, match=str(path)):
        find(path)
