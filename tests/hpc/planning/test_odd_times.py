"""Posts with impossible timestamps are labeled once and hide no other post; nor do wrong clocks."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hpc.run.model.run import Run
from pipeline.backlog.select import OddTimes
from tests.hpc.growing_backlog import HOUR, GrowingBacklog, post
from tests.hpc.planning.run_plans import uris_of
from tests.pipeline.run_builders import FIRST_TIME, SourcePost, uri

EVENING = FIRST_TIME + 24 * HOUR
DAY = timedelta(days=1)


@pytest.fixture
def growing(tmp_path: Path) -> GrowingBacklog:
    return GrowingBacklog(tmp_path)


def stamped(number: int, moment: datetime) -> SourcePost:
    return post(number, 0)._replace(preprocessing_timestamp=moment)


def labeled(growing: GrowingBacklog, run: Run | None) -> list[str]:
    """The posts of a run, which is then finished."""
    if run is None:
        return []
    growing.finish(run)
    return sorted(post_uri for shard in uris_of(run) for post_uri in shard)


@pytest.mark.parametrize(
    "moment", [datetime(2099, 1, 1), datetime(9999, 12, 31), EVENING + 3 * DAY]
)
def test_a_post_from_the_future_is_reported_and_labeled_once_and_hides_no_other(
    growing: GrowingBacklog, moment: datetime
) -> None:
    growing.arrive(post(1, 10), stamped(2, moment))
    run, draft = growing.submit(now=EVENING)
    assert draft.future == OddTimes(posts=1, uri=uri(2), moment=moment)
    assert labeled(growing, run) == [uri(1), uri(2)]
    growing.arrive(post(3, 30), post(4, 31))
    run, draft = growing.submit(now=EVENING + DAY)
    assert (draft.future, draft.counts.older) == (None, 0)
    assert labeled(growing, run) == [uri(3), uri(4)]
    assert growing.submit(now=EVENING + 2 * DAY)[0] is None


@pytest.mark.parametrize("moment", [datetime(1, 1, 1), datetime(1970, 1, 1)])
def test_a_post_from_an_impossible_past_is_reported_and_labeled_once(
    growing: GrowingBacklog, moment: datetime
) -> None:
    growing.arrive(post(1, 10), stamped(2, moment))
    run, draft = growing.submit(now=EVENING)
    assert draft.ancient == OddTimes(posts=1, uri=uri(2), moment=moment)
    assert labeled(growing, run) == [uri(1), uri(2)]
    growing.arrive(post(3, 30), stamped(4, moment))
    run, draft = growing.submit(now=EVENING + DAY)
    assert (draft.since, draft.counts.older) == (FIRST_TIME + 10 * HOUR, 1)
    assert labeled(growing, run) == [uri(3)]
    assert labeled(growing, growing.submit(now=EVENING + DAY, backfill=True)[0]) == [uri(4)]


def test_posts_are_labeled_that_arrive_after_a_clock_was_set_back(growing: GrowingBacklog) -> None:
    growing.arrive(post(1, 20), stamped(2, datetime(2099, 1, 1)))
    assert labeled(growing, growing.submit(now=EVENING + DAY)[0]) == [uri(1), uri(2)]
    growing.arrive(post(3, 25))
    assert labeled(growing, growing.submit(now=EVENING + 2 * HOUR)[0]) == [uri(3)]


def test_runs_keep_their_order_if_a_clock_is_set_back_between_them(
    growing: GrowingBacklog,
) -> None:
    """The newest run says what the name's labels are made with."""
    growing.arrive(post(1, 1))
    first, _ = growing.submit(now=datetime(2099, 12, 31, 23, 59, 59))
    assert labeled(growing, first) == [uri(1)]
    growing.bench.config(
        classifier={"type": "valence"},
        backlog={"min_text_length": 2},
        storage={
            "run_root": str(growing.bench.folder / "runs"),
            "database": str(growing.bench.folder / "labels.duckdb"),
        },
    )
    second, _ = growing.submit(now=EVENING, supersede=True)
    assert labeled(growing, second) == [uri(1)]
    growing.arrive(post(2, 2))
    third, _ = growing.submit(now=EVENING)
    assert labeled(growing, third) == [uri(2)]
    assert [run.run_id for run in growing.runs()] == [
        run.run_id for run in (first, second, third) if run
    ]
