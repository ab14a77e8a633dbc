"""The main job on a real Slurm: backlog to gathered labels, failures at the same array indices."""

import pathlib

import duckdb
import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def labeled(bench: Bench, name: str = "test") -> tuple[int, int]:
    """Rows and distinct uris under a name."""
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        query = f"SELECT count(*), count(DISTINCT uri) FROM labels_{name}"
        rows, uris = labels.execute(query).fetchall()[0]
    return int(rows), int(uris)


def test_20_000_posts_of_a_sqlite_file_become_labels_in_12_shards(bench: Bench) -> None:
    source = posts.sqlite(bench.folder / "posts.db", 20_000)
    config = bench.config(source, sharding={"shards": 12}, classifier={"type": "valence"})
    submitted = bench.document("submit", "--config", config)
    assert (submitted["posts"], submitted["shards"]) == (20_000, 12)
    assert len(submitted["array_jobs"]) == 1
    end = bench.document("supervise")
    assert (end["state"], end["posts_done"]) == ("complete", 20_000)
    assert labeled(bench) == (20_000, 20_000)
    job = submitted["array_jobs"][0]
    expected = {f"{job}_{index}": "COMPLETED" for index in range(12)}
    wait_for(lambda: bench.accounted([job]) == expected, 60, "accounting knows all tasks")
    again = bench.document("gather")
    assert (again["rows_before"], again["rows_added"], again["rows_after"]) == (20_000, 0, 20_000)
    nothing = bench.document("submit", "--config", config)
    assert (nothing["run_id"], nothing["posts"], nothing["array_jobs"]) == (None, 0, [])


def test_submit_wait_drives_a_run_with_failures_to_its_end(bench: Bench) -> None:
    bench.script(1, "fail die")
    bench.script(3, "die")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 40))
    assert bench.document("submit", "--config", config, "--wait")["posts"] == 40
    assert labeled(bench) == (40, 40)
    assert bench.states() == dict.fromkeys(range(4), ("done", None))
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as labels:
        attempts = labels.execute(
            "SELECT array_task_index, cause FROM attempts WHERE shard_index = 1 ORDER BY attempt"
        ).fetchall()
        watermark = labels.execute("SELECT name, strftime(watermark, '%T') FROM watermarks")
        assert watermark.fetchall() == [("test", "00:00:13")]
    assert attempts == [(1, "crashed"), (1, "crashed"), (1, None)]


def test_failed_tasks_are_resubmitted_at_the_same_array_indices(bench: Bench) -> None:
    bench.script(2, "fail")
    bench.script(5, "die")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 80), sharding={"shards": 8})
    first = bench.document("submit", "--config", config)["array_jobs"][0]
    expected: dict[int, tuple[str, str | None]] = dict.fromkeys(range(8), ("done", None))
    expected |= {2: ("failed", "crashed"), 5: ("failed", "crashed")}
    wait_for(lambda: bench.states() == expected, 90, "two shards failed")
    assert bench.document("status", code=1)["shards"][2]["message"] == "this was scripted"
    assert bench.hpc("resubmit", "--indices", "3").returncode == 1
    second = bench.document("resubmit")
    assert second["shards"] == [2, 5]
    job = second["array_jobs"][0]
    assert bench.document("supervise")["state"] == "complete"
    tasks = {f"{job}_2": "COMPLETED", f"{job}_5": "COMPLETED"}
    wait_for(lambda: bench.accounted([job]) == tasks, 60, "accounting knows the second attempts")
    assert bench.accounted([first])[f"{first}_2"] == "FAILED"
    assert labeled(bench) == (80, 80)
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(80))


