"""The database can be made again from the run folders, and is then the same."""

import shutil
from pathlib import Path

import pytest

from tests.hpc.cli_bench import said
from tests.hpc.growing_backlog import Lab, post
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME, SourcePost

TABLES = {
    "labels_test": "uri",
    "superseded_test": "uri",
    "runs": "run_id",
    "attempts": "run_id, shard_index, attempt",
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two whole runs, the second a retry of one unlabelable post, and a third half done."""
    made = Lab(tmp_path)
    made.arrive(
        *(post(n, n) for n in range(1, 5)), SourcePost(run_builders.uri(9), "meh", FIRST_TIME)
    )
    first, _ = made.submit()
    assert first
    made.bench.hpc("supervise", first.folder)
    second, _ = made.submit(retry_reason="text_too_short")
    assert second
    made.finish(second)
    made.arrive(post(20, 20), post(21, 21))
    third, _ = made.submit()
    assert third
    made.publish(third, 0)
    made.gather(third)
    return made


def contents(lab: Lab) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: lab.query(f"SELECT * EXCLUDE (superseded_at) FROM {table} ORDER BY {key}")
        if table.startswith("superseded")
        else lab.query(f"FROM {table} ORDER BY {key}")
        for table, key in TABLES.items()
    } | {"shards": lab.query("SELECT * EXCLUDE (gathered_at) FROM shards ORDER BY run_id, 2")}


def test_a_rebuilt_database_is_the_same_and_so_is_its_audit(lab: Lab) -> None:
    before = contents(lab)
    audit = lab.bench.document("audit", "--config", lab.bench.path)
    assert len(before["labels_test"]) == 6
    assert len(before["superseded_test"]) == 1
    database = lab.bench.folder / "labels.duckdb"
    database.write_bytes(b"")
    database.unlink()
    rebuilt = lab.bench.document("gather", "--rebuild")
    assert (rebuilt["rows_before"], rebuilt["rows_added"], rebuilt["rows_after"]) == (0, 6, 6)
    assert contents(lab) == before
    assert lab.bench.document("audit", "--config", lab.bench.path) == audit


def test_a_damaged_row_is_right_again_and_the_old_file_is_kept(lab: Lab) -> None:
    before = contents(lab)
    import_sql = "UPDATE labels_test SET compound = -1, reason = 'edited'"
    lab.bench.python(f"import duckdb; duckdb.connect('labels.duckdb').execute({import_sql!r})")
    assert contents(lab) != before
    done = lab.bench.hpc("gather", "--rebuild")
    assert done.returncode == 0, done
    assert contents(lab) == before
    kept = list(lab.bench.folder.glob("labels.duckdb.replaced-*"))
    assert len(kept) == 1
    assert f"the old database is kept as {kept[0]}" in done.stdout


def test_rows_of_a_run_whose_folder_is_gone_are_never_lost_by_a_rebuild(lab: Lab) -> None:
    first = lab.runs()[0]
    before = contents(lab)
    shutil.rmtree(first.folder)
    refused = lab.bench.hpc("gather", "--rebuild")
    assert said(refused) == (
        1,
        f"error: {lab.bench.folder}/labels.duckdb has rows of runs whose folders are gone, and a "
        f"rebuild would lose them: {first.run_id} (5 rows); put the folders back first\n",
    )
    assert contents(lab) == before
    assert not list(lab.bench.folder.glob("labels.duckdb.re*"))


def test_a_copied_run_folder_is_named_and_not_gathered(lab: Lab) -> None:
    first = lab.runs()[0]
    copy = first.folder.with_name(f"{first.folder.name}-copy")
    shutil.copytree(first.folder, copy)
    for arguments in (("gather", copy), ("audit", "--config", lab.bench.path)):
        code, message = said(lab.bench.hpc(*map(str, arguments)))
        assert code == 2
        assert message.startswith(f"error: {copy} holds run {first.run_id}: it is a copy, or was ")
