"""Up to a name's watermark every planned post has its row."""

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline.database import history
from tests.pipeline.database.test_label_tables import rows, run_row, shard_row
from tests.pipeline.run_builders import make_run, posts


def test_the_watermark_is_held_back_by_the_first_shard_that_is_not_gathered(
    database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    _, run = make_run(tmp_path, posts(8), shards=4)

    def watermark(*missing: int) -> list[tuple[Any, ...]]:
        shards = [
            shard_row(run, i, gathered_at=None if i in missing else datetime(2024, 6, 2))
            for i in range(4)
        ]
        history.replace_history(database, run=run_row(run), shards=shards, attempts=[])
        return rows(database, "SELECT * FROM watermarks")

    assert watermark() == [("valence", datetime(2024, 5, 31, 13, 0, 7))]
    assert watermark(3) == [("valence", datetime(2024, 5, 31, 13, 0, 5))]
    assert watermark(1, 3) == [("valence", datetime(2024, 5, 31, 13, 0, 1))]
    assert watermark(0) == []


def test_another_name_has_a_watermark_of_its_own_and_an_older_run_holds_it_back(
    database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    _, old = make_run(tmp_path, posts(2, first=2), run_id="1-old")
    _, new = make_run(tmp_path, posts(2, first=4), run_id="2-new")
    _, other = make_run(tmp_path, posts(2, first=6), run_id="3-other", name="other")
    for run, gathered_at in (
        (old, None),
        (new, datetime(2024, 6, 2)),
        (other, datetime(2024, 6, 2)),
    ):
        shards = [shard_row(run, 0, gathered_at=gathered_at)]
        history.replace_history(database, run=run_row(run), shards=shards, attempts=[])
    assert rows(database, "SELECT * FROM watermarks") == [
        ("other", datetime(2024, 5, 31, 13, 0, 7))
    ]
