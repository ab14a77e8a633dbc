"""An audit that decodes only what has changed finds what one finds that decodes every output."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hpc.database import gather_outputs
from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.audit_files import collect_files, examine_with, find_unchanged
from hpc.reconcile.look import look
from hpc.run.model.run import Run
from pipeline.database import duckdb_file, history
from pipeline.database.backlog_audit import Files
from pipeline.database.compare_outputs import Compared, LabelRows, ShardFile, compare_outputs
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import valence_run
from tests.pipeline.run_builders import posts, publish_shard

SHARDS = 3
POSTS = 9
Found = tuple[Compared, list[tuple[str]]]

# What a statement changes: `number` chooses a row, and `shard` a shard.
STATEMENTS = [
    "UPDATE labels_valence SET compound = {shard} / 3 WHERE {row}",
    "UPDATE labels_valence SET compound = NULL WHERE {row}",
    "UPDATE labels_valence SET valence_label = upper(valence_label) WHERE {row}",
    "UPDATE labels_valence SET reason = valence_label WHERE {row}",
    "UPDATE labels_valence SET reason = valence_label, valence_label = reason WHERE {row}",
    "UPDATE labels_valence SET uri = uri || 'x' WHERE {row}",
    "UPDATE labels_valence SET shard_index = {shard} WHERE {row}",
    "UPDATE labels_valence SET run_id = 'another' WHERE {row}",
    "UPDATE labels_valence SET label_timestamp = label_timestamp + INTERVAL 1 HOUR WHERE {row}",
    "DELETE FROM labels_valence WHERE {row}",
    "DELETE FROM labels_valence WHERE shard_index = {shard}",
    "INSERT INTO labels_valence SELECT * FROM labels_valence WHERE {row}",
    "INSERT INTO labels_valence SELECT * REPLACE ('at://x' AS uri) FROM labels_valence WHERE {row}",
    "CREATE OR REPLACE TABLE labels_valence AS SELECT * FROM labels_valence ORDER BY uri DESC",
    # Two rows exchange their texts.
    "UPDATE labels_valence SET text = (SELECT max(text) FROM labels_valence "
    "WHERE text IN (SELECT text FROM labels_valence WHERE {row}) OR shard_index = {shard}) "
    "WHERE {row}",
    "ALTER TABLE labels_valence ADD COLUMN IF NOT EXISTS another DOUBLE",
    "ALTER TABLE labels_valence ALTER compound TYPE FLOAT",
    "UPDATE shards SET rows_hash = NULL, output_sha256 = NULL WHERE shard_index = {shard}",
    "UPDATE shards SET rows_hash = '0.0.1 3 1' WHERE shard_index = {shard}",
]


def flip(path: Path, number: int) -> None:
    content = bytearray(path.read_bytes())
    content[number * 7919 % len(content)] ^= 1
    path.write_bytes(content)


def cut(path: Path, number: int) -> None:
    path.write_bytes(path.read_bytes()[: -number - 1])


def write_again(path: Path, number: int) -> None:
    """The same rows in other bytes."""
    pq.write_table(pq.read_table(path, partitioning=None), path, row_group_size=number + 1)


def reverse(path: Path, _: int) -> None:
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), path)


def replace_by_another(path: Path, number: int) -> None:
    shutil.copy(path.with_name(f"{number % SHARDS:05d}.parquet"), path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


def remove(path: Path, _: int) -> None:
    path.unlink()


DAMAGES = [flip, cut, write_again, reverse, replace_by_another, remove]
Edit = tuple[str | Callable[[Path, int], None], int, int]


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = valence_run(tmp_path_factory.mktemp("run"), 0, shards=SHARDS, rows=posts(POSTS))
    for index in range(SHARDS):
        publish_shard(run.folder, run.manifest, index)
    gather(run)
    shutil.copytree(run.folder / "outputs", run.folder / "kept")
    shutil.copy(run.manifest.database, f"{run.manifest.database}.kept")
    return run


def gather(run: Run) -> None:
    now = look(run, LocalExecutor(), include_done=True)
    gather_outputs.gather(run, now.observation, now.judgements)


def restore(run: Run) -> None:
    shutil.rmtree(run.folder / "outputs")
    shutil.copytree(run.folder / "kept", run.folder / "outputs")
    shutil.copy(f"{run.manifest.database}.kept", run.manifest.database)


def apply(run: Run, edit: Edit) -> None:
    what, shard, number = edit
    path = output_path(run.folder, shard)
    if not isinstance(what, str):
        if path.exists() and path.with_name(f"{number % SHARDS:05d}.parquet").exists():
            with suppress(pa.ArrowException, OSError):  # an earlier damage left nothing to rewrite
                what(path, number)
        return
    row = f"uri = (SELECT uri FROM labels_valence ORDER BY uri LIMIT 1 OFFSET {number})"
    with duckdb.connect(run.manifest.database) as database:
        database.execute(what.format(row=row, shard=shard))


def compare(run: Run, outputs: Sequence[ShardFile]) -> Found:
    with duckdb.connect() as connection:
        duckdb_file.attach(connection, Path(run.manifest.database), "labeled")
        labels = LabelRows(connection, "labeled.labels_valence")
        compared = compare_outputs(connection, labels, outputs, examine_with([run]))
        # Only posts without a row matter there. Others come with a file that DuckDB reads wrong
        # together with its neighbors, and that are then compared row by row.
        lost = connection.execute("FROM unmatched ANTI JOIN labels USING (post)").fetchall()
        return compared, sorted(lost)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*STATEMENTS, *DAMAGES]),
            st.integers(0, SHARDS - 1),
            st.integers(0, POSTS - 1),
        ),
        max_size=3,
    )
)
def test_what_is_found_does_not_depend_on_what_was_recorded(
    gathered: Run, edits: list[Edit]
) -> None:
    restore(gathered)
    for edit in edits:
        apply(gathered, edit)
    proven, bare = collect(gathered), collect(gathered, with_proofs=False)
    assert without_hashes(proven) == bare
    assert compare(gathered, proven.gathered) == compare(gathered, bare.gathered)


def test_an_output_is_decoded_only_if_its_bytes_or_rows_have_changed(gathered: Run) -> None:
    """A file that nothing can decode stands for an output: it has the bytes that were recorded."""
    restore(gathered)
    content = b"no Parquet file"
    output_path(gathered.folder, 0).write_bytes(content)
    record = f"UPDATE shards SET output_sha256 = '{hashlib.sha256(content).hexdigest()}'"
    apply(gathered, (f"{record} WHERE shard_index = 0", 0, 0))
    # Another run may have brought a column that these rows do not have.
    apply(gathered, ("ALTER TABLE labels_valence ADD COLUMN another DOUBLE", 0, 0))
    files = collect(gathered)
    assert compare(gathered, files.gathered) == (Compared(), [])
    assert not files.problems

    apply(gathered, ("UPDATE labels_valence SET another = 1 WHERE shard_index = 0", 0, 0))
    claim = (gathered.run_id, 0)
    assert compare(gathered, collect(gathered).gathered)[0].unreadable.keys() == {claim}
    output_path(gathered.folder, 0).write_bytes(content[::-1])
    assert claim not in {output.claim for output in collect(gathered).gathered}


def test_a_database_of_an_earlier_version_is_audited_and_gathered_into(gathered: Run) -> None:
    restore(gathered)
    for column in history.PROOF_COLUMNS:
        apply(gathered, (f"ALTER TABLE shards DROP COLUMN {column}", 0, 0))
    outputs = collect(gathered).gathered
    assert [output.rows_hash for output in outputs] == [""] * SHARDS
    assert compare(gathered, outputs) == (Compared(), [])
    output_path(gathered.folder, 0).unlink()
    publish_shard(gathered.folder, gathered.manifest, 0)
    gather(gathered)
    assert [bool(each.rows_hash) for each in collect(gathered).gathered] == [True, False, False]


def collect(run: Run, *, with_proofs: bool = True) -> Files:
    with duckdb_file.open_database(Path(run.manifest.database), read_only=True) as labels:
        recorded = history.gathered_shards(labels, run.run_id)
    if not with_proofs:
        recorded = {index: shard._replace(proof=None) for index, shard in recorded.items()}
    gathered = {run.run_id: recorded}
    return collect_files(gathered, find_unchanged(gathered, [run]), [run])


def without_hashes(files: Files) -> Files:
    outputs = tuple(replace(output, rows_hash="") for output in files.gathered)
    return replace(files, gathered=outputs)
