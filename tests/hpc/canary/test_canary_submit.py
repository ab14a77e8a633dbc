"""`submit --canary`: some posts first, the others only if that went well, none twice."""

import contextlib
import signal
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from hpc.config import run_config
from hpc.planning.measured.submit_canary import rest_of
from hpc.planning.new_run.draft_run import draft_run
from hpc.planning.run_spec import Canary, Selection, validate
from hpc.run import run_folder
from tests.hpc.cli_bench import Bench, ended, exit_code, once, uris
from tests.hpc.processes import started
from tests.pipeline import run_builders
from tests.pipeline.run_builders import SourcePost
from tests.waiting import wait_until


def submitted(bench: Bench, *arguments: object, code: int = 0) -> dict[str, Any]:
    return bench.document("submit", "--config", bench.path, *arguments, code=code)


def test_a_canary_comes_first_and_the_others_follow_when_somebody_says_yes(bench: Bench) -> None:
    bench.config(30, sharding={"shards": 3})
    shown = submitted(bench, "--canary", 8)
    (run,) = bench.runs()
    assert run_folder.load(run).manifest.canary
    canary = shown["canary"]
    assert (canary["run_id"], canary["verdict"], canary["labeled"]) == (run.name, "well", 8)
    assert canary["posts_per_minute"] > 0
    assert canary["memory_mb"] > 0
    assert {key: canary["rest"][key] for key in ("posts", "shards", "submitted")} == {
        "posts": 22, "shards": 3, "submitted": False,
    }  # fmt: skip
    assert shown["shards"] == 1  # three are for all posts
    assert bench.asked() == once(8)
    again = submitted(bench, "--canary", 8)
    assert again["canary"] == canary
    assert bench.runs() == [run]
    shown = submitted(bench, "--canary", 8, "--yes")
    assert shown["canary"]["rest"]["submitted"]
    assert (shown["posts"], shown["shards"], shown["labeled"]) == (22, 3, 22)
    assert shown["run_id"] != run.name
    assert bench.asked() == once(30)
    assert bench.query("SELECT count(*), count(DISTINCT uri) FROM labels_test") == [(30, 30)]
    # A run after the canary has taken the posts that it was for.
    bench.backlog(run_builders.posts(34))
    assert submitted(bench, "--canary", 3, "--yes")["canary"]["posts"] == 3
    assert bench.asked() == once(34)


def test_a_plain_submit_continues_and_a_larger_canary_is_another_one(bench: Bench) -> None:
    bench.config(20)
    submitted(bench, "--canary", 4)
    assert submitted(bench, "--canary", 6)["canary"]["posts"] == 6
    assert bench.asked() == once(10)
    shown = submitted(bench)
    assert shown["canary"] is None
    assert len(shown["measured"]["run_ids"]) == 2
    assert bench.asked() == once(20)


@pytest.mark.parametrize("change", ["cluster.cpus=2", "classifier.closed=/dev/null"])
def test_a_canary_is_not_repeated_where_only_its_speed_may_change(
    bench: Bench, change: str
) -> None:
    bench.config(20)
    first = submitted(bench, "--canary", 4)["canary"]["run_id"]
    again = submitted(bench, "--canary", 4, "--set", change)
    assert again["canary"]["run_id"] == first
    assert again["canary"]["rest"]["posts"] == 16
    assert bench.asked() == once(4)
    assert submitted(bench, "--canary", 5, "--set", change)["canary"]["run_id"] != first
    assert bench.asked() == once(9)


def test_a_canary_larger_than_the_backlog_is_all_there_is(bench: Bench) -> None:
    bench.config(5)
    shown = submitted(bench, "--canary", 50, "--yes")
    assert (shown["canary"]["posts"], shown["canary"]["rest"]["posts"]) == (5, 0)
    assert submitted(bench, "--canary", 50, "--yes")["canary"]["posts"] == 5
    assert bench.asked() == once(5)


def test_without_any_post_there_is_no_canary(bench: Bench) -> None:
    bench.config(0)
    assert submitted(bench, "--canary", 5, "--yes")["canary"] is None
    assert bench.runs() == []


@pytest.mark.parametrize("words", ["refuse", "fail"])
def test_after_a_canary_that_fails_nothing_else_is_submitted(bench: Bench, words: str) -> None:
    bench.config(20, retry={"max_attempts": 1})
    bench.script(0, words)
    shown = submitted(bench, "--canary", 5, "--yes", code=1)
    assert shown["canary"]["verdict"] == "incomplete"
    assert shown["canary"]["rest"] is None
    assert submitted(bench, "--canary", 5, "--yes", code=1)["canary"]["run_id"] == shown["run_id"]
    assert len(bench.runs()) == 1
    assert set(bench.asked()) <= set(uris(5))
    # Once the cause is fixed, the canary goes on where it stopped.
    assert bench.hpc("resubmit", "--force").returncode == 0
    assert submitted(bench, "--canary", 5, "--yes")["canary"]["verdict"] == "well"
    assert bench.asked() == once(20)


