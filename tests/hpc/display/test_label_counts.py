"""A run's labels are counted without reading its rows, and a run without any is no success."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from hpc.display.run.label_counts import describe_labeled, describe_no_label, describe_reasons
from hpc.run.model.shards import Judgement, ShardFacts, State
from hpc.run.run_state import LabelCounts, count_labels
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.output import OutputCheck
from tests.hpc.cli_bench import Bench, exit_code
from tests.pipeline.backlog.source_files import STAMP, json_lines_file
from tests.pipeline.run_builders import uri

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def done(unlabelable: Mapping[str, int] | None) -> OutputCheck:
    return OutputCheck(publication="p", unlabelable=unlabelable)


def beat(rows: int, unlabelable: Mapping[str, int] | None) -> Heartbeat:
    return Heartbeat(
        written_at=NOW, progress_at=NOW, rows=rows, posts=10, rate_per_minute=1.0, last_error="",
        node="n1", unlabelable=unlabelable,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "facts", "labeled", "unlabelable", "unknown"),
    [
        (State.DONE, {"output": done({"no_text": 3})}, 7, {"no_text": 3}, 0),
        (State.DONE, {"output": done({})}, 10, {}, 0),
        (State.DONE, {"output": done({"http_500": 10})}, 0, {"http_500": 10}, 0),
        (State.DONE, {"output": done(None)}, 0, {}, 10),
        (State.RUNNING, {"heartbeat": beat(6, {"poison": 1})}, 5, {"poison": 1}, 0),
        (State.RUNNING, {"heartbeat": beat(6, None)}, 0, {}, 6),
        (State.RUNNING, {"heartbeat": beat(6, {"poison": 1}), "rows": 8}, 5, {"poison": 1}, 2),
        (State.FAILED, {"left_behind": beat(4, {"poison": 4}), "rows": 4}, 0, {"poison": 4}, 0),
        (State.FAILED, {"rows": 4}, 0, {}, 4),
        (State.PLANNED, {}, 0, {}, 0),
    ],
)
def test_answers_are_counted_by_outputs_and_heartbeats(
    state: State, facts: dict[str, object], labeled: int, unlabelable: dict[str, int], unknown: int
) -> None:
    shard = ShardFacts(**{"index": 0, "posts": 10, "output": OutputCheck(), **facts})  # type: ignore[arg-type]
    other = ShardFacts(index=1, posts=10, output=done({"no_text": 1}))
    judged = [Judgement(index=0, state=state, rule=0), Judgement(index=1, state=State.DONE, rule=1)]
    counts = count_labels([shard, other], judged)
    assert counts.labeled == labeled + 9
    assert counts.unknown == unknown
    assert counts.unlabelable == {**unlabelable, "no_text": unlabelable.get("no_text", 0) + 1}
    assert not counts.has_no_label
    alone = count_labels([shard], judged[:1])
    assert alone.has_no_label == (labeled == unknown == 0 and bool(unlabelable))


def texts(bench: Bench, *values: str | None) -> None:
    rows = [(uri(number), text, STAMP) for number, text in enumerate(values)]
    json_lines_file(bench.folder / "posts.jsonl", rows)


def assert_no_label(bench: Bench, unlabelable: dict[str, int]) -> None:
    """The newest run is complete, every post has its row, and every command says 1."""
    for verb in ("status", "supervise"):
        document = bench.document(verb, code=1)
        assert (document["state"], document["labeled"]) == ("complete", 0)
        assert document["unlabelable"] == unlabelable
    bench.document("gather", code=1)
    rows = bench.query(
        "SELECT count(*), count(*) FILTER (was_successfully_labeled) FROM labels_test"
    )
    assert rows == [(sum(unlabelable.values()), 0)]


def test_a_run_whose_posts_all_got_a_reason_ends_with_1(bench: Bench) -> None:
    bench.config(posts=6)
    nothing = ("--set", "classifier.script=nothing")
    assert exit_code(bench.submit(*nothing)) == 1
    assert_no_label(bench, {"invalid_answer": 6})
    assert bench.submit(*nothing, "--retry-unlabelable", "invalid_answer").returncode == 1
    assert len(bench.runs()) == 2


@pytest.mark.parametrize("text", [None, "meh"])
def test_a_run_of_a_post_that_cannot_be_sent_ends_with_1(bench: Bench, text: str | None) -> None:
    texts(bench, text)
    bench.config()
    assert exit_code(bench.submit()) == 1
    assert_no_label(bench, {"text_too_short" if text else "no_text": 1})


def test_a_run_with_one_label_is_a_success_and_counts_the_reasons_of_the_others(
    bench: Bench,
) -> None:
    texts(bench, None, "meh", None, "what a fine day")
    bench.config()
    submitted = bench.document("submit", "--config", bench.path)
    assert submitted["unlabelable_by_reason"] == {"no_text": 2, "text_too_short": 1}
    assert submitted["labeled"] == 1
    assert submitted["unlabelable"] == {"no_text": 2, "text_too_short": 1}
    document = bench.document("status")
    assert (document["state"], document["labeled"]) == ("complete", 1)
    assert document["unlabelable"] == {"no_text": 2, "text_too_short": 1}
    bench.document("gather")


def test_a_run_without_labels_is_labeled_under_a_corrected_configuration(bench: Bench) -> None:
    bench.config(posts=4)
    assert exit_code(bench.submit("--set", "classifier.script=nothing")) == 1
    assert exit_code(bench.submit()) == 2
    assert bench.document("submit", "--config", bench.path, "--supersede")["labeled"] == 4
    assert bench.document("status")["labeled"] == 4


def test_a_resubmission_that_ends_without_a_label_ends_with_1(bench: Bench) -> None:
    bench.config(posts=4, classifier={"script": "nothing"}, retry={"max_attempts": 1})
    bench.script(1, "fail")
    assert exit_code(bench.submit()) == 1
    assert bench.document("status", code=1)["state"] == "blocked"
    assert exit_code(bench.hpc("resubmit", "--force")) == 1
    document = bench.document("status", code=1)
    assert (document["state"], document["labeled"]) == ("complete", 0)


def test_labels_in_words() -> None:
    labels = LabelCounts(labeled=1_200, unlabelable={"no_text": 1_000, "poison": 1}, unknown=0)
    assert describe_labeled(labels) == ", 1,200 labeled"
    assert describe_reasons(labels) == ["without a label: no_text 1,000, poison 1"]
    every = LabelCounts(labeled=5, unlabelable={}, unknown=0)
    assert (describe_labeled(every), describe_reasons(every)) == ("", [])


def test_what_to_do_without_labels_in_words() -> None:
    def advice(**unlabelable: int) -> str:
        counts = LabelCounts(labeled=0, unlabelable=unlabelable, unknown=0)
        return describe_no_label(counts)

    again = "or hpc submit --config FILE --supersede if the configuration changes"
    assert advice(no_text=2, text_too_short=1) == (
        "no post got a label: no_text 2, text_too_short 1\n"
        "nothing was sent: check backlog.columns and backlog.min_text_length. Then label the posts "
        f"again with hpc submit --config FILE --retry-unlabelable no_text, {again}"
    )
    assert advice(unspecified=2) == (
        "no post got a label: unspecified 2\n"
        "check the configuration and the service (classifier.keep_raw keeps its answers). Then "
        "label the posts again with hpc submit --config FILE --retry-unlabelable REASON, "
        f"{again}"
    )
