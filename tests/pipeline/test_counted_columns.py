"""What answers cost, from a task's memory and its parts into the heartbeat and the output."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import usage
from pipeline.errors import Cause, InputError, TaskError
from pipeline.model import Answer, Column, LabelValue, Receipt, output_schema
from pipeline.run_files import heartbeat, output
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.heartbeat import AnswerSums, HeartbeatWriter
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import OutputCheck, ShardLabels
from tests.pipeline import run_builders

COLUMNS = (Column("mood", "text"), Column("tokens", "count"), Column("calls", "count"))
RECEIPT = Receipt(run_id="r", shard_index=0, input_sha256="a" * 64)


def life(
    folder: Path, *, attempt: int = 1, columns: tuple[Column, ...] = COLUMNS, keep_raw: bool = False
) -> Checkpoint:
    return Checkpoint(
        folder,
        metadata={**RECEIPT.metadata(), "hpc.config_hash": "q"},
        columns=columns,
        attempt=attempt,
        keep_raw=keep_raw,
    )


def answer(at_uri: str, **facts: LabelValue) -> Answer:
    return Answer(at_uri, {"mood": "fine"}, facts=facts)


def test_counts_are_summed_over_answers_with_and_without_a_label(tmp_path: Path) -> None:
    one = life(tmp_path)
    assert one.counts() == {}
    one.add(answer("a", tokens=100))
    one.flush()
    one.add(Answer("b", reason="refusal", facts={"tokens": 20}))
    one.add(answer("c", tokens=None))
    one.add(answer("d"))
    # Nobody has counted calls: that is not to say that there were none.
    assert one.counts() == {"tokens": 120}
    one.add(answer("e", calls=0, tokens=2**32 - 1))
    assert one.counts() == {"tokens": 2**32 + 119, "calls": 0}


def test_a_post_that_two_lives_answered_at_once_is_counted_once_as_it_is_published(
    tmp_path: Path,
) -> None:
    for attempt in (1, 2):
        one = life(tmp_path, attempt=attempt)
        one.add(answer("a", tokens=10 * attempt))
        one.add(answer(f"only {attempt}", tokens=1))
        one.flush()
    third = life(tmp_path, attempt=3)
    third.load()
    assert third.all_answers().num_rows == 3
    assert third.counts() == {"tokens": 12}


@pytest.mark.parametrize("value", [-1, 2**32, 1.0, True, "7"])
def test_a_value_that_is_not_a_count_breaks_the_protocol(tmp_path: Path, value: LabelValue) -> None:
    with pytest.raises(TaskError) as broken:
        life(tmp_path).add(answer("a", tokens=value))
    assert broken.value.cause is Cause.REFUSED
    assert str(broken.value) == (
        f"the classifier answered tokens = {value!r} for a: this breaks the classifier protocol"
    )


def test_a_fact_that_an_older_version_did_not_know_is_unknown(tmp_path: Path) -> None:
    old = life(tmp_path, columns=COLUMNS[:1])
    old.add(Answer("a", {"mood": "fine"}))
    old.flush()
    new = life(tmp_path, attempt=2, columns=(COLUMNS[0], Column("left_out", "text", fact=True)))
    new.load()
    new.add(Answer("b", {"mood": "fine"}, facts={"left_out": "SPAM"}))
    assert new.all_answers().select(["uri", "mood", "left_out"]).to_pylist() == [
        {"uri": "a", "mood": "fine", "left_out": None},
        {"uri": "b", "mood": "fine", "left_out": "SPAM"},
    ]


@pytest.mark.parametrize("keep_raw", [False, True])
def test_answers_of_an_older_version_without_counts_are_not_paid_for_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep_raw: bool
) -> None:
    old = life(tmp_path, columns=COLUMNS[:1], keep_raw=keep_raw)
    old.add(Answer("a", {"mood": "fine"}, raw="{}"))
    old.flush()
    new = life(tmp_path, attempt=2, keep_raw=keep_raw)
    new.load()
    new.add(answer("b", tokens=7))
    rows = new.all_answers().select(["uri", "mood", "tokens", "calls"]).to_pylist()
    assert rows == [
        {"uri": "a", "mood": "fine", "tokens": None, "calls": None},
        {"uri": "b", "mood": "fine", "tokens": 7, "calls": None},
    ]
    assert new.counts() == {"tokens": 7}
    new.flush()
    new.discard()
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_a_part_without_a_label_column_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = life(tmp_path, columns=COLUMNS[1:])
    old.add(Answer("a", {}, facts={"tokens": 1}))
    old.flush()
    new = life(tmp_path, attempt=2)
    new.load()
    assert new.all_answers().num_rows == 0
    assert "ignored, it has other label columns" in capsys.readouterr().err


def published(
    folder: Path, columns: tuple[Column, ...], facts: dict[str, int]
) -> tuple[OutputCheck, pa.Table]:
    run_dir, run = run_builders.make_run(folder, run_builders.posts(3))
    one = life(folder / "parts", columns=columns)
    for post in run_builders.posts(3):
        one.add(answer(post.uri, **facts))
    labels = ShardLabels(
        posts=run_builders.read_shard(run_dir, 0),
        answers=one.all_answers(),
        columns=columns,
        model="m",
        attempt=1,
    )
    output.publish(run_dir, run, 0, labels)
    check, table = output.read(run_dir, run, 0)
    assert output.verify(run_dir, run, 0) == check
    assert table is not None and table.schema.equals(output_schema(columns))
    path = output_path(run_dir, 0)
    for said in (b"{", b"[]", b'{"tokens": -1, "calls": "7"}', b"\xff", b"[" * 100_000):
        footer = {**table.schema.metadata, b"hpc.usage": said}
        pq.write_table(table.replace_schema_metadata(footer), path)
        again = output.verify(run_dir, run, 0)
        # What has no UTF-8 in its footer is as damaged as ever.
        assert again.counts == {} and again.verified == (said != b"\xff")
    return check, table


def test_a_copy_has_the_answer_and_not_its_cost(tmp_path: Path) -> None:
    run_dir, run = run_builders.make_run(tmp_path, run_builders.posts(3))
    first, second, third = (post.uri for post in run_builders.posts(3))
    one = life(tmp_path / "parts")
    one.load({second: 1})
    one.add(answer(first, tokens=5))
    one.add(Answer(second, reason="refusal: no", facts={"tokens": 2}))
    assert one.sums().unlabelable == {"refusal": 2}
    labels = ShardLabels(
        posts=pa.table({**_columns(run_builders.read_shard(run_dir, 0)), "text": ["a", "b", "b"]}),
        answers=one.all_answers(),
        columns=COLUMNS,
        model="m",
        attempt=1,
        copied_from={third: second},
    )
    output.publish(run_dir, run, 0, labels)
    check, table = output.read(run_dir, run, 0)
    assert table is not None
    rows = table.select(["uri", "reason", "tokens", "copied_from"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (first, None, 5, None),
        (second, "refusal: no", 2, None),
        (third, "refusal: no", None, second),
    ]
    assert (check.counts, check.unlabelable, check.copied) == (
        {"tokens": 7},
        {"refusal": 2},
        1,
    )
    assert output.verify(run_dir, run, 0) == check


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: table[name] for name in table.column_names}


def test_an_outputs_footer_carries_the_sums(tmp_path: Path) -> None:
    check, table = published(tmp_path, COLUMNS, {"tokens": 5})
    assert check.counts == {"tokens": 15}
    assert json.loads(table.schema.metadata[b"hpc.usage"]) == {"tokens": 15}
    assert table["tokens"].to_pylist() == [5, 5, 5]
    assert table["calls"].to_pylist() == [None] * 3


def test_without_counted_columns_the_footer_has_no_sums(tmp_path: Path) -> None:
    check, table = published(tmp_path, COLUMNS[:1], {})
    assert check.counts == {}
    assert b"hpc.usage" not in table.schema.metadata


def beat(folder: Path) -> tuple[dict[str, int], dict[str, float]]:
    found = heartbeat.read(folder, 3)
    assert found is not None
    return dict(found.counts), dict(found.counts_per_minute)


def test_a_heartbeat_has_the_sums_and_their_recent_growth(tmp_path: Path) -> None:
    spent = {"tokens": 1000}
    path = heartbeat.path_of(tmp_path, 3)
    heart = HeartbeatWriter(
        path, posts=100, rows=40, node="n1", sums=lambda: AnswerSums(costs=dict(spent))
    )
    assert beat(tmp_path)[0] == {"tokens": 1000}
    start = time.monotonic()
    spent["tokens"] = 1600
    heart.beat(start + 60)
    sums, rates = beat(tmp_path)
    assert (sums, rates) == ({"tokens": 1600}, {"tokens": pytest.approx(600, rel=0.01)})
    spent["calls"] = 30  # told for the first time
    heart.beat(start + 120)
    assert beat(tmp_path)[1] == {
        "tokens": pytest.approx(300, rel=0.01),
        "calls": pytest.approx(15, rel=0.01),
    }
    # The rate is that of the last five minutes: nothing has come since.
    for nth in range(1, 22):
        heart.beat(start + 120 + 15 * nth)
    assert beat(tmp_path) == ({"tokens": 1600, "calls": 30}, {"tokens": 0.0, "calls": 0.0})


OLD_HEARTBEAT = {
    "written_at": "2026-11-24T12:00:00+00:00", "progress_at": "2026-11-24T12:00:00+00:00",
    "rows": 1, "posts": 2, "rate_per_minute": 1.0, "last_error": "", "node": "n1",
}  # fmt: skip


def test_a_heartbeat_of_an_older_version_has_no_counts(tmp_path: Path) -> None:
    heartbeat.path_of(tmp_path, 3).write_text(json.dumps(OLD_HEARTBEAT))
    assert beat(tmp_path) == ({}, {})


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"counts": None}, "counts"),
        ({"counts": [1]}, "counts"),
        ({"counts_per_minute": {"tokens": "1"}}, "counts_per_minute.tokens"),
        ({"counts": {"calls": 1.5}}, "counts.calls"),
    ],
)
def test_a_heartbeat_with_a_wrong_value_is_rejected_by_name(
    tmp_path: Path, more: dict[str, Any], key: str
) -> None:
    path = heartbeat.path_of(tmp_path, 3)
    path.write_text(json.dumps(OLD_HEARTBEAT | more))
    with pytest.raises(InputError, match=f"^{path}: {key}: "):
        beat(tmp_path)


def test_growth_is_per_minute_and_unknown_without_elapsed_time() -> None:
    assert usage.rates_per_minute({"a": 30, "b": 4}, {"a": 10}, 40) == {"a": 30.0, "b": 6.0}
    assert usage.rates_per_minute({"a": 30}, {"a": 10}, 0) == {}
