"""A Parquet file is missing, cannot be read now, or is damaged: three different things."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import files
from pipeline.errors import DamagedError, UnreadableError
from pipeline.run_files.read_parquet import Footer, decode_twice, read_footer, read_table
from tests.pipeline.exhaustion import exhausted_descriptors

TABLE = pa.table(
    {"uri": [f"at://{row}" for row in range(500)], "label": [f"{row % 7}" for row in range(500)]}
).replace_schema_metadata({"hpc.run_id": "20240601"})
READERS = [read_table, read_footer]
Reader = Callable[..., object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    at = tmp_path / "00001.parquet"
    files.write_parquet(at, TABLE)
    return at


def test_a_table_is_read_with_its_metadata_or_some_of_its_columns(path: Path) -> None:
    table = read_table(path)
    assert table.equals(TABLE)
    assert table.schema.metadata == TABLE.schema.metadata
    assert read_table(path, columns=["label"]).equals(TABLE.select(["label"]))


def test_a_footer_is_read_even_if_it_is_larger_than_the_part_read_first(tmp_path: Path) -> None:
    schema = TABLE.schema.with_metadata({"hpc.receipt": os.urandom(150_000).hex()})
    path = tmp_path / "00001.parquet"
    files.write_parquet(path, TABLE.cast(schema))
    footer = read_footer(path)
    assert footer == Footer(rows=500, schema=schema, metadata=footer.metadata)
    assert footer.schema.metadata == schema.metadata


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_is_missing(tmp_path: Path, read: Reader) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "00001.parquet")


@pytest.mark.parametrize("read", READERS)
def test_exhausted_descriptors_say_nothing_about_a_file(path: Path, read: Reader) -> None:
    with exhausted_descriptors(), pytest.raises(UnreadableError) as caught:
        read(path, pauses=(0.0,))
    assert isinstance(caught.value.reason, OSError)
    assert (caught.value.path, caught.value.reason.errno) == (path, errno.EMFILE)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOMEM, errno.EAGAIN])
def test_trouble_that_passes_does_not_show(
    path: Path, read: Reader, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = os.read, [number, number]

    def read_later(descriptor: int, size: int) -> bytes:
        if failures:
            raise OSError(failures.pop(), "trouble")
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", read_later)
    with pytest.raises(UnreadableError):
        read(path, pauses=())
    assert read(path, pauses=(0.0,))
    assert failures == []


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_is_not_a_parquet_file(
    tmp_path: Path, read: Reader, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "00001.parquet")
    with pytest.raises(DamagedError):
        read(tmp_path / "00001.parquet")


@pytest.mark.parametrize("read", READERS)
def test_what_cannot_be_opened_at_all_is_not_damaged(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "00001.parquet"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(UnreadableError):
            read(path, pauses=(3600.0,))  # no new try: it would end in the same way


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 10**6), bits=st.integers(1, 255), kept=st.integers(0, 10**6))
def test_no_damage_gives_another_table(path: Path, at: int, bits: int, kept: int) -> None:
    """Checksums cover the pages; a changed footer may still be a footer, of the same rows."""
    content = bytearray(path.read_bytes())
    damaged = path.with_name("damaged.parquet")
    damaged.write_bytes(content[: kept % len(content)])
    with pytest.raises(DamagedError):
        read_table(damaged)
    first_of_footer = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    content[at % (first_of_footer - 4) + 4] ^= bits
    damaged.write_bytes(content)
    with contextlib.suppress(DamagedError):
        assert read_table(damaged).equals(TABLE)


def test_bytes_that_were_read_wrongly_once_are_read_again(path: Path) -> None:
    reads = [bytearray(b"torn"), bytearray(b"7")]
    assert decode_twice(path, int, lambda: reads.pop(0)) == 7


def test_only_the_same_bytes_prove_damage_twice(path: Path) -> None:
    for second, expected in ((b"torn", DamagedError), (b"other", UnreadableError)):
        reads = [bytearray(b"torn"), bytearray(second)]
        with pytest.raises(expected):
            decode_twice(path, int, lambda reads=reads: reads.pop(0))


def test_missing_memory_for_decoding_says_nothing_about_a_file(path: Path) -> None:
    def decode(content: bytearray) -> None:
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    with pytest.raises(UnreadableError):
        decode_twice(path, decode, bytearray)
