"""What submit prints about its plan, and about other runs of the name."""

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hpc.planning.estimate import CostEstimate, describe_estimate
from hpc.planning.new_run.describe_draft import describe_draft
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.new_run.stage_sample import StagedSample
from hpc.planning.run_spec import Canary, Selection
from pipeline.backlog.select import BacklogCounts, OddTimes
from pipeline.backlog.shards import ShardSizes
from pipeline.backlog.unsent import UnsentPosts
from pipeline.run_files.sample_file import Sample, Stratum
from pipeline.sampling.draw import DrawRequest
from tests.hpc.cli_bench import Bench, ended, exit_code, outcome
from tests.hpc.planning.run_plans import spec_of
from tests.hpc.processes import started

pytestmark = pytest.mark.usefixtures("in_working_folder")


def draft_of(sizes: ShardSizes | None = None, **counts: int) -> RunDraft:
    """A plan of the source posts.db in which these counts are not 0."""
    return RunDraft(
        source="posts.db",
        since=None,
        counts=BacklogCounts(
            **{"rows": 0, "duplicates": 0, "excluded": 0, "over_limit": 0, "posts": 0, **counts}
        ),
        sizes=sizes or ShardSizes(count=0, rows=0, larger=0),
    )


def plan_lines(
    bench: Bench, draft: RunDraft, selection: Selection | None = None, **cluster: Any
) -> list[str]:
    spec = spec_of(bench, cluster=cluster)
    return describe_draft(spec, selection or Selection(), draft)


def test_a_plan_of_many_posts(bench: Bench) -> None:
    draft = draft_of(ShardSizes(count=8, rows=2_499, larger=8), rows=20_000, posts=20_000)
    assert plan_lines(bench, draft, max_parallel=200) == [
        "posts.db: 20,000 rows: 20,000 posts to label",
        "8 shards of up to 2,500 posts, one job array, up to 8 tasks at a time",
    ]


def test_a_plan_of_one_post(bench: Bench) -> None:
    draft = draft_of(ShardSizes(count=1, rows=1, larger=0), rows=2, posts=1, duplicates=1)
    assert plan_lines(bench, draft) == [
        "posts.db: 2 rows: 1 post to label, 1 duplicate",
        "1 shard of 1 post, one job array, up to 1 task at a time",
    ]


def test_a_plan_names_everything_that_it_leaves_out(bench: Bench) -> None:
    selection = Selection(limit=4, only_labeled_by="perspective")
    draft = draft_of(
        ShardSizes(count=2, rows=2, larger=0),
        rows=2_000, posts=4, excluded=1_000, duplicates=3, over_limit=900, not_chosen=93,
    )  # fmt: skip
    assert plan_lines(bench, draft, selection) == [
        "the watermark does not move: a later plain submit labels the remaining posts",
        "posts.db: 2,000 rows: 4 posts to label, 1,000 rows of posts already labeled or in an "
        "unfinished run, 3 duplicates of unlabeled posts, 900 posts beyond limit, 93 rows of posts "
        "without a label under perspective",
        "the oldest 4 posts are not a random sample of all: for estimates, use "
        "sample=DrawRequest(size=N, seed=S) instead of limit",
        "2 shards of 2 posts, one job array, up to 2 tasks at a time",
    ]


def sampled(*strata: Stratum, stratify: str | None, **more: Any) -> StagedSample:
    """A sample of these strata, drawn with seed 42."""
    description = Sample(
        sample="test-s42",
        kind="submit",
        name="test",
        seed=42,
        size=sum(each.size for each in strata),
        population=sum(each.population for each in strata),
        strata=strata,
        drawn_at="2026-11-30T12:34:56+00:00",
        source="posts.db",
        stratify=stratify,
    )
    return StagedSample(description=description, **{"is_new": True, **more})


def test_a_plan_describes_its_sample(bench: Bench) -> None:
    sample = sampled(
        Stratum(stratum="(missing)", population=1, size=1),
        Stratum(stratum="a\nb\x1b", population=3_000, size=3),
        stratify="langs",
    )
    draft = draft_of(ShardSizes(count=1, rows=4, larger=0), rows=3_001, posts=4, not_drawn=2_997)
    selection = Selection(sample=DrawRequest(size=4, seed=42, stratify="langs"))
    assert plan_lines(bench, replace(draft, sample=sample), selection)[:-1] == [
        "sample test-s42: 4 of 3,001 posts, drawn at random with seed 42",
        "2 strata by langs:",
        "  (missing): 1 of 1 post",
        "  'a\\nb\\x1b': 3 of 3,000 posts",
        "posts without a value of langs are in the stratum (missing)",
        "the watermark does not move: a later plain submit labels the remaining posts",
        "posts.db: 3,001 rows: 4 posts to label, 2,997 posts not in the sample",
    ]


