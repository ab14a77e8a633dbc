"""Gathering accounts for every row, can be repeated, and ignores what belongs to other runs."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpc.database import gather_outputs, output_batches
from hpc.database.gather_outputs import Gathered
from hpc.database.gathered_shards import is_gathered
from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.look import look
from hpc.run.model.run import Run
from pipeline.database.duckdb_file import HeldDatabaseError
from pipeline.errors import RunError
from pipeline.model import Answer
from pipeline.run_files import output
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import valence_run
from tests.pipeline import run_builders
from tests.pipeline.run_builders import uri

OTHER = "20240602T120000-valence-89abcdef"


def gather(run: Run) -> Gathered:
    now = look(run, LocalExecutor(), include_done=True)
    return gather_outputs.gather(run, now.observation, now.judgements)


def counted(before: int, added: int, after: int, **more: Any) -> Gathered:
    return Gathered(**{
        "rows_before": before, "rows_added": added, "rows_after": after, "unlabelable": 0,
        "already_present": 0, "rejected": (), "set_aside": 0, "shards": 1, **more,
    })  # fmt: skip


def negative(at_uri: str) -> Answer:
    return Answer(at_uri, {"compound": -0.5, "valence_label": "negative"})


def hopeless(at_uri: str) -> Answer:
    return Answer(at_uri, reason="text_too_short")


def publish(run: Run, index: int, answer: Any = None, attempt: int = 1) -> None:
    run_builders.publish_shard(run.folder, run.manifest, index, answer=answer, attempt=attempt)


def labels(run: Run) -> dict[str, tuple[str, str, int]]:
    """Label, run and attempt by uri."""
    rows = query(
        run, "SELECT uri, coalesce(valence_label, reason), run_id, attempt FROM labels_valence"
    )
    return {at: (label, run_id, attempt) for at, label, run_id, attempt in rows}


def query(run: Run, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(run.manifest.database, read_only=True) as database:
        return database.execute(sql).fetchall()


def damage(path: Path) -> None:
    """Flip a byte of the first page's data; the footer stays intact."""
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(path.read_bytes())
    content[start + column.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(content)


def test_gathering_again_adds_nothing(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 7)
    publish(run, 0)
    assert gather(run) == counted(0, 4, 4)
    publish(run, 1, hopeless)
    assert gather(run) == counted(4, 3, 7, unlabelable=3)
    before = labels(run)
    assert gather(run) == gather(run) == counted(7, 0, 7, shards=0)
    assert labels(run) == before
    assert before == {
        **{uri(n): ("positive", run.run_id, 1) for n in range(4)},
        **{uri(n): ("text_too_short", run.run_id, 1) for n in range(4, 7)},
    }


def test_outputs_of_an_older_version_know_no_copies(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 7)
    publish(run, 0)
    path = output_path(run.folder, 0)
    table = pq.read_table(path, partitioning=None)
    footer = {key: value for key, value in table.schema.metadata.items() if b"rows" not in key}
    old = table.drop_columns(["copied_from"]).replace_schema_metadata(footer)
    pq.write_table(old, path)
    assert gather(run) == counted(0, 4, 4)
    publish(run, 1)
    assert gather(run) == counted(4, 3, 7)
    assert query(run, "SELECT count(*) FROM labels_valence WHERE copied_from IS NULL") == [(7,)]


def test_a_shard_that_was_labeled_again_replaces_its_own_rows_only(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 7)
    publish(run, 0)
    publish(run, 1)
    assert gather(run) == counted(0, 7, 7, shards=2)
    output_path(run.folder, 0).unlink()
    publish(run, 0, negative, attempt=2)
    assert gather(run) == counted(7, 0, 7)
    assert labels(run) == {
        **{uri(n): ("negative", run.run_id, 2) for n in range(4)},
        **{uri(n): ("positive", run.run_id, 1) for n in range(4, 7)},
    }


def test_lost_rows_come_back_when_their_shard_is_labeled_again(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 7)
    publish(run, 0)
    gather(run)
    with duckdb.connect(run.manifest.database) as database:
        database.execute(f"DELETE FROM labels_valence WHERE uri = '{uri(0)}'")
    assert gather(run) == counted(3, 0, 3, shards=0)
    output_path(run.folder, 0).unlink()
    publish(run, 0)
    assert gather(run) == counted(3, 1, 4)


def test_posts_that_another_run_has_labeled_keep_their_rows(tmp_path: Path) -> None:
    first = valence_run(tmp_path, 4, shards=1)
    publish(first, 0)
    gather(first)
    second = valence_run(tmp_path, 6, shards=2, run_id=OTHER)
    publish(second, 0, negative)
    publish(second, 1, negative)
    assert gather(second) == counted(4, 2, 6, already_present=4, shards=2)
    assert labels(first) == {
        **{uri(n): ("positive", first.run_id, 1) for n in range(4)},
        **{uri(n): ("negative", second.run_id, 1) for n in range(4, 6)},
    }
    assert gather(second) == counted(6, 0, 6, shards=0)


def test_an_output_with_a_damaged_page_is_renamed_and_its_shard_is_not_done(
    tmp_path: Path,
) -> None:
    run = valence_run(tmp_path, 7)
    publish(run, 0)
    publish(run, 1)
    path = output_path(run.folder, 0)
    damage(path)
    gathered = gather(run)
    (line,) = gathered.rejected
    (aside,) = path.parent.glob("00000.parquet.damaged-*")
    assert line.startswith(f"{path}: it cannot be decoded: ")
    assert line.endswith(f": set aside as {aside.name}")
    assert gathered == counted(0, 3, 3, rejected=(line,), set_aside=1)
    assert not path.exists()
    now = look(run, LocalExecutor())
    assert [str(one.state) for one in now.judgements] == ["planned", "done"]


def test_a_damaged_output_of_a_gathered_shard_removes_no_labels(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 4, shards=1)
    publish(run, 0)
    gather(run)
    damage(output_path(run.folder, 0))
    assert gather(run) == counted(4, 0, 4, shards=0)


def test_an_output_of_another_run_or_shard_is_reported_and_left_in_place(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 7)
    other = valence_run(tmp_path, 7, run_id=OTHER)
    publish(other, 0)
    publish(run, 1)
    foreign = output_path(run.folder, 0)
    foreign.parent.mkdir(exist_ok=True)
    shutil.copy(output_path(other.folder, 0), foreign)
    line = f"{foreign}: left out: its receipt is not this shard's: hpc.run_id is {other.run_id}"
    assert gather(run) == counted(0, 3, 3, rejected=(line,))
    shutil.copy(output_path(run.folder, 1), foreign)
    line = f"{foreign}: left out: its receipt is not this shard's: hpc.shard_index is 1"
    assert gather(run) == counted(3, 0, 3, rejected=(line,), shards=0)
    assert foreign.exists()


HOLDER = (
    "import duckdb, sys\n"
    "connection = duckdb.connect(sys.argv[1])\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()"
)


def test_a_busy_database_is_reported_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.database.duckdb_file.LOCK_WAIT_S", 0.3)
    run = valence_run(tmp_path, 4, shards=1)
    publish(run, 0)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, run.manifest.database],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(HeldDatabaseError) as raised:
            gather(run)
        assert [each.pid for each in raised.value.holders] == [holder.pid]
        # `status` asks this for one line only, which is not worth waiting for.
        monkeypatch.setattr("pipeline.database.duckdb_file.LOCK_WAIT_S", 600.0)
        assert not is_gathered(run, look(run, LocalExecutor()).observation)
    finally:
        holder.communicate()
    assert gather(run) == counted(0, 4, 4)
    assert is_gathered(run, look(run, LocalExecutor()).observation)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 4, shards=1)
    publish(run, 0)
    with duckdb.connect(run.manifest.database) as database:
        database.execute("CREATE TABLE runs (day DATE)")
    with pytest.raises(RunError) as raised:
        gather(run)
    assert str(raised.value).startswith(
        f"{run.manifest.database} is not a database of this program: "
    )
    assert query(run, "SELECT table_name FROM duckdb_tables()") == [("runs",)]


