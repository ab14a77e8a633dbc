"""An output that a disk or a network has changed is recognized."""

from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from pipeline.run_files import output
from pipeline.run_files.manifest import Manifest, output_path
from tests.pipeline.run_builders import make_run, posts, publish_shard


@pytest.fixture
def published_run(tmp_path: Path) -> tuple[Path, Manifest]:
    run_dir, manifest = make_run(tmp_path, posts(40), shards=2)
    publish_shard(run_dir, manifest)
    return run_dir, manifest


def test_a_damaged_page_is_found_when_the_output_is_read(
    published_run: tuple[Path, Manifest],
) -> None:
    """The footer may be intact, so that only the pages' checksums show the damage."""
    run_dir, manifest = published_run
    path = output_path(run_dir, 0)
    good = path.read_bytes()
    with pq.ParquetFile(path) as file:
        column = file.metadata.row_group(0).column(1)
    end = column.data_page_offset + column.total_compressed_size
    at = column.data_page_offset + (end - column.data_page_offset) // 2
    path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
    assert output.verify(run_dir, manifest, 0).verified
    check, table = output.read(run_dir, manifest, 0)
    assert table is None
    assert check.problem is not None
    assert check.problem.startswith("it cannot be decoded: ")


def test_a_damaged_byte_never_gives_a_post_another_label(
    published_run: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = published_run
    path = output_path(run_dir, 0)
    good = path.read_bytes()
    _, whole = output.read(run_dir, manifest, 0)
    assert whole is not None
    random = Random(0)
    for at in random.sample(range(len(good)), 700):
        path.write_bytes(good[:at] + bytes([good[at] ^ random.randrange(1, 256)]) + good[at + 1 :])
        output.verify(run_dir, manifest, 0)
        _, table = output.read(run_dir, manifest, 0)
        if table is not None:
            shared = [name for name in whole.column_names if name in table.column_names]
            assert table.select(shared).to_pylist() == whole.select(shared).to_pylist(), at
