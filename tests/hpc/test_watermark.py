"""What a run takes: from the watermark on, everything once, and nothing behind it unseen."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.manifest import output_path
from tests.hpc.lab import HOUR, Lab, post
from tests.pipeline import builders
from tests.pipeline.builders import FIRST_TIME
from tests.pipeline.sourcefiles import Row, parquet_file, sqlite_file


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_run_takes_what_came_since_the_watermark_its_own_second_included(lab: Lab) -> None:
    lab.arrive(post(1, 10), post(2, 20))
    first, _ = lab.submit()
    assert first
    lab.finish(first)
    assert lab.watermark() == FIRST_TIME + 20 * HOUR
    lab.arrive(post(3, 20), post(4, 30), post(5, 19))
    second, draft = lab.submit()
    assert second
    assert (draft.since, draft.counts.older) == (FIRST_TIME + 20 * HOUR, 1)
    assert second.manifest.posts == 2
    lab.finish(second)
    third, draft = lab.submit(backfill=True)
    assert third
    assert (draft.since, third.manifest.posts) == (None, 1)


def test_a_shard_in_the_middle_that_is_not_done_holds_the_watermark_back(lab: Lab) -> None:
    lab.arrive(*(post(number, number) for number in range(1, 7)))
    run, _ = lab.submit()
    assert run
    lab.publish(run, 1)
    lab.gather(run)
    assert lab.watermark() is None
    lab.publish(run, 0)
    lab.gather(run)
    assert lab.watermark() == FIRST_TIME + 6 * HOUR


def test_of_posts_of_one_second_in_two_shards_none_passes_before_the_other(lab: Lab) -> None:
    lab.arrive(post(1, 10), post(2, 10))
    run, _ = lab.submit()
    assert run
    lab.publish(run, 1)
    lab.gather(run)
    assert lab.watermark() is None


def test_a_run_that_is_only_planned_holds_the_watermark_back(lab: Lab) -> None:
    lab.arrive(post(1, 10))
    planned, _ = lab.submit()
    lab.arrive(post(2, 20))
    later, _ = lab.submit()
    assert planned and later
    lab.finish(later)
    assert lab.watermark() is None
    _, draft = lab.submit()
    assert draft.since is None
    lab.finish(planned)
    assert lab.watermark() == FIRST_TIME + 20 * HOUR


@pytest.mark.parametrize("name", ["posts.db", "posts.parquet"])
def test_a_source_that_knows_its_times_is_not_read_from_the_beginning(lab: Lab, name: str) -> None:
    write = {"posts.db": sqlite_file, "posts.parquet": parquet_file}[name]
    rows: list[Row] = [(builders.uri(n), f"post {n}", f"2024-0{m}-01-10:00:00") for n, m in
                       enumerate((1, 2, 3, 4))]  # fmt: skip
    path = lab.bench.folder / name
    lab.bench.config(
        classifier={"type": "valence"},
        backlog={"source": str(write(path, rows[:3]))},
        storage={
            "run_root": str(lab.bench.folder / "runs"),
            "database": str(lab.bench.folder / "labels.duckdb"),
        },
    )
    first, draft = lab.submit()
    assert first
    assert draft.counts.rows == 3
    lab.finish(first)
    path.unlink()
    write(path, [*rows, (builders.uri(9), "late", "2024-01-02-10:00:00")])
    second, draft = lab.submit()
    assert second
    assert (draft.counts.rows, draft.counts.posts) == (2, 1)


class Arrivals(RuleBasedStateMachine):
    """Arrivals in and out of order, runs, tasks and gatherings in any order, crashes in between."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.lab = Lab(Path(self._folder.name))
        self.lab.arrive(post(0, 0))
        self.next = 1

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            self._folder.cleanup()

    @rule(hours=st.lists(st.integers(0, 6), min_size=1, max_size=4))
    def arrive(self, hours: list[int]) -> None:
        new = [post(self.next + at, hour) for at, hour in enumerate(hours)]
        self.next += len(new)
        self.lab.arrive(*new)

    @rule(backfill=st.booleans(), limit=st.sampled_from([None, 1, 3]))
    def submit(self, backfill: bool, limit: int | None) -> None:
        self.lab.submit(backfill=backfill, limit=limit)

    @precondition(lambda self: self.lab.runs())
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.lab.runs()), "run")
        self.lab.publish(run, data.draw(st.integers(0, len(run.manifest.shards) - 1), "shard"))

    @precondition(lambda self: self.lab.runs())
    @rule(data=st.data())
    def gather(self, data: st.DataObject) -> None:
        self.lab.gather(data.draw(st.sampled_from(self.lab.runs()), "run"))

    @precondition(lambda self: self.lab.runs())
    @rule(data=st.data())
    def lose_an_output(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.lab.runs()), "run")
        index = data.draw(st.integers(0, len(run.manifest.shards) - 1), "shard")
        output_path(run.folder, index).unlink(missing_ok=True)

    @invariant()
    def no_post_is_planned_twice_or_labelled_twice(self) -> None:
        assert max(self._planned().values(), default=1) == 1
        assert max(self.lab.labelled().values(), default=1) == 1

    @invariant()
    def every_planned_post_up_to_the_watermark_has_its_row(self) -> None:
        mark, labelled = self.lab.watermark(), self.lab.labelled()
        planned = self._planned()
        behind = [
            one.uri
            for one in self.lab.posts
            if mark and one.preprocessing_timestamp <= mark
            if one.uri in planned and one.uri not in labelled
        ]
        assert behind == []

    def _planned(self) -> Counter[str]:
        return Counter(
            uri
            for run in self.lab.runs()
            for shard in run.manifest.shards
            for uri in builders.read_shard(run.folder, shard.index)["uri"].to_pylist()
        )

    def _end(self) -> None:
        for _ in range(2):
            for run in self.lab.runs():
                self.lab.finish(run)
            self.lab.submit(backfill=True)
        assert self.lab.labelled() == Counter(one.uri for one in self.lab.posts)


TestArrivals = Arrivals.TestCase
TestArrivals.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
