"""The posts without a result are counted by their own times, wherever the run lies."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hpc.html_report.facts import Period
from hpc.html_report.observe.read_missing import count_missing, count_odd_times, missing_span
from pipeline.run_files.manifest import shard_path
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME

UNTIL = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_path_of_a_run_says_nothing_about_the_times_of_its_posts(tmp_path: Path) -> None:
    folder = tmp_path / "preprocessing_timestamp=1970-01-01" / "[1]"
    run_dir, _ = run_builders.make_run(folder, run_builders.posts(3))
    inputs = [str(shard_path(run_dir, 0))]
    with duckdb.connect() as connection:
        first, last = missing_span(connection, inputs, UNTIL)
        counts = count_missing(connection, inputs, Period.YEAR, UNTIL)
        odd = count_odd_times(connection, inputs, UNTIL)
    assert first and last
    assert (first.year, last.year, odd) == (FIRST_TIME.year, FIRST_TIME.year, (0, 0))
    assert [(day.year, posts) for day, posts in counts.items()] == [(FIRST_TIME.year, 3)]
