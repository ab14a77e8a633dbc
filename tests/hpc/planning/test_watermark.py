"""A run takes every post since the watermark once, and the watermark passes over no post."""

from pathlib import Path

import pytest

from tests.hpc.growing_backlog import HOUR, GrowingBacklog, post
from tests.pipeline import run_builders
from tests.pipeline.backlog.source_files import Row, parquet_file, sqlite_file
from tests.pipeline.run_builders import FIRST_TIME


@pytest.fixture
def growing(tmp_path: Path) -> GrowingBacklog:
    return GrowingBacklog(tmp_path)


def test_a_run_takes_posts_from_the_second_of_the_watermark_on(growing: GrowingBacklog) -> None:
    growing.arrive(post(1, 10), post(2, 20))
    first, _ = growing.submit()
    assert first
    growing.finish(first)
    assert growing.watermark() == FIRST_TIME + 20 * HOUR
    growing.arrive(post(3, 20), post(4, 30), post(5, 19))
    second, draft = growing.submit()
    assert second
    assert (draft.since, draft.counts.older) == (FIRST_TIME + 20 * HOUR, 1)
    assert second.manifest.posts == 2
    growing.finish(second)
    third, draft = growing.submit(backfill=True)
    assert third
    assert (draft.since, third.manifest.posts) == (None, 1)


def test_an_unfinished_shard_holds_the_watermark_back(growing: GrowingBacklog) -> None:
    growing.arrive(*(post(number, number) for number in range(1, 7)))
    run, _ = growing.submit()
    assert run
    growing.publish(run, 1)
    growing.gather(run)
    assert growing.watermark() is None
    growing.publish(run, 0)
    growing.gather(run)
    assert growing.watermark() == FIRST_TIME + 6 * HOUR


def test_the_watermark_waits_for_all_shards_with_posts_of_one_second(
    growing: GrowingBacklog,
) -> None:
    growing.arrive(post(1, 10), post(2, 10))
    run, _ = growing.submit()
    assert run
    growing.publish(run, 1)
    growing.gather(run)
    assert growing.watermark() is None


def test_a_planned_run_holds_the_watermark_back(growing: GrowingBacklog) -> None:
    growing.arrive(post(1, 10))
    planned, _ = growing.submit()
    growing.arrive(post(2, 20))
    later, _ = growing.submit()
    assert planned and later
    growing.finish(later)
    assert growing.watermark() is None
    _, draft = growing.submit()
    assert draft.since is None
    growing.finish(planned)
    assert growing.watermark() == FIRST_TIME + 20 * HOUR


@pytest.mark.parametrize("name", ["posts.db", "posts.parquet"])
def test_a_source_with_statistics_or_an_index_is_read_from_the_watermark_on(
    growing: GrowingBacklog, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.backlog.scan.ROWS_TO_READ_ANYWAY", 1)
    write = {"posts.db": sqlite_file, "posts.parquet": parquet_file}[name]
    rows: list[Row] = [(run_builders.uri(n), f"post {n}", f"2024-0{m}-01-10:00:00") for n, m in
                       enumerate((1, 2, 3, 4))]  # fmt: skip
    path = growing.bench.folder / name
    growing.bench.config(
        classifier={"type": "valence"},
        backlog={"source": str(write(path, rows[:3]))},
        storage={
            "run_root": str(growing.bench.folder / "runs"),
            "database": str(growing.bench.folder / "labels.duckdb"),
        },
    )
    first, draft = growing.submit()
    assert first
    assert draft.counts.rows == 3
    growing.finish(first)
    path.unlink()
    write(path, [*rows, (run_builders.uri(9), "late", "2024-01-02-10:00:00")])
    second, draft = growing.submit()
    assert second
    assert (draft.counts.rows, draft.counts.posts) == (2, 1)
    assert (draft.counts.unread, draft.unlabeled_before) == (3, 1)