def test_a_canary_with_a_wrong_configuration_is_set_aside_once_that_is_fixed(bench: Bench) -> None:
    bench.config(10)
    bench.script(0, "refuse")
    assert submitted(bench, "--canary", 3, code=1)["canary"]["labeled"] == 0
    bench.config(classifier={"complaint": "another option"})
    assert submitted(bench, "--canary", 3)["canary"]["verdict"] == "well"
    assert len(bench.runs()) == 1


def test_a_canary_whose_posts_get_no_label_ends_it(bench: Bench) -> None:
    bench.config(12, classifier={"script": "nothing"})
    shown = submitted(bench, "--canary", 4, "--yes", code=1)
    assert shown["canary"]["verdict"] == "few_labels"
    assert len(bench.runs()) == 1


def test_posts_that_are_not_sent_measure_nothing(bench: Bench) -> None:
    rows = [post._replace(text="x") for post in run_builders.posts(4)]
    bench.backlog([*rows, SourcePost("at://long", "long enough", rows[-1].preprocessing_timestamp)])
    bench.config()
    shown = submitted(bench, "--canary", 4, "--yes", code=1)
    assert shown["canary"]["verdict"] == "nothing_sent"
    assert bench.asked() == Counter()


def test_an_interrupted_canary_is_resumed_by_the_same_command(
    bench: Bench,
) -> None:
    bench.config(30, classifier={"seconds": 0.3})
    driver = started(bench, 1, "--canary", "12", "--yes")
    wait_until(lambda: len(bench.asked()) >= 3, "some posts were asked")
    driver.send_signal(signal.SIGINT)
    assert exit_code(ended(driver)) == 130
    (run,) = bench.runs()
    bench.hurry()
    shown = submitted(bench, "--canary", 12, "--yes")
    assert shown["canary"]["run_id"] == run.name
    assert bench.asked() == once(30)


def test_the_canary_counts_towards_a_limit(bench: Bench) -> None:
    bench.config(20)
    submitted(bench, "--canary", 4, "--limit", 9)
    submitted(bench, "--canary", 4, "--limit", 9, "--yes")
    assert bench.asked() == once(9)
    assert submitted(bench, "--canary", 3, "--limit", 2, "--yes")["posts"] == 2


def test_the_canary_of_a_sample_has_posts_of_the_sample(bench: Bench) -> None:
    bench.config(40)
    sample = ("--sample", 15, "--seed", 7)
    submitted(bench, *sample, "--canary", 5)
    asked = bench.asked()
    assert asked.total() == 5
    submitted(bench, *sample, "--canary", 5, "--yes")
    assert asked <= bench.asked()
    assert bench.asked().total() == len(bench.asked()) == 15
    first, second = bench.runs()
    samples = {run_folder.load(run).manifest.sample for run in (first, second)}
    assert samples == {"test-s7-n15"}


def test_a_post_of_the_canary_that_fails_again_is_not_retried_by_the_rest(bench: Bench) -> None:
    bench.config(10, classifier={"script": "nothing"})
    bench.submit("--limit", 6)
    bench.submit()
    first, second = map(run_folder.load, bench.runs())
    retry = Selection(retry_reason="invalid_answer", limit=7, canary=Canary(posts=6))
    rest = rest_of(retry, first)
    assert rest == Selection(
        retry_reason="invalid_answer", limit=1, not_of_runs=frozenset({first.run_id})
    )
    with contextlib.chdir(bench.folder), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(bench.site)
        spec = validate(run_config.load(bench.path))
        draft = draft_run(spec, replace(rest, limit=None), (bench.folder,))
    assert draft.counts.posts == second.manifest.posts == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("--yes",),
        ("--canary", 0),
        ("--canary", "-1"),
        ("--canary", "some"),
        ("--yes", "--limit", 3),
        ("--canary", 2, "--caretaker"),
        ("--canary", 2, "--after", "4711"),
    ],
)
def test_what_makes_no_sense_is_rejected(bench: Bench, arguments: tuple[object, ...]) -> None:
    bench.config(5)
    assert bench.submit(*arguments).returncode == 2
    assert bench.runs() == []


def test_a_dry_run_writes_nothing(bench: Bench) -> None:
    bench.config(5)
    before = bench.listing()
    shown = submitted(bench, "--canary", 2, "--dry-run")
    assert (shown["posts"], shown["dry_run"]) == (5, True)
    assert bench.listing() == before


def test_the_command_that_continues_is_printed_with_all_options(bench: Bench) -> None:
    bench.config(9)
    name = "a b"
    shown = bench.submit(
        "--canary", 2, "--backfill", "--set", "retry.max_attempts=2",
        "--set", f"storage.run_root={bench.folder}/{name}",
    )  # fmt: skip
    assert (
        f"next: hpc submit --config {bench.path} --set retry.max_attempts=2 "
        f"--set 'storage.run_root={bench.folder}/{name}' --canary 2 --backfill --yes"
    ) in shown.stdout