def test_a_plan_says_that_a_sample_was_drawn_before(bench: Bench) -> None:
    months = [Stratum(stratum=f"m{n:02d}", population=n + 1, size=1) for n in range(30)]
    sample = sampled(*months, stratify="month", is_new=False, gone=2)
    lines = plan_lines(bench, replace(draft_of(), sample=sample), Selection(sample_name="test-s42"))
    assert lines[1:3] == ["30 strata by month:", "  m29: 1 of 30 posts"]
    assert lines[26:29] == [
        "  and 6 more",
        "the sample was drawn at 2026-11-30 12:34 UTC, and posts that arrived later do not change "
        "it",
        "2 posts of the sample cannot be labeled, because the source no longer has them",
    ]


def test_a_plan_reports_late_posts(bench: Bench) -> None:
    draft = draft_of(rows=43, excluded=3, older=40)
    watermark = datetime(2024, 5, 31, 13)
    assert plan_lines(bench, replace(draft, since=watermark)) == [
        "posts since the watermark, 2024-05-31 13:00:00 UTC",
        "posts.db: 43 rows: 0 posts to label, 3 rows of posts already labeled or in an unfinished "
        "run, 40 older posts",
        "40 posts from before the watermark have no label: hpc submit --config "
        f"{bench.path} --backfill labels late posts (hpc audit --config {bench.path} tells them "
        "from lost labels)",
        "nothing to label under the name test",
    ]


def test_a_plan_says_how_many_rows_were_not_read(bench: Bench) -> None:
    draft = replace(draft_of(rows=43, excluded=43, unread=3_000_000), since=datetime(44, 3, 15))
    read = [
        "posts since the watermark, 0044-03-15 00:00:00 UTC",
        "posts.db: 43 rows: 0 posts to label, 43 rows of posts already labeled or in an unfinished "
        "run",
    ]
    advice = (
        f"hpc audit --config {bench.path} counts the late posts among them, and hpc submit "
        f"--config {bench.path} --backfill labels them"
    )
    assert plan_lines(bench, draft)[:3] == [*read, f"not read: 3,000,000 older rows. {advice}"]
    assert plan_lines(bench, replace(draft, unlabeled_before=1))[:3] == [
        *read,
        "not read: 3,000,000 older rows; at least 1 row has no label (duplicates or late posts). "
        f"{advice}",
    ]


def test_a_plan_names_a_post_with_a_timestamp_that_cannot_be_right(bench: Bench) -> None:
    draft = replace(
        draft_of(rows=3, posts=3, sizes=ShardSizes(count=1, rows=3, larger=0)),
        future=OddTimes(posts=2, uri="at://a", moment=datetime(2099, 1, 1)),
        ancient=OddTimes(posts=1, uri="at://b", moment=datetime(1, 1, 1)),
    )
    assert plan_lines(bench, draft)[1:3] == [
        "2 unlabeled posts with a timestamp in the future, such as 'at://a' (2099-01-01 00:00:00 "
        "UTC); such times do not move the watermark",
        "1 unlabeled post with a timestamp from before 1990, such as 'at://b' (0001-01-01 00:00:00 "
        "UTC)",
    ]


def test_posts_from_the_future_that_are_left_for_later_get_one_line(bench: Bench) -> None:
    future = OddTimes(posts=2, uri="at://a", moment=datetime(2099, 1, 1))
    sizes = ShardSizes(count=1, rows=3, larger=0)
    limited = Selection(limit=3)

    def lines(selection: Selection, **counts: int) -> list[str]:
        draft = replace(draft_of(sizes, **counts), future=future)
        return [line for line in plan_lines(bench, draft, selection) if "future" in line]

    later = {"rows": 9, "posts": 3, "excluded": 2, "over_limit": 4}
    assert lines(limited, **later) == ["2 posts beyond limit with a timestamp in the future"]
    canary = Selection(canary=Canary(posts=3))
    assert lines(canary, **later) == ["2 posts after the canary with a timestamp in the future"]
    first = {**later, "excluded": 0}
    taken = {**later, "over_limit": 1}
    for counts in (first, taken):
        (line,) = lines(limited, **counts)
        assert "at://a" in line


def test_a_plan_reports_posts_that_are_not_sent(bench: Bench) -> None:
    unsent = (
        UnsentPosts(reason="no_text", posts=2, uri="at://a"),
        UnsentPosts(reason="invalid_text", posts=1, uri="at://b"),
        UnsentPosts(reason="text_too_short", posts=1_000, uri="at://c"),
    )
    some = draft_of(ShardSizes(count=1, rows=2_000, larger=0), rows=2_000, posts=2_000)
    every = draft_of(ShardSizes(count=1, rows=1_003, larger=0), rows=1_003, posts=1_003)
    lines = [
        "of the posts to label, 2 have no text (no_text), such as 'at://a'",
        "of the posts to label, 1 has a text that is not valid text (invalid_text), such as 'at://b'",
        "of the posts to label, 1,000 have fewer than 5 characters (text_too_short), such as "
        "'at://c'",
    ]
    assert plan_lines(bench, replace(some, unsent=unsent))[1:-1] == [
        *lines,
        "these posts are not sent, and their rows say why",
    ]
    assert plan_lines(bench, replace(every, unsent=unsent))[1:-1] == [
        *lines,
        "no post will be sent, so none will get a label: check backlog.columns",
    ]


