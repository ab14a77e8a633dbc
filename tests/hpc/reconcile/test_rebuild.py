"""The database can be rebuilt from the run folders, and is then the same."""

import shutil

import pytest

from tests.hpc.cli_bench import outcome
from tests.hpc.growing_backlog import GrowingBacklog, post, with_retried_post
from tests.hpc.snapshot import BacklogSnapshot

TABLES = {
    "labels_test": "uri",
    "superseded_test": "uri",
    "runs": "run_id",
    "attempts": "run_id, shard_index, attempt",
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> BacklogSnapshot:
    made = with_retried_post(tmp_path_factory.mktemp("gathered"))
    made.arrive(post(20, 20), post(21, 21))
    third, _ = made.submit()
    assert third
    made.publish(third, 0)
    made.gather(third)
    return BacklogSnapshot(made)


@pytest.fixture
def gathered(snapshot: BacklogSnapshot) -> GrowingBacklog:
    """Two whole runs, the second a retry of one unlabelable post, and a third half done."""
    return snapshot.restore()


def contents(gathered: GrowingBacklog) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: gathered.query(f"SELECT * EXCLUDE (superseded_at) FROM {table} ORDER BY {key}")
        if table.startswith("superseded")
        else gathered.query(f"FROM {table} ORDER BY {key}")
        for table, key in TABLES.items()
    } | {"shards": gathered.query("SELECT * EXCLUDE (gathered_at) FROM shards ORDER BY run_id, 2")}


def test_a_rebuilt_database_is_the_same_and_so_is_its_audit(gathered: GrowingBacklog) -> None:
    before = contents(gathered)
    audit = gathered.bench.document("audit", "--config", gathered.bench.path, code=1)
    assert len(before["labels_test"]) == 6
    assert len(before["superseded_test"]) == 1
    database = gathered.bench.folder / "labels.duckdb"
    database.write_bytes(b"")
    database.unlink()
    rebuilt = gathered.bench.document("gather", "--rebuild")
    assert (rebuilt["rows_before"], rebuilt["rows_added"], rebuilt["rows_after"]) == (0, 6, 6)
    assert contents(gathered) == before
    assert gathered.bench.document("audit", "--config", gathered.bench.path, code=1) == audit


def test_a_rebuild_repairs_a_damaged_row_and_keeps_the_old_file(gathered: GrowingBacklog) -> None:
    before = contents(gathered)
    import_sql = "UPDATE labels_test SET compound = -1, reason = 'edited'"
    gathered.bench.python(f"import duckdb; duckdb.connect('labels.duckdb').execute({import_sql!r})")
    assert contents(gathered) != before
    done = gathered.bench.hpc("gather", "--rebuild")
    assert done.returncode == 0, done
    assert contents(gathered) == before
    kept = list(gathered.bench.folder.glob("labels.duckdb.replaced-*"))
    assert len(kept) == 1
    assert str(kept[0]) in done.stdout
    assert done.stdout.endswith("\n  table labels_test: 6 posts: 6 labeled\n"), done.stdout


def test_a_rebuild_never_loses_the_rows_of_a_run_whose_folder_is_gone(
    gathered: GrowingBacklog,
) -> None:
    first = gathered.runs()[0]
    before = contents(gathered)
    shutil.rmtree(first.folder)
    refused = gathered.bench.hpc("gather", "--rebuild")
    assert outcome(refused) == (
        1,
        f"error: {gathered.bench.folder}/labels.duckdb has rows of runs that cannot be gathered "
        "again, and a rebuild would lose them:\n"
        f"{first.run_id} (5 rows): its folder is gone. Restore it, or move the database away\n",
    )
    assert contents(gathered) == before
    assert not list(gathered.bench.folder.glob("labels.duckdb.re*"))


def test_commands_on_other_runs_name_a_copied_run_folder_and_go_on(
    gathered: GrowingBacklog,
) -> None:
    first, newest = gathered.runs()[0], gathered.runs()[-1]
    audited = gathered.bench.document("audit", "--config", gathered.bench.path, code=1)
    before = contents(gathered)
    # One of them has the newest name of all.
    copies = [f"{first.folder.name}-copy", "20990101T000000-test-00000000"]
    for name in copies:
        shutil.copytree(first.folder, first.folder.with_name(name))
    for verb, *arguments in (
        ("status",),
        ("gather",),
        ("gather", "--rebuild"),
        ("audit", "--config", gathered.bench.path),
        ("submit", "--config", gathered.bench.path, "--dry-run"),
    ):
        done = gathered.bench.hpc(verb, *map(str, arguments))
        assert done.returncode in (0, 1, 3), done
        assert all(str(first.folder.with_name(name)) in done.stdout for name in copies), done
    assert gathered.bench.document("audit", "--config", gathered.bench.path, code=1) == audited
    assert gathered.bench.document("status", code=1)["run_id"] == newest.run_id
    assert contents(gathered) == before
    assert [run.run_id for run in gathered.runs()][-1] == newest.run_id
    # Whoever names the copy itself learns which folder is the run.
    code, message = outcome(gathered.bench.hpc("gather", first.folder.with_name(copies[0])))
    assert (code, str(first.folder) in message) == (2, True)


def test_a_renamed_run_still_holds_its_posts(gathered: GrowingBacklog) -> None:
    """Nothing else has them: without the folder, submit would take them again."""
    newest = gathered.runs()[-1]
    renamed = newest.folder.rename(newest.folder.with_name(f"{newest.folder.name}-renamed"))
    code, message = outcome(gathered.bench.hpc("submit", "--config", gathered.bench.path))
    assert (code, str(renamed) in message) == (2, True)
    audit = gathered.bench.document("audit", "--config", gathered.bench.path, code=1)
    assert [str(renamed) in problem for problem in audit["unreadable_files"]] == [True]
    assert (audit["places"]["unreadable"], audit["unproven"], audit["runs_gone"]) == (1, 0, [])
