"""An output's rows are exactly those of its shard, and those that were published."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.run_files import output
from pipeline.run_files.manifest import Manifest, output_path, shard_path
from pipeline.run_files.output_rows import ROWS_DIGEST
from tests.pipeline.run_builders import make_run, posts, publish_shard

Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, Manifest]:
    """Two shards of 20 posts each, both published."""
    run_dir, manifest = make_run(tmp_path, posts(40), shards=2)
    publish_shard(run_dir, manifest, 0)
    publish_shard(run_dir, manifest, 1)
    return run_dir, manifest


def rewrite(run_dir: Path, change: Change, *, keeps_digest: bool = False) -> None:
    """Write the first output again with other rows and the same receipt."""
    path = output_path(run_dir, 0)
    table = pq.read_table(path, partitioning=None)
    footer = dict(table.schema.metadata)
    if not keeps_digest:
        footer.pop(ROWS_DIGEST.encode(), None)
    pq.write_table(change(table).replace_schema_metadata(footer), path)


def constant(name: str, value: object, *, rows: int | None = None) -> Change:
    """Set the column in so many of the rows, by default in all of them."""

    def change(table: pa.Table) -> pa.Table:
        at, field = table.schema.get_field_index(name), table.schema.field(name)
        count = table.num_rows if rows is None else rows
        values = [value] * count + table[name].to_pylist()[count:]
        return table.set_column(at, field, pa.array(values, field.type))

    return change


def reversed_labels(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("compound")
    scores = [row / 100 for row in range(table.num_rows)]
    return table.set_column(at, table.schema.field(at), pa.array(scores))


def one_post_twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table.slice(0, table.num_rows - 1)])


def first_copied_from(origin: int, *, twice: bool = False) -> Change:
    """Let the first post be a copy; `twice`: its origin as well."""

    def change(table: pa.Table) -> pa.Table:
        uris, at = table["uri"].to_pylist(), table.schema.get_field_index("copied_from")
        origins = [uris[origin] if row == 0 or (twice and row == origin) else None
                   for row in range(table.num_rows)]  # fmt: skip
        return table.set_column(at, table.schema.field(at), pa.array(origins, pa.string()))

    return change


def same_text(table: pa.Table) -> pa.Table:
    return constant("text", "what a fine day")(table)


def problem(run_dir: Path, manifest: Manifest) -> str | None:
    check, table = output.read(run_dir, manifest, 0)
    assert (table is None) == (check.problem is not None)
    return check.problem


def test_a_published_output_passes(published: tuple[Path, Manifest]) -> None:
    run_dir, manifest = published
    check, table = output.read(run_dir, manifest, 0)
    assert table is not None
    assert (check.verified, check.problem, check.unchecked) == (True, None, None)


def test_a_copy_names_the_post_with_its_text(published: tuple[Path, Manifest]) -> None:
    run_dir, manifest = published
    rewrite(run_dir, lambda table: first_copied_from(3)(same_text(table)))
    assert problem(run_dir, manifest) is None
    for change in (
        lambda table: first_copied_from(3)(constant("text", "another", rows=1)(table)),
        lambda table: first_copied_from(3, twice=True)(same_text(table)),
        lambda table: constant("copied_from", "at://other", rows=1)(same_text(table)),
    ):
        rewrite(run_dir, change)
        assert "copied from" in (problem(run_dir, manifest) or "")


def test_an_output_of_an_older_version_knows_no_copies(published: tuple[Path, Manifest]) -> None:
    run_dir, manifest = published
    rewrite(run_dir, lambda table: table.drop_columns(["copied_from"]))
    assert problem(run_dir, manifest) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (one_post_twice, "it repeats 1 post"),
        (constant("uri", "at://other", rows=1), "it lacks 1 post of its shard"),
        (constant("run_id", "other"), "run_id is other in its rows, and not "),
        (constant("run_id", "other", rows=3), "its rows differ in run_id"),
        (constant("shard_index", 1), "shard_index is 1 in its rows, and not 0"),
        (constant("attempt", 9), "attempt is 9 in its rows, and not 1"),
        (constant("config_hash", "0" * 16), "config_hash is 0000000000000000 in its rows, "),
    ],
)
def test_rows_that_are_not_the_shards_are_found_even_without_a_digest(
    published: tuple[Path, Manifest], change: Change, expected: str
) -> None:
    """Outputs of earlier versions have none."""
    run_dir, manifest = published
    rewrite(run_dir, change)
    assert output.verify(run_dir, manifest, 0).verified, "its receipt is right"
    found = problem(run_dir, manifest)
    assert found is not None and found.startswith(expected)


def test_the_rows_of_another_shard_are_found(published: tuple[Path, Manifest]) -> None:
    run_dir, manifest = published
    other = pq.read_table(output_path(run_dir, 1), partitioning=None)
    rewrite(run_dir, lambda _: constant("shard_index", 0)(other))
    assert problem(run_dir, manifest) == "it lacks 20 posts of its shard"


@pytest.mark.parametrize(
    "change",
    [
        reversed_labels,
        constant("reason", "x", rows=1),
        constant("text", "another text", rows=1),
        constant("model", "another"),
        lambda table: table.take(list(range(table.num_rows))[::-1]),
    ],
)
def test_rows_that_were_not_published_are_found_by_their_digest(
    published: tuple[Path, Manifest], change: Change
) -> None:
    run_dir, manifest = published
    rewrite(run_dir, change, keeps_digest=True)
    found = problem(run_dir, manifest)
    assert found == "its rows are not those that were published: their digest is another"


def test_rows_in_another_order_are_the_same_rows(published: tuple[Path, Manifest]) -> None:
    run_dir, manifest = published
    rewrite(run_dir, lambda table: table.take(list(range(table.num_rows))[::-1]))
    assert problem(run_dir, manifest) is None


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def swapped(path: Path) -> None:
    shutil.copy(path.with_name("00001.parquet"), path)


@pytest.mark.parametrize("harm", [Path.unlink, damaged, swapped])
def test_without_the_shards_own_file_the_receipt_and_the_digest_still_hold(
    published: tuple[Path, Manifest], harm: Callable[[Path], None]
) -> None:
    run_dir, manifest = published
    harm(shard_path(run_dir, 0))
    check, table = output.read(run_dir, manifest, 0)
    assert table is not None and check.verified
    assert check.unchecked is not None
    assert str(shard_path(run_dir, 0)) in check.unchecked
    rewrite(run_dir, one_post_twice)
    assert problem(run_dir, manifest) == "it repeats 1 post"
