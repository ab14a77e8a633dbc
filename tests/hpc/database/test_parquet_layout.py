"""With `storage.layout: parquet`, a few Parquet files are the table, and the database shows them.

What a gather does to the rows is tested for both layouts elsewhere. This is about the files.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars as pl
import pyarrow.dataset
import pytest

from hpc.database import gather_outputs, output_batches
from hpc.display.system_error import describe_error
from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.gathering.rebuild import rebuild
from hpc.reconcile.look import look
from hpc.run import run_folder
from hpc.run.model.run import Run
from pipeline.config.sections import DUCKDB, PARQUET
from pipeline.database import duckdb_file, label_tables, mapped_labels
from pipeline.database.stores import parquet_folder
from pipeline.database.stores.parts import Parts
from pipeline.database.supersede import OTHER_CONFIG
from pipeline.model import Answer
from pipeline.run_files import manifest
from pipeline.run_files.manifest import output_path
from pipeline.run_files.score_map import ColumnMap, ScoreMap
from tests.hpc.cli_bench import Bench, valence_run
from tests.pipeline.database.old_duckdb import OldDuckDB
from tests.pipeline.run_builders import publish_shard

SECOND = "20240602T120000-valence-89abcdef"
ROWS = "SELECT uri, run_id, shard_index, attempt FROM labels_valence ORDER BY uri"
NAME = "labels_valence"


def gather(run: Run) -> int:
    """Gather a run; return how many rows there are then."""
    now = look(run, LocalExecutor(), include_done=True)
    return gather_outputs.gather(run, now.observation, now.judgements).rows_after


def publish(run: Run, shard: int, attempt: int = 1) -> None:
    def answer(uri: str) -> Answer:
        return Answer(uri, {"compound": attempt / 100, "valence_label": "neutral"})

    output_path(run.folder, shard).unlink(missing_ok=True)
    publish_shard(run.folder, run.manifest, shard, answer=answer, attempt=attempt)


def published_run(folder: Path, count: int, shards: int, **more: Any) -> Run:
    run = valence_run(folder, count, shards=shards, layout=more.pop("layout", PARQUET), **more)
    for shard in range(shards):
        publish(run, shard)
    return run


def superseding_run(folder: Path, count: int) -> Run:
    """A published run that replaces what another setup labeled."""
    made = valence_run(folder, count, shards=2, run_id=SECOND, layout=PARQUET)
    changed = msgspec.structs.replace(
        made.manifest,
        replaces=OTHER_CONFIG,
        config_hash="0" * 16,
        created_at="2024-06-02T12:00:00+00:00",
    )
    manifest.write(made.folder, changed)
    run = run_folder.load(made.folder)
    for shard in range(2):
        publish(run, shard)
    return run


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "labels.duckdb"), read_only=True) as connection:
        connection.execute("SET file_search_path = ?", [str(folder)])
        return connection.execute(sql).fetchall()


def label_files(folder: Path) -> list[str]:
    """The files of the labels, relative to the folder; each of them is registered."""
    place = folder / "labels.duckdb.parquet"
    found = sorted(str(path.relative_to(folder)) for path in place.rglob("*") if path.is_file())
    registered = query(folder, "SELECT file FROM label_parts ORDER BY 1")
    assert found == [file for (file,) in registered]
    return found


def test_the_table_is_a_view_of_one_file_per_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_batches, "BATCH_ROWS", 4)
    monkeypatch.setattr(parquet_folder, "SMALL_ROWS", 4)
    assert gather(published_run(tmp_path, 8, shards=4)) == 8
    files = label_files(tmp_path)
    assert len(files) == 2
    assert {str(Path(file).parent) for file in files} == {f"labels.duckdb.parquet/{NAME}"}
    kinds = query(tmp_path, f"SELECT view_name FROM duckdb_views() WHERE view_name = '{NAME}'")
    assert kinds == [(NAME,)]


def test_a_run_that_is_gathered_shard_by_shard_ends_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_folder, "MOST_SMALL_PARTS", 3)
    run = valence_run(tmp_path, 12, shards=6, layout=PARQUET)
    counts = []
    for shard in range(6):
        publish(run, shard)
        assert gather(run) == 2 * (shard + 1)
        counts.append(len(label_files(tmp_path)))
    assert counts == [1, 2, 1, 2, 1, 1]
    assert len(set(query(tmp_path, ROWS))) == 12


def test_polars_and_arrow_read_the_folder_as_duckdb_reads_the_view(tmp_path: Path) -> None:
    run = published_run(tmp_path, 6, shards=2)
    gather(run)
    gather(superseding_run(tmp_path, 3))
    folder = tmp_path / "labels.duckdb.parquet" / NAME
    columns = ["uri", "compound", "run_id"]
    rows = query(tmp_path, f"SELECT {', '.join(columns)} FROM {NAME} ORDER BY uri")
    assert pl.read_parquet(folder).sort("uri").select(columns).rows() == rows
    table = pyarrow.dataset.dataset(folder).to_table(columns=columns).sort_by("uri")
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    schemas = {pyarrow.parquet.read_schema(file).remove_metadata() for file in folder.iterdir()}
    assert len(schemas) == 1


@pytest.mark.old_duckdb
def test_an_older_duckdb_reads_the_view_and_mapped_labels(tmp_path: Path, older: OldDuckDB) -> None:
    run = published_run(tmp_path, 4, shards=2)
    gather(run)
    path, found = tmp_path / "labels.duckdb", f"SET file_search_path = '{tmp_path}'"
    column = ColumnMap(a="score", b="compound", posts=100, knots=((-1.0, 0.0), (0.5, 0.4)))
    made = ScoreMap(
        name="valence_as_a", a="a", b="valence", method="isotonic", sample=None, fitted_at="",
        program_version="1", config_hashes_of_a=(),
        config_hashes_of_b=(run.manifest.config_hash,), columns=(column,),
    )  # fmt: skip
    with duckdb_file.open_database(path) as connection:
        assert mapped_labels.create_view(connection, made, Path("map.json"))
        names = ("valence", "valence_as_a")
        mapped = [label_tables.is_mapped(connection, name, "labels") for name in names]
    assert mapped == [False, True]
    scores = "SELECT uri, score, compound FROM labels_valence_as_a ORDER BY uri"
    _, *read = older.query(path, found, ROWS, scores)
    assert [[tuple(row) for row in rows] for rows in read] == [
        query(tmp_path, ROWS),
        query(tmp_path, scores),
    ]
    assert all(score is not None for _, score, _ in query(tmp_path, scores))


def test_a_folder_may_have_an_odd_name(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s [a] * {x} = "run_id=1"'
    folder.mkdir()
    run = published_run(folder, 4, shards=2)
    assert gather(run) == 4
    publish(run, 0, attempt=2)
    assert gather(run) == 4
    with duckdb_file.open_database(folder / "labels.duckdb", read_only=True) as connection:
        attempts = connection.execute("SELECT attempt FROM labels_valence ORDER BY uri").fetchall()
    assert attempts == [(2,), (2,), (1,), (1,)]


def test_a_moved_folder_shows_its_own_rows_and_a_copy_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first").mkdir()
    run = published_run(tmp_path / "first", 4, shards=2)
    gather(run)
    rows = query(tmp_path / "first", ROWS)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    publish(run, 0, attempt=2)
    gather(run)
    monkeypatch.chdir(tmp_path / "first")
    assert query(tmp_path / "copy", ROWS) == rows
    monkeypatch.chdir("/")
    (tmp_path / "first").rename(tmp_path / "moved")
    assert [attempt for *_, attempt in query(tmp_path / "moved", ROWS)] == [2, 2, 1, 1]
    monkeypatch.chdir(tmp_path / "moved")
    with duckdb.connect("labels.duckdb", read_only=True) as connection:
        assert len(connection.execute(ROWS).fetchall()) == 4


def test_labels_change_their_layout_with_a_rebuild_only(tmp_path: Path) -> None:
    first = published_run(tmp_path, 4, shards=2, layout=DUCKDB)
    gather(first)
    rows = query(tmp_path, ROWS)
    second = published_run(tmp_path, 4, shards=2, run_id=SECOND)
    gather(second)
    assert label_files(tmp_path) == []
    rebuild(second, lambda _: None)
    assert (query(tmp_path, ROWS), len(label_files(tmp_path))) == (rows, 1)


def test_a_rebuild_keeps_the_old_database_with_its_files(tmp_path: Path) -> None:
    run = published_run(tmp_path, 4, shards=2)
    gather(run)
    rows, (file,) = query(tmp_path, ROWS), label_files(tmp_path)
    rebuild(run, lambda _: None)
    assert query(tmp_path, ROWS) == rows
    assert label_files(tmp_path) != [file]
    (kept,) = (path for path in tmp_path.glob("labels.duckdb.replaced-*") if path.is_file())
    with duckdb_file.open_database(kept, read_only=True) as connection:
        assert connection.execute(ROWS).fetchall() == rows
    assert not list(tmp_path.glob("*.rebuilding-*"))


def test_an_export_has_what_is_not_gathered_yet(bench: Bench) -> None:
    bench.config(classifier={"type": "valence"})
    run = valence_run(bench.folder, 4, layout=PARQUET)
    publish(run, 0)
    gather(run)
    publish(run, 1)
    done = bench.document("export", "valence", "--to", "labels.csv")
    assert (done["rows"], done["posts_not_gathered"]) == (4, 2)
    assert len(label_files(bench.folder)) == 1


def test_files_of_a_database_that_is_gone_are_not_deleted(tmp_path: Path) -> None:
    run = published_run(tmp_path, 4, shards=2)
    gather(run)
    (file,) = label_files(tmp_path)
    (tmp_path / "labels.duckdb").unlink()
    assert gather(run) == 4
    (kept,) = tmp_path.glob("labels.duckdb.parquet.replaced-*")
    assert (kept / NAME / Path(file).name).is_file()
    assert len(label_files(tmp_path)) == 1


def remove(path: Path) -> None:
    path.unlink()


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def overwrite_footer(path: Path) -> None:
    """Leave DuckDB with an error that names no file."""
    content = bytearray(path.read_bytes())
    content[-200:-100] = b"\xff" * 100
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "is_named"), [(remove, True), (tear, True), (overwrite_footer, False)]
)
def test_labels_whose_file_is_gone_or_damaged_come_back_with_a_rebuild(
    bench: Bench, damage: Callable[[Path], None], is_named: bool
) -> None:
    bench.config(classifier={"type": "valence"})
    run = published_run(bench.folder, 4, shards=2)
    gather(run)
    rows, (file,) = query(bench.folder, ROWS), label_files(bench.folder)
    damage(bench.folder / file)
    for words in (("gather",), ("export", "valence", "--to", "labels.csv")):
        done = bench.hpc(*words)
        assert (done.returncode, file in done.stderr) == (1, is_named)
        assert done.stderr.endswith("run: hpc gather --rebuild\n")
    assert bench.hpc("gather", "--rebuild").returncode == 0
    assert query(bench.folder, ROWS) == rows


def test_no_command_waits_for_a_pipe_in_the_place_of_a_label_file(bench: Bench) -> None:
    bench.config(classifier={"type": "valence"})
    gather(published_run(bench.folder, 4, shards=2))
    (file,) = label_files(bench.folder)
    (bench.folder / file).unlink()
    os.mkfifo(bench.folder / file)
    for words in (("gather",), ("export", "valence", "--to", "labels.csv")):
        done = bench.hpc(*words)
        assert (done.returncode, str(bench.folder / file) in done.stderr) == (1, True)


def test_a_label_file_that_cannot_be_read_is_to_blame_and_not_its_database(tmp_path: Path) -> None:
    file = "labels.duckdb.parquet/labels_v/run-00001-0123456789abcdef.parquet"
    error = duckdb.IOException(f'IO Error: Cannot open file "{file}": Permission denied')
    with (
        pytest.raises(PermissionError) as failed,
        duckdb_file.open_database(tmp_path / "labels.duckdb"),
    ):
        raise error
    assert failed.value.filename == str(tmp_path / file)
    assert describe_error(error).startswith(f"{file}: Permission denied")


def test_a_label_file_that_is_not_registered_is_moved_aside_and_nothing_else(
    tmp_path: Path,
) -> None:
    """What a killed gather was still writing is deleted."""
    run = published_run(tmp_path, 4, shards=2)
    gather(run)
    (file,) = label_files(tmp_path)
    folder, stray = (tmp_path / file).parent, f"{run.run_id}-00007-0123456789abcdef.parquet"
    shutil.copy(tmp_path / file, folder / stray)
    shutil.copy(tmp_path / file, folder / f".tmp-12-{Path(file).name}")
    (folder / "_SUCCESS").touch()
    now = look(run, LocalExecutor(), include_done=True)
    kept = [
        gather_outputs.gather(run, now.observation, now.judgements).unregistered for _ in range(2)
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted([Path(file).name, "_SUCCESS"])
    (aside,) = tmp_path.glob("labels.duckdb.parquet.replaced-*")
    assert kept == [aside, None]
    assert [path.name for path in aside.rglob("*.parquet")] == [stray]


def test_labels_of_a_newer_database_survive_an_older_one_that_was_restored(bench: Bench) -> None:
    """The folder of the run that only the newer database knows is gone."""
    bench.config(classifier={"type": "valence"})
    run = published_run(bench.folder, 4, shards=2)
    gather(run)
    database, newer = bench.folder / "labels.duckdb", bench.folder / "newer"
    older = database.read_bytes()
    other = published_run(bench.folder, 2, shards=1, run_id=SECOND, name="other")
    gather(other)
    database.rename(newer)
    shutil.rmtree(other.folder)
    database.write_bytes(older)
    done = bench.hpc("gather")
    assert (done.returncode, done.stdout.count("an older database")) == (0, 1)
    (aside,) = bench.folder.glob("labels.duckdb.parquet.replaced-*")
    rebuilt = bench.hpc("gather", "--rebuild")
    assert (rebuilt.returncode, rebuilt.stdout.count(SECOND)) == (0, 1)
    newer.replace(database)
    shutil.copytree(aside, bench.folder / "labels.duckdb.parquet", dirs_exist_ok=True)
    assert query(bench.folder, "SELECT count(*) FROM labels_other") == [(2,)]


# What is done to files and to their register, and the commit.
STEPS = ("write", "forget", "show", "remove")
COMMIT = "commit"


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Fate:
    """Kills a gather before the step of this number of what it does to files and rows."""

    left: int
    names: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        self.names.append(name)
        if self.left == 0:
            raise Killed
        self.left -= 1

    def around(self, name: str, usual: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **more: Any) -> Any:
            self.step(name)
            return usual(*arguments, **more)

        return act

    def transaction(self, usual: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def block(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
            with usual(connection):
                yield
                self.step(COMMIT)

        return block


def killed_gathers(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Gather a run again and again, each time killed one step later, until it is not killed."""
    for steps in range(100):
        fate = Fate(steps)
        with monkeypatch.context() as patch:
            for name in STEPS:
                patch.setattr(Parts, name, fate.around(name, getattr(Parts, name)))
            patch.setattr(duckdb_file, "transaction", fate.transaction(duckdb_file.transaction))
            try:
                gather(run)
            except Killed:
                yield fate.names[-1]
            else:
                return