def test_a_plan_of_an_empty_backlog(bench: Bench) -> None:
    assert plan_lines(bench, draft_of()) == [
        "posts.db: 0 rows: 0 posts to label",
        "nothing to label under the name test",
    ]


def test_a_plan_names_a_condition_that_keeps_no_row(bench: Bench) -> None:
    spec = spec_of(bench, backlog={"where": "lang = 'EN'"})
    line = "no row of the source fulfills backlog.where: lang = 'EN'"
    drafts = [draft_of(), draft_of(unread=1), draft_of(rows=1, excluded=1)]
    assert [line in describe_draft(spec, Selection(), draft) for draft in drafts] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("estimate", "line"),
    [
        (
            CostEstimate(requests=100_000, requests_per_minute=60, minutes=100_000 / 60),
            "at 60 requests/min, 100,000 requests take at least 28 h",
        ),
        (
            CostEstimate(requests=1, requests_per_minute=60, minutes=1 / 60),
            "at 60 requests/min, 1 request takes at least 1 s",
        ),
        (
            CostEstimate(cost=11.0, currency="USD", known_posts=10),
            "about $11.00, judging by the tokens of 10 posts with this configuration",
        ),
    ],
)
def test_an_estimate(estimate: CostEstimate, line: str) -> None:
    assert describe_estimate(estimate) == [line]


def test_a_dry_run_says_that_it_is_one(bench: Bench) -> None:
    bench.config(posts=4, classifier={"type": "valence"})
    dry = bench.hpc("submit", "--config", bench.path, "--dry-run")
    assert outcome(dry) == (0, "")
    assert dry.stdout.splitlines()[0] == "dry run: nothing is submitted or written"


def test_submit_resumes_an_unfinished_run(bench: Bench) -> None:
    bench.config(posts=4, sharding={"shards": 1}, classifier={"seconds": 0.3})
    driver = started(bench, 1)
    (run,) = bench.runs()
    driver.terminate()
    ended(driver)
    bench.hurry()
    assert bench.submit().stdout.splitlines()[0] == (
        f"resuming the unfinished run {run} with its original configuration"
    )


def test_submit_leaves_an_unfinished_run_with_another_setup(bench: Bench) -> None:
    bench.config(posts=4, retry={"max_attempts": 1})
    bench.script(1, "fail")
    assert exit_code(bench.submit()) == 1
    (run,) = bench.runs()
    bench.config(classifier={"seconds": 0.001})
    assert (
        bench.submit("--supersede")
        .stdout.splitlines()[0]
        .startswith(
            f"run {run} is unfinished and stays as it is, because its labels would be those of "
            "another configuration; to resume it: "
        )
    )


def test_submit_says_that_an_unfinished_run_is_blocked(
    bench: Bench, run_without_labels: Path
) -> None:
    lines = bench.submit().stdout.splitlines()
    assert lines[0] == f"run {run_without_labels} is blocked and still holds its posts; see below"


@pytest.fixture
def run_without_labels(bench: Bench) -> Path:
    """A run that the service rejected before it labeled a post."""
    bench.config(posts=4)
    bench.script(0, "refuse")
    bench.script(1, "refuse")
    assert exit_code(bench.submit()) == 1
    (run,) = bench.runs()
    return run


def test_submit_moves_a_useless_run_aside(bench: Bench, run_without_labels: Path) -> None:
    bench.config(cluster={"max_parallel": 1})
    problem = (
        f"run {run_without_labels.name} labeled nothing and used another configuration "
        "(cluster.max_parallel)"
    )
    dry = bench.hpc("submit", "--config", bench.path, "--dry-run")
    assert dry.stdout.splitlines()[1] == f"{problem}; submit would move it aside"
    aside = bench.folder / "runs" / "set-aside" / run_without_labels.name
    assert bench.submit().stdout.splitlines()[0] == f"{problem}; moved, with its logs, to {aside}"


def test_a_dry_run_says_how_long_submit_would_wait_for_late_files(bench: Bench) -> None:
    bench.config(posts=4, cluster={"grace_seconds": 600.0})
    bench.script(0, "refuse")
    bench.script(1, "refuse")
    assert exit_code(bench.submit()) == 1
    bench.config(cluster={"grace_seconds": 600.0, "max_parallel": 1})
    dry = bench.hpc("submit", "--config", bench.path, "--dry-run")
    assert exit_code(dry) == 0
    assert re.search(r"; submit would move it aside in (9|10) min\n", dry.stdout), dry.stdout
