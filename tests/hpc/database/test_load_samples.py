"""Gathering loads the samples of the run root, again and again, and a rebuild loses none."""

from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pytest

from hpc.reconcile.gathering.rebuild import rebuild
from hpc.run import run_folder
from hpc.run.model.run import Run
from pipeline.errors import RunError
from pipeline.run_files import manifest, sample_file
from pipeline.run_files.sample_file import SCHEMA, Sample, Stratum
from tests.hpc.cli_bench import valence_run
from tests.hpc.database.test_gather_outputs import gather, publish, query
from tests.pipeline.run_builders import uri

SAMPLE = Sample(
    sample="drawn",
    kind="submit",
    name="valence",
    seed=1,
    size=2,
    population=4,
    strata=(Stratum(stratum="all", population=4, size=2),),
    drawn_at="2026-11-30T12:00:00+00:00",
    source="posts.jsonl",
)


def rows(*numbers: int) -> pa.Table:
    return pa.table(
        {
            "uri": [uri(number) for number in numbers],
            "stratum": ["all"] * len(numbers),
            "inclusion_probability": [0.5] * len(numbers),
            "posts": [1] * len(numbers),
        },
        schema=SCHEMA,
    )


def in_database(run: Run) -> list[tuple[object, ...]]:
    return query(run, "SELECT * FROM samples ORDER BY sample, uri")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with published outputs, beside a sample of two posts."""
    made = valence_run(tmp_path, 4, shards=1)
    publish(made, 0)
    sample_file.write(made.folder.parent, SAMPLE, rows(0, 2))
    return made


ROWS = [("drawn", uri(0), "all", 0.5, 1), ("drawn", uri(2), "all", 0.5, 1)]


def test_gathering_loads_each_sample_once(run: Run) -> None:
    gather(run)
    assert in_database(run) == ROWS
    other = msgspec.structs.replace(SAMPLE, sample="another")
    sample_file.write(run.folder.parent, other, rows(1, 3))
    gather(run)
    assert gather(run).rejected == ()
    another = [("another", uri(1), "all", 0.5, 1), ("another", uri(3), "all", 0.5, 1)]
    assert in_database(run) == [*another, *ROWS]


def test_a_sample_that_was_drawn_again_in_place_of_a_deleted_file_replaces_its_rows(
    run: Run,
) -> None:
    gather(run)
    sample_file.path_of(run.folder.parent, "drawn").unlink()
    gather(run)
    assert in_database(run) == ROWS  # they may be all that is left
    later = msgspec.structs.replace(SAMPLE, drawn_at="2027-01-01T00:00:00+00:00")
    sample_file.write(run.folder.parent, later, rows(1, 2))
    gather(run)
    assert [row[1] for row in in_database(run)] == [uri(1), uri(2)]


def test_rows_that_somebody_deleted_come_back(run: Run) -> None:
    gather(run)
    with duckdb.connect(run.manifest.database) as database:
        database.execute(f"DELETE FROM samples WHERE uri = '{uri(0)}'")
    gather(run)
    assert in_database(run) == ROWS


def test_a_damaged_sample_is_reported_and_what_the_database_has_stays(run: Run) -> None:
    gather(run)
    path = sample_file.path_of(run.folder.parent, "drawn")
    path.write_bytes(path.read_bytes()[:-9])
    (line,) = gather(run).rejected
    assert str(path) in line
    assert in_database(run) == ROWS


def test_a_sample_that_cannot_be_read_now_is_not_called_damaged(run: Run) -> None:
    path = sample_file.path_of(run.folder.parent, "drawn")
    path.unlink()
    path.symlink_to(path.name)  # ELOOP, also for root
    gathered = gather(run)
    assert gathered.rejected == ()
    assert [str(path) in line for line in gathered.unreadable] == [True]


def test_a_rebuild_loads_the_samples_and_refuses_to_lose_one(run: Run) -> None:
    gather(run)
    rebuild(run, lambda _: None)
    assert in_database(run) == ROWS
    path = sample_file.path_of(run.folder.parent, "drawn")
    kept = path.rename(path.with_suffix(".kept"))
    with pytest.raises(RunError):
        rebuild(run, lambda _: None)
    assert in_database(run) == ROWS
    kept.rename(path)
    rebuild(run, lambda _: None)
    assert in_database(run) == ROWS


def test_runs_of_a_sample_do_not_move_the_watermark(run: Run) -> None:
    manifest.write(run.folder, msgspec.structs.replace(run.manifest, sample="drawn"))
    sampled = run_folder.load(run.folder)
    gather(sampled)
    assert query(run, "SELECT sample FROM runs") == [("drawn",)]
    assert query(run, "SELECT * FROM watermarks") == []