def test_a_gather_that_is_killed_at_any_step_leaves_each_shard_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard is labeled again, and then a run replaces the labels of two shards."""
    monkeypatch.setattr(output_batches, "BATCH_ROWS", 2)
    first = published_run(tmp_path, 6, shards=3)
    gather(first)
    states = [query(tmp_path, ROWS)]
    publish(first, 1, attempt=2)
    for run in (first, superseding_run(tmp_path, 4)):
        seen = set()
        for step in killed_gathers(run, monkeypatch):
            seen.add(step)
            rows = query(tmp_path, ROWS)
            assert len({uri for uri, *_ in rows}) == len(rows) == 6
            if rows != states[-1]:
                states.append(rows)
        assert seen == {*STEPS, COMMIT}
        last = query(tmp_path, ROWS)
        states += [last] if last != states[-1] else []
        gather(run)
        label_files(tmp_path)
    runs = [[(run_id, attempt) for _, run_id, _, attempt in rows] for rows in states]
    old, redone, new = (first.run_id, 1), (first.run_id, 2), (SECOND, 1)
    assert runs == [
        [old] * 6,
        [old] * 2 + [redone] * 2 + [old] * 2,
        [new] * 2 + [redone] * 2 + [old] * 2,
        [new] * 4 + [old] * 2,
    ]
    replaced = query(tmp_path, "SELECT count(*) FROM superseded_valence")
    assert replaced == [(4,)]