def test_a_single_failed_shard_is_resubmitted_as_an_array_of_its_index(bench: Bench) -> None:
    bench.script(3, "fail")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 40))
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states()[3] == ("failed", "crashed"), 90, "shard 3 failed")
    assert bench.document("resubmit", "--dry-run")["shards"] == [3]
    job = bench.document("resubmit", "--indices", "3")["array_jobs"][0]
    assert bench.document("supervise")["state"] == "complete"
    expected = {f"{job}_3": "COMPLETED"}
    wait_for(lambda: bench.accounted([job]) == expected, 60, "one task of index 3 has run")


def test_more_shards_than_the_array_limit_become_several_arrays(
    small_array_cluster: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    bench = Bench(small_array_cluster, tmp_path)
    bench.script(1, "fail")  # the first of shards 1 and 7 that runs
    config = bench.config(
        posts.json_lines(tmp_path / "p.jsonl", 130),
        sharding={"shards": 13},
        cluster={"mem_gb": 0.2},
    )
    submitted = bench.document("submit", "--config", config)
    assert len(submitted["array_jobs"]) == 3
    end = bench.document("supervise")
    assert (end["state"], end["posts_done"]) == ("complete", 130)
    assert labeled(bench) == (130, 130)
    repeated = [shard for shard in end["shards"] if shard["attempts"] == 2]
    assert [shard["array_task_index"] for shard in repeated] == [1]
    wait_for(
        lambda: len(bench.accounted(submitted["array_jobs"])) == 13, 60, "all tasks are accounted"
    )


def test_a_shard_whose_earlier_attempt_is_alive_is_not_submitted_again(bench: Bench) -> None:
    for index in range(4):
        bench.script(index, "wait")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 40))
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states()[1] == ("running", None), 60, "shard 1 runs")
    assert bench.hpc("resubmit", "--indices", "1").returncode == 1
    two = bench.document("submit", "--config", config)  # its posts are in an unfinished run
    assert (two["run_id"], two["posts"]) == (None, 0)
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["state"] == "complete"
    assert labeled(bench) == (40, 40)


def test_out_of_memory_is_distinguished_from_a_crash(bench: Bench) -> None:
    bench.script(0, "memory")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 10), sharding={"shards": 1})
    bench.document("submit", "--config", config)
    expected = {0: ("failed", "out_of_memory")}
    wait_for(lambda: bench.states() == expected, 90, "shard 0 is out of memory")


def test_a_truncated_output_is_reported_not_gathered_and_made_again(bench: Bench) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 40))
    run = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
    wait_for(lambda: bench.states()[2] == ("done", None), 60, "shard 2 is done")
    output = run / "outputs" / "00002.parquet"
    output.write_bytes(output.read_bytes()[:-20])
    wait_for(lambda: bench.states()[2] == ("failed", "no_output"), 60, "shard 2 failed")
    gathered = bench.document("gather", code=1)
    assert len(gathered["rejected_outputs"]) == 1
    assert gathered["rejected_outputs"][0].startswith(f"{output}: ")
    assert bench.document("supervise")["state"] == "complete"
    assert labeled(bench) == (40, 40)


def test_a_task_that_a_person_canceled_waits_for_a_person(bench: Bench) -> None:
    bench.script(1, "wait")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20), sharding={"shards": 2})
    job = bench.document("submit", "--config", config)["array_jobs"][0]
    wait_for(lambda: bench.states()[1] == ("running", None), 60, "shard 1 runs")
    bench.cluster.run("scancel", f"{job}_1")
    # It waits for what it has in hand until KillWait is over; with its answers it would be done.
    wait_for(lambda: bench.states()[1] == ("blocked", "cancelled"), 90, "shard 1 has ended")
    (bench.scripts / "go").touch()
    assert bench.document("supervise", code=1)["state"] == "blocked"
    assert bench.states() == {0: ("done", None), 1: ("blocked", "cancelled")}
    assert bench.document("resubmit", code=1)["shards"] == []
    assert bench.document("resubmit", "--force")["shards"] == [1]
    assert bench.document("supervise")["state"] == "complete"
    assert labeled(bench) == (20, 20)
