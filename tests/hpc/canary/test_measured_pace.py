"""What the tasks of a run measured, and what the next submit makes of it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.run_files.manifest import output_path
from pipeline.run_files.pace import PACE, Pace, read_pace, write_pace
from tests.hpc.cli_bench import Bench
from tests.pipeline import run_builders

SLOW = {"delay": 0.02}
TARGET = ("--set", "sharding.shards=null", "--set", "sharding.target_minutes=2")

paces = st.builds(
    Pace,
    asked=st.integers(1, 10**9),
    asking_s=st.floats(0, 1e9),
    startup_s=st.floats(0, 1e9),
    memory_mb=st.none() | st.floats(0, 1e9),
)


@given(paces)
def test_a_pace_survives_the_footer(pace: Pace) -> None:
    assert read_pace({PACE: write_pace(pace)}) == pace


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"asked": 0, "asking_s": 1, "startup_s": 1}',
     '{"asked": 5, "asking_s": -1, "startup_s": 1}', '{"asked": 5, "asking_s": 1}',
     '{"asked": 5, "asking_s": 1e999, "startup_s": 1}', '{"asked": true, "asking_s": 1}'],
)  # fmt: skip
def test_a_damaged_pace_is_none_and_no_error(text: str) -> None:
    assert read_pace({PACE: text}) is None


def measured(bench: Bench, *arguments: object) -> dict[str, object]:
    """What a dry run says about size and speed."""
    shown = bench.document("submit", "--config", bench.path, "--dry-run", *arguments)
    return {key: shown[key] for key in ("shard_size", "measured", "minutes_estimate", "shards")}


def test_the_next_run_is_sized_by_what_the_last_one_measured(bench: Bench) -> None:
    bench.config(60, sharding={"shards": None, "rows_per_shard": 7})
    before = measured(bench, *TARGET)
    assert before["measured"] is None
    assert before["shard_size"] == {
        "rows": 7, "basis": "nothing", "bound": "none", "minutes": None,
    }  # fmt: skip
    assert bench.submit("--limit", 20).returncode == 0
    (run,) = bench.runs()
    footer = pq.read_schema(output_path(run, 0)).metadata
    pace = json.loads(footer[PACE.encode()])
    assert pace["asked"] == 7
    assert 0 < pace["asking_s"] < 60
    assert 0 < pace["startup_s"] < 60
    assert pace["memory_mb"] > 10
    after = measured(bench, *TARGET)
    assert isinstance(after["measured"], dict)
    assert after["measured"]["run_ids"] == [run.name]
    assert after["measured"]["posts_per_minute"] > 60
    assert isinstance(after["shard_size"], dict)
    assert after["shard_size"]["basis"] == "measured"
    assert after["shard_size"]["rows"] > 40
    assert after["shards"] == 1


@pytest.mark.parametrize(
    ("override", "counts"),
    [
        ("classifier.keep_raw=true", True),
        ("cluster.max_parallel=7", True),
        ("cluster.mem_gb=3", True),
        ("cluster.cpus=3", False),
        ("cluster.gres=gpu:1", False),
        ("cluster.partition=gpu", False),
    ],
)
def test_only_the_same_work_on_the_same_kind_of_node_counts(
    labeled: Bench, override: str, counts: bool
) -> None:
    assert (measured(labeled, "--set", override)["measured"] is not None) is counts


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Eight posts labeled of sixteen: six texts that are asked about, a copy, and a short one."""
    bench = Bench(tmp_path_factory.mktemp("labeled"))
    rows = run_builders.posts(16)
    bench.backlog(rows)
    bench.config(sharding={"shards": None, "rows_per_shard": 8})
    assert bench.submit("--limit", 8).returncode == 0
    return bench


def test_copies_and_posts_that_are_not_sent_do_not_count(bench: Bench) -> None:
    rows = run_builders.posts(6)
    rows += [rows[0]._replace(uri="at://copy"), rows[0]._replace(uri="at://short", text="x")]
    bench.backlog(rows)
    bench.config(sharding={"shards": 1})
    assert bench.submit().returncode == 0
    table: pa.Table = pq.read_table(output_path(bench.runs()[0], 0))
    assert table.num_rows == 8
    assert json.loads(table.schema.metadata[PACE.encode()])["asked"] == 6


def slow_down(run: Path, shard: int) -> None:
    """Let an output say that its task took a minute for a post, and five to start."""
    path = output_path(run, shard)
    table = pq.read_table(path)
    pace = {"asked": 7, "asking_s": 420.0, "startup_s": 300.0}
    metadata = {**table.schema.metadata, PACE.encode(): json.dumps(pace).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def time_of(findings: object) -> str:
    assert isinstance(findings, list)
    (message,) = (each["message"] for each in findings if each["check"] == "time")
    return str(message)


@pytest.mark.parametrize("sizing", [("--set", "sharding.target_minutes=20"), ()])
def test_sizing_a_dry_run_and_check_say_the_same_time(bench: Bench, sizing: Sequence[str]) -> None:
    bench.config(60, sharding={"shards": None, "rows_per_shard": 30})
    assert bench.submit("--limit", 20).returncode == 0
    slow_down(bench.runs()[0], 0)
    dry = bench.document("submit", "--config", bench.path, "--dry-run", *sizing)
    checked = bench.document("check", "--config", bench.path, "--no-request", *sizing)
    assert time_of(dry["checks"]) == time_of(checked)
    # 20 posts and 5 min of start-up; or 15 in 20 minutes, which 40 posts share as 14, 13 and 13.
    assert f"takes about {19 if sizing else 25} min by earlier runs" in time_of(checked)
    assert dry["shards"] == (3 if sizing else 2)
    if sizing:
        assert (dry["shard_size"]["rows"], dry["shard_size"]["minutes"]) == (15, 19.0)


def test_outputs_without_a_pace_leave_the_time_unknown(bench: Bench) -> None:
    bench.config(60, sharding={"shards": None, "rows_per_shard": 30})
    assert bench.submit("--limit", 20).returncode == 0
    path = output_path(bench.runs()[0], 0)
    table = pq.read_table(path)
    metadata = {key: text for key, text in table.schema.metadata.items() if key != PACE.encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    dry = bench.document("submit", "--config", bench.path, "--dry-run", *TARGET)
    assert dry["measured"] is None
    assert dry["shard_size"]["minutes"] is None
    assert "is not known yet" in time_of(dry["checks"])
