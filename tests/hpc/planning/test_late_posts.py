"""Late posts that a submit saw are reported until another one sees none, without a source."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpc.planning import late_posts
from hpc.planning.late_posts import LatePosts, describe_late, late_document, recall
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import Selection
from pipeline.backlog.select import BacklogCounts
from pipeline.backlog.shards import ShardSizes
from pipeline.sampling.draw import DrawRequest
from tests.hpc.cli_bench import Bench
from tests.hpc.growing_backlog import post

SEEN = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def draft_of(since: datetime | None, **counts: int) -> RunDraft:
    zero = {"rows": 10, "duplicates": 0, "excluded": 0, "over_limit": 0, "posts": 0}
    return RunDraft(
        source="posts.db",
        since=since,
        counts=BacklogCounts(**{**zero, **counts}),
        sizes=ShardSizes(count=0, rows=0, larger=0),
    )


def late(bench: Bench, code: int = 0) -> list[int | None]:
    return [bench.document(verb, code=code)["late_posts"] for verb in ("status", "supervise")]


def test_status_and_supervise_report_the_late_posts_that_the_last_submit_saw(
    bench: Bench,
) -> None:
    bench.config(classifier={"type": "valence"}, sharding={"shards": 1})
    bench.backlog([post(1, 10), post(2, 20)])
    bench.submit()
    assert late(bench) == [0, 0]
    bench.backlog([post(1, 10), post(2, 20), post(3, 5), post(4, 6)])
    assert bench.document("submit", "--config", bench.path)["late_posts"] == 2
    assert len(bench.runs()) == 1
    assert late(bench) == [2, 2]
    assert bench.document("submit", "--config", bench.path, "--dry-run", "--backfill")["posts"] == 2
    assert late(bench) == [2, 2]
    bench.submit("--backfill", "--limit", 1)
    assert late(bench) == [2, 2]  # nobody has counted again
    bench.submit()
    assert late(bench) == [1, 1]
    bench.submit("--backfill")
    assert late(bench) == [0, 0]


@pytest.mark.parametrize(
    ("selection", "draft"),
    [
        (Selection(only_labeled_by="other"), draft_of(None)),
        (Selection(sample=DrawRequest(size=3, seed=1)), draft_of(None)),
        (Selection(sample_name="drawn"), draft_of(None)),
        (Selection(backfill=True, limit=3), draft_of(None, over_limit=1)),
    ],
)
def test_a_submit_that_does_not_count_late_posts_leaves_the_last_count(
    tmp_path: Path, selection: Selection, draft: RunDraft
) -> None:
    watermark = datetime(2024, 6, 1)
    late_posts.remember(tmp_path, "mine", Selection(), draft_of(watermark, older=3))
    late_posts.remember(tmp_path, "mine", selection, draft)
    assert late_document(recall(tmp_path, "mine"))["late_posts"] == 3
    assert recall(tmp_path, "other") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"posts": "many"}', "x" * 100])
def test_a_damaged_count_is_not_known(tmp_path: Path, content: str) -> None:
    late_posts.remember(tmp_path, "mine", Selection(), draft_of(datetime(2024, 6, 1), older=3))
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert late_document(recall(tmp_path, "mine")) == {
        "late_posts": None,
        "late_posts_seen_at": None,
    }


def test_rows_that_were_not_read_are_remembered(tmp_path: Path) -> None:
    draft = replace(draft_of(datetime(2024, 6, 1), unread=3_000_000), unlabeled_before=7)
    late_posts.remember(tmp_path, "mine", Selection(), draft)
    found = recall(tmp_path, "mine")
    assert found
    assert (found.posts, found.unread_rows, found.unread_without_label) == (0, 3_000_000, 7)


def test_late_posts_in_words() -> None:
    rest = (
        "had no label when hpc submit last looked (2026-11-24 12:30 UTC): hpc submit --config FILE "
        "--backfill labels late posts (hpc audit tells them from lost labels)"
    )
    assert describe_late(LatePosts(seen_at=SEEN, posts=1)) == [
        f"1 post from before the watermark {rest}"
    ]
    assert describe_late(LatePosts(seen_at=SEEN, posts=0, unread_without_label=2_000)) == [
        f"at least 2,000 older rows (duplicates or late posts) {rest}"
    ]
    assert describe_late(LatePosts(seen_at=SEEN, posts=0, unread_rows=9)) == []
    assert describe_late(None) == []
