"""Labels arrive as Arrow tables, whoever has the database open."""

import contextlib
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from hpc import api
from tests.hpc.api.conftest import CONFIG, POSTS


def uris(table: pa.Table) -> list[str]:
    return sorted(table["uri"].to_pylist())


def test_labels_are_the_rows_of_the_database(project: Path) -> None:
    table = api.labels("valence")
    with duckdb.connect("labels.duckdb", read_only=True) as database:
        rows = database.execute("SELECT uri, compound FROM labels_valence ORDER BY 1").fetchall()
    pairs = zip(table["uri"].to_pylist(), table["compound"].to_pylist(), strict=True)
    assert sorted(pairs) == rows
    assert table.schema.field("preprocessing_timestamp").type == pa.timestamp("us", tz="UTC")


def test_columns_conditions_and_columns_of_the_source_are_chosen(project: Path) -> None:
    at = api.Place(config=CONFIG)
    table = api.labels(None, ["compound", "uri"], "compound > 0", ["langs"], at=at)
    assert table.column_names == ["compound", "uri"]
    table = api.labels(where="compound > 0", with_source=["langs"], at=at)
    assert table.column_names[-1] == "langs"
    assert min(table["compound"].to_pylist()) > 0


def test_batches_outlive_the_database_and_leave_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    reader = api.labels_batches("valence", ["uri"])
    Path("labels.duckdb").unlink()
    assert sorted(tmp_path.iterdir()) == before
    assert sum(batch.num_rows for batch in reader) == POSTS


@pytest.mark.parametrize("read_only", [True, False])
def test_a_notebook_with_the_database_open_reads_labels_and_cannot_gather(
    project: Path, read_only: bool
) -> None:
    with duckdb.connect("labels.duckdb", read_only=read_only):
        assert api.labels("valence", "uri").num_rows == POSTS
        assert not api.status().is_gathered
        for call in (api.gather, lambda: api.compare("valence", "other")):
            with pytest.raises(api.BusyError, match=r"labels\.duckdb"):
                call()
    assert api.gather().rows_after == POSTS


def test_labels_of_shards_that_are_not_gathered_are_there(project: Path) -> None:
    with duckdb.connect("labels.duckdb") as database:
        database.execute("DELETE FROM labels_valence WHERE shard_index = 1")
        database.execute("DELETE FROM shards WHERE shard_index = 1")
    assert api.labels("valence").num_rows == POSTS


def test_two_threads_read_while_a_third_gathers(project: Path) -> None:
    failures: list[BaseException] = []

    def call(function: object) -> None:
        try:
            for _ in range(3):
                function()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - a thread cannot raise into the test
            failures.append(error)

    def gather() -> None:
        with contextlib.suppress(api.BusyError):
            api.gather()

    jobs = (lambda: api.labels("valence"), lambda: api.labels("valence", "uri"), gather)
    threads = [threading.Thread(target=call, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert api.gather().rows_after == POSTS


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: api.labels("valense"),
        lambda: api.labels("valence", ["compond"]),
        lambda: api.labels("valence", where="compound >"),
        lambda: api.labels("valence", where="1=1; DROP TABLE labels_valence"),
        lambda: api.labels("valence", with_source=["author"]),
        lambda: api.labels(at=api.Place(database="nowhere.duckdb", run_root="nowhere")),
        lambda: api.Place(config=CONFIG, run_root="runs"),
    ],
)
def test_what_does_not_exist_is_an_input_error(project: Path, wrong: object) -> None:
    with pytest.raises(api.InputError):
        wrong()  # type: ignore[operator]
