"""The database records runs, shards and attempts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hpc.database.history_rows import attempt_rows
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.shards import Observation, ShardFacts
from hpc.run.submissions import read_submissions
from pipeline import __version__, files
from pipeline.errors import Cause
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import OutputCheck
from tests.hpc.cli_bench import Bench, outcome, valence_run
from tests.hpc.database.test_gather_outputs import damage
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME


def second(number: int) -> datetime:
    return FIRST_TIME + timedelta(seconds=number)


def is_recent(moment: datetime) -> bool:
    """Whether a time, stored in UTC without a time zone, is a few minutes old at most."""
    return abs(datetime.now(UTC).replace(tzinfo=None) - moment) < timedelta(minutes=5)


def test_a_run_its_shards_and_all_attempts_are_recorded(bench: Bench) -> None:
    bench.config(posts=5)
    bench.script(1, "fail die")
    assert outcome(bench.submit()) == (0, "")
    (run,) = bench.runs()
    (row,) = bench.query("SELECT * EXCLUDE (created_at, config_hash) FROM runs")
    assert row == (run.name, "test", str(run), 5, 2, "complete", __version__, None, None, None)
    assert bench.query(
        "SELECT * EXCLUDE (publication, gathered_at, output_sha256, rows_hash) FROM shards "
        "ORDER BY shard_index"
    ) == [
        (run.name, 0, 3, second(0), second(2), "done", None, 1),
        (run.name, 1, 2, second(3), second(4), "done", None, 3),
    ]
    digests = "SELECT output_sha256 FROM shards ORDER BY shard_index"
    assert bench.query(digests) == [(files.sha256_of(output_path(run, index)),) for index in (0, 1)]
    attempts = bench.query(
        "SELECT shard_index, attempt, array_job_id, array_task_index, slurm_state, cause, "
        "exit_code FROM attempts ORDER BY 1, 2"
    )
    assert attempts == [
        (0, 1, None, 0, "ended", None, "0"),
        (1, 1, None, 1, "failed", "crashed", "1"),
        (1, 2, None, 1, "killed by SIGKILL", "crashed", "-9"),
        (1, 3, None, 1, "ended", None, "0"),
    ]
    rows: list[tuple[Any, ...]] = bench.query(
        "SELECT created_at, submitted_at, started_at, ended_at, elapsed_s "
        "FROM attempts JOIN runs USING (run_id)"
    )
    for created, submitted, started, ended, elapsed_s in rows:
        assert is_recent(created)
        assert created <= submitted
        assert submitted.replace(microsecond=0) <= started <= ended
        assert elapsed_s == (ended - started).total_seconds()
    (gathered_at,) = bench.query("SELECT min(gathered_at) FROM shards")[0]
    assert is_recent(gathered_at)


def test_a_shard_without_labels_holds_the_watermark_back(bench: Bench) -> None:
    bench.config(posts=9, sharding={"shards": 3}, retry={"max_attempts": 1})
    bench.script(1, "fail")
    assert outcome(bench.submit())[0] == 1
    assert bench.query("SELECT state, cause, attempts FROM shards ORDER BY shard_index") == [
        ("done", None, 1),
        ("blocked", "crashed", 1),
        ("done", None, 1),
    ]
    assert bench.query("SELECT state FROM runs") == [("blocked",)]
    assert bench.query("SELECT watermark FROM watermarks") == [(second(2),)]
    assert outcome(bench.hpc("resubmit", "--force"))[0] == 0
    assert outcome(bench.hpc("gather")) == (0, "")
    assert bench.query("SELECT state FROM runs") == [("complete",)]
    assert bench.query("SELECT watermark FROM watermarks") == [(second(8),)]


def test_supervise_labels_a_shard_again_whose_output_gathering_renamed(
    bench: Bench,
) -> None:
    run = valence_run(bench.folder, 5)
    for index in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, index)
    damage(output_path(run.folder, 0))
    document = bench.document("gather", code=1)
    (line,) = document["rejected_outputs"]
    (renamed,) = (run.folder / "outputs").glob("00000.parquet.damaged-*")
    assert line.startswith(f"{output_path(run.folder, 0)}: ")
    assert line.endswith(renamed.name)
    assert (document["rows_added"], document["rows_after"]) == (2, 2)
    states = "SELECT state, attempts FROM shards ORDER BY shard_index"
    assert bench.query(states) == [("planned", 0), ("done", 0)]
    assert bench.query("SELECT state FROM runs") == [("planned",)]
    assert outcome(bench.hpc("supervise")) == (0, "")
    assert bench.query("SELECT count(*), count(DISTINCT uri) FROM labels_valence") == [(5, 5)]
    assert bench.query(states) == [("done", 1), ("done", 0)]


def test_supervise_finds_a_damaged_output_and_labels_its_shard_again(bench: Bench) -> None:
    run = valence_run(bench.folder, 5)
    for index in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, index)
    damage(output_path(run.folder, 1))
    done = bench.hpc("supervise", run.run_id)
    assert outcome(done) == (0, "")
    assert f"{output_path(run.folder, 1)}: " in done.stdout
    (submission,) = read_submissions(run)
    assert (submission.number, submission.plan.indices) == (2, (1,))  # the damaged one is of 1
    assert bench.query("SELECT count(*), count(DISTINCT uri) FROM labels_valence") == [(5, 5)]


@pytest.mark.parametrize(
    ("published_by", "causes"),
    [(1, [None, "cancelled"]), (2, ["timeout", None]), (0, ["timeout", None])],
    ids=["the first", "the last", "an older version"],
)
def test_an_attempt_has_no_cause_if_the_output_is_its_own(
    tmp_path: Path, published_by: int, causes: list[str | None]
) -> None:
    """Slurm can end a task that has just published."""
    ends = [(1, "TIMEOUT", Cause.TIMEOUT), (2, "CANCELLED", Cause.CANCELLED)]
    attempts = tuple(
        Attempt(
            number=number, array_job_id=4000 + number, array_task_index=0,
            submitted_at=FIRST_TIME,
            record=TaskRecord(phase=Phase.ENDED, slurm_state=state, cause=cause),
        )
        for number, state, cause in ends
    )  # fmt: skip
    output = OutputCheck(publication="p", attempt=published_by)
    shard = ShardFacts(index=0, posts=5, output=output, attempts=attempts)
    observation = Observation(
        observed_at=FIRST_TIME, shards=(shard,), answered=True, last_answer=FIRST_TIME
    )
    rows = attempt_rows(valence_run(tmp_path, 5), observation)
    assert [row["cause"] for row in rows] == causes