def test_a_file_that_is_not_a_database_is_left_alone(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 4, shards=1)
    publish(run, 0)
    database = Path(run.manifest.database)
    database.write_text("dear diary\n" * 1000)
    with pytest.raises(RunError) as raised:
        gather(run)
    assert str(raised.value).startswith(f"the database {database} cannot be opened: ")
    assert not is_gathered(run, look(run, LocalExecutor()).observation)
    assert database.read_text() == "dear diary\n" * 1000


def test_a_column_of_another_type_is_rejected(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 4, shards=1)
    publish(run, 0)
    gather(run)
    with duckdb.connect(run.manifest.database) as database:
        database.execute("ALTER TABLE labels_valence ALTER compound TYPE VARCHAR")
    output_path(run.folder, 0).unlink()
    publish(run, 0)
    with pytest.raises(RunError) as raised:
        gather(run)
    assert str(raised.value) == (
        "table labels_valence: column compound is VARCHAR, but DOUBLE in this run's outputs. Give "
        "the configuration another name"
    )
    assert query(run, "SELECT count(*) FROM labels_valence") == [(4,)]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("outputs_read", [0, 1, 3, 4, 7])
def test_a_gather_that_is_killed_leaves_whole_shards_and_the_next_one_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs_read: int
) -> None:
    """Two outputs share a transaction here; the last transaction has one."""
    run = valence_run(tmp_path, 21, shards=7)
    for index in range(7):
        publish(run, index)
    monkeypatch.setattr(output_batches, "BATCH_ROWS", 6)
    read, left = output.read, iter(range(outputs_read))

    def dying(*arguments: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return read(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(output, "read", dying)
        if outputs_read < 7:
            with pytest.raises(Killed):
                gather(run)
    expected = [(index, 3) for index in range(outputs_read // 2 * 2)] if outputs_read < 7 else []
    if expected:
        rows = "SELECT shard_index, count(*) FROM labels_valence GROUP BY 1 ORDER BY 1"
        assert query(run, rows) == expected
        recorded = "SELECT shard_index FROM shards WHERE gathered_at IS NOT NULL ORDER BY 1"
        assert query(run, recorded) == [(index,) for index, _ in expected]
    done = gather(run)
    assert (done.rows_after, done.shards) == (21, 7 - len(expected))
    assert len(labels(run)) == 21
    assert gather(run) == counted(21, 0, 21, shards=0)


def test_outputs_of_two_versions_are_gathered_together(tmp_path: Path) -> None:
    """The one that is in place while the program is updated lacks a column and the digest."""
    run = valence_run(tmp_path, 7)
    publish(run, 0)
    publish(run, 1)
    path = output_path(run.folder, 0)
    older = pq.read_table(path, partitioning=None)
    footer = {key: value for key, value in older.schema.metadata.items() if b"sha256" not in key}
    footer[b"hpc.input_sha256"] = older.schema.metadata[b"hpc.input_sha256"]
    bare = older.drop_columns(["compound"]).replace_schema_metadata(footer)
    pq.write_table(bare, path)
    assert gather(run) == counted(0, 7, 7, shards=2)
    rows = query(run, "SELECT count(*), count(compound) FROM labels_valence")
    assert rows == [(7, 3)]


@pytest.mark.parametrize("unreadable", [0, 1])
def test_an_output_that_cannot_be_read_stays_and_the_others_are_gathered(
    tmp_path: Path, unreadable: int
) -> None:
    run = valence_run(tmp_path, 6)
    publish(run, 0)
    publish(run, 1)
    path = output_path(run.folder, unreadable)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("/not/mounted")
    gathered = gather(run)
    (line,) = gathered.unreadable
    assert line.startswith(f"{path}: cannot be read now: ")
    assert gathered == counted(0, 3, 3, unreadable=(line,))
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    assert gather(run) == counted(3, 3, 6)


def test_an_output_that_was_set_aside_can_be_put_back(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 4, shards=1)
    publish(run, 0)
    path = output_path(run.folder, 0)
    good = path.read_bytes()
    damage(path)
    assert gather(run).set_aside == 1
    (aside,) = path.parent.glob("00000.parquet.damaged-*")
    aside.write_bytes(good)
    aside.rename(path)
    assert gather(run) == counted(0, 4, 4)


def test_every_damaged_output_is_kept(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 4, shards=1)
    for _ in range(3):
        publish(run, 0)
        damage(output_path(run.folder, 0))
        assert gather(run).set_aside == 1
    assert len([*(run.folder / "outputs").glob("00000.parquet.damaged-*")]) == 3


def test_rows_that_are_not_the_shards_are_never_gathered(tmp_path: Path) -> None:
    """The receipt is right, and so is the number of rows."""
    run = valence_run(tmp_path, 6)
    publish(run, 0)
    publish(run, 1)
    path = output_path(run.folder, 0)
    table = pq.read_table(path, partitioning=None)
    twice = pa.concat_tables([table.slice(0, 1), table.slice(0, 2)])
    pq.write_table(twice, path)
    gathered = gather(run)
    assert (gathered.rows_after, gathered.set_aside) == (3, 1)
    assert [str(one.state) for one in look(run, LocalExecutor()).judgements] == ["planned", "done"]
